from typing import Any

import pytest

from tlexp import estimate
from tlexp.compose import load
from tlexp.models import Classifier
from tlexp.shared import Shared


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["freeze=last"], 4.0),
        (["freeze=lpft", "freeze.probe_share=0.25"], 0.25 * 5),
        (["freeze=gradual", "freeze.phases=4"], (5 + 3 + 2 + 0) / 4),
        (["freeze=lpft", "freeze.probe_share=1"], 5.0),
    ],
)
def test_a_step_costs_the_mean_of_the_phases_by_their_share(
    words: list[str], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def depth(classifier: Classifier, *rest: Any) -> float:
        return float(classifier.depth)

    monkeypatch.setattr(estimate, "_step_seconds", depth)
    config = load(["backbone.image_size=32", *words]).config
    assert estimate.measure_costs(config, Shared(), images=20, classes=2).step == pytest.approx(expected)


def test_phases_are_measured_by_training_in_them() -> None:
    config = load(["backbone.image_size=32", "freeze=gradual"]).config
    assert estimate.measure_costs(config, Shared(), images=20, classes=2).step > 0
