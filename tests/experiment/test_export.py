"""An export is a run's network, checked, with a card that says where it comes from; another run can start from it."""

import errno
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Start
from tlexp import cli
from tlexp.errors import ConfigError, TrackingError, WeightsError
from tlexp.experiment import export as exporting
from tlexp.experiment.export import export
from tlexp.formats import ExportFormat, Likeness
from tlexp.models import load_classifier
from tlexp.models.digest import tensors_digest
from tlexp.models.export import read_card

PRETRAINING = ["experiment=pretrain_tiny", "data=shapes", "train.epochs=1", "train.batch_size=8", "labels=all"]


def test_the_pretraining_command_on_shapes_gives_weights_that_the_next_run_starts_from(
    start: Start, tmp_path: Path
) -> None:
    outcome = start(*PRETRAINING, "seed=5")
    assert outcome.record.train.weights.source == "random (seed 5)"
    assert "val/loss" not in outcome.record.metrics
    assert outcome.record.train.selection.kind == "none"
    exported = export(tmp_path / "run", tmp_path / "weights", half=True)
    assert [path.name for path in exported.files] == ["model.json", "model.safetensors", "README.md"]
    second = start("data=digits", f"backbone.weights={tmp_path / 'weights'}", name="second")
    assert second.record.train.weights.source == f"run {tmp_path / 'weights'}"
    ours, _ = load_classifier(tmp_path / "second")
    theirs = load_file(tmp_path / "weights" / "model.safetensors")
    frozen = {name.removeprefix("backbone."): tensor.float() for name, tensor in theirs.items() if "backbone" in name}
    for name, tensor in ours.backbone.state_dict().items():
        assert torch.equal(tensor.float(), frozen[name])
    assert second.record.train.weights.digest == tensors_digest(ours.backbone.state_dict())


def test_a_full_export_is_the_run_to_the_bit_and_a_half_one_nearly(start: Start, tmp_path: Path) -> None:
    start("freeze=none")
    whole = export(tmp_path / "run", tmp_path / "whole", half=False)
    half = export(tmp_path / "run", tmp_path / "half", half=True)
    assert whole.told == ""
    [difference] = re.findall(r"logits differ by at most ([0-9.e-]+), 100% keep their class", half.told)
    assert 0 < float(difference) < 0.05
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert 0.5 < sizes[1] / sizes[0] < 0.56
    images = torch.randn(4, 3, 32, 32)
    logits = [load_classifier(tmp_path / name)[0](images) for name in ("run", "whole", "half")]
    assert torch.equal(logits[0], logits[1])
    torch.testing.assert_close(logits[0], logits[2], atol=0.05, rtol=0.05)
    kinds = {name: tensor.dtype for name, tensor in load_file(tmp_path / "half" / "model.safetensors").items()}
    assert kinds["backbone.conv1.0.weight"] is torch.float16
    assert kinds["backbone.bn1.running_var"] is torch.float32, "a small variance is nothing in half precision"


def test_the_card_says_how_the_weights_were_made(start: Start, tmp_path: Path) -> None:
    record = start("seed=3").record
    export(tmp_path / "run", tmp_path / "weights", half=True)
    card = (tmp_path / "weights" / "README.md").read_text()
    for part in (
        "# tiny (timm's test_resnet), trained on 3 classes",
        "| classes | 3: circle, square, triangle |",
        "| images | 30 of 72 images learned from (6 of them only once settings had been chosen on them); "
        "tested on 24 in test; ",
        "372,688 parameters without the head",
        f"{(tmp_path / 'weights' / 'model.safetensors').stat().st_size:,} bytes, float16",
        "`python -m tlexp seed=3`",
        "seed 3, data 3",
        f"digest {record.data.digest}",
        f"accuracy {record.metrics['test/accuracy']:.4f}",
        "tlexp:tiny",
        "| device | cpu",
    ):
        assert part in card, part


def test_an_export_overwrites_nothing_and_needs_a_finished_run(start: Start, tmp_path: Path) -> None:
    start("train.save_weights=false")
    with pytest.raises(WeightsError, match=r"model\.json: cannot be read"):
        export(tmp_path / "run", tmp_path / "out", half=False)
    start(name="second")
    export(tmp_path / "second", tmp_path / "out", half=False)
    before = (tmp_path / "out" / "model.json").read_bytes()
    with pytest.raises(
        ConfigError,
        match=r"out holds README\.md already: name a folder of its own, or replace an export with --overwrite",
    ):
        export(tmp_path / "second", tmp_path / "out", half=True)
    assert (tmp_path / "out" / "model.json").read_bytes() == before
    with pytest.raises(TrackingError, match=r"record\.json is missing"):
        export(tmp_path / "out", tmp_path / "other", half=False)
    assert not (tmp_path / "other").exists()


def test_halving_that_changes_the_answers_is_refused(start: Start, tmp_path: Path) -> None:
    start("freeze=none")
    folder = tmp_path / "run"
    state = load_file(folder / "model.safetensors")
    state["backbone.layer1.0.conv1.weight"] *= 1e7  # beyond what half precision holds
    state["backbone.layer1.0.bn1.running_var"] *= 1e14
    from safetensors.torch import save_file

    save_file(state, folder / "model.safetensors")
    described = json.loads((folder / "model.json").read_text()) | {"digest": tensors_digest(state)}
    (folder / "model.json").write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=r"in half precision only .* keep their class: export without --half"):
        export(folder, tmp_path / "out", half=True)
    export(folder, tmp_path / "out", half=False)


def test_an_export_says_by_what_its_logits_are_divided(start: Start, tmp_path: Path) -> None:
    record = start("head=logreg", "labels=4").record
    export(tmp_path / "run", tmp_path / "out", half=False)
    assert read_card(tmp_path / "out" / "model.json").card.temperature == record.train.temperature != 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| temperature | {record.train.temperature:.4g}: " in card
    assert record.train.false_alarms is not None
    told = ", ".join(f"{share:.1%} at {level}" for level, share in record.train.false_alarms.items())
    assert f"| none of these | false alarms of `tlexp predict --outliers` on the test images: {told} |" in card
    start("labels=1", name="untold")
    export(tmp_path / "untold", tmp_path / "plain", half=False)
    assert "temperature" not in (tmp_path / "plain" / "model.json").read_text()
    assert "| temperature |" not in (tmp_path / "plain" / "README.md").read_text()


def test_the_command_line_names_the_files_and_how_to_use_them(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def exported() -> int:
        monkeypatch.setattr(sys, "argv", ["tlexp", "export", "run", "out", "--half"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    assert exported() == 0
    shown = capsys.readouterr().out
    assert "out/model.safetensors" in shown
    assert "keep their class" in shown
    assert shown.splitlines()[-1] == "use it with backbone.weights=out"
    assert exported() == 2
    assert "holds README.md already" in capsys.readouterr().err


def test_the_chain_of_experiments_hands_the_first_runs_network_to_the_second(start: Start, tmp_path: Path) -> None:
    first = start("experiment=chain_first", "data=shapes", name="first").record
    assert first.train.weights.source == "tlexp:tiny"
    second = start("experiment=chain_second", "data=digits", f"backbone.weights={tmp_path / 'first'}").record
    ours = load_classifier(tmp_path / "first")[0].backbone.state_dict()
    assert second.train.weights.digest == tensors_digest(ours) != first.train.weights.digest


def test_raw_pixels_are_exported_without_the_name_of_a_network(start: Start, tmp_path: Path) -> None:
    start("backbone=pixels", "head=logreg")
    assert "keep their class" in export(tmp_path / "run", tmp_path / "pixels", half=True).told
    card = (tmp_path / "pixels" / "README.md").read_text()
    assert "| architecture | raw pixels, 0 parameters without the head |" in card
    assert "timm" not in card.split("| packages |")[0]
    images = torch.randn(4, 3, 32, 32)
    logits = [load_classifier(tmp_path / name)[0](images) for name in ("run", "pixels")]
    torch.testing.assert_close(logits[0], logits[1], atol=0.05, rtol=0.05)


def altered(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("name", "fields", "refusal"),
    [
        ("model.json", {"schema": 2}, r"model.json is not the file that record.json beside it vouches for"),
        ("record.json", {"schema": 99}, r"record.json has schema 99, this version reads 1: update tlexp"),
        ("record.json", {"metrics": {}}, r"record.json was changed after it was written \(its checksum differs\)"),
    ],
)
def test_a_run_starts_from_no_run_that_export_would_refuse(
    name: str, fields: dict[str, object], refusal: str, start: Start, tmp_path: Path
) -> None:
    start()
    altered(tmp_path / "run" / name, **fields)
    with pytest.raises(WeightsError, match=f"backbone.weights=.*run: .*{refusal}"):
        start(f"backbone.weights={tmp_path / 'run'}", name="second")


def test_a_run_starts_from_no_export_of_another_version(start: Start, tmp_path: Path) -> None:
    start()
    (tmp_path / "run" / "record.json").unlink()
    altered(tmp_path / "run" / "model.json", schema=2)
    with pytest.raises(WeightsError, match=r"model.json: schema 2 is not 1; export again with this version"):
        start(f"backbone.weights={tmp_path / 'run'}", name="second")


def test_an_export_takes_the_place_of_an_export_alone_and_only_if_told(start: Start, tmp_path: Path) -> None:
    start("seed=1")
    start("seed=2", name="second")
    export(tmp_path / "run", tmp_path / "out")
    export(tmp_path / "second", tmp_path / "out", overwrite=True)
    assert "`python -m tlexp seed=2`" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "README.md").write_text("my photographs")
    with pytest.raises(ConfigError, match=r"photos holds README.md and no card of an export: --overwrite replaces exp"):
        export(tmp_path / "run", tmp_path / "photos", overwrite=True)
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"out holds thesis.txt, which no export writes: move it"):
        export(tmp_path / "run", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file is no folder: name one for the export"):
        export(tmp_path / "run", tmp_path / "file", overwrite=True)


def test_a_format_is_published_once_a_clean_process_gives_the_runs_answers(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("seed=3", "head=logreg", "labels=4")
    exported = export(tmp_path / "run", tmp_path / "out", kind=ExportFormat.timm, typed=lambda typed: ["a b", *typed])
    assert [path.name for path in exported.files] == ["config.json", "model.safetensors", "README.md"]
    told = (
        r"loaded in a process of its own and compared with the run on 24 test images of the run, by the predictions "
        r"that it wrote: probabilities differ "
    )
    assert re.match(told + r"by at most \d\S*, 100\.0% keep their class", exported.told)
    card = (tmp_path / "out" / "README.md").read_text()
    for part in (
        exported.told,
        "python -m tlexp 'a b' seed=3 head=logreg labels=4",
        "hf upload USER/NAME . .",
        "library_name: timm",
        'timm.create_model("local-dir:.", pretrained=True)',
        "applied already",
    ):
        assert part in card, part
    other = Likeness(difference=0.5, agreement=0.5)
    monkeypatch.setattr(exporting, "compare", lambda folder, snippet, refer: (refer(), other))
    with pytest.raises(WeightsError, match=r"run as timm, .* 50\.0% keep .*: that is another network, and not publ"):
        export(tmp_path / "run", tmp_path / "bad", kind=ExportFormat.timm)
    with pytest.raises(ConfigError, match=r"--half belongs to --format tlexp: leave it out for --format timm"):
        export(tmp_path / "run", tmp_path / "bad", kind=ExportFormat.timm, half=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_disk_that_is_full_leaves_what_was_there_and_nothing_half_written(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    export(tmp_path / "run", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(path: Path, content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(exporting, "publish", full)
    with pytest.raises(OSError, match="No space left") as raised:
        export(tmp_path / "run", tmp_path / "out", overwrite=True)
    assert raised.value.filename == str(tmp_path / "out" / "README.md")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_an_export_that_cannot_take_its_place_leaves_the_one_that_was_there(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    export(tmp_path / "run", tmp_path / "out")
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path.name.endswith(".tmp") and target.name == "out" and any(path.iterdir()) and not moved:
            moved.append(path)
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return replace(path, target)

    moved: list[Path] = []
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        export(tmp_path / "run", tmp_path / "out", overwrite=True)
    assert moved
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 0
