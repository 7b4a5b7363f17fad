"""Whole studies on the command line: run, gone on with, refused, reported."""

import csv
import dataclasses
import importlib.util
import json
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.composed import composed, load
from tests.studies.conftest import DEPTHS, ONE, QUICK, Finished, MakeTable, Study, command, leave_unmeasured
from tlexp.config import PROTOCOL, Config, config_key
from tlexp.config.freeze import FreezePolicy
from tlexp.errors import DivergedError, Interrupted
from tlexp.experiment import run as run_module
from tlexp.experiment.build import build_network
from tlexp.experiment.estimate import UnitCosts
from tlexp.experiment.run import run
from tlexp.experiment.session import process_session
from tlexp.jobs.files import COLUMN_FILE
from tlexp.studies import column as column_module
from tlexp.studies import study as study_module
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.rounds import HeldRounds, hold_rounds
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.planning import costs
from tlexp.studies.planning.costs import Estimate
from tlexp.studies.planning.minutes import kept_for_finals
from tlexp.studies.prefetch import fill_cuts
from tlexp.studies.report.protocol import protocol_sentences
from tlexp.tracking import read_record
from tlexp.train import Listener


def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "multirun/s/study.json").read_text())["study"]
    return found


def records(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.glob("multirun/*/runs/*/*/record.json"))}


def probabilities(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as file:
        return file["probability"]


def test_the_demonstration_is_small_and_has_no_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    leave_unmeasured(monkeypatch)
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=600.0, image=0.0))
    assert command(monkeypatch, "study=demonstration", "tracking=off", "--dry-run") == 0
    shown = capsys.readouterr().out
    found = re.findall(r"^(\S+) .*  ([\d,]+) +(\d+) +0 +(\w+) ", shown, re.M)
    assert found == [
        ("freeze-0", "2,10,100", "9", "2"),
        ("freeze-3", "2,10,100", "9", "2"),
        ("freeze-5", "2,10,100", "9", "solved"),
        *[(name, "2,10,100", "9", "solved") for name in ("ridge", "nearest_mean", "knn")],
        ("scratch", "10", "3", "2"),
        ("scratch-long", "10", "3", "2"),
        *[(name, "2,10,100", "9", "solved") for name in ("random", "pixels")],
    ]
    assert "left out" not in shown


def test_a_study_runs_every_replicate_once_and_leaves_a_page(study: Study, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished(), tmp_path, dirs_exist_ok=True)
    columns = {each["name"]: each for each in about(tmp_path)["columns"]}
    assert list(columns) == [
        "freeze-0", "freeze-5", "ridge", "nearest_mean", "knn", "scratch", "scratch-long", "random", "pixels",
    ]  # fmt: skip
    cells = {(name, labels) for name, labels, _ in about(tmp_path)["replicates"].values()}
    assert {labels for name, labels in cells if name == "scratch"} == {"4"}
    assert {labels for name, labels in cells if name == "freeze-0"} == {"2", "4"}
    assert len(records(tmp_path)) == 2 * len(cells) == len(about(tmp_path)["replicates"])
    assert (tmp_path / "multirun/s/report/index.html").is_file()
    assert "study multirun/s: 2 data seeds (draws of labels), 32 runs, 32 to do" in (tmp_path / "shown.txt").read_text()
    named = json.loads((tmp_path / "multirun/s/test-images.json").read_text())["names"]
    assert len(named) == 20
    assert named[0].startswith("test/circle/")
    before = records(tmp_path)
    assert study() == 0
    assert records(tmp_path) == before


def test_a_study_typed_again_leaves_the_same_page(study: Study, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished(*QUICK), tmp_path, dirs_exist_ok=True)
    page = (tmp_path / "multirun/s/report/index.html").read_bytes()
    assert study(*QUICK) == 0
    assert (tmp_path / "multirun/s/report/index.html").read_bytes() == page


KINDS = {"freeze-0", "freeze-5", "scratch", "random"}
"""A column of each kind: what trains from a probe, a solved head, random weights that train, and that do not."""


def test_a_replicate_is_the_run_that_its_record_tells_to_type(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words, typed by themselves, make the same run; heads solved together differ by their tolerance at most."""
    monkeypatch.chdir(tmp_path)
    seen = set()
    for path in sorted(finished().glob("multirun/s/runs/*/*/record.json")):
        record = read_record(path)
        column = json.loads((path.parent / "job.json").read_text())["point"]["column"]
        if column in seen or column not in KINDS or record.seeds.seed == 0:
            continue
        seen.add(column)
        loaded = load(record.overrides)
        assert config_key(loaded.config) == record.key
        (tmp_path / column).mkdir()
        run(loaded.config, shown=loaded.shown, folder=tmp_path / column, listener=Listener())
        assert np.allclose(probabilities(tmp_path / column), probabilities(path.parent), atol=5e-3), column
    assert seen == KINDS


def test_depth_is_the_only_difference(finished: Finished) -> None:
    found = [read_record(path) for path in finished("study.controls=false").glob("multirun/s/runs/*/*/record.json")]
    labels = {(record.config["labels"], record.seeds.seed): set() for record in found}
    for record in found:
        labels[record.config["labels"], record.seeds.seed].add(json.dumps(record.data.counts))
    assert {len(counts) for counts in labels.values()} == {1}
    live = [record for record in found if record.freeze.depth == 0]
    assert {record.config["freeze"]["norm"] for record in live} == {"keep"}
    probes = {(r.config["labels"], r.seeds.seed): r.train.selection.winner for r in found if r not in live}
    for record in live:
        assert record.train.probe.winner == probes[record.config["labels"], record.seeds.seed]


def test_a_column_that_is_gone_on_with_says_what_it_took_before_too(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished(*QUICK), tmp_path, dirs_exist_ok=True)
    [ended] = tmp_path.glob(f"multirun/s/columns/ridge/*/{COLUMN_FILE}")
    ended.write_text(json.dumps(json.loads(ended.read_text()) | {"seconds": 1000.0}))
    key = next(key for key, (name, *_) in about(tmp_path)["replicates"].items() if name == "ridge")
    shutil.rmtree(tmp_path / "multirun/s/runs" / key[:16])
    capsys.readouterr()  # where the study was done just now
    assert study(*QUICK) == 0
    [told] = [line for line in capsys.readouterr().err.splitlines() if "done after" in line]
    found = re.fullmatch(r"ridge labels=2: done after (\d+) s, (\d+) s with what was done before", told)
    assert found is not None, told
    assert 1000 <= int(found[2]) <= 1001 + int(found[1])


def test_an_interrupted_study_keeps_the_pictures_of_its_mistakes_for_the_page(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = run_module._run, []

    def interrupted(config: Any, account: Any, session: Any) -> Any:
        calls.append(config.head.kind)
        if len(calls) == 16:  # the last one
            raise Interrupted(signal.SIGINT)
        return real(config, account, session)

    monkeypatch.setattr(run_module, "_run", interrupted)
    images = ("data.per_class=20", "data.test_per_class=20", "data.num_classes=4", "backbone.image_size=64")
    assert study("study=quick", "study.controls=false", "study.labels=[10]", "study.seeds=4", *images) == 130
    assert [path.name for path in (tmp_path / "multirun/s/report").iterdir()] == ["thumbnails"], "it wrote no page"
    assert command(monkeypatch, "report", "multirun/s") == 0
    page = (tmp_path / "multirun/s/report/index.html").read_text()
    assert 'src="data:image/jpeg;base64,' in page
    assert "opens no images" not in page


def test_nothing_that_fails_while_pictures_are_kept_hides_the_interruption(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise Interrupted(signal.SIGTERM)

    def full(*_: Any) -> Any:
        raise OSError("No space left on device")

    monkeypatch.setattr(run_module, "_run", interrupted)
    monkeypatch.setattr("tlexp.studies.report.report.keep_thumbnails", full)
    assert study(*QUICK) == 143


def test_more_seeds_and_labels_extend_a_named_study(study: Study, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished("study.controls=false"), tmp_path, dirs_exist_ok=True)
    before = records(tmp_path)
    assert study("study.controls=false", "study.seeds=3", "study.labels=[2,4,6]") == 0
    after = records(tmp_path)
    assert len(after) == 2 * 3 * 3
    assert before.items() <= after.items()


def test_a_named_study_is_not_continued_with_other_settings(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished("study.controls=false"), tmp_path, dirs_exist_ok=True)
    before = records(tmp_path)
    capsys.readouterr()
    assert study("study.controls=false", "data.noise=0.2") == 2
    told = capsys.readouterr().err
    assert re.search(r"data.noise was \S+ and would be 0.2", told)
    assert "study.name" in told
    assert records(tmp_path) == before
    assert study("study.controls=false", "data.noise=0.2", "--dry-run") == 2
    shown = capsys.readouterr()
    assert shown.err == told
    assert "study multirun" not in shown.out


def test_a_study_without_a_name_starts_anew_with_other_settings(study: Study, tmp_path: Path) -> None:
    for noise in ("0.1", "0.2", "0.1"):
        assert study(*ONE, "study.name=null", f"data.noise={noise}") == 0
    folders = list(tmp_path.glob("multirun/depths-shapes-tiny-*"))
    assert len(folders) == 2


def test_a_study_of_another_protocol_is_not_gone_on_with_and_still_reported(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        for module in ("tlexp.config.root", "tlexp.studies.planning.study_plan"):
            before.setattr(f"{module}.PROTOCOL", 4)
        assert study(*ONE, "study.name=null") == 0
    [old] = (tmp_path / "multirun").iterdir()
    shutil.copytree(old, tmp_path / "multirun" / "s")
    kept = records(tmp_path)
    capsys.readouterr()
    assert study(*ONE) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"multirun/s: protocol was 4 and would be {PROTOCOL}: " in told
    assert "the version of tlexp that began it goes on with it, or give the new one another study.name" in told
    assert study(*ONE, "study.name=null", "--dry-run") == 0
    [note] = [line for line in capsys.readouterr().err.splitlines() if "starts anew" in line]
    assert f" starts anew beside multirun/{old.name}, for runs of different settings are not mixed: " in note
    assert note.endswith(f": protocol was 4 and is {PROTOCOL}")
    assert command(monkeypatch, "report", "s") == 0
    assert records(tmp_path) == kept


def test_a_study_whose_images_were_changed_starts_anew_and_one_that_was_named_is_refused(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shade in range(16):
        path = tmp_path / "photos" / ("cat", "dog")[shade // 8] / f"{shade}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (15 * shade, 0, 0)).save(path)
    words = (*ONE, "data=folder", f"data.root={tmp_path / 'photos'}")
    assert study(*words, "study.name=null") == 0
    [old] = (tmp_path / "multirun").iterdir()
    shutil.copytree(old, tmp_path / "multirun" / "s")
    kept = records(tmp_path)
    (tmp_path / "photos/cat/3.png").rename(tmp_path / "photos/dog/3.png")  # its label is mended
    process_session.cache_clear()  # as by another process
    capsys.readouterr()
    assert study(*words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(
        r"multirun/s: images was \w{12} and would be \w{12}: .*; bring them back as they were, or give", told
    )
    assert records(tmp_path) == kept
    assert study(*words, "study.name=null") == 0
    assert re.search(
        rf"starts anew beside multirun/{old.name}, .*: images was \w{{12}} and is \w{{12}}$",
        capsys.readouterr().err,
        re.M,
    )
    assert len([*(tmp_path / "multirun").iterdir()]) == 3
    path = tmp_path / "multirun/s/study.json"
    early = json.loads(path.read_text())
    del early["fixed"]["images"]
    path.write_text(json.dumps(early))
    assert study(*words) == 0
    assert "images" not in json.loads(path.read_text())["fixed"], "nobody knows which an early study saw"


def test_a_study_lists_copies_once(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shade in range(8):
        path = tmp_path / "my photos (1)" / ("cat", "dog")[shade // 4] / f"{shade % 4}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (30 * shade, 0, 0)).save(path)
    shutil.copy(tmp_path / "my photos (1)/cat/0.png", tmp_path / "my photos (1)/cat/0x.png")
    typed = f"data.root={tmp_path / 'my photos (1)'}"
    for dry in (["--dry-run"], []):
        assert study(*ONE, "data=folder", typed, *dry) == 0
        told = "note: 1 exact copies count once, e.g. cat/0x.png = cat/0.png; copies.csv lists"
        assert capsys.readouterr().err.count(told) == 1
    assert [path.parent.name for path in tmp_path.rglob("copies.csv")] == ["s"]
    about = json.loads((tmp_path / "multirun/s/study.json").read_text())
    assert typed in shlex.split(about["study"]["command"]), "as it was typed, in one pair of quotes"


def test_a_run_that_fails_fails_alone(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = run_module._run

    def breaks(config: Any, account: Any, session: Any) -> Any:
        if config.labels == "2" and config.seed == 1 and str(config.freeze.policy) == "depth":
            raise DivergedError("loss is nan at step 1")
        return real(config, account, session)

    monkeypatch.setattr(run_module, "_run", breaks)
    words = "study.controls=false", "study.labels=[2]"
    assert study(*words) == 3
    shown = capsys.readouterr()
    assert "failed: freeze-0 labels=2 seed=1: loss is nan at step 1" in shown.err
    assert "1 of 4 runs did not finish" in shown.err
    assert "nan at step 1" in (tmp_path / "multirun/s/report/index.html").read_text()
    monkeypatch.setattr(run_module, "_run", real)
    assert study(*words) == 0


def test_a_study_is_planned_while_a_job_of_it_is_at_work_and_not_run_beside_it(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that was submitted to a scheduler and left: its replicates are worked on when it is typed again."""
    shutil.copytree(finished(*QUICK), tmp_path, dirs_exist_ok=True)
    record = next(tmp_path.glob("multirun/s/runs/*/*/record.json"))
    record.unlink()
    working = (
        "import sys, pathlib; from tlexp.tracking.environment import write_identity; "
        "write_identity(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    told = [sys.executable, "-c", working, str(record.with_name("process.json"))]
    with subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert study(*QUICK, "--dry-run") == 0
        assert ", 1 to do" in capsys.readouterr().out
        assert study(*QUICK) == 2
    assert "is still being worked on by process" in " ".join(capsys.readouterr().err.split())


def test_the_bill_of_what_is_submitted_says_where_it_was_measured(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for submits in (False, True):
        monkeypatch.setattr("tlexp.studies.study.submits", lambda config, submits=submits: submits)
        assert study("--dry-run") == 0
        said = (
            f"note: these times are of {platform.node()}, where this was typed; for those where jobs run type it there"
        )
        assert (said in capsys.readouterr().err) == submits


def test_without_squeue_a_study_for_slurm_is_refused_before_its_bill(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr("tlexp.jobs.submission.program", lambda name: None)
    assert study("hydra/launcher=submitit_slurm") == 2
    shown = capsys.readouterr()
    assert "squeue is not in the PATH" in " ".join(shown.err.split())
    assert shown.out == ""
    assert not (tmp_path / "multirun").exists()


def test_a_dry_run_writes_nothing(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study("--dry-run") == 0
    assert "32 runs, 32 to do, about" in capsys.readouterr().out
    assert not (tmp_path / "multirun").exists()


def test_what_the_images_do_not_allow_is_left_out_and_listed(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study("study=quick", "study.labels=[1,4,50,12,all]", "study.controls=false") == 0
    assert about(tmp_path)["skipped"] == {
        "labels=50": "the smallest class, circle, has 12 images",
        "labels=all": "the same images as labels=12",
    }
    assert [each["labels"] for each in about(tmp_path)["budgets"]] == ["1", "4", "12"]
    assert "left out: labels=50" in capsys.readouterr().out


def test_rates_that_are_always_an_end_are_told_once(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "study.controls=false", "study.labels=[4]", "study.depths=[0]", "study.seeds=1", "tune.trials=2"
    assert study(*words) == 0
    assert "best lr" not in capsys.readouterr().err
    report = (tmp_path / "multirun/s/report/report.md").read_text()
    assert report.count("The best of two rates is always an end") == 1
    assert study(*words[:-1], "tune.trials=3", "study.name=three") == 0
    assert "The best of" not in (tmp_path / "multirun/three/report/report.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["freeze=all"], "freeze=all: a study chooses this by itself"),
        (["labels=5"], "labels=5: a study chooses this by itself: use study.labels"),
        (["backbone=tiny,resnet18"], "holds several values"),
        (["study.depths=[9]"], "study.depths=9 is out of range for test_resnet: 0..5"),
        (["study.labels=[99]"], "study.labels: no budget is left (labels=99: the smallest class, circle, has 12"),
        (["study.labels=[0]"], "study.labels: labels=0"),
        (["data.seed=4"], "the data seeds of a study begin at seed; use seed=4"),
        (["backbone.pretrained=false"], "freeze.norm=keep"),
        (["backbone=pixels"], "backbone=pixels: a study is about a pretrained network"),
        (["study=quick", "backbone=pixels"], "backbone=pixels: a study is about a pretrained network"),
        (
            ["study=policies", "study.depths=[0,all]"],
            "study.depths=[0,all]: study.kind=policies compares no freeze depths; leave it out, or use "
            "study=freeze_vs_labels",
        ),
        (["study=quick", "study.depths=[all]"], "study.depths=[all]: study.kind=frozen compares no freeze depths"),
        (["study=quick", "study.scratch_labels=[2]"], "study.kind=frozen trains nothing from scratch"),
        (["study=heads", "study.scratch_labels=[2]"], "study.kind=heads trains nothing from scratch"),
        (
            ["study=quick", "study.sizes=[32]"],
            "study.kind=frozen is about one input size; leave it out, or use study=sizes",
        ),
        (["study=backbones", "study.backbones=[]"], "entrants are networks or sizes: name them with study.backbones"),
        (
            ["study=backbones", "study.backbones=[resnet18,pixels]"],
            "no network or size can be had here (resnet18: its weights are not here, and HF_HUB_OFFLINE is "
            "set; pixels: raw pixels are a control",
        ),
        (
            ["study=backbones", "study.backbones=[tiny,resnet5000]"],
            "study.backbones: backbone.name=resnet5000: timm has no model",
        ),
        (["study=sizes", "study.sizes=[4]"], "study.sizes=4: must be 8..2048 pixels"),
        (["study=quick", "study.columns=[]"], "study.columns is empty: say what study.kind=frozen compares"),
        (["study=quick", "study.columns=[dephts]"], "study.columns: dephts: write NAME: OVERRIDES"),
        (
            ["study=sizes", "backbone.image_size=32"],
            "backbone.image_size=32: a study of sizes takes them from study.sizes",
        ),
        (["study=none", "study.labels=[5]"], "study.labels needs a study: use study=freeze_vs_labels"),
    ],
)
def test_what_a_study_cannot_do_is_refused(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert study(*words) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "multirun").exists()


PHASED = ("lpft", "gradual")


def test_ways_of_transferring_are_compared_at_the_same_labels(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study("study=policies", "study.labels=[2]", "study.seeds=1", "tune.trials=1", "train.limit_steps=4") == 0
    assert "use freeze.norm" not in capsys.readouterr().err
    columns = {each["name"]: each for each in about(tmp_path)["columns"]}
    assert list(columns) == [
        "frozen", "frozen-norm", "probe-first", "lpft", "gradual", "surgical", "norm", "bias", "lora", "direct",
        "direct-norm", "scratch",
    ]  # fmt: skip
    norms, depths, folds, probes = {}, {}, {}, {}
    for path in tmp_path.glob("multirun/s/runs/*/*/record.json"):
        job = json.loads((path.parent / "job.json").read_text())
        record = read_record(path)
        norms[job["point"]["column"]] = record.config["freeze"]["norm"], record.config["head"]["init"]
        depths[job["point"]["column"]] = [phase.depth for phase in record.freeze.phases or ()]
        folds[job["point"]["column"]] = record.train.selection.folds
        probes[job["point"]["column"]] = record.train.probe and record.train.probe.trials
        assert (
            (record.train.temperature is None)
            == ("val/nll" not in record.metrics)
            == (record.train.selection.folds == 0)
        )
    assert folds == {name: 2 if name == "frozen" else 0 for name in columns}  # what has one candidate pays for no folds
    assert {name: trials for name, trials in probes.items() if trials} == {"probe-first": 13}
    assert norms["frozen-norm"] == ("update", "zero")
    assert norms["probe-first"] == ("keep", "probe")
    assert norms["direct"] == norms["lpft"] == norms["gradual"] == ("keep", "zero")
    assert depths == {"lpft": [5, 0], "gradual": [5, 3, 2, 0], **{name: [] for name in depths if name not in PHASED}}
    assert norms["direct-norm"] == ("follow", "zero")
    for path in tmp_path.glob("multirun/s/runs/*/*/record.json"):
        name = json.loads((path.parent / "job.json").read_text())["point"]["column"]
        if name != "scratch":
            assert read_record(path).metrics["cost/trainable_parameters"] == columns[name]["trainable"], name


def test_ways_that_a_backbone_does_not_allow_are_left_out_with_the_reason(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    assert study("study=policies", "study.labels=[4]", "study.controls=false", "--dry-run") == 0
    shown = capsys.readouterr().out
    reason = "freeze=lora needs the package peft, which is not installed: pip install 'tlexp[lora]'"
    assert f"left out: low-rank adapters: {reason}" in shown
    assert not [line for line in shown.splitlines() if line.startswith("lora")]
    assert [line for line in shown.splitlines() if line.startswith("bias")]


def test_an_unknown_study_names_the_nearest(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    shutil.copytree(finished(*QUICK) / "multirun" / "s", tmp_path / "multirun" / "mine")
    assert command(monkeypatch, "report", "mime") == 2
    assert "did you mean mine" in capsys.readouterr().err
    assert command(monkeypatch, "report", "mine") == 0


def test_a_column_says_when_it_is_over(finished: Finished) -> None:
    ended = [json.loads(path.read_text()) for path in finished(*QUICK).glob(f"multirun/s/columns/*/*/{COLUMN_FILE}")]
    assert {each["column"]: each["ran"] for each in ended} == dict.fromkeys(
        ("logreg", "ridge", "nearest_mean", "knn"), 2
    )


HEADS = ["logreg", "ridge", "nearest_mean", "knn", "units", "mlp", "cosine", "attention", "flatten_mlp"]


def test_heads_compete_on_the_frozen_backbone(study: Study, tmp_path: Path) -> None:
    assert study("study=heads", "study.labels=[4]", "study.seeds=1", "study.controls=false") == 0
    columns = {each["name"]: each for each in about(tmp_path)["columns"]}
    assert list(columns) == HEADS
    assert "head.units=[layer1,layer2,layer3,layer4]" in columns["units"]["words"]
    found = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert {record.freeze.depth for record in found} == {5}
    for name in ("mlp", "cosine", "attention", "flatten_mlp"):
        [count] = {r.metrics["cost/trainable_parameters"] for r in found if r.config["head"]["kind"] == name}
        assert count == columns[name]["trainable"], name
    assert (tmp_path / "multirun/s/report/index.html").is_file()
    assert about(tmp_path)["skipped"] == {}


def test_heads_that_a_backbone_does_not_allow_are_left_out_with_the_reason(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_branches = ["backbone=timm", "backbone.name=crossvit_tiny_240", "backbone.pretrained=false"]
    words = [*two_branches, "backbone.image_size=null", "backbone.weights=null", "study.controls=false", "--dry-run"]
    assert study("study=heads", *words) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"left out: logistic regression on the last units side by side: .* gives no single tensor to its head", told
    )
    assert re.search(r'left out: "trained: attention over .*": head=attention needs the last map or the tokens', told)
    assert re.search(r'left out: "trained: a hidden layer on the flattened map": head=flatten_mlp needs the last', told)
    _, columns = told.split("\ncolumn ")
    assert [line.split()[0] for line in columns.splitlines()[1:7]] == [
        "logreg", "ridge", "nearest_mean", "knn", "mlp", "cosine",
    ]  # fmt: skip


def test_heads_without_a_loss_stay_as_they_are_where_a_study_weighs_classes(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train.class_weights=balanced", "data.prior={circle:0.7,square:0.3}", "tune.validate=true")
    assert study(*QUICK, *words) == 0
    weighed = {}
    for path in (tmp_path / "multirun/s").glob("runs/*/*/record.json"):
        record = read_record(path)
        weighed[record.config["head"]["kind"]] = record.config["train"]["class_weights"]
        assert record.train.selection.folds == 2  # a single candidate too, for that was stated
        assert record.train.temperature is not None
    assert weighed == {"logreg": "balanced", "ridge": "balanced", "nearest_mean": "none", "knn": "none"}
    page = (tmp_path / "multirun/s/report/report.md").read_text()
    assert (
        "In the loss, and where candidates are compared, each class counts the same; without a loss, and so as ever: "
        "nearest mean, nearest neighbours." in page
    )
    assert 'Predictions are corrected to the class frequencies {"circle": 0.7, "square": 0.3} (data.prior);' in page


def test_a_study_keeps_groups_together_and_says_so(study: Study, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(32):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"p{number // 4}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(path)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "data.group='pattern:^[^_]+'"]
    assert study(*QUICK[:2], "study.labels=[2,9]", *words) == 0
    page = (tmp_path / "multirun/s/report/index.html").read_text()
    assert "Images of one group (data.group=pattern:^[^_]+) are never parted" in page
    for record in tmp_path.glob("multirun/s/runs/*/*/record.json"):
        assert read_record(record.parent).data.groups.held_out > 1
        with np.load(record.parent / "predictions.npz") as file:
            assert len(set(file["group"].tolist())) == read_record(record.parent).data.groups.held_out


def test_a_study_of_which_a_fifth_was_split_off_is_tested_on_the_rest_of_the_pool_too(
    study: Study, tmp_path: Path
) -> None:
    assert study(*QUICK, "data=digits") == 0
    table = read_table(tmp_path / "multirun/s")
    held_out, pool = 359, 1438
    assert held_out + pool / 2 < len(table.labels) < held_out + pool  # two seeds leave other images
    [tested] = {each.tested.sum() for cell in table.cells.values() for each in cell.finished if each.tested is not None}
    assert held_out + 0.45 * pool < tested <= held_out + pool / 2
    assert "beside the test split every run is tested on" in " ".join(protocol_sentences(analyse(table))).lower()
    assert study(*QUICK, "data=digits", "study.name=t", "data.evaluate=held_out") == 0
    assert len(read_table(tmp_path / "multirun/t").labels) == held_out


ROUNDS = ("study.labels=[2]", "study.controls=false", "study.seeds=6", "data.test_per_class=4", "tune.trials=1")
"""A study that test images alone keep from being decided, in two rounds."""


def ran(folder: Path) -> dict[str, list[int]]:
    """Return the data seeds of each column's finished replicates."""
    found: dict[str, list[int]] = {}
    for path in folder.glob("multirun/s/runs/*/*/record.json"):
        point = json.loads((path.parent / "job.json").read_text())["point"]
        found.setdefault(point["column"], []).append(int(point["seed"]))
    return {column: sorted(seeds) for column, seeds in sorted(found.items())}


def test_rounds_go_on_while_a_budget_is_open(study: Study, tmp_path: Path) -> None:
    assert study(*ROUNDS) == 0
    assert ran(tmp_path) == {"freeze-0": [*range(6)], "freeze-5": [*range(6)]}
    jobs = [json.loads(path.read_text()) for path in tmp_path.glob("multirun/s/columns/freeze-0/*/column.json")]
    assert [job["ran"] for job in jobs] == [3, 3]
    page = (tmp_path / "multirun/s/report/report.md").read_text()
    assert "have not run" not in page
    before = records(tmp_path)
    assert study(*ROUNDS) == 0
    assert records(tmp_path) == before


def test_a_round_that_does_not_fit_into_the_minutes_is_not_begun_and_stays_so(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*ROUNDS, "study.minutes=30")
    with monkeypatch.context() as hurried:
        hurried.setattr("tlexp.studies.study.may_go_on", lambda *_, **__: False)
        assert study(*words) == 0
    assert "study.minutes: round 2 would take about" in capsys.readouterr().err
    assert ran(tmp_path) == {"freeze-0": [0, 1, 2], "freeze-5": [*range(6)]}
    page = (tmp_path / "multirun/s/report/report.md").read_bytes()
    assert b"minutes ended the rounds" in page
    assert study(*words) == 0
    assert ran(tmp_path) == {"freeze-0": [0, 1, 2], "freeze-5": [*range(6)]}
    assert (tmp_path / "multirun/s/report/report.md").read_bytes() == page
    assert study(*words, "study.minutes=60") == 0
    assert ran(tmp_path)["freeze-0"] == [*range(6)]


CONTROLS = "scratch", "scratch-long", "random", "pixels"


class LateClock:
    """A clock that jumps."""

    late = 0.0

    def time(self) -> float:
        return time.time() + self.late

    def monotonic(self) -> float:
        return time.monotonic() + self.late


def test_controls_stop_when_the_minutes_are_up_and_stay_so(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one at work ends; what no answer rests on is left out, whole columns and single replicates."""
    real, clock = run_module._run, LateClock()

    def slow(config: Any, account: Any, session: Any) -> Any:
        clock.late += 3600.0 * config.backbone.random_start
        return real(config, account, session)

    words = (*ONE[1:3], "study.scratch_labels=[2]", "study.seeds=2", "study.minutes=30")
    with monkeypatch.context() as hurried:
        hurried.setattr(run_module, "_run", slow)
        hurried.setattr(study_module, "time", clock)
        hurried.setattr(column_module, "time", clock)
        assert study(*words) == 0
    competing = {"freeze-5": [0, 1], "ridge": [0, 1], "nearest_mean": [0, 1], "knn": [0, 1]}
    there = competing | {"pixels": [0, 1], "scratch": [0]}
    assert ran(tmp_path) == there
    assert "they are up; left out: 5 runs of controls, on which no answer rests" in capsys.readouterr().err
    page = (tmp_path / "multirun/s/report/report.md").read_text()
    assert "| further controls | to fit study.minutes=30, which were up before 5 runs ended |" in page
    assert "11 of 11 runs have finished" in page
    assert study(*words) == 0
    assert "left out when it began: further controls (another study.minutes=" in capsys.readouterr().out
    assert ran(tmp_path) == there
    assert (tmp_path / "multirun/s/report/report.md").read_text() == page
    assert study(*words, "study.minutes=0") == 0
    assert ran(tmp_path) == competing | {name: [0, 1] for name in CONTROLS}


SECONDS = {"freeze-5": 1.0, "freeze-1": 10.0, "freeze-0": 100.0}
"""Of a replicate of each column, by estimate."""


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Config], float]], None]:
    """Let replicates take `SECONDS` by estimate, and by the clock so many more as is told of each."""

    def slow_down(slower: Callable[[Config], float]) -> None:
        real, clock = run_module._run, LateClock()

        def slow(config: Config, *rest: Any) -> Any:
            depth = 5 if config.freeze.policy is FreezePolicy.all else config.freeze.depth
            clock.late += slower(config) * SECONDS[f"freeze-{depth}"]
            return real(config, *rest)

        monkeypatch.setattr(Estimate, "run", lambda _, column, run: SECONDS[column.column.name])
        monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 0.0)  # of tests before this one
        monkeypatch.setattr(run_module, "_run", slow)
        monkeypatch.setattr(study_module, "time", clock)
        monkeypatch.setattr(column_module, "time", clock)

    return slow_down


@pytest.mark.parametrize(
    ("slower", "left_out"),
    [
        (4, ["none frozen: full fine-tuning"]),
        (2, ["labels=4 of none frozen: full fine-tuning"]),
        (100, ["none frozen: full fine-tuning", "labels=4"]),
    ],
    ids=["a column", "a budget of a column", "all but what an answer needs"],
)
def test_on_a_machine_that_slows_the_minutes_end_the_first_round_and_the_dearest_is_left_out(
    slower: float,
    left_out: list[str],
    study: Study,
    late: Callable[[Callable[[Config], float]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is compared is whole; typed again the study stays as it is, and with other minutes it takes all up."""
    late(lambda _: slower)
    words = ("study.depths=[0,1,all]", "study.controls=false", "study.seeds=3", "study.minutes=15")
    assert study(*words) == 0
    told = capsys.readouterr()
    assert (
        f"study.minutes: they are up; left out: {', '.join(left_out)}; another study.minutes= takes it up\n" in told.err
    )
    table = read_table(tmp_path / "multirun/s")
    assert sorted(table.left_out) == sorted(left_out)
    assert all(len(cell.finished) == 3 for cell in table.cells.values())
    first, second = table.cells.keys() - {("freeze-5", "2"), ("freeze-1", "2")}, {("freeze-5", "4"), ("freeze-1", "4")}
    assert first == {4: second, 2: second | {("freeze-0", "2")}, 100: set()}[slower]
    assert f"Not measured, to fit study.minutes: {'1 column (' if slower == 4 else ''}" in told.out
    page, before = (tmp_path / "multirun/s/report/report.md").read_text(), records(tmp_path)
    assert study(*words) == 0
    assert records(tmp_path) == before
    assert (tmp_path / "multirun/s/report/report.md").read_text() == page
    assert study(*words, "study.minutes=0") == 0
    assert len(read_table(tmp_path / "multirun/s").cells) == 6


def test_of_a_further_round_that_the_minutes_end_nothing_counts(
    study: Study, late: Callable[[Callable[[Config], float]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late(lambda config: 10.0 if config.seed > 2 and config.freeze.policy is not FreezePolicy.all else 0.1)
    assert study(*ROUNDS, "study.minutes=30") == 0
    assert "they are up; left out: what round 2 would have added; another" in capsys.readouterr().err
    assert ran(tmp_path) == {"freeze-0": [*range(4)], "freeze-5": [*range(6)]}
    page = (tmp_path / "multirun/s/report/report.md").read_text()
    assert "minutes ended the rounds after round 1 of at most 2" in page
    assert study(*ROUNDS, "study.minutes=30") == 0
    assert (tmp_path / "multirun/s/report/report.md").read_text() == page
    assert ran(tmp_path)["freeze-0"] == [*range(4)]


NETWORKS = (
    "study=backbones", "study.backbones=[tiny,tf_efficientnet_lite0]", "study.labels=[2]", "study.seeds=1",
    "study.controls=false", "tune.trials=1",
)  # fmt: skip


def test_a_size_holds_for_all_networks_and_one_network_for_none(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(*NETWORKS, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^tiny +.* M +1 +32 ", shown, re.M)
    assert re.search(r"^tf_efficientnet_lite0 .* M +13 +32 ", shown, re.M)
    assert study(*NETWORKS, "backbone=lite0", "--dry-run") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "backbone=lite0: a study of several networks takes them from study.backbones" in told


def test_networks_at_another_size_or_with_other_weights_in_the_same_file_are_another_study(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(seed: int) -> None:
        words = (f"seed={seed}", "backbone=tiny", "backbone.weights=null", "backbone.pretrained=false")
        own = build_network(composed(*words, "freeze=all", "head=logreg").config)
        torch.save(own.backbone.state_dict(), tmp_path / "w.pth")

    save(0)
    words = (*NETWORKS, "study.backbones=[tiny,tiny@w.pth]", "study.depths=[all]")
    assert study(*words) == 0
    kept = records(tmp_path), (tmp_path / "multirun/s/study.json").read_bytes()
    assert study(*words, "backbone.image_size=48") == 2
    assert "s: backbone.image_size was 32 and would be 48: " in " ".join(capsys.readouterr().err.split())
    save(1)
    assert study(*words) == 2
    assert re.search(
        r"s: weights was tiny-w.pth \w{12} and would be tiny-w.pth \w{12}: ", " ".join(capsys.readouterr().err.split())
    )
    assert (records(tmp_path), (tmp_path / "multirun/s/study.json").read_bytes()) == kept
    save(0)
    assert study(*words) == 0


def test_networks_may_be_compared_wholly_frozen_alone(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(*NETWORKS, "study.depths=[all]") == 0
    frozen = {"tiny-freeze-5", "tf_efficientnet_lite0-freeze-9"}
    assert {name for name, *_ in about(tmp_path)["replicates"].values()} == frozen
    assert len(records(tmp_path)) == 2
    assert "2 of 2 runs have finished" in capsys.readouterr().out


def test_minutes_stop_between_the_passes_of_networks_and_the_rest_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=0.001, image=0.001))
    monkeypatch.setattr(costs.Estimate, "passing", lambda _, plan, each: 9000.0 if "lite0" in each.column.name else 1.0)
    words = (*NETWORKS, "study.minutes=60")
    assert study(*words) == 0
    shown = capsys.readouterr()
    assert "study.minutes: 1 of 2 networks was not looked at: tf_efficientnet_lite0" in shown.err + shown.out
    told = about(tmp_path)
    assert [(each["name"], each["facts"]["milliseconds"]) for each in told["entrants"]] == [("tiny", 1.0)]
    assert {name for name, *_ in told["replicates"].values()} == {"tiny-freeze-5", "tiny-freeze-1", "tiny-freeze-0"}
    assert len(records(tmp_path)) == 3
    assert told["unseen"] == ["tf_efficientnet_lite0"]
    assert "\n1 of 2 networks was not looked at: tf_efficientnet_lite0.\n" in shown.out
    page = (tmp_path / "multirun/s/report/index.html").read_bytes()
    assert b'class="notice">1 of 2 networks was not looked at: tf_efficientnet_lite0.' in page
    assert b"not looked at: its pass would take about 2.5 h" in page
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=0.001, image=0.5))
    assert study(*words) == 0
    assert (tmp_path / "multirun/s/report/index.html").read_bytes() == page
    assert study(*words, "study.backbones=[tiny]") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "study.backbones was tf_efficientnet_lite0,tiny and would be tiny" in told


def test_a_probe_that_dies_without_a_word_leaves_its_network_out(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would say that it is over, and the finals would never begin; typed again it is tried once more."""
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=0.001, image=0.001))
    fill = column_module._fill

    def dies(columns: Any, own: str, *rest: Any) -> None:
        if own == "tf_efficientnet_lite0-freeze-9":
            raise MemoryError
        fill(columns, own, *rest)

    monkeypatch.setattr(column_module, "_fill", dies)
    assert study(*NETWORKS) == 0
    assert set(ran(tmp_path)) == {"tiny-freeze-0", "tiny-freeze-1", "tiny-freeze-5"}
    page = tmp_path / "multirun/s/report/report.md"
    assert "its probe did not finish" in page.read_text()
    monkeypatch.setattr(column_module, "_fill", fill)
    assert study(*NETWORKS) == 0
    assert {name for name in ran(tmp_path) if name.startswith("tf_")} == {
        f"tf_efficientnet_lite0-freeze-{depth}" for depth in (0, 5, 9)
    }
    assert "its probe did not finish" not in page.read_text()


def test_a_vision_transformer_is_screened_by_both_of_its_readings_in_one_pass_and_one_goes_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", img_size=32).state_dict(), tmp_path / "vit.safetensors")
    monkeypatch.setenv("TLEXP_CACHE_DIR", str(tmp_path / "cache"))
    filled: list[tuple[list[str], int]] = []

    def heard(*stated: Any, poolings: list[str], **more: Any) -> Any:
        use = fill_cuts(*stated, poolings=poolings, **more)
        filled.append((poolings, use.misses))
        return use

    monkeypatch.setattr(column_module, "fill_cuts", heard)
    words = (*NETWORKS, "study.backbones=[test_vit@vit.safetensors,resnet18]", "study.seeds=2")
    with monkeypatch.context() as patched:
        patched.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=1e-4, image=20.0))
        minutes = {}
        for cache in ("auto", "off"):
            assert study(*words, f"cache={cache}", "study.minutes=0", "--dry-run") == 0
            shown = " ".join(capsys.readouterr().out.split())
            minutes[cache] = int(re.findall(r"12 to do, about (\d+) min, ", shown)[0])
    assert minutes["off"] - minutes["auto"] in (9, 10), "28 images pass once more"
    assert "are one network, read by its class token and by the average" in shown
    assert study(*words) == 0
    own, average = "test_vit-vit.safetensors", "test_vit-vit.safetensors-avg"
    probes = {name for name in ran(tmp_path) if name.endswith("freeze-8")}
    assert probes == {f"{own}-freeze-8", f"{average}-freeze-8"}
    [goes_on] = {name.rpartition("-freeze-")[0] for name in set(ran(tmp_path)) - probes}
    page = (tmp_path / "multirun/s/report/report.md").read_text().replace("\\_", "_")
    [(read, chosen, less)] = re.findall(r"is read by (.*) \((.*)\): inside the labels its probe loses (.*) less", page)
    assert (read, chosen) in (("its class token", own), ("the average of its patches", average))
    assert goes_on == chosen
    assert float(less) > 0
    assert f"left out for {chosen}, the same network read otherwise" in page
    assert "| resnet18 | its weights are not here, and HF_HUB_OFFLINE is set |" in page
    assert [poolings for poolings, _ in filled[:2]] == [["avg"], []]
    assert filled[0][1] > 20, "the test images, and what the seeds drew"
    assert filled[1][1] == 0, "they have passed the network before"


class Pool:
    """In place of a plan: networks of which all but the last have been looked at, and an hour."""

    def __init__(self, names_of: str = "54") -> None:
        self.entrants = [Entrant(name=each, columns=(f"freeze-{each}", "freeze-0"), operations=1) for each in names_of]
        self.study, self.dropped = SimpleNamespace(minutes=60, screens="networks"), []
        self.folder = SimpleNamespace(state=lambda about: None)

    def about(self, seconds: float) -> None:
        """Is not written down."""

    def screened(self, table: StudyTable) -> HeldRounds:
        """Return how far the study has come."""
        stated = table.about["study"] | {"entrants": [dataclasses.asdict(each) for each in self.entrants]}
        return hold_rounds(dataclasses.replace(table, about={**table.about, "study": stated}))

    def drop_entrant(self, name: str, why: str) -> None:
        self.dropped.append(name)


@pytest.mark.parametrize(
    ("pool", "passing", "finished", "goes_on"),
    [
        ("54", 3500, "5", True),  # one alone is no choice
        ("54", 3700, "5", False),
        ("54", 3700, "45", True),  # its pass has begun
        ("543", 2300, "54", True),
        ("543", 2450, "54", False),
    ],
)
def test_a_screen_keeps_a_third_of_the_minutes_for_the_finals_when_it_has_looked_at_two(
    make_table: MakeTable, pool: str, passing: float, finished: str, goes_on: bool
) -> None:
    last = pool[-1]
    places = [(f"freeze-{last}", labels, seed) for labels in ("2", "5") for seed in range(3)]
    waiting = [place for place in places if last not in finished or place[2] == 0]
    table = make_table(budgets=("2", "5"), columns=DEPTHS, seeds=3, failed=(), waiting=waiting)
    plan: Any = Pool(pool)
    left: Any = [SimpleNamespace(column=SimpleNamespace(column=DEPTHS[int(last)]))]
    found: Any = SimpleNamespace(
        ends=10.0,
        passing=lambda *_: passing,
        finals=lambda *_: 9000.0,
        cheapest_final=lambda *_: 60.0,
        first=lambda plan: 0.0,
    )
    handed: Any = study_module._one_pass(plan, plan.screened(table), left, found, time.monotonic())
    assert handed == (left if goes_on else [])
    assert plan.dropped == ([] if goes_on else [last])


def test_two_readings_of_one_network_keep_nothing_for_the_finals() -> None:
    """They are no choice of networks: as of one network, the second may have all of the minutes."""
    plan: Any = Pool("543")
    estimate: Any = SimpleNamespace(finals=lambda *_: 9000.0, cheapest_final=lambda *_: 60.0)
    assert kept_for_finals(plan, estimate, ["5", "4", "3"]) == 1200.0
    plan.entrants[1] = dataclasses.replace(plan.entrants[1], reads="5", pooling="avg")
    assert kept_for_finals(plan, estimate, ["5", "4", "3"]) == 0.0


def test_a_screen_keeps_nothing_for_finals_of_which_no_column_would_fit() -> None:
    plan: Any = Pool("543")
    for least, kept in ((1200.0, 1200.0), (1201.0, 0.0)):
        estimate: Any = SimpleNamespace(finals=lambda *_: 9000.0, cheapest_final=lambda *_, least=least: least)
        assert kept_for_finals(plan, estimate, ["5", "4", "3"]) == kept


def test_a_probe_that_is_tried_again_after_the_screen_costs_nobody_a_place(make_table: MakeTable) -> None:
    """A study that is finished, and typed again when its minutes are up, has no screen to go back to."""
    failed = [("freeze-4", "5", 0)]
    table = make_table(budgets=("2", "5"), columns=DEPTHS[3:], seeds=3, failed=failed, waiting=())
    plan: Any = Pool()
    left: Any = [SimpleNamespace(column=SimpleNamespace(column=DEPTHS[4]))]
    found: Any = SimpleNamespace(ends=10.0, passing=lambda *_: 9000.0, finals=lambda *_: 9000.0)
    handed: Any = study_module._one_pass(plan, plan.screened(table), left, found, time.monotonic())
    assert handed == left
    assert plan.dropped == []


SIZES = (
    "study=sizes", "study.sizes=[48,32,32]", "study.labels=[2]", "study.seeds=2", "tune.trials=1",
    "study.controls=false",
)  # fmt: skip


def test_sizes_of_one_network_are_screened_and_told_with_what_each_costs(
    study: Study, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished(*SIZES), tmp_path, dirs_exist_ok=True)
    assert re.search(r"^32px .* 32 ", (tmp_path / "shown.txt").read_text(), re.M)
    told = about(tmp_path)
    assert [(each["name"], each["facts"]["image_size"]) for each in told["entrants"]] == [("32px", 32), ("48px", 48)]
    assert told["backbone"] == "tiny (timm's test_resnet), 32px, 48px"
    found = [read_record(path) for path in tmp_path.glob("multirun/s/runs/*/*/record.json")]
    assert {record.config["backbone"]["image_size"] for record in found} == {32, 48}
    assert {record.config["data"]["size"] for record in found} == {48}
    assert len({record.data.digest for record in found}) == 1
    page = (tmp_path / "multirun/s/report/report.md").read_text()
    assert "## Sizes compared" in page
    operations = {name: each["operations"] for each in told["entrants"] for name in each["columns"]}
    costs_told = csv.DictReader((tmp_path / "multirun/s/report/cost.csv").read_text().splitlines())
    assert {row["column"]: int(row["operations"]) for row in costs_told} == operations
    assert "M operations per image" in page
    assert re.search(r"\| 48px( \*)? \| .* \| 48 \|", page)
    before = records(tmp_path)
    assert study(*SIZES, "study.sizes=[32,48,64]") == 2
    assert "study.sizes was 32px,48px and would be 32px,48px,64px" in " ".join(capsys.readouterr().err.split())
    assert records(tmp_path) == before


def test_a_study_interrupted_in_its_screen_and_in_its_finals_says_the_same_in_the_end(
    study: Study, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = run_module._run, []

    def interrupted(config: Any, account: Any, session: Any) -> Any:
        calls.append(config.freeze.policy)
        if len(calls) in (3, 6):  # of the four runs of the screen the third, and the first of the finals
            raise Interrupted(signal.SIGTERM)
        return real(config, account, session)

    monkeypatch.setattr(run_module, "_run", interrupted)
    assert [study(*SIZES), study(*SIZES), study(*SIZES)] == [143, 143, 0]
    assert len(calls) == len(records(finished(*SIZES))) + 2
    assert [str(policy) for policy in (calls[2], calls[5])] == ["all", "depth"]
    assert said(tmp_path) == said(finished(*SIZES))


def test_a_screen_sees_its_first_seeds_and_the_finalists_probes_have_the_others_in_the_finals(
    study: Study, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = run_module._run, []

    def heard(config: Any, account: Any, session: Any) -> Any:
        calls.append((str(config.freeze.policy), config.seed))
        return real(config, account, session)

    monkeypatch.setattr(run_module, "_run", heard)
    monkeypatch.setattr("tlexp.studies.planning.study_plan.PROBE_SEEDS", 1)
    assert study(*SIZES) == 0
    assert calls[:2] == [("all", 0), ("all", 0)]
    assert sorted(calls[2:]).count(("all", 1)) == 2
    assert {*ran(tmp_path)} == {*ran(finished(*SIZES))}
    assert len(records(tmp_path)) == len(records(finished(*SIZES)))
    assert about(tmp_path)["probe_seeds"] == 1


def said(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the numbers of a report, without what differs from one execution to the next."""
    found = {}
    for path in sorted((folder / "multirun/s/report").glob("*.csv")):
        with path.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        found[path.name] = [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]
    return found


def test_of_a_pool_what_can_be_had_goes_on_and_a_size_below_the_networks_own_is_noted(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: UnitCosts(step=0.01, image=0.01))
    pool = "study.backbones=[lite0,lite0,tf_efficientnet_lite0,resnet18,pixels]"
    assert study(*NETWORKS[:1], pool, "study.labels=[1,2,4,50,100]", "study.sizes=[32,64]", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(lite0-\d+px) .* (\d+) +- ", shown, re.M) == [("lite0-32px", "32"), ("lite0-64px", "64")]
    assert "left out: tf_efficientnet_lite0-32px: the same as lite0-32px" in shown
    assert "left out: resnet18-64px: " in shown
    assert re.findall(r"^left out: labels=(\d+): the smallest class, circle, has 12 images", shown, re.M) == [
        "50",
        "100",
    ]
    [note] = re.findall(r"^note: .* was trained at .*", shown, re.M)
    assert "was trained at 224 px and sees 64 here" in note
    assert "takes about 12 times as long" in note


def test_a_size_below_the_networks_own_is_told_by_the_bill_alone(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study("study=quick", "study.controls=false", "study.labels=[2]", "backbone=lite0") == 0
    captured = capsys.readouterr()
    assert captured.out.count("was trained at 224 px and sees 32 here") == 1
    assert "was trained at" not in captured.err
    [path, *_] = (tmp_path / "multirun/s/runs").glob("*/*/record.json")
    assert any("was trained at 224 px" in note for note in json.loads(path.read_text())["notes"])
