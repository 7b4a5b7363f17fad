"""What a sweep would do, as a table; nothing is launched and nothing is written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.settings import legible
from tlexp.terminal import aligned

_WIDTH = 100


def survey_table(folder: Path, runs: Sequence[JobOutcome], *, proposed: int, sampler: str) -> str:
    """Return the runs of a sweep, with what is there of each, and how many would run.

    Args:
        folder: Of the sweep.
        runs: In its order.
        proposed: Runs whose settings a search has yet to choose.
        sampler: What chooses them.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.point))
    rows = [["", *keys, "there", "to do"]]
    rows += [
        [str(run.number), *(point.get(key, "") for key in keys), _there(run), "" if _is_there(run) else "run"]
        for run, point in zip(runs, legible([run.point for run in runs]), strict=True)
    ]
    lines = [line[:_WIDTH].rstrip() for line in aligned(rows)]
    counts = Counter(map(_is_there, runs))
    summary = f"{folder}: {counts[True]} of {len(runs) + proposed} runs are there, {counts[False] + proposed} would run"
    chosen = [f"{proposed} more runs have settings that {sampler} will choose"] if proposed else []
    return "\n".join([*(lines if runs else []), *chosen, summary])


def _there(run: JobOutcome) -> str:
    return "-" if run.status is None else str(run.status)


def _is_there(run: JobOutcome) -> bool:
    return run.status is not None and run.status.is_final
