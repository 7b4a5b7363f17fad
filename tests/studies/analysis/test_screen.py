import dataclasses
from collections.abc import Mapping

import pytest

from tlexp.studies.analysis.screen import Entrant, Probed, Screened, screen

SEEDS, BUDGETS = range(3), ("5", "20")
POOL = tuple(
    Entrant(name=name, columns=(f"{name}-probe", f"{name}-none"), operations=operations, prior=prior)
    for name, operations, prior in (
        ("small", 1, 70.0), ("middle", 2, 75.0), ("large", 3, 80.0), ("strange", 4, None), ("old", 5, 72.0),
        ("odd", 6, 71.0),
    )
)  # fmt: skip


def probed(loss: float, accuracy: float) -> Probed:
    places = [(labels, seed) for labels in BUDGETS for seed in SEEDS]
    return Probed(loss={place: loss + 0.1 * place[1] for place in places}, accuracy=dict.fromkeys(places, accuracy))


def finalists(found: tuple[Screened, ...]) -> dict[str, str]:
    return {each.entrant.name: each.why for each in found if each.goes_on}


LOSSES: Mapping[str, Probed] = {
    "small": probed(0.60, 0.80),
    "middle": probed(0.50, 0.895),
    "large": probed(0.90, 0.70),
    "strange": probed(0.30, 0.90),
    "old": probed(0.40, 0.85),
    "odd": probed(0.45, 0.86),
}


def test_the_finals_hold_who_is_best_by_loss_and_by_the_prior_in_turn_and_the_cheapest_within_the_margin() -> None:
    found = screen(POOL, LOSSES, margin=0.01)
    assert finalists(found) == {
        "strange": "least probe loss",
        "large": "the prior's favourite",
        "old": "by probe loss",
        "middle": "by the prior",
    }
    assert [each.entrant.name for each in found] == ["strange", "old", "odd", "middle", "small", "large"]
    assert {each.entrant.name: each.why for each in found if not each.goes_on} == dict.fromkeys(
        ("odd", "small"), "left out by probe loss"
    )
    assert found[1].excess == pytest.approx(0.1)
    assert found[1].behind == pytest.approx(0.05)


def test_a_wider_margin_lets_a_cheaper_one_go_on() -> None:
    found = finalists(screen(POOL, LOSSES, margin=0.11))
    assert found["small"] == "the cheapest within the margin"
    assert len(found) == 5


def test_who_has_every_distinction_leaves_places_to_others() -> None:
    best = {**LOSSES, "large": probed(0.1, 0.99)}
    assert list(finalists(screen(POOL, best, margin=0.01))) == ["large", "strange", "old", "middle"]


def test_a_probe_that_failed_leaves_its_network_out() -> None:
    rest = {name: each for name, each in LOSSES.items() if name != "large"}
    found = screen(POOL, rest, margin=0.01)
    assert (found[-1].entrant.name, found[-1].why) == ("large", "its probe did not finish")
    assert finalists(found)["middle"] == "the prior's favourite"


def test_networks_are_compared_on_the_data_seeds_that_all_have() -> None:
    unlucky = Probed(loss={("5", 2): 0.52, ("20", 2): 0.52}, accuracy={("5", 2): 0.9, ("20", 2): 0.9})
    found = screen(POOL, {**LOSSES, "small": unlucky}, margin=0.01)
    excess = {each.entrant.name: each.excess for each in found}
    assert excess["small"] == pytest.approx(0.02)
    assert excess["strange"] == 0


def test_of_a_network_that_shares_no_draw_with_the_others_the_prior_alone_speaks() -> None:
    """It is no reason to look at nobody's loss."""
    apart = Probed(loss={("100", 0): 0.01}, accuracy={("100", 0): 0.99})
    found = finalists(screen(POOL, {**LOSSES, "small": apart}, margin=0.01))
    assert found["strange"] == "least probe loss"
    assert "small" not in found
    favourite = finalists(screen(POOL, {**LOSSES, "large": apart}, margin=0.01))
    assert favourite["large"] == "the prior's favourite"
    assert favourite["old"] == "by probe loss"


def test_where_no_prior_is_known_nobody_is_its_favourite() -> None:
    """Such as of sizes of one network: the cheapest would be it, and is looked at for what it reaches."""
    unknown = [dataclasses.replace(each, prior=None) for each in POOL]
    found = finalists(screen(unknown, LOSSES, margin=0.01))
    assert "the prior's favourite" not in found.values()
    assert list(found) == ["strange", "old", "odd", "middle"]


def test_where_nothing_can_be_held_back_the_prior_chooses() -> None:
    none = Probed(loss={}, accuracy={})
    found = screen(POOL, {each.name: none for each in POOL}, margin=0.01)
    assert list(finalists(found)) == ["large", "middle", "old", "odd"]
    assert found[-1].entrant.name == "strange"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_small_pool_goes_on_as_a_whole(count: int) -> None:
    assert len(finalists(screen(POOL[:count], LOSSES, margin=0.01))) == count


READ = (
    *POOL, dataclasses.replace(POOL[2], name="large-avg", columns=("large-avg-probe",), reads="large", pooling="avg"),
)  # fmt: skip


def test_of_two_readings_of_a_network_that_with_less_loss_takes_its_place() -> None:
    found = screen(READ, {**LOSSES, "large-avg": probed(0.95, 0.72)}, margin=0.01)
    assert finalists(found) == finalists(screen(POOL, LOSSES, margin=0.01))
    why = {each.entrant.name: each.why for each in found}
    assert why["large-avg"] == "left out for large, the same network read otherwise"
    found = screen(READ, {**LOSSES, "large-avg": probed(0.85, 0.72)}, margin=0.01)
    assert finalists(found)["large-avg"] == "the prior's favourite"
    assert "large" not in finalists(found)
    assert len(finalists(found)) == 4


def test_of_two_readings_that_are_alike_a_network_s_own_goes_on() -> None:
    assert "large" in finalists(screen(READ, {**LOSSES, "large-avg": LOSSES["large"]}, margin=0.01))
    none = Probed(loss={}, accuracy={})
    assert "large" in finalists(screen(READ, {each.name: none for each in READ}, margin=0.01))


def test_a_reading_stands_for_its_network_where_the_other_failed() -> None:
    rest = {name: each for name, each in LOSSES.items() if name != "large"} | {"large-avg": LOSSES["large"]}
    found = {each.entrant.name: each.why for each in screen(READ, rest, margin=0.01)}
    assert (found["large-avg"], found["large"]) == ("the prior's favourite", "its probe did not finish")
