from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from tests.composed import load
from tlexp.config.data import DataSource
from tlexp.data import Images
from tlexp.data.in_memory import ArrayImages
from tlexp.experiment import estimate
from tlexp.experiment.session import Session
from tlexp.models import Classifier
from tlexp.train import FitPlan, FitReport, Problem
from tlexp.train.loop import BatchStream


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["freeze=none"], 5.0),
        (["freeze=last"], 1.0),
        (["freeze=last", "augment=light"], 5.0),
        (["freeze=last", "head.units=[layer4]"], 5.0),
        (["freeze=last", "cache=off", "data.memory_bytes=1"], 5.0),
        (["freeze=lpft", "freeze.probe_share=0.25"], 0.75 * 5),
        (["freeze=gradual", "freeze.phases=4"], (0 + 2 + 3 + 5) / 4),
        (["freeze=gradual", "freeze.phases=4", "augment=light"], 5.0),
        (["freeze=lpft", "freeze.probe_share=1"], 0.0),
        (["freeze=depth", "freeze.depth=5"], 5.0),
    ],
)
def test_a_step_costs_the_units_that_a_run_makes_it_with(
    words: list[str], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean over the phases by their share."""

    def units(classifier: Classifier, batches: BatchStream, plan: FitPlan, batch: int) -> float:
        rows, _ = batches.batch(0)
        assert batch == len(rows)
        assert classifier(rows).shape == (len(rows), 2)
        return len(classifier.units) - (classifier.depth if rows.ndim == 2 else 0)

    monkeypatch.setattr(estimate, "_step_seconds", units)
    config = load(["backbone=tiny", "backbone.image_size=32", *words]).config
    assert estimate.measure_costs(config, Session(), images=20, classes=2).step == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "fits"), [([], 6), (["tune.validate=false"], 1), (["tune.trials=3"], 16), (["head=logreg"], 0)]
)
def test_a_run_is_paid_for_each_of_its_fits(words: list[str], fits: int) -> None:
    config = load(["backbone=tiny", "labels=5", *words]).config
    one, none = (
        estimate.run_seconds(config, estimate.UnitCosts(step=step, image=0.0), images=50, folds=5, tested=10)
        for step in (1.0, 0.0)
    )
    assert one - none == pytest.approx(fits * config.train.count_steps(50))


def test_random_weights_are_calibrated_on_each_budget_and_pass_all_images_anew() -> None:
    random = ["backbone.pretrained=false", "backbone.weights=null", "backbone.calibrate=true"]
    config = load(["backbone=tiny", "labels=5", "freeze=all", "head=logreg", *random]).config
    one, none = (
        estimate.run_seconds(config, estimate.UnitCosts(step=0.0, image=image), images=50, folds=5, tested=10)
        for image in (1.0, 0.0)
    )
    assert one - none == 5 * 50 + 64 + 10  # chunks are filled up to 32


def test_a_step_is_timed_without_the_one_that_counts_its_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def fit(classifier: Classifier, batches: BatchStream, plan: FitPlan, **_: object) -> FitReport:
        made.append(plan.steps)
        seconds = 0.4 + 0.2 * (plan.steps - 1)
        pace = 20 / (0.4 if plan.steps == 1 else 0.2)
        return FitReport(
            steps=plan.steps, seconds=seconds, images_per_second=pace, flops=None, peak_bytes=None, curve=[]
        )

    monkeypatch.setattr(estimate, "fit", fit)
    monkeypatch.setattr(estimate, "_share_at_work", lambda *_: 1.0)
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=none"]).config
    assert estimate.measure_costs(config, Session(), images=20, classes=2).step == pytest.approx(0.2)
    assert made == [1, 4]


@pytest.mark.parametrize(("first", "counts"), [(2.0, 0.6), (6.0, 6.0)])
def test_an_image_is_timed_without_what_a_first_pass_warms_up(
    first: float, counts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that takes long beside that is made once."""
    now, passes = [0.0], iter((first, 0.6))

    def predict(*_: object, **__: object) -> None:
        now[0] += next(passes)

    monkeypatch.setattr(estimate, "predict", predict)
    monkeypatch.setattr(estimate, "time", SimpleNamespace(perf_counter=lambda: now[0], thread_time=lambda: now[0]))
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=all", "head=logreg"]).config
    assert estimate.measure_costs(config, Session(), images=20, classes=2).image == pytest.approx(counts / 32)


def test_phases_are_measured_by_training_in_them() -> None:
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=gradual"]).config
    assert estimate.measure_costs(config, Session(), images=20, classes=2).step > 0


@pytest.mark.parametrize(("head", "times"), [("logreg", 5), ("nearest_mean", 1)])
def test_a_head_is_solved_on_each_fold_on_which_it_is_compared(head: str, times: int) -> None:
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=all", f"head={head}", "labels=5"]).config
    cost = estimate.SolvingCost(unit=1.0, width=30, validates=config.tune.validate and head != "nearest_mean")
    assert cost.seconds(50, 5) == (times * 40 * 90 if times > 1 else 50 * 90)
    assert cost.seconds(10, 0) == 10 * 70


def test_iterations_grow_with_rows_that_span_more() -> None:
    cost = estimate.SolvingCost(unit=1.0, width=30, validates=True, rows=5, harder=0.5)
    assert cost.seconds(20, 0) == 20 * 80 * 2
    assert cost.seconds(60, 0) == cost.seconds(30, 0) * 2


def pool(per_class: int, classes: int) -> Images:
    """Return images without content, so many of each class."""
    labels = np.repeat(np.arange(classes), per_class)
    pixels = np.zeros((len(labels), 32, 32, 3), np.uint8)
    names = tuple(map(str, range(len(labels))))
    return ArrayImages(source=DataSource.shapes, pixels=pixels, labels=labels, names=names)


def test_a_closed_form_of_many_classes_is_measured_on_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """And paid for by rows and the coordinates that they span."""
    solved: list[tuple[int, int]] = []

    def solve(kind: str, features: Tensor, labels: Tensor, problems: list[Problem], **_: object) -> None:
        solved.append((len(features), len(problems)))

    monkeypatch.setattr(estimate, "solve", solve)
    monkeypatch.setattr(estimate, "_seconds", lambda work, device: work() or 2.0)
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=all", "head=ridge"]).config
    small, large = (
        estimate.measure_solving(config, Session(), pool(1, 2), images=images, classes=classes, image=0.0)
        for images, classes in ((50, 10), (6400, 100))
    )
    (rows, together), (fewer, alone) = solved
    assert (rows, together, alone) == (50, 16, 1)
    assert fewer < 6400
    assert small.unit == 2.0 / (50 * 110) / 16
    assert large.unit == 2.0 / (fewer * (min(fewer, large.width) + 60))


def test_logistic_regression_is_measured_on_images_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is solved in a fifth of the iterations that characters take; images that pass slowly are few."""
    solved: list[tuple[int, int]] = []

    def solve(kind: str, features: Tensor, labels: Tensor, problems: list[Problem], **rest: Any) -> None:
        assert float(features.std(0).max()) == 0  # of images that are all the same
        assert len(labels.unique()) == rest["num_classes"]
        solved.append((len(features), rest["num_classes"]))

    monkeypatch.setattr(estimate, "solve", solve)
    monkeypatch.setattr(estimate, "_seconds", lambda work, device: work() or 2.0)
    config = load(["backbone=tiny", "backbone.image_size=32", "freeze=all", "head=logreg"]).config
    quick, slow = (
        estimate.measure_solving(config, Session(), pool(6, 40), images=200, classes=40, image=image)
        for image in (0.0, 1.0)
    )
    assert solved == [(200, 40), (64, 16)]
    assert (quick.rows, slow.rows) == (200, 160)
