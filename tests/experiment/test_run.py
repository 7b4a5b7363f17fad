import dataclasses
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tests.composed import load
from tests.conftest import probability_bits
from tests.experiment.conftest import Spy, Stopper
from tlexp.config import Config, Preprocessing
from tlexp.data import ImageBatches, Source, chunks
from tlexp.errors import ConfigError, DataError, DivergedError, Interrupted, OutOfMemoryError
from tlexp.experiment import build, session
from tlexp.experiment import images as images_module
from tlexp.experiment.plan import build_plan
from tlexp.experiment.run import Outcome, run
from tlexp.experiment.session import Session
from tlexp.features import batches
from tlexp.learn import trained as trained_module
from tlexp.models import Classifier, load_classifier
from tlexp.tracking import read_record
from tlexp.tracking.names import METRICS
from tlexp.train import Listener

Start = Callable[..., Outcome]
SMALL = ["backbone=tiny", "backbone.image_size=32", "labels=10", "tracking=off"]
SHARED = [*SMALL, "data.per_class=24", "data.test_per_class=8", "data.num_classes=3"]
FULL = [
    "schema", "key", "status", "reason", "overrides", "config", "seeds", "freeze", "data", "train", "metrics", "files",
    "tracking", "environment", "started", "ended", "checksum", "notes",
]  # fmt: skip


def _predictions(folder: Path) -> dict[str, Any]:
    with np.load(folder / "predictions.npz", allow_pickle=False) as file:
        return dict(file)


def test_the_record_has_everything_that_later_work_reads(start: Start, tmp_path: Path) -> None:
    outcome = start("freeze=last")
    stored = json.loads((tmp_path / "run" / "record.json").read_text())
    assert sorted(stored) == sorted(FULL)
    assert read_record(tmp_path / "run") == outcome.record
    assert (stored["status"], stored["reason"], stored["schema"]) == ("finished", None, 1)
    assert set(stored["metrics"]) == {name for name in METRICS if not name.startswith(("rest/", "shifted/"))}
    assert set(stored["seeds"]) == {"seed", "data"}
    assert stored["freeze"]["units"] == ["stem", "layer1", "layer2", "layer3"]
    assert stored["freeze"]["depth"] == 4
    assert stored["freeze"]["norm"] == "follow"
    assert stored["freeze"]["digest_before"] == stored["freeze"]["digest_after"]
    assert set(stored["data"]) == {"digest", "classes", "counts", "pool", "pool_from", "held_out_from", "skipped"}
    assert stored["train"]["steps"] == 6
    assert stored["train"]["outside_protocol"] == ["train.limit_steps=6"]
    names = {
        "predictions.npz",
        "predictions.csv",
        "evaluation.json",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
    }
    assert set(stored["files"]) == names
    predictions = _predictions(tmp_path / "run")
    assert predictions["probability"].shape == (24, 3)
    assert predictions["index"].tolist() == list(range(24))
    accuracy = float((predictions["probability"].argmax(1) == predictions["label"]).mean())
    assert accuracy == pytest.approx(stored["metrics"]["test/accuracy"])
    assert not (tmp_path / "run" / "checkpoint").exists()
    classifier, exported = load_classifier(tmp_path / "run")
    assert exported.card.classes == tuple(stored["data"]["classes"])
    assert classifier.depth == 4


@pytest.mark.parametrize(("labels", "train", "val"), [("1", 1, 0), ("4", 4, 0), ("10", 8, 2), ("0.5", 10, 2)])
def test_counts_are_disjoint_and_sum_to_the_budget(labels: str, train: int, val: int, start: Start) -> None:
    counts = start(f"labels={labels}").record.data.counts
    assert set(counts["train"].values()) == {train}
    assert set(counts["val"].values()) == {val}
    assert set(counts["test"].values()) == {8}


@pytest.mark.parametrize(
    ("freeze", "phases"),
    [
        ("freeze=last", ["select-000-fold0", "select-001-fold0", "final"]),
        ("freeze=all", ["select, 2 candidates at once", "final"]),
    ],
)
def test_the_test_split_is_read_once_after_all_choices_and_training_sees_the_budget_alone(
    freeze: str, phases: list[str], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = itertools.count()
    spies: dict[str, Spy] = {}
    opened = session.open_images

    def spied(*args: Any, **kwargs: Any) -> Source:
        source = opened(*args, **kwargs)
        spies["pool"] = Spy(source.pool, lambda: True)
        spies["test"] = Spy(source.held_out, lambda: done == phases)
        return dataclasses.replace(source, pool=spies["pool"], held_out=spies["test"])

    done: list[str] = []
    monkeypatch.setattr(session, "open_images", spied)

    class Fits(Listener):
        def phase(self, title: str, steps: int) -> None:
            next(fits)
            self.title = title

        def ended(self) -> None:
            done.append(self.title)

    start("tune.trials=2", "cache=off", freeze, listener=Fits())
    assert sorted(spies["test"].read_indices) == list(range(24))
    assert len(spies["pool"].read_indices) == len(set(spies["pool"].read_indices)) == 30


def test_the_final_fit_learns_from_the_whole_budget_and_from_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: dict[str, list[int]] = {}
    train = trained_module.TrainedLearner.train

    def spied(self: trained_module.TrainedLearner, fit_id: str, positions: Any, *rest: Any, **more: Any) -> Any:
        learned[fit_id] = positions.tolist()
        return train(self, fit_id, positions, *rest, **more)

    monkeypatch.setattr(trained_module.TrainedLearner, "train", spied)
    record = start().record
    assert learned["final"] == list(range(30))
    assert len(learned["select-000-fold0"]) == 24
    assert sum(record.data.counts["train"].values()) == 24


def test_resume_refuses_other_images(start: Start, tmp_path: Path) -> None:
    for name, seed in (("photos", 0), ("others", 1)):
        rng = np.random.default_rng(seed)
        for label in ("a", "b"):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for number in range(12):
                Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    root = tmp_path / "root"
    root.symlink_to(tmp_path / "photos")
    words = ("data=folder", f"data.root={root}", "labels=5")
    with pytest.raises(Interrupted):
        start(*words, name="cut", listener=Stopper(3))
    root.unlink()
    root.symlink_to(tmp_path / "others")
    with pytest.raises(ConfigError, match=r"belongs to other settings, images"):
        start(*words, f"resume={tmp_path / 'cut'}", name="resumed")


def test_a_folder_with_a_record_is_refused_at_once(start: Start, tmp_path: Path) -> None:
    first = start().record
    loaded = load([*SMALL])
    with pytest.raises(ConfigError, match=r"holds a run's record already"):
        run(loaded.config, folder=tmp_path / "run", listener=Listener())
    assert read_record(tmp_path / "run") == first


def test_same_seed_same_bits_and_the_data_seed_alone_draws_the_budget(start: Start, tmp_path: Path) -> None:
    drawn: list[list[float]] = []
    outcomes = [
        start(*words, name=f"run{number}")
        for number, words in enumerate([("seed=1",), ("seed=1",), ("seed=2", "data.seed=1"), ("seed=2",)])
    ]
    for number in range(4):
        drawn.append(_predictions(tmp_path / f"run{number}")["probability"].tolist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert drawn[2] != drawn[3]
    assert outcomes[0].record.key == outcomes[1].record.key != outcomes[2].record.key


def test_one_image_per_class_is_not_selected_on_and_says_so(start: Start) -> None:
    record = start("labels=1", "train.batch_size=64").record
    assert record.train.selection.kind == "none"
    assert not any(name.startswith("val/") for name in record.metrics)
    assert any("nothing to select on" in note for note in record.notes)
    assert record.train.steps == 6
    with pytest.raises(ConfigError, match=r"tune\.trials=5 needs images to compare candidates on"):
        start("labels=1", "tune.trials=5", name="searched")


def test_folds_pool_every_image_of_the_budget_into_val(start: Start) -> None:
    outcome = start("labels=3")
    assert outcome.splits["val"].count == 9
    assert outcome.record.train.selection.folds == 3


def test_tuning_compares_as_many_candidates_and_survives_one_that_diverges(start: Start) -> None:
    record = start("freeze=none", "optim=sgd", "tune.trials=4", "tune.lr=[1e-3,1e12]", "optim.clip_norm=null").record
    trials = record.train.selection.trials
    assert len(trials) == 4
    losses = {trial.number: trial.loss for trial in trials if trial.loss is not None}
    assert len(losses) < 4
    winner = min(losses, key=lambda number: (losses[number], trials[number].rates["lr"]))
    assert record.train.selection.winner == trials[winner].rates
    assert 0.25 <= record.train.temperature <= 16


def test_without_refit_the_winner_of_the_selection_is_tested(start: Start) -> None:
    titles: list[str] = []

    class Titles(Listener):
        def phase(self, title: str, steps: int) -> None:
            titles.append(title)

    record = start("train.refit=false", listener=Titles()).record
    assert record.train.selection.refit is False
    assert titles == ["select-000-fold0"]
    with pytest.raises(ConfigError, match=r"train\.refit=false needs one split"):
        start("train.refit=false", "labels=3", name="folds")


def test_divergence_is_recorded_and_names_the_step(start: Start, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"at step \d+ of 6.*lower optim\.lr"):
        start("freeze=none", "optim=sgd", "optim.lr=1e12", "optim.clip_norm=null")
    record = read_record(tmp_path / "run")
    assert record.status == "diverged"
    assert "at step" in str(record.reason)


def test_out_of_memory_is_recorded_with_the_batch_size(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: ImageBatches, step: int) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batches.ImageBatches, "batch", exhausted)
    with pytest.raises(OutOfMemoryError, match=r"train\.batch_size"):
        start("freeze=none")
    assert read_record(tmp_path / "run").status == "oom"


def test_peak_memory_is_that_of_the_whole_run(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA, where a new measurement can begin: before the first image, and at no fit after that."""
    told: list[str] = []
    run_module = sys.modules["tlexp.experiment.run"]
    monkeypatch.setattr(run_module, "reset_peak", lambda device: told.append(f"reset on {device}"))
    monkeypatch.setattr(
        run_module, "draw_labels", lambda *given, known=run_module.draw_labels: told.append("images") or known(*given)
    )
    start("freeze=none")
    assert told == ["reset on cpu", "images"]


def test_wrong_depth_and_short_classes_are_recorded_as_failed(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"freeze\.depth=9 is out of range"):
        start("freeze=depth", "freeze.depth=9", name="depth")
    with pytest.raises(DataError, match=r"labels=25: each class needs 25"):
        start("labels=25", name="short")
    assert {read_record(tmp_path / name).status for name in ("depth", "short")} == {"failed"}


@pytest.mark.parametrize(
    ("norm", "questions"),
    [
        ("follow", (13,)),
        ("update", (3,)),
        pytest.param("follow", (0, 3, 8, 11, 16), marks=pytest.mark.slow),
        pytest.param("update", (0, 8, 11, 13, 16), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    norm: str, questions: tuple[int, ...], start: Start, tmp_path: Path
) -> None:
    words = ("freeze=depth", "freeze.depth=2", "tune.trials=2", "backbone.drop_rate=0.2", "augment=light")
    words = (*words, f"freeze.norm={norm}")
    start(*words, name="whole")
    for question in questions:
        cut, resumed = f"cut{question}", f"resumed{question}"
        with pytest.raises(Interrupted):
            start(*words, name=cut, listener=Stopper(question))
        assert read_record(tmp_path / cut).status == "killed"
        start(*words, f"resume={tmp_path / cut}", name=resumed)
        assert probability_bits(tmp_path / "whole") == probability_bits(tmp_path / resumed), question
        curves = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", resumed)]
        assert curves[0] == curves[1], question


PARTS = {
    "surgical": ("freeze=surgical", "freeze.units=[layer2]"),
    "norm": ("freeze=norm",),
    "bias": ("freeze=bias",),
    "lora": ("freeze=lora", "freeze.rank=2"),
}


@pytest.mark.parametrize(
    ("policy", "question"),
    [
        ("norm", 3),
        ("lora", 13),
        pytest.param("norm", 13, marks=pytest.mark.slow),
        pytest.param("lora", 3, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_of_parts_goes_on_to_the_same_bits(
    policy: str, question: int, start: Start, tmp_path: Path
) -> None:
    words = (*PARTS[policy], "tune.trials=2", "augment=light")
    start(*words, name="whole")
    with pytest.raises(Interrupted):
        start(*words, name="cut", listener=Stopper(question))
    start(*words, f"resume={tmp_path / 'cut'}", name="resumed")
    whole, resumed = (_predictions(tmp_path / name)["probability"] for name in ("whole", "resumed"))
    assert whole.tobytes() == resumed.tobytes()


@pytest.mark.parametrize("policy", PARTS)
@pytest.mark.broad(2)
def test_parts_train_are_counted_and_what_is_written_says_what_was_tested(
    policy: str, start: Start, tmp_path: Path
) -> None:
    record = start(*PARTS[policy], "head.init=normal").record
    config = load([*SHARED, *PARTS[policy]]).config
    plan, network = build_plan(config), build.build_network(config)
    assert record.freeze.policy == policy
    assert record.freeze.digest_before == record.freeze.digest_after
    assert record.freeze.depth == plan["depth"]
    assert record.freeze.units == tuple(unit["name"] for unit in plan["units"] if not unit["trainable"])
    for count in ("trainable_parameters", "total_parameters"):
        assert record.metrics[f"cost/{count}"] == plan[count]
    assert any("holds the plain architecture" in note for note in record.notes) == (policy == "lora")
    written, exported = load_classifier(tmp_path / "run")
    assert [*written.backbone.state_dict()] == [*network.backbone.state_dict()]
    source = images_module.open_images(config, network.expected, Listener())
    places = np.arange(len(source.held_out.labels))
    bank = images_module.decode(config, source.held_out, places, network.expected, Listener())
    expected, cpu = network.expected, torch.device("cpu")
    [(images, _)] = chunks(bank, places, mean=expected.mean, std=expected.std, device=cpu, channels_last=False)
    with torch.no_grad():
        probability = (written(images) / exported.card.temperature).softmax(1).numpy()
    np.testing.assert_allclose(probability, _predictions(tmp_path / "run")["probability"], atol=1e-5)


def test_adapters_leave_the_network_that_runs_share_as_it_was(start: Start, tmp_path: Path) -> None:
    start("freeze=none", "tune.validate=false", name="alone")
    session = Session(several=True)
    for name, words in {"adapted": PARTS["lora"], "next": ("freeze=none",)}.items():
        (tmp_path / name).mkdir()
        loaded = load([*SHARED, "train.limit_steps=6", "tracking.figures=false", "tune.validate=false", *words])
        run(loaded.config, shown=loaded.shown, folder=tmp_path / name, listener=Listener(), session=session)
    alone, after = (_predictions(tmp_path / name)["probability"] for name in ("alone", "next"))
    assert alone.tobytes() == after.tobytes()


def test_resuming_a_finished_run_is_refused(start: Start, tmp_path: Path) -> None:
    start(name="done")
    with pytest.raises(ConfigError, match=r"a finished run has none"):
        start(f"resume={tmp_path / 'done'}", name="again")


def test_a_run_is_the_start_of_the_next(start: Start, tmp_path: Path) -> None:
    first = start("freeze=none", "seed=5", name="first")
    second = start(f"backbone.weights={tmp_path / 'first'}", "data=digits", name="second")
    assert second.record.train.weights.source.startswith("run ")
    assert second.record.train.weights.digest != first.record.train.weights.digest
    before, _ = load_classifier(tmp_path / "first")
    after, _ = load_classifier(tmp_path / "second")
    for name, tensor in before.backbone.state_dict().items():
        assert torch.equal(tensor, after.backbone.state_dict()[name]), name


@pytest.mark.parametrize(
    "freeze", [["freeze=all"], ["freeze=last"], ["freeze=depth", "freeze.depth=1"], ["freeze=none"]]
)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.broad(3)
def test_frozen_bits_stay_and_the_rest_moves(name: str, freeze: list[str], start: Start, tmp_path: Path) -> None:
    words = ["backbone=timm", f"backbone.name={name}", "backbone.pretrained=false"]
    quick = ("head.init=normal", "train.limit_steps=2", "labels=2", "tune.validate=false")
    record = start(*words, *freeze, *quick).record
    assert record.freeze.digest_before == record.freeze.digest_after
    assert record.freeze.depth == len(record.freeze.units)


@pytest.mark.parametrize("freeze", ["freeze=all", "freeze=last", "freeze=none"])
@pytest.mark.parametrize("norm", ["follow", "keep", "update"])
@pytest.mark.broad(2)
def test_statistics_end_as_they_began_where_norm_keeps_them(
    norm: str, freeze: str, start: Start, tmp_path: Path
) -> None:
    record = start(freeze, f"freeze.norm={norm}", "tune.validate=false").record
    assert record.freeze.norm == norm
    assert record.freeze.digest_before == record.freeze.digest_after
    network = build.build_network(load([*SMALL]).config)
    build.load_start(load([*SMALL]).config, network)
    before, after = network.backbone.state_dict(), load_classifier(tmp_path / "run")[0].backbone.state_dict()
    depth = record.freeze.depth
    for unit in network.units:
        means = [name for name in unit.buffers if name.endswith("running_mean")]
        moved = {not torch.equal(before[name], after[name]) for name in means}
        assert moved == {{"follow": unit.index >= depth, "keep": False, "update": True}[norm]}
        if unit.index < depth:
            assert all(torch.equal(before[name], after[name]) for name in unit.parameters)


def test_features_of_moving_norms_are_not_kept_and_no_head_is_solved_on_them(start: Start) -> None:
    record = start("freeze.norm=update").record
    assert record.train.cache is None
    assert any("features are not kept: freeze.norm=update moves the statistics" in note for note in record.notes)
    with pytest.raises(
        ConfigError, match=r"head=logreg is solved on features that stay as they are, but freeze\.norm="
    ):
        load(["freeze.norm=update", "head=logreg"])
    assert start("freeze.norm=keep", name="kept").record.train.cache is not None


@pytest.mark.parametrize("freeze", ["freeze.norm=update", "freeze=norm", "freeze=lora"])
def test_what_moves_begins_every_fit_from_the_same_start(freeze: str, start: Start, tmp_path: Path) -> None:
    for name, words in {"selected": (), "alone": ("tune.validate=false",)}.items():
        start(freeze, *words, name=name)
    selected, alone = (load_classifier(tmp_path / name)[0].state_dict() for name in ("selected", "alone"))
    assert all(torch.equal(tensor, alone[name]) for name, tensor in selected.items())


@pytest.mark.parametrize("words", [(), ("head=logreg",), ("train.class_weights=balanced",)])
def test_every_probability_has_its_logits_divided_by_the_temperature_of_the_selection(
    words: tuple[str, ...], start: Start, tmp_path: Path
) -> None:
    told = start(*words, name="told").record
    decay = told.train.selection.winner["weight_decay"]
    stated = (f"optim.weight_decay={decay!r}",) if "head=logreg" in words else ()
    untold = start(*words, *stated, "tune.validate=false", name="untold").record
    assert untold.train.temperature is None
    assert json.loads((tmp_path / "told" / "record.json").read_text())["train"]["temperature"] == told.train.temperature
    assert "temperature" not in json.loads((tmp_path / "untold" / "record.json").read_text())["train"]
    given, raw = (_predictions(tmp_path / name)["probability"].astype(float) for name in ("told", "untold"))
    cooled = raw ** (1 / told.train.temperature)
    np.testing.assert_allclose(given, cooled / cooled.sum(1, keepdims=True), rtol=1e-3, atol=1e-6)
    labels = _predictions(tmp_path / "told")["label"]
    assert told.metrics["test/nll"] == pytest.approx(-np.log(given[np.arange(len(labels)), labels]).mean(), rel=1e-4)
    for score in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert told.metrics[f"test/{score}"] == untold.metrics[f"test/{score}"]
    assert told.metrics["test/nll"] != untold.metrics["test/nll"]
    assert told.metrics["train/nll"] != untold.metrics["train/nll"]


@pytest.mark.parametrize(("name", "said"), [("test_vit", 1), ("test_resnet", 0)])
def test_a_setting_of_norms_that_are_not_there_says_so_once(name: str, said: int, start: Start) -> None:
    words = ["backbone=timm", f"backbone.name={name}", "backbone.pretrained=false"]
    notes = start(*words, "freeze.norm=update", "labels=1", "train.limit_steps=1").record.notes
    text = f"freeze.norm=update changes nothing: {name} has no norms with running statistics"
    assert notes.count(text) == said


RANDOM = ("backbone.pretrained=false", "backbone.calibrate=true", "freeze=all", "head=logreg")


def test_random_weights_are_calibrated_on_the_budget_before_they_are_frozen(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calibrated: list[bool] = []
    spies: dict[str, Spy] = {}
    opened, calibrate = session.open_images, build.calibrate

    def spied(*args: Any, **kwargs: Any) -> Source:
        source = opened(*args, **kwargs)
        spies["pool"] = Spy(source.pool, lambda: True)
        spies["test"] = Spy(source.held_out, lambda: bool(calibrated))
        return dataclasses.replace(source, pool=spies["pool"], held_out=spies["test"])

    def noted(backbone: Any, images: Any) -> None:
        calibrate(backbone, images)
        calibrated.append(True)
        assert sorted(spies["pool"].read_indices) == sorted(drawn)

    drawn: list[int] = []
    draw = images_module.draw_budget

    def noted_draw(*args: Any, **kwargs: Any) -> Any:
        positions = draw(*args, **kwargs)
        drawn.extend(positions.tolist())
        return positions

    monkeypatch.setattr(session, "open_images", spied)
    monkeypatch.setattr(build, "calibrate", noted)
    monkeypatch.setattr(images_module, "draw_budget", noted_draw)
    record = start(*RANDOM).record
    assert calibrated == [True]
    assert len(drawn) == 30
    assert record.freeze.digest_before == record.freeze.digest_after
    assert record.train.weights.source == "random (seed 0), calibrated"
    assert any("random weights, calibrated on the label budget; its frozen part" in note for note in record.notes)
    exported = load_classifier(tmp_path / "run")[0]
    assert exported.frozen_digest() == record.freeze.digest_after


def test_calibrated_weights_follow_from_the_seed_and_the_budget_alone(start: Start) -> None:
    def digest(name: str, *words: str) -> str:
        return str(start(*RANDOM, *words, name=name).record.train.weights.digest)

    first = digest("first")
    assert digest("again", "train.batch_size=7", "train.channels_last=false", "head=knn", "freeze=all") == first
    assert digest("budget", "data.seed=1") != first
    assert digest("seed", "seed=1", "data.seed=0") != first
    assert digest("plain", "backbone.calibrate=false") != first


def test_an_interrupted_run_of_calibrated_weights_goes_on_to_the_same_bits(start: Start, tmp_path: Path) -> None:
    words = ("backbone.pretrained=false", "backbone.calibrate=true", "freeze=last", "freeze.norm=keep")
    start(*words, name="whole")
    with pytest.raises(Interrupted):
        start(*words, name="cut", listener=Stopper(9))
    start(*words, f"resume={tmp_path / 'cut'}", name="resumed")
    whole, resumed = (_predictions(tmp_path / name)["probability"] for name in ("whole", "resumed"))
    assert whole.tobytes() == resumed.tobytes()


def test_features_of_calibrated_weights_are_kept_under_a_key_of_their_own(start: Start) -> None:
    uses = [
        start(*RANDOM, *words, "seed=77", name=name).record.train.cache
        for name, words in {"cold": (), "warm": (), "plain": ("backbone.calibrate=false",)}.items()
    ]
    assert uses[0].hits == uses[2].hits == 0
    assert uses[1].hits > 0


@pytest.mark.parametrize("head", ["linear", "mlp", "logreg", "ridge", "knn", "nearest_mean"])
def test_raw_pixels_are_read_by_every_head_and_come_back_from_the_folder(
    head: str, start: Start, tmp_path: Path
) -> None:
    words = ("backbone=pixels", f"head={head}", "backbone.image_size=null")
    record = start(*words).record
    assert record.train.weights.source == "none"
    assert (record.freeze.depth, record.freeze.units) == (0, ())
    assert not any("random weights" in note for note in record.notes)
    classifier, exported = load_classifier(tmp_path / "run")
    expected = exported.card.preprocessing
    assert (expected.image_size, expected.mean, expected.std) == (32, (0.5,) * 3, (0.5,) * 3)
    source = images_module.open_images(load([*SHARED, *words]).config, expected, Listener())
    config = load([*SHARED, *words]).config
    bank = images_module.decode(config, source.held_out, np.arange(len(source.held_out.labels)), expected, Listener())
    flat = torch.nn.functional.avg_pool2d(bank.pixels.float() / 127.5 - 1, 2).flatten(1)
    with torch.no_grad():
        probability = (classifier.head(flat) / exported.card.temperature).softmax(1).numpy()
    np.testing.assert_allclose(_predictions(tmp_path / "run")["probability"], probability, atol=1e-4)


def test_raw_pixels_are_kept_and_need_neither_weights_nor_a_seed(start: Start) -> None:
    words = ("backbone=pixels", "head=logreg", "backbone.image_size=48", "data.seed=3")
    cold, warm = (
        start(*words, *more, name=f"run{number}").record
        for number, more in enumerate([("seed=4",), ("seed=5", "backbone.pretrained=false")])
    )
    assert cold.train.cache.hits == 0
    assert warm.train.cache.misses == 0
    assert warm.train.weights == cold.train.weights
    assert not any("random weights" in note for note in [*cold.notes, *warm.notes])
    assert warm.metrics["test/accuracy"] == cold.metrics["test/accuracy"]


def test_nothing_is_left_when_the_record_cannot_be_written(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, values: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tlexp.tracking.record.publish_json", full)
    with pytest.raises(OSError, match="No space left"):
        start()
    assert not (tmp_path / "run" / "record.json").exists()


def test_what_departs_from_the_protocol_is_said(start: Start) -> None:
    heard: list[str] = []

    class Notes(Listener):
        def message(self, text: str) -> None:
            heard.append(text)

    record = start("labels=20", "backbone.pretrained=false", listener=Notes()).record
    assert record.data is not None
    assert heard[0] == record.data.told
    assert [text for text in heard[1:] if not text.startswith("cache ")] == record.notes
    assert any("random weights" in note for note in heard)
    assert any("for these images alone" in note for note in heard)
    assert any("outside protocol: train.limit_steps=6" in note for note in heard)


def test_a_longer_training_is_outside_the_protocol_and_takes_the_steps_it_says(start: Start) -> None:
    train = start("labels=1", "train.longer=4", "train.limit_steps=null").record.train
    assert train.outside_protocol == ("train.longer=4",)
    assert train.steps == 800
    assert start("train.longer=1", name="plain").record.train.outside_protocol == ("train.limit_steps=6",)


def _features(classifier: Classifier, config: Config, expected: Preprocessing) -> list[tuple[Any, Any]]:
    """Return features and labels of the budget and of the test split."""
    source = images_module.open_images(config, expected, Listener())
    held_out = np.arange(len(source.held_out.labels))
    found = []
    for images, positions in (
        (source.pool, images_module.draw_labels(config, source).positions),
        (source.held_out, held_out),
    ):
        bank = images_module.decode(config, images, positions, expected, Listener())
        fed = chunks(
            bank,
            np.arange(len(bank)),
            mean=expected.mean,
            std=expected.std,
            device=torch.device("cpu"),
            channels_last=True,
        )
        found.append((torch.cat([classifier.features(batch) for batch, _ in fed]).numpy(), images.labels[positions]))
    return found


def test_a_linear_head_on_frozen_features_agrees_with_logistic_regression(start: Start, tmp_path: Path) -> None:
    # This network's features are few and need a larger rate than the default, which is meant for wider ones.
    words = ["data=digits", "train.limit_steps=null", "optim.lr=0.03"]
    ours, theirs = [], []
    for seed in range(3):
        probed = start(*words, f"data.seed={seed}", name=f"probed{seed}")
        classifier, exported = load_classifier(tmp_path / f"probed{seed}")
        config = load([*SMALL, *words, f"data.seed={seed}"]).config
        (features, labels), (test, answers) = _features(classifier, config, exported.card.preprocessing)
        ours.append(probed.record.metrics["test/accuracy"])
        theirs.append(LogisticRegression(max_iter=2000).fit(features, labels).score(test, answers))
    expected = float(np.mean(theirs))
    standard_error = (expected * (1 - expected) / len(answers)) ** 0.5
    assert expected > 0.5
    assert abs(float(np.mean(ours)) - expected) <= standard_error, (ours, theirs)


@pytest.mark.parametrize("freeze", ["freeze=all", "freeze=last"])
def test_the_rest_of_the_pool_is_told_as_the_network_would_tell_it_as_a_test_split(
    freeze: str, start: Start, tmp_path: Path
) -> None:
    words = ["data=digits", "data.evaluate=rest", "labels=4", freeze]
    outcome = start(*words)
    with np.load(tmp_path / "run" / "predictions-rest.npz") as stored:
        index, labels, probabilities = stored["index"], stored["label"], stored["probability"]
    metrics, counts = outcome.record.metrics, outcome.record.data.counts
    assert metrics["rest/accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean())
    assert sum(counts["rest"].values()) == len(index) == len(set(index.tolist()))
    assert outcome.record.files.keys() >= {"predictions.npz", "predictions-rest.npz"}
    alone = start(*words[:1], *words[2:], name="alone")
    assert {name: value for name, value in metrics.items() if name.startswith("test/")} == {
        name: value for name, value in alone.record.metrics.items() if name.startswith("test/")
    }
    assert not (tmp_path / "alone" / "predictions-rest.npz").exists()
