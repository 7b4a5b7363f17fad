"""After networks that saw small images a study of the sizes of the one that was taken, as a command."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.screen import Entrant, Screened
from tlexp.studies.report.sections import build_document
from tlexp.studies.report.sizes_command import sizes_command
from tlexp.studies.report.summary import summary

TYPED = (
    "python -m tlexp study=backbones 'study.backbones=[tiny,lite0]' data=folder 'data.root=my photos' study.minutes=3 "
    "backbone.image_size=64 'study.labels=[2,5]' study.name=nets study.seeds=5"
)
WORDS = ("study=backbones", "backbone=lite0", "head.global_pool=avg", "freeze=all", "head=logreg", "tune.trials=0")


def findings(make_table: MakeTable, command: str = TYPED, **facts: Any) -> Findings:
    """Return a study that took a network, of which this is known."""
    table = make_table(columns=[dataclasses.replace(each, words=WORDS) for each in DEPTHS], failed=(), waiting=())
    about = {**table.about, "study": {**table.about["study"], "command": command}}
    found = analyse(dataclasses.replace(table, about=about))
    entrant = Entrant(name="lite0", columns=tuple(each.name for each in DEPTHS), operations=10, facts=facts)
    screened = Screened(entrant=entrant, goes_on=True, why="", excess=None, behind=None)
    return dataclasses.replace(found, screened=(screened,))


@pytest.mark.usefixtures("undrawn")
def test_the_network_that_was_taken_is_compared_at_its_own_size(make_table: MakeTable, tmp_path: Path) -> None:
    found = findings(make_table, image_size=64, own_size=224)
    told = sizes_command(found)
    assert told is not None
    assert told.line == (
        "python -m tlexp backbone=lite0 head.global_pool=avg data=folder 'data.root=my photos' 'study.labels=[2,5]' "
        "study=sizes 'study.sizes=[64,128,224]'"
    )
    assert told.about.startswith("lite0 saw 64 px here, less than half of the 224 that it was trained at: larger is ")
    assert f"sizes   {told.line}\n        lite0 saw" in summary(found, tmp_path)
    assert [command.line for command in build_document(found).commands][1:] == [told.line]


@pytest.mark.parametrize(("trials", "kept"), [(1, False), (2, True)])
def test_a_single_rate_is_not_handed_on(make_table: MakeTable, trials: int, kept: bool) -> None:
    told = sizes_command(findings(make_table, f"{TYPED} tune.trials={trials}", image_size=64, own_size=224))
    assert told is not None
    assert (f"tune.trials={trials}" in told.line) == kept


@pytest.mark.parametrize(
    ("used", "own", "command"),
    [
        (112, 224, TYPED),
        (64, None, TYPED),
        (None, 224, TYPED),
        (64, 224, f"{TYPED} 'study.sizes=[32,64]'"),
        (64, 224, TYPED.replace("study=backbones", "study=sizes")),
    ],
)
def test_no_command_where_the_size_is_not_far_below_or_is_compared(
    make_table: MakeTable, used: int | None, own: int | None, command: str
) -> None:
    assert sizes_command(findings(make_table, command, image_size=used, own_size=own)) is None
