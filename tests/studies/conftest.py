"""Made-up studies: what a table holds after a study of the embedded network, with known strengths of its columns.

And real ones, which take seconds.
"""

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import beside
from tlexp import cli
from tlexp.config import Config, config_values
from tlexp.experiment.estimate import SolvingCost, UnitCosts
from tlexp.experiment.session import process_session
from tlexp.jsonfile import to_json
from tlexp.studies.analysis.table import Cell, Column, Replicate, Role, StudyTable
from tlexp.studies.planning import costs
from tlexp.studies.report import panels, plots
from tlexp.studies.report.rendering import RenderedFigure
from tlexp.tracking import Record, RunStatus, environment
from tlexp.tracking.blocks import SelectionBlock

MakeTable = Callable[..., StudyTable]

UNITS = ("stem", "layer1", "layer2", "layer3", "layer4")
CLASSES = ("circle", "square", "star", "triangle")
TRAINABLE = (309_988, 308_868, 289_988, 215_876, 67_972, 516)
DEPTHS = tuple(
    Column(
        name=f"freeze-{depth}",
        title=f"{depth} of 5 units frozen" + (f" (to {UNITS[depth - 1]})" if depth else ""),
        role=Role.depth,
        depth=depth,
        words=("freeze=depth", f"freeze.depth={depth}"),
        trainable=TRAINABLE[depth],
    )
    for depth in range(6)
)
CONTROLS = (
    Column(name="scratch", title="from scratch", role=Role.scratch, depth=None, trainable=TRAINABLE[0]),
    Column(name="scratch-long", title="from scratch, 4 x steps", role=Role.scratch_long, depth=None, trainable=309_988),
    Column(name="random", title="random frozen features", role=Role.random, depth=None, trainable=516),
    Column(name="pixels", title="logistic regression on pixels", role=Role.pixels, depth=None),
    Column(name="ridge", title="ridge on the features", role=Role.closed, depth=None),
)
STRENGTH = {
    **{f"freeze-{depth}": (0.15 + 0.11 * depth, 0.52 - 0.075 * depth) for depth in range(6)},
    "scratch": (-0.4, 0.5),
    "scratch-long": (-0.38, 0.54),
    "random": (-0.35, 0.14),
    "pixels": (-0.45, 0.1),
    "ridge": (0.72, 0.1),
}
"""Column -> (probit of the accuracy with 2 labels per class, what ten times the labels add); depths cross near 20."""

RECORD = Record.of(
    {
        "key": "ab" * 32,
        "status": "finished",
        "reason": None,
        "overrides": ["labels=20", "freeze=depth", "freeze.depth=3"],
        "config": config_values(Config())
        | {"backbone": {"name": "tiny"}, "data": {"source": "shapes", "seed": None}, "labels": "20", "seed": 0},
        "seeds": {"seed": 0, "data": 0},
        "freeze": {"policy": "depth", "depth": 3, "units": UNITS[:3]},
        "data": {"digest": "cd" * 32, "classes": list(CLASSES), "counts": {}, "skipped": []},
        "train": {"steps": 200, "selection": None, "outside_protocol": []},
        "metrics": {"test/balanced_accuracy": 0.8},
        "tracking": None,
        "environment": to_json(environment("cpu"))
        | {"python": "", "platform": "", "packages": {"tlexp": "0.1.0"}, "git": {"commit": "f" * 40, "dirty": False}},
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T00:01:00+00:00",
    }
)


def a_table(
    *,
    seeds: int = 5,
    budgets: Sequence[str] = ("2", "5", "20", "100"),
    columns: Sequence[Column] = (*DEPTHS, *CONTROLS),
    strength: Mapping[str, tuple[float, float]] = STRENGTH,
    per_class: Sequence[int] = (60, 60, 60, 60),
    margin: float = 0.01,
    seed: int = 0,
    failed: Sequence[tuple[str, str, int]] = (("freeze-1", "20", 1),),
    waiting: Sequence[tuple[str, str, int]] = (("freeze-4", "100", 1),),
    missing: Sequence[tuple[str, str]] = (("scratch-long", "2"), ("scratch-long", "5")),
    noise: float = 0.07,
) -> StudyTable:
    """Return a study's table.

    Args:
        seeds: Data seeds, from 0.
        budgets: Labels per class.
        columns: Those that ran; each needs a strength.
        strength: As `STRENGTH`.
        per_class: Test images of each class.
        margin: `study.margin`.
        seed: Of everything that is drawn.
        failed: (column, budget, data seed) of replicates that diverged.
        waiting: Those that have not run.
        missing: (column, budget) that were never planned.
        noise: Deviation between seeds on the probit scale.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(per_class)), per_class)
    ease = generator.normal(0, 0.9, len(labels))
    tastes = {column.name: generator.normal(0, 0.35, len(labels)) for column in columns}
    cells = {}
    for budget in budgets:
        luck = generator.normal(0, 1.5 * noise / math.sqrt(float(budget) / 2), seeds)
        for column in columns:
            start, slope = strength[column.name]
            mean = (start + slope * math.log10(float(budget) / 2)) * 1.4
            replicates = []
            for number in range(seeds):
                place = column.name, budget, number
                score = mean + luck[number] + generator.normal(0, noise) + ease + tastes[column.name]
                correct = score + generator.normal(0, 0.7, len(labels)) > 0
                if place in waiting:
                    replicates.append(Replicate(seed=number, status=None))
                elif place in failed:
                    reason = "the loss is nan at step 31 of 200: lower optim.lr"
                    replicates.append(Replicate(seed=number, status=RunStatus.diverged, reason=reason))
                else:
                    replicates.append(_finished(number, correct, labels, column, budget, generator))
            if (column.name, budget) not in missing:
                cells[column.name, budget] = Cell(column=column.name, labels=budget, replicates=tuple(replicates))
    stated = {
        "name": "made-up",
        "kind": "depths",
        "backbone": "tiny",
        "margin": margin,
        "seeds": list(range(seeds)),
        "budgets": [{"labels": budget, "per_class": float(budget)} for budget in budgets],
        "skipped": {"labels=1000": "the images have at most 200 per class"},
        "estimate": {"seconds": 900.0},
    }
    return StudyTable(
        name="made-up",
        about={"schema": 1, "fixed": {"data.source": "shapes"}, "swept": ["study.column"], "study": stated},
        backbone="tiny",
        columns=tuple(columns),
        budgets=tuple(budgets),
        per_class={budget: float(budget) for budget in budgets},
        classes=CLASSES[: len(per_class)],
        labels=labels.astype(np.int64),
        seeds=tuple(range(seeds)),
        cells=cells,
        margin=margin,
        skipped={"labels=1000": "the images have at most 200 per class"},
        record=RECORD,
    )


def _finished(
    seed: int,
    correct: NDArray[np.bool_],
    labels: NDArray[np.int64],
    column: Column,
    budget: str,
    generator: np.random.Generator,
) -> Replicate:
    balanced = float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))
    edge = "the best lr 0.1 lies at the edge of tune.lr=[1e-05,0.1]: widen it"
    selection = SelectionBlock(
        kind="split" if float(budget) >= 10 else "folds",
        folds=1 if float(budget) >= 10 else 5,
        winner={},
        trials=(),
        flags=(edge,) if column.name == "freeze-0" and seed == 0 else (),
        refit=True,
    )
    return Replicate(
        seed=seed,
        status=RunStatus.finished,
        correct=correct,
        metrics={
            "test/balanced_accuracy": balanced,
            "test/accuracy": float(correct.mean()),
            "test/nll": 1.6 * (1 - balanced),
            "cost/seconds": 2.0 + column.trainable / 40_000 + float(budget) / 50,
            "cost/trainable_parameters": float(column.trainable),
        },
        selection=selection,
        losses=_losses(column, generator),
    )


def _losses(column: Column, generator: np.random.Generator) -> tuple[tuple[int, float], ...]:
    """Return a training curve; the solved heads have none, and a pretrained network begins where scratch comes to."""
    if column.role in (Role.pixels, Role.closed, Role.random) or column.depth == len(UNITS):
        return ()
    pace = 60 if column.depth is None else 20
    return tuple((step, 1.4 * math.exp(-step / pace) + generator.uniform(0, 0.02)) for step in range(1, 201))


@pytest.fixture
def make_table() -> MakeTable:
    return a_table


def leave_undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports have empty figures, for drawing them takes seconds."""
    for module in (plots, panels):
        monkeypatch.setattr(module, "render_figure", lambda *_: RenderedFigure(svg=b"<svg></svg>", png=b""))


def leave_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps, images and heads cost next to nothing: measuring them takes longer than a small study."""
    unit, solving = UnitCosts(step=1e-4, image=1e-4), SolvingCost(unit=1e-9, width=64, validates=True)
    monkeypatch.setattr(costs, "measure_costs", lambda *_, **__: unit)
    monkeypatch.setattr(costs, "measure_solving", lambda *_, **__: solving)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test looks at words alone."""
    leave_undrawn(monkeypatch)


TINY = [
    "backbone=tiny", "backbone.image_size=32", "tune.trials=1", "data.per_class=12", "data.test_per_class=10",
    "data.num_classes=2", "train.limit_steps=2", "tracking=off", "study.labels=[2,4]", "study.seeds=2",
    "study.depths=[0,all]", "study.scratch_labels=[4]", "study.name=s",
]  # fmt: skip

FOREIGN = {
    "study=policies": ("study.depths",),
    "study=quick": ("study.depths", "study.scratch_labels"),
    "study=heads": ("study.depths", "study.scratch_labels"),
    "study=sizes": ("study.depths", "study.scratch_labels"),
    "study=backbones": ("backbone=", "study.depths", "study.scratch_labels"),
}
"""What a kind of study has no use for."""

Study = Callable[..., int]
Finished = Callable[..., Path]
QUICK = ("study=quick", "study.controls=false", "study.labels=[2]")
"""What makes a study of a second; several tests look at the same."""
ONE = ("study.controls=false", "study.labels=[2]", "study.depths=[all]", "study.seeds=1")
"""What makes a study of a single run."""


@pytest.fixture
def drawn_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Do a study in this process, in the test's own folder, under the name `s`; return the exit status."""
    monkeypatch.chdir(tmp_path)
    leave_unmeasured(monkeypatch)
    process_session.cache_clear()
    return lambda *words: do_study(monkeypatch, *words)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return the folder in which a study with the words was done, once; it is to be copied.

    What was printed is in `shown.txt`. Without words costs are measured and figures drawn, else they are empty.
    """

    @functools.cache
    def folder(*words: str) -> Path:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.chdir(tmp_path_factory.mktemp("study"))
            process_session.cache_clear()
            if words:
                leave_undrawn(monkeypatch)
                leave_unmeasured(monkeypatch)
            with Path("shown.txt").open("w") as shown, contextlib.redirect_stdout(shown):
                assert do_study(monkeypatch, *words) == 0
            return Path.cwd()

    return folder


def do_study(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    given = {word.partition("=")[0] for word in words}
    stated = [word for word in beside(words, TINY) if word.partition("=")[0] not in given]
    kind = next((word for word in words if word.startswith("study=")), "study=freeze_vs_labels")
    stated = [word for word in stated if not word.startswith(FOREIGN.get(kind, ()))]
    if "study.sizes" in given:
        stated = [word for word in stated if not word.startswith("backbone.image_size")]
    preset = [] if "study" in given else [kind]
    return command(monkeypatch, *preset, *stated, *words)


@pytest.fixture
def study(drawn_study: Study, undrawn: None) -> Study:
    """Do a study whose report has empty figures."""
    return drawn_study


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tlexp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)
