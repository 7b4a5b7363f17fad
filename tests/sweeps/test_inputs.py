from collections.abc import Callable

from tlexp.jobs.outcome import SweptRun
from tlexp.sweeps.inputs import changed_inputs

Swept = Callable[..., list[SweptRun]]


def test_inputs_that_changed_meanwhile_are_told(swept: Swept) -> None:
    runs = swept({"seed": ["0", "1", "2"]}, lambda point: {"val/loss": 1.0}, "tracking=off")
    for number, run in enumerate(runs):
        assert run.record is not None
        run.record.data["digest"] = "old" if number == 0 else "new"
    assert changed_inputs(runs[1:]) == []
    [note] = changed_inputs(runs)
    assert note.startswith("the images changed during the sweep: runs attempt0 saw others")
