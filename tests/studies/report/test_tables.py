"""Tables of a report against the findings that they tell, each figure looked up anew."""

import dataclasses

from tests.studies.conftest import DEPTHS, STRENGTH, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings, Interval
from tlexp.studies.analysis.table import Role
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.sentences import explain, format_interval, in_points
from tlexp.studies.report.tables import (
    accuracy_table,
    bound_table,
    cell_table,
    cost_table,
    difference_table,
    format_number,
    format_seconds,
    format_signed,
    format_span,
    reason_table,
    regret_table,
    transfer_table,
)


def told(table: TextTable) -> list[dict[str, str]]:
    assert all(len(row) == len(table.head) for row in table.rows)
    return [dict(zip(table.head, row, strict=True)) for row in table.rows]


def mixed(make_table: MakeTable) -> Findings:
    """Return findings with a budget at which nothing is recommended, and others."""
    chance = (-0.5755, 0.0)
    strength = {column.name: (-0.5755, 1.2) if column.depth == 5 else chance for column in DEPTHS}
    found = analyse(make_table(columns=DEPTHS, strength=strength, seeds=10, missing=()))
    assert {each.column for each in found.recommendations} == {None, "freeze-5"}
    return found


def test_each_answer_stands_with_what_is_known_besides_and_without_its_verdict(make_table: MakeTable) -> None:
    found = mixed(make_table)
    for row, explanation in zip(told(reason_table(found)), explain(found), strict=True):
        each = explanation.recommendation
        assert row["labels per class"] == each.labels
        assert (row["why"], row["what would decide it"]) == (" ".join(explanation.reasons()), explanation.change())
        assert row["accuracy and cost"] == (explanation.taken() or "–")
        assert (each.column is None) == (row["accuracy and cost"] == "–")
        assert not any("better by more than" in text for text in row.values())


def test_a_cost_is_promised_only_where_columns_differ_in_it(make_table: MakeTable) -> None:
    assert reason_table(mixed(make_table)).head[1] == "accuracy and cost"
    alike = [dataclasses.replace(column, trainable=516) for column in DEPTHS]
    table = reason_table(analyse(make_table(columns=alike, missing=())))
    assert table.head[1] == "accuracy"
    assert not any("It trains" in row[1] for row in table.rows)


def test_every_column_stands_with_the_most_that_it_may_lose(make_table: MakeTable) -> None:
    found = analyse(make_table(seeds=10))
    rows = told(bound_table(found))
    assert [row["column"] for row in rows] == [column.name for column in DEPTHS]
    for row in rows:
        for each in found.recommendations:
            bound = each.candidate(row["column"]).bound
            assert row[each.labels] == ("–" if bound is None else in_points(bound))


def test_log_losses_without_a_temperature_are_marked(make_table: MakeTable) -> None:
    """What is trained at a single rate measures no fold: its log loss is that of raw logits."""
    found = analyse(make_table())
    plain = cell_table(found)
    assert plain.title == "Every column at every budget"
    raw = {place: dataclasses.replace(cell, unselected=1) for place, cell in found.cells.items() if place[1] == "2"}
    table = cell_table(dataclasses.replace(found, cells={**found.cells, **raw}))
    assert table.title.startswith("Every column at every budget; a star: no temperature was fitted")
    for before, row in zip(told(plain), told(table), strict=True):
        assert row == before | {"log loss": f"{before['log loss']} *" if row["labels"] == "2" else before["log loss"]}


def test_cells_stand_in_the_row_of_their_column_and_under_their_budget(make_table: MakeTable) -> None:
    found = analyse(make_table())
    accuracies = told(accuracy_table(found, Role, title="All"))
    names = [column.name for column in found.table.columns]
    assert [row["column"] for row in accuracies] == names
    costs = {row["column"]: row for row in told(cost_table(found))}
    for row, column in zip(accuracies, found.table.columns, strict=True):
        cost = costs[column.name]
        assert row["what it is"] == cost["what it is"] == column.title
        for labels in found.table.budgets:
            cell = found.cells.get((column.name, labels))
            if cell is None or cell.accuracy is None:
                assert row[labels] == cost[f"seconds, {labels}"] == "–"
            else:
                assert row[labels] == f"{format_interval(cell.accuracy)}, {cell.count}"
                assert cost[f"seconds, {labels}"] == format_seconds(cell.seconds)


def test_columns_stand_in_the_order_of_their_cost(make_table: MakeTable) -> None:
    found = analyse(make_table(columns=DEPTHS))
    rows = told(cost_table(found))
    assert [row["column"] for row in rows] == [f"freeze-{depth}" for depth in (5, 4, 3, 2, 1, 0)]
    assert [row["parameters that train"] for row in rows][:3] == ["516", "68 k", "216 k"]


def test_only_the_roles_asked_for_are_told(make_table: MakeTable) -> None:
    rows = told(accuracy_table(analyse(make_table()), (Role.random, Role.pixels), title="Controls"))
    assert [row["column"] for row in rows] == ["random", "pixels"]


def test_every_cell_has_a_row_with_its_measures(make_table: MakeTable) -> None:
    found = analyse(make_table())
    rows = {(row["column"], row["labels"]): row for row in told(cell_table(found))}
    assert set(rows) == set(found.cells)
    for place, cell in found.cells.items():
        assert cell.accuracy is not None
        assert [rows[place][name] for name in ("runs", "balanced accuracy", "plain accuracy", "log loss")] == [
            str(cell.count),
            *map(format_number, (cell.accuracy.value, cell.plain, cell.nll)),
        ]
        assert rows[place]["deviation between seeds"] == format_number(cell.seed_sd)
        assert rows[place]["error by images"] == format_number(cell.image_sd)


def test_a_difference_is_a_column_minus_the_best_of_its_budget(make_table: MakeTable) -> None:
    found = analyse(make_table(seeds=10))
    rows = told(difference_table(found))
    assert {row["told apart"] for row in rows} == {"yes", "no"}
    for labels, best in ((each.labels, each.best) for each in found.recommendations):
        own = [row for row in rows if row["labels"] == labels]
        assert {row["against"] for row in own} == {best}
        assert {row["column"] for row in own} == {column.name for column in DEPTHS} - {best}
    for row in rows:
        pair = {row["column"], row["against"]}
        [each] = [e for e in found.differences if e.labels == row["labels"] and {e.first, e.second} == pair]
        sign = 1 if each.first == row["column"] else -1
        assert row["difference"] == format_signed(sign * each.value)
        assert each.low is not None
        assert each.high is not None
        assert row["simultaneous 95 %"] == format_span(*sorted((sign * each.low, sign * each.high)))
        assert each.alone_low is not None
        assert each.alone_high is not None
        assert row["alone 95 %"] == format_span(*sorted((sign * each.alone_low, sign * each.alone_high)))
        assert row["seeds"] == str(each.seeds)
        assert (row["told apart"] == "yes") == (each.low > 0 or each.high < 0)


def test_transfer_is_told_with_the_accuracies_of_the_cells(make_table: MakeTable) -> None:
    found = analyse(make_table(strength=STRENGTH | {"scratch": (-0.2, 0.7)}))
    rows = told(transfer_table(found))
    assert [row["labels per class"] for row in rows] == ["2", "5", "20", "100"]
    for row in rows:
        labels = row["labels per class"]
        for head, column in (
            ("its accuracy", row["best pretrained"]),
            ("from scratch", "scratch"),
            ("from scratch, more steps", "scratch-long"),
        ):
            cell = found.cells.get((column, labels))
            assert row[head] == format_number(_value(None if cell is None else cell.accuracy)), (labels, head)
    asked = [each.scratch_labels for each in found.transfer]
    assert {each is None for each in asked} == {True, False}
    assert [row["labels that scratch needs"] for row in rows] == [
        "more than studied" if each is None else f"{each:.3g}" for each in asked
    ]
    for row, gain in zip(rows, found.transfer, strict=True):
        assert row["steps of scratch"] == format_seconds(gain.scratch_steps) == "200"
        assert row["steps until trained as far as scratch"] == format_seconds(gain.steps)
    assert any(gain.steps is not None for gain in found.transfer)


def test_regrets_stand_under_their_budget_with_their_sign(make_table: MakeTable) -> None:
    found = mixed(make_table)
    rows = told(regret_table(found))
    assert [row["rule"] for row in rows] == [each.rule for each in found.regrets]
    for row, each in zip(rows, found.regrets, strict=True):
        assert [row[labels] for labels in found.table.budgets] == [
            format_signed(each.losses[labels]) for labels in found.table.budgets
        ]
        assert row["mean"] == format_signed(each.mean)


def _value(found: Interval | None) -> float | None:
    return None if found is None else found.value
