import random
from collections.abc import Callable

import pytest

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.comparison import Comparison, compare
from tlexp.sweeps.ranking import rank

Swept = Callable[..., list[JobOutcome]]
SEEDS = tuple(map(str, range(5)))
LUCK = {seed: random.Random(seed).gauss(0, 0.2) for seed in SEEDS}


def compared(
    swept: Swept, gains: dict[str, float], *, noise: float = 0.01, seeds: tuple[str, ...] = SEEDS, **words: str
) -> Comparison:
    def measure(point: dict[str, str]) -> dict[str, float]:
        own = random.Random(str(point)).gauss(0, noise)
        return {"val/loss": 1.0 + gains[point["optim.lr"]] + LUCK[point["seed"]] + own}

    objective, direction = words.get("objective", "val/loss"), words.get("direction", "minimize")
    runs = swept({"optim.lr": tuple(gains), "seed": seeds}, measure)
    [standing] = rank(runs, objective=objective, direction=direction)
    found = compare(standing, objective=objective, direction=direction)
    assert found is not None
    return found


def test_luck_that_the_seeds_share_does_not_hide_a_difference(swept: Swept) -> None:
    found = compared(swept, {"0.1": 0.1, "0.2": 0.0, "0.3": 0.005})
    assert (found.seeds, found.contenders) == (5, (0, 1))  # ranked: 0.2, 0.3, 0.1
    assert found.behind[0].mean == 0
    last = found.behind[2]
    assert last.mean == pytest.approx(0.1, abs=0.02)
    assert last.width is not None
    assert last.mean - last.width > 0


def test_the_other_direction_tells_the_same(swept: Swept) -> None:
    found = compared(swept, {"0.1": 0.1, "0.2": 0.0}, direction="maximize")
    assert found.contenders == (0,)
    assert found.behind[1].mean == pytest.approx(0.1, abs=0.02)


def test_one_seed_tells_nothing(swept: Swept) -> None:
    found = compared(swept, {"0.1": 0.9, "0.2": 0.0}, seeds=("0",))
    assert (found.seeds, found.contenders) == (1, (0, 1))
    assert found.behind[1].width is None


def test_differences_that_are_all_equal_tell_nothing_of_a_figure_that_varies(swept: Swept) -> None:
    assert compared(swept, {"0.1": 0.125, "0.2": 0.0}, noise=0.0).contenders == (0, 1)


def test_a_cost_that_is_the_same_with_every_seed_is_told(swept: Swept) -> None:
    sizes = {"all": 10.0, "none": 99.0, "last": 10.0}
    runs = swept(
        {"freeze": tuple(sizes), "seed": ("0", "1")},
        lambda point: {"cost/trainable_parameters": sizes[point["freeze"]]},
    )
    [standing] = rank(runs, objective="cost/trainable_parameters", direction="minimize")
    found = compare(standing, objective="cost/trainable_parameters", direction="minimize")
    assert found is not None
    assert found.contenders == (0, 1)


def test_a_single_candidate_is_compared_with_nothing(swept: Swept) -> None:
    [standing] = rank(swept({"seed": SEEDS}, lambda _: {"val/loss": 1.0}), objective="val/loss", direction="minimize")
    assert compare(standing, objective="val/loss", direction="minimize") is None


def test_the_best_is_among_the_contenders_as_often_as_promised(swept: Swept) -> None:
    runs = swept({"optim.lr": ("0.1", "0.2", "0.3", "0.4"), "seed": ("0", "1", "2")}, lambda _: {"val/loss": 1.0})
    draw, held = random.Random(0), 0
    for _ in range(400):
        for run in runs:
            assert run.record is not None
            # The best varies most, those behind it little: the hardest case of bounds that share a variance.
            best = run.point["optim.lr"] == "0.1"
            run.record.metrics["val/loss"] = draw.gauss(0.0, 0.3) if best else draw.gauss(0.01, 0.01)
        [standing] = rank(runs, objective="val/loss", direction="minimize")
        found = compare(standing, objective="val/loss", direction="minimize")
        assert found is not None
        places = [candidate.settings["optim.lr"] for candidate in standing.ranked]
        held += places.index("0.1") in found.contenders
    assert held >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5
