"""What a sweep would do, as a table; nothing is launched and nothing is written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tlexp.jobs.folder import run_folder
from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.settings import legible
from tlexp.terminal import aligned

_WIDTH = 100


def survey_table(
    folder: Path, runs: Sequence[JobOutcome], *, proposed: int, sampler: str, under_way: Mapping[str, str] = {}
) -> str:
    """Return the runs of a sweep, with what is there of each, and how many would run.

    Args:
        folder: Of the sweep.
        runs: In its order.
        proposed: Runs whose settings a search has yet to choose.
        sampler: What chooses them.
        under_way: Name of the folder of each run that others have in hand -> how.
    """

    def there(run: JobOutcome) -> str:
        stands = "-" if run.status is None else str(run.status)
        return stands if _is_there(run) else under_way.get(run_folder(run.key), stands)

    def would_run(run: JobOutcome) -> bool:
        return not _is_there(run) and run_folder(run.key) not in under_way

    keys = list(dict.fromkeys(key for run in runs for key in run.point))
    rows = [["", *keys, "there", "to do"]]
    rows += [
        [str(run.number), *(point.get(key, "") for key in keys), there(run), "run" if would_run(run) else ""]
        for run, point in zip(runs, legible([run.point for run in runs]), strict=True)
    ]
    lines = [line[:_WIDTH].rstrip() for line in aligned(rows)]
    done, left = sum(map(_is_there, runs)), sum(map(would_run, runs)) + proposed
    handed = len(runs) + proposed - done - left
    others = f"{handed} {'is' if handed == 1 else 'are'} under way, " if handed else ""
    summary = f"{folder}: {done} of {len(runs) + proposed} runs are there, {others}{left} would run"
    chosen = [f"{proposed} more runs have settings that {sampler} will choose"] if proposed else []
    return "\n".join([*(lines if runs else []), *chosen, summary])


def _is_there(run: JobOutcome) -> bool:
    return run.status is not None and run.status.is_final
