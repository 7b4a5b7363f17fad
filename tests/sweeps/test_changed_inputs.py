import dataclasses
from collections.abc import Callable

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.changed_inputs import changed_inputs
from tlexp.tracking.blocks import DataBlock

Swept = Callable[..., list[JobOutcome]]


def test_inputs_that_changed_meanwhile_are_told(swept: Swept) -> None:
    runs = swept({"seed": ["0", "1", "2"]}, lambda point: {"val/loss": 1.0}, "tracking=off")
    for number, run in enumerate(runs):
        assert run.record is not None
        data = DataBlock(digest="old" if number == 0 else "new", classes=(), counts={}, skipped=())
        runs[number] = dataclasses.replace(run, record=dataclasses.replace(run.record, data=data))
    assert changed_inputs(runs[1:]) == []
    [note] = changed_inputs(runs)
    assert note.startswith("the images changed during the sweep: runs attempt0 saw others")
