import dataclasses
from pathlib import Path

import pytest

from tlexp.compose.load import Composed
from tlexp.config import Config
from tlexp.jobs.folder import Attempt
from tlexp.jobs.index import RunIndex
from tlexp.jobs.planned import Planned
from tlexp.jobs.runner import SILENT
from tlexp.tracking import Record, RunStatus, environment
from tlexp.tracking.blocks import FreezeBlock, PrunedBlock, Seeds, TrainBlock
from tlexp.tracking.names import PROCESS_FILE

PLANNED = Planned(
    point={"seed": "0"}, overrides=("seed=0",), key="k", composed=Composed(config=Config(), shown={}),
)  # fmt: skip


def attempt(
    folder: Path, status: RunStatus | None, *, key: str = "k", begun: bool = True, fault: str | None = None
) -> Attempt:
    """Return an attempt as it was left; without a status it has no record."""
    folder.mkdir()
    if begun:
        (folder / PROCESS_FILE).touch()
    record = None
    if status is not None:
        record = Record(
            key=key, status=status, reason="written down", overrides=[], config={},
            seeds=Seeds(seed=0, data=0), freeze=FreezeBlock(policy="none"),
            data=None, train=TrainBlock(), metrics={"val/loss": 0.5}, tracking=None,
            environment=environment("cpu"), started="", ended="",
        )  # fmt: skip
    return Attempt(folder=folder, key=key, number=0, point={"seed": "0"}, record=record, fault=fault)


def test_attempts_are_kept_by_key_in_their_order(tmp_path: Path) -> None:
    first, second = attempt(tmp_path / "1", None), attempt(tmp_path / "2", None)
    other = attempt(tmp_path / "3", None, key="other")
    index = RunIndex([first, other, second])
    assert index.attempts("k") == [first, second]
    assert index.attempts("unknown") == []
    assert sorted(each.folder.name for each in index.every()) == ["1", "2", "3"]
    index.attempts("k").clear()
    assert index.attempts("k") == [first, second]


@pytest.mark.parametrize("status", RunStatus)
def test_a_finished_or_pruned_run_counts_and_only_a_finished_one_has_a_value(tmp_path: Path, status: RunStatus) -> None:
    left = attempt(tmp_path / "1", status)
    index = RunIndex([left, attempt(tmp_path / "2", RunStatus.killed)])
    assert index.counting("k") == (left if status in (RunStatus.finished, RunStatus.pruned) else None)
    assert index.value("k", "val/loss") == (0.5 if status is RunStatus.finished else None)
    assert index.value("k", "val/accuracy") is None
    assert index.value("unknown", "val/loss") is None


def test_of_a_pruned_run_it_is_known_where(tmp_path: Path) -> None:
    left, block = attempt(tmp_path / "1", RunStatus.pruned), PrunedBlock(look=1, step=320, steps=960, loss=1.5)
    assert left.record is not None
    record = dataclasses.replace(left.record, train=TrainBlock(pruned=block))
    index = RunIndex([dataclasses.replace(left, record=record)])
    assert index.pruned("k") == block
    assert index.pruned("unknown") is None
    assert RunIndex([attempt(tmp_path / "2", RunStatus.finished)]).pruned("k") is None


def test_what_is_heard_of_an_attempt_takes_its_place(tmp_path: Path) -> None:
    first, second = attempt(tmp_path / "1", None), attempt(tmp_path / "2", RunStatus.failed)
    index = RunIndex([first, second])
    ended = Attempt(**(vars(first) | {"record": second.record}))
    index.hear(ended, None)
    assert index.attempts("k") == [second, ended]
    new = attempt(tmp_path / "3", None)
    index.hear(new, "why")
    assert index.attempts("k") == [second, ended, new]
    assert index.outcome(0, PLANNED).reason == "why"


def test_of_several_attempts_the_one_that_counts_is_shown(tmp_path: Path) -> None:
    finished, failed = attempt(tmp_path / "1", RunStatus.finished), attempt(tmp_path / "2", RunStatus.failed)
    found = RunIndex([finished, failed]).outcome(7, PLANNED)
    assert (found.number, found.point, found.overrides, found.key) == (7, {"seed": "0"}, ("seed=0",), "k")
    assert (found.folder, found.status, found.record) == (finished.folder, RunStatus.finished, finished.record)


def test_else_the_latest_that_began(tmp_path: Path) -> None:
    failed, diverged = attempt(tmp_path / "1", RunStatus.failed), attempt(tmp_path / "2", RunStatus.diverged)
    waiting = attempt(tmp_path / "3", None, begun=False)
    found = RunIndex([failed, diverged, waiting]).outcome(0, PLANNED)
    assert (found.folder, found.status, found.reason) == (diverged.folder, RunStatus.diverged, "written down")
    found = RunIndex([waiting]).outcome(0, PLANNED)
    assert (found.folder, found.status, found.reason, found.record) == (None, None, None, None)


@pytest.mark.parametrize(
    ("heard", "fault", "status", "reason"),
    [
        (None, None, RunStatus.killed, SILENT),
        (SILENT, None, RunStatus.killed, SILENT),
        ("KeyError", None, RunStatus.failed, "KeyError"),
        (None, "torn", RunStatus.failed, "torn"),
        ("KeyError", "torn", RunStatus.failed, "KeyError"),
    ],
)
def test_an_attempt_without_a_record_was_killed_unless_something_is_known(
    tmp_path: Path, heard: str | None, fault: str | None, status: RunStatus, reason: str
) -> None:
    index = RunIndex([])
    index.hear(attempt(tmp_path / "1", None, fault=fault), heard)
    found = index.outcome(0, PLANNED)
    assert (found.status, found.reason, found.record) == (status, reason, None)
