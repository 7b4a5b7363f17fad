import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.studies.conftest import MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.table import Column, Role
from tlexp.studies.report.figures import network_picture
from tlexp.studies.report.networks import (
    cheaper_lines,
    gain_lines,
    network_table,
    networks_csv,
    pareto_front,
    reading_lines,
    unseen_notices,
)
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.summary import summary

STRENGTH = {"small": 0.1, "large": 0.9, "old": 0.0}
COLUMNS = tuple(
    Column(name=f"{name}-{depth}", title=name, role=Role.way, depth=None, solved=depth == "frozen", trainable=4)
    for name in STRENGTH
    for depth in ("frozen", "none")
)
FACTS: dict[str, Any] = {"licence": "apache-2.0", "megabytes": 13.5, "parameters": 3_400_000, "image_size": 224,
                         "milliseconds": 1.25}  # fmt: skip


def findings(make_table: MakeTable, favourite: str, missing: Sequence[tuple[str, str]] = ()) -> Findings:
    table = make_table(
        seeds=3, columns=COLUMNS, budgets=("5", "20"), failed=(), waiting=(), missing=missing, per_class=(40,) * 4,
        strength={column.name: (STRENGTH[column.title], 0.1) for column in COLUMNS},
    )  # fmt: skip
    entrants = [
        {
            "name": name,
            "columns": [f"{name}-frozen", f"{name}-none"],
            "operations": 10**6 * number,
            "prior": 80.0 if name == favourite else 70.0,
            "facts": FACTS if name != "old" else {},
        }
        for number, name in enumerate(STRENGTH, 1)
    ]
    about = {**table.about, "study": {**table.about["study"], "entrants": entrants}}
    return analyse(dataclasses.replace(table, about=about))


def test_a_network_that_is_worse_and_dearer_is_not_on_the_front(make_table: MakeTable) -> None:
    assert pareto_front(findings(make_table, "small")) == {"small", "large"}


def test_networks_are_compared_at_a_budget_that_all_have(make_table: MakeTable) -> None:
    """More labels are no merit of the network that was given them."""
    lacking = [(f"large-{depth}", "20") for depth in ("frozen", "none")]
    found = findings(make_table, "small", lacking)
    table = network_table(found)
    assert table.head[3] == "accuracy, 5"
    assert pareto_front(found) == {"small", "large"}
    best = max(found.cells[f"small-{depth}", "5"].accuracy.value for depth in ("frozen", "none"))
    assert {row[0].removesuffix(" *"): row[3] for row in table.rows}["small"] == f"{best:.3f}"


def test_the_table_has_the_licence_or_says_that_it_is_not_known(make_table: MakeTable) -> None:
    rows = {row[0].removesuffix(" *"): row for row in network_table(findings(make_table, "small")).rows}
    assert rows["large"][4:] == ("apache-2.0", "14", "224", "2", "1.2", "70.0 %")
    assert rows["old"][4:7] == ("not known", "–", "–")
    assert rows["old"][8] == "–"


def test_no_star_rests_on_a_clock(make_table: MakeTable) -> None:
    found = findings(make_table, "small")
    slow = [
        dataclasses.replace(each, entrant=dataclasses.replace(each.entrant, facts={"milliseconds": 10.0**place}))
        for place, each in enumerate(found.screened)
    ]
    assert pareto_front(dataclasses.replace(found, screened=tuple(slow))) == pareto_front(found)


@pytest.mark.parametrize("favourite", ["small", "large"])
def test_what_looking_gained_over_the_favourite_is_an_estimate_with_its_interval(
    make_table: MakeTable, favourite: str
) -> None:
    lines = gain_lines(findings(make_table, favourite))
    if favourite == "large":
        [told] = lines
        assert told.startswith("With 5 and 20 labels per class large: licence apache-2.0, 14 MB")
        assert "gained nothing over it" in told
    else:
        assert [line.partition(" labels")[0] for line in lines] == ["With 20", "With 5"]
        assert "licence apache-2.0, 14 MB, 224 px, 2 M operations per image" in lines[0]
        told = "ImageNet's results favour small: on these images large-"
        assert all(re.search(rf"{told}\w+ is [\d.]+ points better than its best, small-", line) for line in lines)


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (0.012, -0.03, 0.054, "1.2 points better than its best, {} (95 %: -3.0 to +5.4), which may be chance."),
        (0.012, 0.003, 0.02, "1.2 points better than its best, {} (95 %: +0.3 to +2.0)."),
        (-0.012, -0.03, -0.002, "1.2 points worse than its best, {} (95 %: -3.0 to -0.2)."),
        (0.012, None, None, "1.2 points better than its best, {}."),
    ],
)
def test_a_gain_that_may_be_chance_says_so(
    make_table: MakeTable, value: float, low: float | None, high: float | None, told: str
) -> None:
    found = findings(make_table, "small")
    pairs = tuple(
        dataclasses.replace(
            each if each.first.startswith("large") else each.turned(), value=value, alone_low=low, alone_high=high
        )
        for each in found.differences
    )
    for line in gain_lines(dataclasses.replace(found, differences=pairs)):
        assert line.endswith((told.format("small-frozen"), told.format("small-none")))


def test_the_page_says_how_a_network_is_read_and_that_looking_chose_it(make_table: MakeTable) -> None:
    found = findings(make_table, "large")
    places = [each.entrant.name for each in found.screened]
    average = dataclasses.replace(
        found.screened[places.index("large")].entrant, name="large-avg", reads="large", pooling="avg",
    )  # fmt: skip
    own = dataclasses.replace(found.screened[places.index("large")], excess=0.25)
    other = dataclasses.replace(own, entrant=average, excess=0.125)
    alone = dataclasses.replace(own, entrant=dataclasses.replace(own.entrant, columns=()))
    told = dataclasses.replace(found, screened=(other, alone))
    assert reading_lines(told) == (
        "large is read by the average of its patches (large-avg): inside the labels its probe loses 0.125 less than by "
        "its class token.",
    )
    assert (
        "large-avg, a reading of large, which ImageNet's results favour: looking at these images chose its"
        in (gain_lines(told)[0])
    )
    [line] = reading_lines(dataclasses.replace(found, screened=(own, dataclasses.replace(other, excess=0.5))))
    assert line.startswith(
        "large is read by its class token (large): inside the labels its probe loses 0.250 less than"
    )
    [line] = reading_lines(dataclasses.replace(found, screened=(own, dataclasses.replace(other, excess=None))))
    assert line == "large is read by its class token (large): the probe losses of both are not known."
    assert reading_lines(found) == ()


def test_the_numbers_lie_beside_the_page_with_all_digits(make_table: MakeTable) -> None:
    head, *rows = networks_csv(findings(make_table, "small")).decode().splitlines()
    assert head.startswith("network,goes_on,screen,excess_loss")
    assert len(rows) == len(STRENGTH)


def unseen(found: Findings, *names: str, screens: str = "networks") -> Findings:
    """Return a study whose minutes were up before the screen had looked at some."""
    study = found.table.about["study"] | {"unseen": list(names), "screens": screens}
    return dataclasses.replace(found, table=dataclasses.replace(found.table, about={"study": study}))


def test_where_nothing_else_was_looked_at_nothing_is_said_of_what_looking_gained(make_table: MakeTable) -> None:
    found = unseen(findings(make_table, "large"), "small", "old")
    told = dataclasses.replace(found, screened=tuple(each for each in found.screened if each.entrant.name == "large"))
    [line] = gain_lines(told)
    assert line.startswith("large: licence ")
    assert line.endswith(". Nothing else was looked at: what looking gains was not measured.")
    assert not pareto_front(told)


def test_a_favourite_is_one_of_those_that_were_looked_at(make_table: MakeTable) -> None:
    found = findings(make_table, "small")
    assert all("ImageNet's results favour small: " in line for line in gain_lines(found))
    cut = gain_lines(unseen(found, "dear"))
    assert all("ImageNet's results favour small of those that were looked at: " in line for line in cut)


@pytest.mark.usefixtures("undrawn")
def test_what_was_not_looked_at_stands_at_the_top_by_name(make_table: MakeTable, tmp_path: Path) -> None:
    found = findings(make_table, "small")
    assert unseen_notices(found.table) == ()
    told = unseen(found, "96px", screens="sizes")
    assert "1 of 4 sizes was not looked at: 96px." in build_document(told).notices
    assert summary(told, tmp_path).splitlines()[1] == "1 of 4 sizes was not looked at: 96px."
    several = unseen(found, "b", "c").table
    assert unseen_notices(several) == ("2 of 5 networks were not looked at: b, c.",)
    finals = dataclasses.replace(several, columns=several.columns[:2])
    assert unseen_notices(finals) == ("2 of 5 networks were not looked at: b, c.",), "looked at, and left out of finals"


@pytest.mark.usefixtures("undrawn")
def test_sizes_are_called_so_and_the_notes_of_the_study_stand_above_all(make_table: MakeTable) -> None:
    found = findings(make_table, "small")
    study = found.table.about["study"] | {"screens": "sizes", "notes": ["resnet18 sees 96 px"]}
    table = dataclasses.replace(found.table, about={**found.table.about, "study": study})
    screened = tuple(
        dataclasses.replace(each, entrant=dataclasses.replace(each.entrant, prior=None)) for each in found.screened
    )
    told = dataclasses.replace(found, table=table, screened=screened)
    assert network_table(told).head[0] == "size"
    assert network_table(told).title.startswith("Sizes; a star")
    assert "small is the cheapest: on these images " in gain_lines(told)[0]
    report = build_document(told)
    assert ("note", "resnet18 sees 96 px.") in report.facts
    assert "Sizes compared" in [section.title for section in report.sections]
    picture = network_picture(told)
    assert picture is not None
    assert picture.alt == "Sizes by accuracy, over operations and milliseconds per image."
    assert picture.caption.startswith("Mean balanced accuracy of each size's best column, ")


def test_what_cheaper_networks_lose_is_told_with_its_bound_and_what_they_save(
    make_table: MakeTable, tmp_path: Path
) -> None:
    found = findings(make_table, "small")
    [large] = [each for each in found.screened if each.entrant.name == "large"]
    assert found.last_taken is not None
    assert found.last_taken.column in large.entrant.columns
    [line] = cheaper_lines(found)
    told = re.fullmatch(
        r"(small-\w+) loses ([\d.]+) points \(95 %: ([\d.]+) points at most\) with 20 labels per class, for 50 % of "
        r"the operations per image",
        line,
    )
    assert told is not None
    best = found.last_taken.candidate(told[1])
    taken = found.last_taken.candidate(found.last_taken.column)
    assert float(told[2]) == pytest.approx(100 * (taken.mean - best.mean), abs=0.051)
    of_small = [each for each in found.last_taken.candidates if each.column.startswith("small-")]
    assert len(of_small) > 1
    assert best.mean == max(each.mean for each in of_small), "its column that loses least"
    assert best.bound is not None
    assert 0 <= float(told[3]) - 100 * best.bound < 0.1
    assert f"cheaper {line}\n" in summary(found, tmp_path)


@pytest.fixture
def of_many(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> Findings:
    """Return a study of six networks: each of five is cheaper and worse than the one before, the last beaten by all."""
    strength = {"a": 1.6, "b": 1.3, "c": 1.0, "d": 0.7, "e": 0.4, "beaten": 0.1}
    costs = {"a": 600, "b": 500, "c": 400, "d": 300, "e": 200, "beaten": 450}
    columns = tuple(
        Column(name=f"{name}-frozen", title=name, role=Role.way, depth=None, solved=True, trainable=4)
        for name in strength
    )
    table = make_table(
        seeds=6, columns=columns, budgets=("20",), failed=(), waiting=(), missing=(), noise=0.01,
        per_class=(200,) * 4, strength={each.name: (strength[each.title], 0.0) for each in columns},
    )  # fmt: skip
    entrants = [
        {"name": name, "columns": [f"{name}-frozen"], "operations": cost, "prior": 70.0, "facts": FACTS}
        for name, cost in costs.items()
    ]
    study = {**table.about["study"], "entrants": entrants}
    monkeypatch.setattr("tlexp.studies.analysis.screen._IN_TURN", 6)
    return analyse(dataclasses.replace(table, about={**table.about, "study": study}))


def with_last(findings: Findings, **values: Any) -> Findings:
    """Return findings with another recommendation for the largest budget."""
    *others, last = findings.recommendations
    return dataclasses.replace(findings, recommendations=(*others, dataclasses.replace(last, **values)))


def test_of_cheaper_networks_the_dearest_three_on_the_front_are_told(of_many: Findings) -> None:
    assert [line.partition("-")[0] for line in cheaper_lines(of_many)] == ["b", "c", "d"]


def test_a_cheaper_network_that_loses_nothing_is_not_told(of_many: Findings) -> None:
    assert cheaper_lines(with_last(of_many, column="beaten-frozen")) == ()


def test_a_bound_of_everything_is_none_and_one_that_left_has_none(of_many: Findings) -> None:
    candidates = [
        dataclasses.replace(each, bound=1.0) if each.column == "b-frozen" else each
        for each in of_many.recommendations[-1].candidates
        if each.column != "c-frozen"
    ]
    lines = cheaper_lines(with_last(of_many, candidates=tuple(candidates)))
    assert [line.partition("-")[0] for line in lines] == ["b", "c", "d"]
    assert ["at most" in line for line in lines] == [False, False, True]


def test_nothing_is_told_of_what_is_dearer_or_not_on_the_front(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings(make_table, "small")
    dearer = tuple(
        dataclasses.replace(each, entrant=dataclasses.replace(each.entrant, operations=10**9))
        if each.entrant.name == "small"
        else each
        for each in found.screened
    )
    assert cheaper_lines(dataclasses.replace(found, screened=dearer)) == ()
    monkeypatch.setattr("tlexp.studies.report.networks.pareto_front", lambda _: set(STRENGTH))
    assert not any("small" in line for line in cheaper_lines(dataclasses.replace(found, screened=dearer)))
    assert cheaper_lines(dataclasses.replace(found, screened=())) == ()
