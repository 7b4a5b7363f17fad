import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.studies.conftest import QUICK, Finished, Study
from tlexp.config import Config
from tlexp.experiment.estimate import SolvingCost, UnitCosts
from tlexp.experiment.session import Session

PRICES = {"None": 5e-3, "0": 4e-3, "1": 3e-3, "3": 1e-3}
"""Frozen units -> seconds of a step."""


def test_minutes_leave_out_the_dearest_columns_then_budgets(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tlexp.studies.planning.costs.measure_costs",
        lambda config, *_, **__: UnitCosts(step=PRICES[str(config.freeze.depth)], image=1e-6),
    )
    words = ["study.depths=[0,1,3,all]", "study.labels=[2,4,6]", "study.scratch_labels=[2,4,6]", "--dry-run"]
    assert study(*words, "study.minutes=0.0001") == 2
    captured = capsys.readouterr()
    shown, refused = captured.out, " ".join(captured.err.split())
    assert re.findall(
        r"^left out: (.*?): to fit study.minutes=0.0001; the study would take about \d+ (?:s|min|h) with it$",
        shown,
        re.M,
    ) == [
        "from scratch",
        "from scratch, 4 x the steps",
        "random frozen features",
        "raw pixels",
        '"none frozen: full fine-tuning"',
        "1 of 5 units frozen (to stem)",
        "all frozen, ridge regression",
        "all frozen, nearest mean",
        "all frozen, nearest neighbours",
        "labels=6",
    ]
    assert re.findall(r"^(\S+) .* 2,4 +\d+ +0 ", shown, re.M) == ["freeze-3", "freeze-5"]
    told = re.search(r"study.minutes=0.0001: the smallest study takes about (\d+ \w+); allow it with study", refused)
    assert told is not None
    assert f"about {told[1]}, " in shown
    assert study(*words, "study.minutes=1000") == 0
    shown = capsys.readouterr().out
    assert "left out" not in shown


def test_an_estimate_counts_what_comes_once(
    study: Study,
    finished: Finished,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All runs are there, and what is left is the start, which has been measured, and the report."""
    shutil.copytree(finished(*QUICK), tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("tlexp.studies.planning.costs.time.process_time", lambda: 5 * 3600.0)
    assert study(*QUICK, "--dry-run") == 0
    assert "0 to do, about 5.0 h, with 5.0 h to start and to report" in capsys.readouterr().out


def test_the_cpu_has_an_hour_unless_minutes_are_stated(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pass over an image that takes minutes does not fit, and says what would."""
    costs = UnitCosts(step=600.0, image=1.0)
    monkeypatch.setattr("tlexp.studies.planning.costs.measure_costs", lambda *_, **__: costs)
    monkeypatch.setattr("tlexp.studies.planning.minutes._SMALL", 16)
    monkeypatch.setattr("tlexp.studies.planning.minutes._FEW_LABELS", 1)
    assert study("study.labels=[2,4,6]", "study.seeds=5", "--dry-run") == 2
    captured = capsys.readouterr()
    assert "left out: labels=6: to fit study.minutes=60; the study would take about" in captured.out
    assert "limit: study.minutes=60, the default on the CPU; study.minutes=0 is no limit" in captured.out
    told = " ".join(captured.err.split())
    assert re.search(
        r"study.minutes=60, which the CPU has by default: the smallest study takes about [\d.]+ h; allow it with "
        r"study.minutes=\d+ \(0 is no limit\), or take a smaller backbone.image_size or smaller budgets "
        r"\(study.labels=\[2,5\]\); study=quick trains no layers and is a first answer",
        told,
    )
    minutes = re.search(r"with study.minutes=(\d+)", told)
    assert minutes is not None
    assert study("study.labels=[2,4]", "study.seeds=5", f"study.minutes={int(minutes[1]) + 1}", "--dry-run") == 0
    assert "limit:" not in capsys.readouterr().out
    assert study("study.seeds=5", "study.minutes=0", "--dry-run") == 0
    assert "left out" not in capsys.readouterr().out
    assert not (tmp_path / "multirun").exists()


def test_heads_that_are_slow_to_solve_are_in_the_bill(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each fold of each seed, which makes hours of seconds."""
    slow = SolvingCost(unit=1.0, width=1, validates=True)
    monkeypatch.setattr("tlexp.studies.planning.costs.measure_solving", lambda *_, **__: slow)
    words = ["study=quick", "study.labels=[2,4]", "study.controls=false", "study.seeds=3", "study.minutes=0"]
    assert study(*words, "--dry-run") == 0
    assert re.search(r"^logreg .* 2,4 +6 +0 +solved +[\d.]+ (min|h)$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(("words", "passing"), [((), 2 * 4 + 20), (("study.seeds=9",), 24 + 20)])
def test_images_that_no_data_seed_draws_are_not_in_the_bill(
    words: tuple[str, ...],
    passing: int,
    study: Study,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 24 to draw from two seeds see two of each of two classes, and nine may see all; 20 are tested."""
    monkeypatch.setattr(
        "tlexp.studies.planning.costs.measure_costs", lambda *_, **__: UnitCosts(step=0.0, image=3600.0)
    )
    monkeypatch.setattr(
        "tlexp.studies.planning.costs.measure_solving",
        lambda *_, **__: SolvingCost(unit=0.0, width=1, validates=True),
    )
    assert study(*QUICK, *words, "study.minutes=0", "--dry-run") == 0
    told = re.search(r", about ([\d.]+) h, ", capsys.readouterr().out)
    assert told is not None
    assert float(told[1]) == pytest.approx(passing, abs=0.5), (
        "besides the start, which takes as long as this process has"
    )


def test_a_gpu_has_no_limit_by_default(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlexp.studies.planning.minutes.choose_device", lambda _: torch.device("cuda"))
    assert study("study=quick", "study.controls=false", "--dry-run") == 0
    assert "limit:" not in capsys.readouterr().out


def test_what_costs_the_same_is_measured_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def costs(config: Config, *_: object, **__: object) -> UnitCosts:
        measured.append(f"{config.backbone.name} {config.backbone.pretrained} {config.freeze.policy}")
        return UnitCosts(step=0.0, image=0.0)

    monkeypatch.setattr("tlexp.studies.planning.costs.measure_costs", costs)
    assert study("--dry-run") == 0
    assert measured == [
        "test_resnet True depth",
        "test_resnet True all",
        "test_resnet False none",
        "test_resnet False all",
        "pixels True all",
    ]


def test_a_bill_takes_the_weights_that_are_here_and_downloads_none(
    study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Random ones make features on which logistic regression takes another time."""
    seen: list[tuple[str, bool, str | None]] = []

    def solving(config: Config, *_: object, **__: object) -> SolvingCost:
        seen.append((config.backbone.name, config.backbone.pretrained, config.backbone.weights))
        return SolvingCost(unit=1e-9, width=64, validates=True)

    monkeypatch.setattr("tlexp.studies.planning.costs.measure_solving", solving)
    monkeypatch.setattr("tlexp.studies.planning.pool.why_missing", lambda _: "")  # a hub would answer
    pool = "study.backbones=[tiny,lite0,resnet18]"
    assert study("study=backbones", pool, "study.controls=false", "study.minutes=0", "--dry-run") == 0
    assert sorted(seen) == [
        ("resnet18.a1_in1k", False, None),
        ("test_resnet", True, "tlexp:tiny"),
        ("tf_efficientnet_lite0", True, None),
    ]


def test_a_network_whose_weights_cannot_be_read_is_billed_with_random_ones(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether a store has a run is not asked before: the study leaves it out when its probe fails."""
    measured: list[tuple[str, bool]] = []

    def costs(config: Config, session: Session, **_: object) -> UnitCosts:
        session.network(config)
        measured.append((config.backbone.name, config.backbone.random_start))
        return UnitCosts(step=0.0, image=0.0)

    monkeypatch.setattr("tlexp.studies.planning.costs.measure_costs", costs)
    pool = "study.backbones=[tiny,tiny@runs:/0123456789abcdef0123456789abcdef]"
    assert study("study=backbones", pool, "study.controls=false", "study.minutes=0", "--dry-run") == 0
    assert " to start and to report" in capsys.readouterr().out
    assert set(measured) == {("test_resnet", False), ("test_resnet", True)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["study=backbones", "study.backbones=[tiny,lite0]"], "timing network 2 of 2: lite0-freeze-0"),
        (["study=quick", "study.controls=false"], "timing column 2 of 4: ridge"),
    ],
)
def test_a_terminal_shows_which_network_or_column_is_timed(
    study: Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    assert study(*words, "--dry-run") == 0
    assert "timing some images" in (plain := capsys.readouterr().err)
    assert "timing network" not in plain
    assert "timing column" not in plain
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert study(*words, "--dry-run") == 0
    assert told in capsys.readouterr().err
