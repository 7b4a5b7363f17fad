import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Regret

FLAT = {f"freeze-{depth}": (0.5, 0.2) for depth in range(6)}


def regrets(make_table: MakeTable, **changes: object) -> dict[str, Regret]:
    settings = {"columns": DEPTHS, "failed": (), "waiting": ()} | changes
    return {each.rule: each for each in analyse(make_table(**settings)).regrets}


FULL, PROBE = "always full fine-tuning (freeze-0)", "always probe (freeze-5)"
CLEAR = FLAT | {"freeze-5": (1.4, 0.2)}


def test_rules_are_the_recommended_and_every_column_the_two_habits_by_name(make_table: MakeTable) -> None:
    found = regrets(make_table, strength=CLEAR, seeds=10)
    assert list(found) == ["recommended", FULL, "freeze-1", "freeze-2", "freeze-3", "freeze-4", PROBE]
    assert found["recommended"].losses == pytest.approx(found[PROBE].losses, abs=0.01)


def test_where_nothing_is_recommended_that_rule_has_no_loss(make_table: MakeTable) -> None:
    assert "recommended" not in regrets(make_table, strength=dict.fromkeys(FLAT, (-0.5755, 0.0)))
    strength = {**dict.fromkeys(FLAT, (-0.5755, 0.0)), "freeze-5": (-0.5755, 0.9)}
    settings = {"strength": strength, "seeds": 10, "columns": DEPTHS, "failed": (), "waiting": ()}
    told = {each.labels: each.column for each in analyse(make_table(**settings)).recommendations}
    assert set(told.values()) == {None, "freeze-5"}
    found = regrets(make_table, **settings)["recommended"]
    assert {labels for labels, loss in found.losses.items() if loss is None} == {
        labels for labels, column in told.items() if column is None
    }
    assert found.mean is None


def test_a_habit_loses_where_it_is_wrong(make_table: MakeTable) -> None:
    found = regrets(make_table, seeds=10, per_class=(200,) * 4)
    full, probe = found[FULL].losses, found[PROBE].losses
    assert full["2"] is not None
    assert full["2"] > 0.15
    assert probe["2"] == pytest.approx(0, abs=0.02)
    assert full["100"] == pytest.approx(0, abs=0.02)
    assert (probe["100"] or 0) > full["100"]


def test_a_cheaper_recommendation_loses_what_it_loses(make_table: MakeTable) -> None:
    strength = {f"freeze-{depth}": (0.6 if depth < 5 else 0.5, 0.2) for depth in range(6)}
    found = regrets(make_table, strength=strength, seeds=10, per_class=(300,) * 4, noise=0.02, margin=0.15)
    assert found["recommended"].mean == pytest.approx(found[PROBE].mean, abs=0.002)
    assert (found["recommended"].mean or 0) > 0.01


def test_among_equals_no_rule_loses_on_average(make_table: MakeTable) -> None:
    """Against the highest mean itself every rule would seem to lose."""
    means = [regrets(make_table, strength=FLAT, seed=seed)["freeze-3"].mean for seed in range(12)]
    assert sum(mean or 0 for mean in means) / 12 == pytest.approx(0, abs=0.006)


def test_a_missing_cell_is_none_and_its_budget_left_out_of_all_means(make_table: MakeTable) -> None:
    found = regrets(make_table, missing=[("freeze-2", "5")])
    assert found["freeze-2"].losses["5"] is None
    assert found["freeze-1"].losses["5"] is not None
    others = [found["freeze-1"].losses[labels] or 0 for labels in ("2", "20", "100")]
    assert found["freeze-1"].mean == pytest.approx(sum(others) / 3)


def test_one_seed_has_regrets_by_halves_of_the_images(make_table: MakeTable) -> None:
    assert regrets(make_table, seeds=1)[FULL].mean is not None


def test_without_a_measurement_nothing_is_lost(make_table: MakeTable) -> None:
    failed = [(column.name, "5", seed) for column in DEPTHS for seed in range(2)]
    found = regrets(make_table, budgets=["5"], seeds=2, failed=failed)
    assert all(each.losses == {"5": None} and each.mean is None for each in found.values())
