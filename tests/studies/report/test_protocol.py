"""What a study says of its own protocol."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tlexp.jobs.planned import sweeps_folder
from tlexp.paths import conf_folder
from tlexp.studies.analysis.findings import DecidingSize, Departure, Findings
from tlexp.studies.analysis.table import BESIDE, HURRIED, ROUNDS
from tlexp.studies.report.protocol import (
    backbone_facts,
    commands,
    data_words,
    deciding_commands,
    deciding_words,
    one_rate_notices,
    one_run_words,
    protocol_sentences,
    title_words,
)
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.sentences import explain
from tlexp.studies.report.summary import summary
from tlexp.terminal import short_path
from tlexp.tracking.blocks import GroupsBlock


def told(findings: Findings, groups: GroupsBlock) -> str:
    record = findings.table.record
    data = dataclasses.replace(record.data, groups=groups)
    table = dataclasses.replace(findings.table, record=dataclasses.replace(record, data=data))
    return " ".join(protocol_sentences(dataclasses.replace(findings, table=table)))


@pytest.mark.parametrize(
    ("leaked", "kept"),
    [
        (0, "are never parted, neither by the test split nor by a fold of the selection; budgets are spread"),
        (1, "are never parted by a fold of the selection, but 1 group is both learned from and tested on ("),
        (7, "but 7 groups are both learned from and tested on (data.on_leak=list; leaks.csv), so that the test may"),
    ],
)
def test_groups_are_said_to_be_kept_together_only_where_they_are(findings: Findings, leaked: int, kept: str) -> None:
    block = GroupsBlock(stated="data.group=g.csv", pool=30, held_out=10, leaked=leaked)
    assert kept in told(findings, block)
    assert ("neither by the test split" in told(findings, block)) == (leaked == 0)


def deciding(findings: Findings, **changes: object) -> str:
    [first, *others] = findings.recommendations
    size = DecidingSize(seeds=8, images=None, both=None, least=0.0, pool=False)
    wanted = (dataclasses.replace(first, deciding=size), *(dataclasses.replace(each, deciding=None) for each in others))
    about = {**findings.table.about, "study": {"command": "python -m tlexp study=quick study.minutes=9 study.seeds=3"}}
    table = dataclasses.replace(findings.table, about=about, **changes)
    return " ".join(deciding_commands(dataclasses.replace(findings, table=table, recommendations=wanted)))


def test_images_are_counted_over_all_seeds_wherever_they_are_told(findings: Findings) -> None:
    count = len(findings.table.labels)
    assert data_words(findings.table).endswith(f" {count} test images")
    assert "in all" not in " ".join(reason for each in explain(findings) for reason in each.reasons())
    found = dataclasses.replace(findings, table=dataclasses.replace(findings.table, split=48))
    others = f"{count - 48} others, of which each data seed leaves some"
    told = f" {count} test images in all: 48 of the test split and {others}"
    assert data_words(found.table).endswith(told)
    assert f" and {count} test images in all seeds together." in explain(found)[0].reasons()[0]


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        (
            "depths",
            {"data.source": "folder", "data.root": "/mnt/my photos/"},
            "How much of tiny to freeze, on my photos",
        ),
        ("frozen", {"data.source": "csv", "data.train": "a/b.csv"}, "Which head for tiny, wholly frozen, on b.csv"),
        ("backbones", {"data.source": "timm"}, "Which network, on timm"),
        ("depths", {"data.source": "folder", "data.root": "."}, "How much of tiny to freeze, on ."),
        ("sizes", {"data.source": "timm"}, "Which input size for tiny, on timm"),
        ("heads", {"data.source": "shapes"}, "Which head for tiny, on rendered shapes"),
        ("mine", {"data.source": "folder", "data.root": "photos"}, "made-up: folder in photos"),
    ],
)
def test_a_page_is_headed_by_what_the_study_asks(
    kind: str, settings: dict[str, str], told: str, findings: Findings
) -> None:
    about = {"fixed": settings, "study": {"kind": kind}}
    sized = ", 64px, 128px" if kind == "sizes" else ""
    backbone = f"tiny (timm's test_resnet){sized}"
    table = dataclasses.replace(findings.table, about=about, record=None, backbone=backbone)
    assert title_words(table) == told
    named = ("backbone", "tiny (timm's test_resnet)")
    assert backbone_facts(table) == ((named, ("sizes", "64px, 128px")) if sized else (named,))


def test_every_kind_of_study_has_a_question(findings: Findings) -> None:
    for path in (conf_folder() / "study").glob("*.yaml"):
        kind = yaml.safe_load(path.read_text()).get("study", {}).get("kind")
        if kind is not None:
            table = dataclasses.replace(findings.table, about={"study": {"kind": kind}})
            assert not title_words(table).startswith(findings.table.name), kind


def test_the_page_names_the_folder_as_an_interrupted_study_does(findings: Findings) -> None:
    name = findings.table.name
    assert commands(findings.table)[-1] == f"python -m tlexp report {short_path(sweeps_folder() / name)}"
    blank = dataclasses.replace(findings.table, name="a b")
    assert commands(blank)[-1] == "python -m tlexp report 'multirun/a b'"


def test_a_run_of_its_own_is_told_from_the_mean_that_an_answer_is(findings: Findings, tmp_path: Path) -> None:
    told = (
        "It is one network, which learns from all labels, where the answer's learned from fewer; its accuracy may "
        "differ from the answer's: that is a mean over 5 draws of labels"
    )
    table, taken = findings.table, findings.last_taken
    assert taken is not None
    assert taken.column is not None
    assert one_run_words(findings) == f"{told}."
    others = f" and up to {len(table.labels)} test images; it is tested on 48."
    assert one_run_words(with_table(findings, split=48)) == told + others
    assert one_run_words(with_table(findings, split=len(table.labels))) == f"{told}."
    [command] = build_document(findings).commands
    assert command.about.endswith(f" a card that describes it. {told}.")
    assert f"labels=all\n        {told[:80]}" in summary(findings, tmp_path)
    place = taken.column, taken.labels
    few = dataclasses.replace(table.cells[place], replicates=table.cells[place].finished[:3])
    assert one_run_words(with_table(findings, cells={**table.cells, place: few})) == f"{told.replace('5', '3')}."
    one = dataclasses.replace(few, replicates=few.replicates[:1])
    assert one_run_words(with_table(findings, cells={**table.cells, place: one})) == f"{told.partition(';')[0]}."
    whole = {"skipped": {"labels=all": f"the same images as labels={taken.labels}"}}
    same = "It is one network; its accuracy may differ from the answer's: that is a mean over 5 runs."
    assert one_run_words(with_table(findings, **whole)) == same, "all draws of all labels are the same"
    assert one_run_words(with_table(findings, cells={**table.cells, place: one}, **whole)) == ""


def with_table(findings: Findings, **changes: Any) -> Findings:
    return dataclasses.replace(findings, table=dataclasses.replace(findings.table, **changes))


@pytest.mark.parametrize(("rates", "taken", "told"), [(1, "freeze-5", 1), (4, "freeze-5", 0), (1, "freeze-3", 0)])
def test_freezing_is_not_said_to_win_over_a_rate_that_nothing_was_compared_with(
    rates: int, taken: str, told: int, findings: Findings, tmp_path: Path
) -> None:
    words = "tune.trials=4 compares four rates."
    frozen = ("freeze=all", "head=logreg")
    columns = [dataclasses.replace(each, words=frozen) if each.depth == 5 else each for each in findings.table.columns]
    about = {**findings.table.about, "study": {**findings.table.about["study"], "trials": rates}}
    table = dataclasses.replace(findings.table, about=about, columns=tuple(columns))
    [one, *_] = findings.recommendations
    found = dataclasses.replace(findings, table=table, recommendations=(dataclasses.replace(one, column=taken),))
    assert sum(words in notice for notice in build_document(found).notices) == told
    assert " ".join(summary(found, tmp_path).split()).count(words) == told
    alone = tuple(each for each in one.candidates if each.column == "freeze-5")
    heads = dataclasses.replace(one, column="freeze-5", candidates=alone)
    assert one_rate_notices(dataclasses.replace(found, recommendations=(heads,))) == (), "nothing trained was compared"
    left = dataclasses.replace(heads, dropped={"freeze-0": Departure(round=1, surely=True)})
    notices = one_rate_notices(dataclasses.replace(found, recommendations=(left,)))
    assert bool(notices) == (rates == 1), "it was, and left after a round"


def test_the_margin_is_told_with_what_it_makes_of_an_answer(findings: Findings, tmp_path: Path) -> None:
    told = (
        "2.5 points (study.margin): an answer is decided if surely no column is better by more, nearly decided up to "
        "7.5 points, else open"
    )
    found = dataclasses.replace(findings, table=dataclasses.replace(findings.table, margin=0.025))
    assert dict(build_document(found).facts)["margin"] == told
    assert f"margin  {told}" in " ".join(summary(found, tmp_path).split()).replace("margin 2.5", "margin  2.5")


def test_seeds_are_said_to_decide_those_budgets_alone_that_they_would(findings: Findings) -> None:
    size = DecidingSize(seeds=19, images=None, both=None, least=0.0, pool=True)
    sizes = (size, dataclasses.replace(size, seeds=None), None)
    wanted = [dataclasses.replace(findings.recommendations[0], labels=labels) for labels in ("1", "5", "20")]
    wanted = [dataclasses.replace(each, deciding=size) for each, size in zip(wanted, sizes, strict=True)]
    left = "more data seeds alone would not decide labels=5"
    for seen, stated, told in (
        (wanted, True, f"would decide labels=1, in about 21 min; {left}"),
        (wanted, False, left),
        (wanted[:1], True, "would decide labels=1"),
        (wanted[2:], True, ""),
    ):
        found = dataclasses.replace(findings, recommendations=tuple(seen))
        assert deciding_words(found, stated=stated) == told


@pytest.mark.parametrize(("seconds", "told"), [(0.001, ", in a few seconds"), (0.1, ", in about 10 s")])
def test_what_decides_in_no_time_takes_a_few_seconds(seconds: float, told: str, findings: Findings) -> None:
    size = DecidingSize(seeds=19, images=None, both=None, least=0.0, pool=True)
    wanted = dataclasses.replace(findings.recommendations[0], labels="5", deciding=size)
    cells = {place: dataclasses.replace(cell, seconds=seconds) for place, cell in findings.cells.items()}
    found = dataclasses.replace(findings, recommendations=(wanted,), cells=cells)
    assert deciding_words(found).partition("labels=5")[2] == told


def test_a_command_that_takes_up_what_the_minutes_left_out_says_so(findings: Findings) -> None:
    """It may take days: among others of what was left out are the dearest columns."""
    size = DecidingSize(seeds=19, images=None, both=None, least=0.0, pool=True)
    wanted = dataclasses.replace(findings.recommendations[0], labels="1", deciding=size)
    hurried = dataclasses.replace(findings.table, skipped={ROUNDS: f"{HURRIED}9"})
    found = dataclasses.replace(findings, table=hurried, recommendations=(wanted,))
    told = "would decide labels=1; it takes up all that the minutes left out, --dry-run says for how long"
    assert deciding_words(found) == told, "a study of an early version keeps no bill"
    study = {**hurried.about["study"], "estimate": {"seconds": 9.0, "once": 400.0, "seed": 200.0}}
    billed = dataclasses.replace(found, table=dataclasses.replace(hurried, about={**hurried.about, "study": study}))
    told = "would decide labels=1; it takes up all that the minutes left out, up to about 70 min by the bill"
    assert deciding_words(billed) == told
    controls = dataclasses.replace(billed.table, skipped={BESIDE["scratch"]: f"{HURRIED}9"})
    assert deciding_words(dataclasses.replace(billed, table=controls)) == told
    assert "minutes" not in deciding_words(found, stated=False)


def test_more_seeds_go_on_under_the_name_of_the_study(findings: Findings) -> None:
    name = f"study.name={findings.table.name}"
    unlimited = f"python -m tlexp study=quick {name} study.seeds=8 study.minutes=0"
    assert deciding(findings) == unlimited, "the minutes might leave out what decides"
    assert deciding(findings, skipped={ROUNDS: f"{HURRIED}9"}) == unlimited
    assert deciding(findings, skipped={BESIDE["scratch"]: f"{HURRIED}9"}) == unlimited
    assert deciding(findings, skipped={"none frozen": f"{HURRIED}9"}) == unlimited
