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


SIZES = (
    "python -m tlexp study=sizes backbone=lite0 'data.root=my photos' 'study.sizes=[64,128]' study.name=s "
    "study.minutes=3 tune.trials=1 study.seeds=5"
)


def of_sizes(make_table: MakeTable, *tried: int, own: int | None, unseen: tuple[str, ...] = ()) -> Findings:
    """Return a study of sizes, of which the first is taken."""
    found = findings(make_table, SIZES)
    study = {**found.table.about["study"], "screens": "sizes", "unseen": unseen}
    table = dataclasses.replace(found.table, about={**found.table.about, "study": study})
    [first] = found.screened
    screened = tuple(
        dataclasses.replace(
            first,
            entrant=dataclasses.replace(
                first.entrant,
                name=f"{size}px",
                columns=() if number else first.entrant.columns,
                facts={"image_size": size, "own_size": own},
            ),
        )
        for number, size in enumerate(tried)
    )
    return dataclasses.replace(found, table=table, screened=screened)


@pytest.mark.parametrize(
    ("own", "sizes"), [(224, "[128,224]"), (128, "[128,160,192]"), (96, "[128,160,192]"), (None, "[128,160,192]")]
)
@pytest.mark.usefixtures("undrawn")
def test_where_the_largest_size_is_taken_larger_ones_are_offered(
    make_table: MakeTable, tmp_path: Path, own: int | None, sizes: str
) -> None:
    found = of_sizes(make_table, 128, 64, own=own)
    told = sizes_command(found)
    assert told is not None
    assert told.line == (
        f"python -m tlexp study=sizes backbone=lite0 'data.root=my photos' study.seeds=5 'study.sizes={sizes}'"
    )
    assert told.about == "sizes above 128 px were not tried and may be more accurate: this compares them"
    assert f"sizes   {told.line}\n        {told.about}\n" in summary(found, tmp_path)
    assert [command.line for command in build_document(found).commands][1:] == [told.line]


def test_no_larger_size_is_offered_where_one_was_tried_or_not_looked_at(make_table: MakeTable) -> None:
    assert sizes_command(of_sizes(make_table, 64, 128, own=224)) is None
    assert sizes_command(of_sizes(make_table, 128, 64, own=224, unseen=("192px",))) is None
