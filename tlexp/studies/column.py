"""A job of a study: those replicates of one column that have their turn, a record for each.

What replicates have in common is made once: network, images, features, and heads, which are solved for all budgets,
seeds, folds and penalties together. The batch is always all that the column may ever run, so that a study that was
killed and typed again finds the same solutions as one that was not.
"""

import contextlib
import dataclasses
import math
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tlexp.compose.load import Composed
from tlexp.config import Config, config_key
from tlexp.config.head import HeadInit
from tlexp.errors import Interrupted, TlexpError
from tlexp.experiment.probe import solve_together
from tlexp.experiment.session import Session, process_session
from tlexp.jobs.files import COLUMN_FILE, ColumnFile, read_endings
from tlexp.jobs.folder import Attempt, SweepFolder
from tlexp.jobs.index import RunIndex
from tlexp.jobs.progress import say
from tlexp.jobs.worker import TRACEBACK_FILE
from tlexp.jsonfile import read_json
from tlexp.paths import in_words, publish, publish_json
from tlexp.studies.planning.planned_column import replicate
from tlexp.studies.planning.rounds import column_seconds
from tlexp.studies.prefetch import fill_cuts
from tlexp.tracking import names
from tlexp.tracking.environment import write_identity
from tlexp.train import Listener, choose_device, deterministic


class Run(Protocol):
    """Does one run."""

    def __call__(
        self,
        config: Config,
        *,
        folder: Path,
        listener: Listener,
        shown: dict[str, Any],
        overrides: Sequence[str],
        study: str,
        session: Session,
    ) -> Any:
        """Do it; its record is published however it ends."""
        ...


class _Limit:
    """Which replicates may begin: those that end in time, by how long the ones before took beside their estimate.

    Args:
        job: job.json: `until`, in seconds since 1970; `seconds`, keys -> estimate; `always`, keys of what begins in any
            case. One without them has no limit.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._until, self._always = job.get("until", math.inf), frozenset(job.get("always", ()))
        self._seconds: Mapping[str, float] = job.get("seconds", {})
        self._took = self._reckoned = 0.0

    def allows(self, key: str) -> bool:
        """Return whether a replicate may begin now."""
        pace = self._took / self._reckoned if self._reckoned else 1.0
        return key in self._always or time.time() + pace * self._seconds.get(key, 0.0) < self._until

    def note(self, key: str, took: float) -> None:
        """Note the seconds that a replicate took."""
        self._took, self._reckoned = self._took + took, self._reckoned + self._seconds.get(key, 0.0)


@dataclass(frozen=True, kw_only=True)
class _Replicate:
    key: str
    labels: str
    seed: int
    config: Config


def run_column(loaded: Composed, *, folder: Path, overrides: Sequence[str], run: Run, listener: Listener) -> None:
    """Run what has not finished of a column.

    Args:
        loaded: Configuration of the column.
        folder: Of the job, <study>/columns/<column>/<attempt>; its job.json names the replicates that have their turn,
            and may say until when.
        overrides: Of the job.
        run: Does one run.
        listener: Hears of progress and may ask to stop.

    Raises:
        Interrupted: A signal asked to stop; the run that was interrupted has left a checkpoint.
    """
    taken_up = time.monotonic()
    column, study = str(loaded.config.study.column), SweepFolder(folder.parents[2])
    about = study.about()
    assert about is not None
    planned = [
        _Replicate(key=key, labels=labels, seed=seed, config=replicate(loaded.config, labels, seed))
        for key, (name, labels, seed) in about["study"]["replicates"].items()
        if name == column
    ]
    job, by_key = read_json(folder / names.JOB_FILE), {each.key: each for each in planned}
    replicates, limit = [by_key[key] for key in job["runs"] if key in by_key], _Limit(job)
    index = RunIndex(study.attempts(each.key for each in replicates))
    missing = [each for each in replicates if index.counting(each.key) is None]
    before = column_seconds(column, (each.key for each in replicates), index, read_endings(study.path))
    session = process_session()
    if missing and limit.allows(missing[0].key):
        with deterministic(loaded.config.train.deterministic):  # as each run, under whose keys this is kept
            _fill(about["study"], column, [each.config for each in replicates], session, listener)
            for together in _solved_together(about["study"], column, planned):
                if not {each.key for each in together}.isdisjoint(each.key for each in missing):
                    _solve([each.config for each in together], session, listener)
    shared = [override for override in overrides if not override.startswith("study.")]
    ran = failed = 0
    with session.tracking_behind():
        for number, each in enumerate(missing):
            if not limit.allows(each.key):
                break
            ran, taken = ran + 1, time.monotonic()
            assert config_key(each.config) == each.key, column
            attempt = study.begin(each.key, _point(column, each), 0, index.attempts(each.key))
            stated = [*shared, f"labels={each.labels}", f"seed={each.seed}"]
            told = _run_one(each, attempt, loaded.shown, stated, study.path.name, run, session, listener)
            limit.note(each.key, time.monotonic() - taken)
            failed += told is not None
            if told is not None:
                say(f"failed: {column} labels={each.labels} seed={each.seed}: {told}")
            last_of_budget = number + 1 == len(missing) or missing[number + 1].labels != each.labels
            if last_of_budget:
                spent = time.monotonic() - taken_up
                left = len(missing) - number - 1
                more = f", {left} run{'' if left == 1 else 's'} to go" if left else ""
                whole = f", {before + spent:.0f} s with what was done before" if before else ""
                say(f"{column} labels={each.labels}: done after {spent:.0f} s{whole}{more}")
            signal_number = listener.should_stop()
            if signal_number is not None:
                raise Interrupted(signal_number)  # it came while the end of the run was written
    ended = ColumnFile(column=column, ran=ran, failed=failed, seconds=time.monotonic() - taken_up)
    publish_json(folder / COLUMN_FILE, dataclasses.asdict(ended), indent=None)


def _point(column: str, replicate: _Replicate) -> dict[str, str]:
    return {"column": column, "labels": replicate.labels, "seed": str(replicate.seed)}


def _of_one_network(study: Mapping[str, Any], own: str) -> list[Mapping[str, Any]]:
    """Return the columns that have a column's backbone: all, or those of its entrant."""
    names_of = next((each["columns"] for each in study.get("entrants", ()) if own in each["columns"]), None)
    return [each for each in study["columns"] if names_of is None or each["name"] in names_of]


def _read_too(study: Mapping[str, Any], own: str) -> list[str]:
    """Return the poolings by which others read the network that a column screens by its own pooling."""
    entrants = study.get("entrants", ())
    name = next((each["name"] for each in entrants if each["columns"][0] == own), None)
    return [each["pooling"] for each in entrants if name is not None and each.get("reads") == name]


def _fill(study: Mapping[str, Any], own: str, configs: Sequence[Config], session: Session, listener: Listener) -> None:
    """Let one pass over the images fill what all columns of a network will ask of their frozen layers.

    A column that is solved takes seeds that the others may never have: of those it fills its own features alone. Where
    networks are screened the others may never have a turn, and it fills what their other readings are screened by.
    """
    columns = _of_one_network(study, own)
    depths = {each["name"]: each["depth"] for each in columns if each["depth"] is not None}
    if own not in depths:
        return
    all_depths = sorted(set(depths.values()))
    passes = [(configs, all_depths)]
    if any(each["name"] == own and each["solved"] for each in columns):
        passes = [(configs, [depths[own]])]
        if len(all_depths) > 1 and not study.get("entrants"):
            opening = study["seeds"][: (study.get("looks") or [None])[0]]
            passes = [([each for each in configs if each.seed in opening], all_depths), *passes]
    device, poolings = choose_device(configs[0].train.device), _read_too(study, own)
    try:
        for asking, wanted in passes:
            fill_cuts(asking, wanted, session, device=device, listener=listener, poolings=poolings)
    except TlexpError as error:  # each run will say by itself what is wrong with it
        say(f"note: images pass the network for each column anew: {error}")


def _solved_together(study: Mapping[str, Any], own: str, planned: Sequence[_Replicate]) -> list[list[_Replicate]]:
    """Return the replicates of a column whose heads are solved at once: of what screens those of the screen first.

    They are always all that the column may ever run, not what a job is to do: a study that was interrupted has the same
    bits in the end.
    """
    if own not in {each["columns"][0] for each in study.get("entrants", ())}:
        return [[*planned]]
    seen = study["seeds"][: study.get("probe_seeds")]
    return [[each for each in planned if (each.seed in seen) is wanted] for wanted in (True, False)]


def _solve(configs: Sequence[Config], session: Session, listener: Listener) -> None:
    """Solve the heads, or the probes that they start from, of all replicates together."""
    first = configs[0]
    alike = first.head.kind.solved and not first.backbone.calibrate  # calibrated networks differ from run to run
    if first.head.init is not HeadInit.probe and not alike:
        return
    try:
        solve_together(configs, session, device=choose_device(first.train.device), listener=listener)
    except TlexpError as error:  # each run will say by itself what is wrong with it
        say(f"note: heads are solved one by one: {error}")


def _run_one(
    replicate: _Replicate,
    attempt: Attempt,
    shown: dict[str, Any],
    overrides: Sequence[str],
    study: str,
    run: Run,
    session: Session,
    listener: Listener,
) -> str | None:
    """Do one run; return why it failed, None where it did not."""
    write_identity(attempt.folder / names.PROCESS_FILE)
    shown = {**shown, "labels": replicate.labels, "seed": replicate.seed}
    try:
        run(
            replicate.config,
            folder=attempt.folder,
            listener=listener,
            shown=shown,
            overrides=overrides,
            study=study,
            session=session,
        )
    except Interrupted:
        raise
    except (TlexpError, OSError) as error:
        return in_words(error)
    except Exception as error:  # noqa: BLE001 - the record says failed, and the other replicates have their turn
        with contextlib.suppress(OSError):  # the disk may be what is at fault
            publish(attempt.folder / TRACEBACK_FILE, traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    finally:
        sys.stderr.flush()
    return None
