"""After a study that was cut to its minutes a command that takes up what they left out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from tlexp.studies.analysis.findings import DecidingSize, Findings
from tlexp.studies.analysis.table import BESIDE, CONTROLS, HURRIED, ROUNDS
from tlexp.studies.report.minutes_command import minutes_command
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.summary import summary

TYPED = "python -m tlexp study=backbones 'data.root=my photos' study.minutes=9 study.name=other"
COLUMN = "lite0: none frozen: full fine-tuning"


def cut(
    findings: Findings, *left_out: str, command: str = TYPED, seeds: int | None = None, **study: object
) -> Findings:
    """Return a study that left something out, with a bill of 400 seconds and 200 for each data seed."""
    bill = {"seconds": 9.0, "once": 400.0, "seed": 200.0}
    stated = {"command": TYPED, "stated": {"minutes": 9}, "looks": [3, 10], "estimate": bill, **study}
    about = {**findings.table.about, "study": {**findings.table.about["study"], **stated}}
    table = dataclasses.replace(findings.table, about=about, skipped=dict.fromkeys(left_out, f"{HURRIED}9"))
    size = DecidingSize(seeds=seeds, images=None, both=None, least=0.0, pool=True)
    [first, *others] = findings.recommendations
    told = (dataclasses.replace(first, deciding=size), *(dataclasses.replace(each, deciding=None) for each in others))
    return dataclasses.replace(findings, table=table, recommendations=told)


@pytest.mark.usefixtures("undrawn")
def test_the_minutes_that_the_first_round_takes_are_offered(findings: Findings, tmp_path: Path) -> None:
    found = cut(findings, COLUMN, ROUNDS)
    told = minutes_command(found)
    assert told is not None
    assert told.line == "python -m tlexp study=backbones 'data.root=my photos' study.name=made-up study.minutes=21"
    assert told.about == "measures what study.minutes left out: by its bill the study takes about 17 min then"
    assert f"{told.line}\n        {told.about}\n" in summary(found, tmp_path)
    [section] = [each for each in build_document(found).sections if each.title == "Failed, missing and left out"]
    assert (section.about, section.commands) == (f"This {told.about}:", (told.line,))


def test_a_study_that_was_left_without_rounds_is_offered_the_first_of_them(findings: Findings) -> None:
    solved = minutes_command(cut(findings, COLUMN, ROUNDS, looks=[5]))
    assert solved == minutes_command(cut(findings, COLUMN, ROUNDS))


@pytest.mark.parametrize(
    ("left_out", "offered"),
    [
        ([f"labels=5 of {COLUMN}"], True),
        (["labels=50"], True),
        ([ROUNDS, CONTROLS], False),
        ([BESIDE["scratch"], f"labels=5,20 of {BESIDE['pixels']}"], False),
        ([], False),
    ],
)
def test_only_what_an_answer_could_rest_on_is_offered(
    left_out: Sequence[str], offered: bool, findings: Findings
) -> None:
    assert (minutes_command(cut(findings, *left_out)) is not None) == offered


def test_nothing_is_offered_of_which_nobody_knows_how_long_it_takes(findings: Findings) -> None:
    assert minutes_command(cut(findings, unseen=["lite2"])) is not None
    assert minutes_command(cut(findings, COLUMN, ROUNDS, seeds=95)) is not None, "what decides may take days"
    assert minutes_command(cut(findings, COLUMN, stated={"minutes": 21})) is None
    found = cut(findings, COLUMN, stated={"minutes": None})
    for why in ("60; the study would take about 2 h with it", "60, which were up before it ended", "1e+06; with it"):
        table = dataclasses.replace(found.table, skipped={COLUMN: f"{HURRIED}{why}"})
        assert minutes_command(dataclasses.replace(found, table=table)) is None, "by default it had more"
    assert minutes_command(cut(findings, COLUMN, estimate={"seconds": 9.0})) is None, "a study of an early version"
