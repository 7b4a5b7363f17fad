"""A study, told top to bottom: what it is, what it will take, its columns, and the report.

The records in its folder are the truth, as those of a sweep are: the same command typed again goes on.
"""

import contextlib
import dataclasses
import math
import platform
import shlex
import time
import uuid
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from tlexp.data import copies_csv, leaks_csv
from tlexp.errors import Interrupted, TrainingError
from tlexp.experiment.image_notes import image_notes
from tlexp.experiment.session import process_session
from tlexp.jobs.files import COLUMN_FILE, COLUMNS, read_endings
from tlexp.jobs.folder import Attempt, attempt_folders
from tlexp.jobs.index import RunIndex
from tlexp.jobs.planned import Planned, way_out
from tlexp.jobs.predecessor import predecessor_note
from tlexp.jobs.progress import say
from tlexp.jobs.runner import HydraContext, Job, JobRunner
from tlexp.jobs.submission import await_submitted, require_queue, submits
from tlexp.jobs.tracked import TrackedSweep
from tlexp.jsonfile import read_json
from tlexp.paths import publish, publish_json
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.rounds import HeldRounds, hold_rounds
from tlexp.studies.analysis.stages import is_screening, screened
from tlexp.studies.planning.costs import Estimate, estimate
from tlexp.studies.planning.minutes import (
    allowed_minutes,
    kept_for_finals,
    leave_out_again,
    leave_out_late,
    may_go_on,
    needed,
    refuse_longer,
    shorten,
    shorten_finals,
)
from tlexp.studies.planning.planned_column import PlannedColumn, PlannedRun
from tlexp.studies.planning.rounds import (
    ColumnTurn,
    due_turns,
    in_order,
    late_turns,
    next_turns,
    opens_finals,
    opens_round,
    seconds_left,
    seconds_spent,
)
from tlexp.studies.planning.study_plan import StudyPlan
from tlexp.studies.planning.survey import survey
from tlexp.studies.progress import Shared, StudyProgress
from tlexp.studies.report.networks import not_looked_at
from tlexp.terminal import duration, short_path
from tlexp.tracking import names
from tlexp.train import Listener


def study(overrides: Sequence[str], context: HydraContext, *, dry_run: bool = False) -> Path:
    """Run every replicate that has not finished, write the report, and return the folder of the study.

    Args:
        overrides: Of the command line, without those that are Hydra's own.
        context: What Hydra hands over.
        dry_run: Say what would run and how long it would take.

    Raises:
        ConfigError: The overrides do not fit, the study does not fit its minutes, or another process works on it.
        TrainingError: The study came to its end, but some runs did not finish.
        Interrupted: A signal asked to stop.
    """
    began, session = time.monotonic(), process_session()
    with way_out(when=" while it was planned, before any run"):
        plan = StudyPlan(overrides, context, session, Listener())
        begun = plan.begun
        plan.folder.agree(plan.fixed)
        again = () if begun is None else leave_out_again(plan, begun)
        index = RunIndex(plan.folder.attempts(shared=True))  # jobs of an earlier typing may be at work: `_run` waits
        done = frozenset(run.key for _, run in plan.runs if index.counting(run.key) is not None)
        if len(done) < len(plan.runs):
            if not dry_run:
                require_queue(context.config.hydra.launcher._target_)
            say("timing some images, steps and heads of each column, to say what the study will take")
        found = estimate(plan, session, done)
        plan.milliseconds = found.milliseconds(plan) | plan.milliseconds
    if begun is None:
        plan.whole = found.whole(plan)
        shorten(plan, found)
    spent = seconds_spent(plan.columns, index, read_endings(plan.folder.path)) if begun is not None else None
    print(survey(plan, found, again=again, spent=spent))  # noqa: T201 - this is what people see first
    if submits(context.config) and len(done) < len(plan.runs):
        here = f"{platform.node()}, where this was typed"
        say(f"note: these times are of {here}; for those where jobs run type it there with --dry-run, e.g. by srun")
    if begun is None:
        refuse_longer(plan, found)
    about = plan.about(found.first(plan))
    if note := predecessor_note(plan.folder.path, about):
        say(f"note: {note}")
    if dry_run:
        for told in image_notes(plan.source):
            say(f"note: {told}")  # else its first replicate says so
        return plan.folder.path
    with plan.folder.locked():
        plan.folder.state(about)
        _list_images(plan)
        try:
            due = _run(plan, context, found, began)
        except (Interrupted, KeyboardInterrupt):
            _keep_pictures(plan)
            raise
        failed = _report(plan, due)
    if failed:
        raise TrainingError(f"{failed} of {len(due)} runs did not finish; the same command typed again runs them")
    return plan.folder.path


def _list_images(plan: StudyPlan) -> None:
    """List the images that all runs leave out as copies, those of groups on both sides, and the test images."""
    copies, leaks = plan.source.copies, plan.source.leaks
    for name, found, table in (
        (names.COPIES_FILE, copies, copies_csv(copies)),
        (names.LEAKS_FILE, leaks, leaks_csv(leaks)),
    ):
        path = plan.folder.path / name
        path.unlink(missing_ok=True)
        if found:
            publish(path, table)
    publish_json(plan.folder.path / names.TEST_IMAGES_FILE, {"names": list(plan.source.held_out.names)}, indent=None)


def _run(plan: StudyPlan, context: HydraContext, found: Estimate, began: float) -> list[PlannedRun]:
    """Run one round after the other, and then the controls; return the replicates that had their turn."""
    tracked = TrackedSweep(plan.folder.path, plan.columns[0].composed.config.tracking)
    tracked.close_dead()
    page = f"; python -m tlexp report {shlex.quote(short_path(plan.folder.path))} writes the page of what is there"
    with way_out(page):
        await_submitted(plan.folder.path)
    ended, index, pace = _Endings(), RunIndex(plan.folder.attempts()), 1.0
    tried = {run.key for _, run in plan.runs if index.counting(run.key) is not None}
    found = dataclasses.replace(found, done=frozenset(tried))
    with way_out(page), JobRunner(context, plan.folder, ended.hear, ending=COLUMN_FILE) as runner:
        began -= seconds_spent(plan.columns, index, read_endings(plan.folder.path)) / runner.workers
        until = began + 60 * allowed_minutes(plan)
        while True:
            rounds = _hold_rounds(plan, found, began, runner)  # which may leave something out of the plan
            probes = {each.columns[0] for each in plan.entrants}
            if not (left := next_turns(plan.columns, rounds, tried, probes)):
                break
            if not (left := _handed_out(plan, rounds, left, found, began)):
                continue
            tracked.ensure()
            ends = until if _is_limited(plan, rounds, runner) else math.inf
            with _progress(plan, rounds, found, tried, until=ends, pace=pace) as progress:
                ordered = in_order(plan, left, rounds, found, needed(plan, found))
                runner.run(_assign(plan, ordered, found, until=ends))
            pace = progress.pace
            ended.mark_lost()
            tried |= {run.key for turn in left for run in turn.runs}
            found = dataclasses.replace(found, done=frozenset(tried))
    index = RunIndex(plan.folder.attempts())
    tracked.mend([index.outcome(number, _planned(column, run.key)) for number, (column, run) in enumerate(plan.runs)])
    return [run for turn in due_turns(plan.columns, rounds) for run in turn.runs]


def _is_limited(plan: StudyPlan, rounds: HeldRounds, runner: JobRunner) -> bool:
    """Return whether the minutes end what goes on: passes stop in between, and nobody knows how long a queue takes."""
    return math.isfinite(allowed_minutes(plan)) and not is_screening(rounds.table) and not runner.submits


def _handed_out(
    plan: StudyPlan, rounds: HeldRounds, left: list[ColumnTurn], found: Estimate, began: float
) -> list[ColumnTurn]:
    """Return what is handed out: of a screen one probe, and no controls when the minutes are up."""
    controls = all(turn.column.column.is_control for turn in left)
    if not controls or may_go_on(plan, spent=time.monotonic() - began, left=0.0):
        return _one_pass(plan, rounds, left, found, began)
    _leave_out(plan, left, rounds, found)
    return []


def _one_pass(
    plan: StudyPlan, rounds: HeldRounds, left: list[ColumnTurn], found: Estimate, began: float
) -> list[ColumnTurn]:
    """Return what is handed out: of a screen the cheapest probe, while the minutes allow; without them others go."""
    if not is_screening(rounds.table):
        return left
    turn, names_of = left[0], [each.name for each in plan.entrants]
    place = [each.columns[0] for each in plan.entrants].index(turn.column.column.name)
    measured = {column for (column, _), cell in rounds.table.cells.items() if cell.finished}
    passing = found.passing(plan, turn.column)
    ahead = found.ends + passing + kept_for_finals(plan, found, names_of[: place + 1])
    begun = turn.column.column.name in measured  # what is left of such a pass is little
    if not place or begun or may_go_on(plan, spent=time.monotonic() - began, left=ahead):
        return [turn]
    unseen = [each.name for each in plan.entrants[place:] if each.columns[0] not in measured]
    for name in unseen:
        plan.drop_entrant(name, f"not looked at: its pass would take about {duration(passing)} or more")
    say(f"study.minutes: {not_looked_at(unseen, len(names_of), plan.study.screens)}")
    plan.folder.state(plan.about(found.first(plan)))
    return []


def _leave_out(plan: StudyPlan, late: Sequence[ColumnTurn], rounds: HeldRounds, found: Estimate) -> None:
    """Leave out what the minutes ended."""
    told = leave_out_late(plan, late, number=rounds.round)
    say(f"study.minutes: they are up; left out: {told}; another study.minutes= takes it up")
    plan.folder.state(plan.about(found.first(plan)))


def _hold_rounds(plan: StudyPlan, found: Estimate, began: float, runner: JobRunner) -> HeldRounds:
    """Return how far the rounds have come; finals are cut to the minutes, and a round that does not fit is not begun.

    What the minutes ended in the one that goes on is left out. A replicate that has begun is not thought about again.
    """
    rounds = _read_rounds(plan.folder.path)
    late = late_turns(plan.columns, rounds, found.done) if _is_limited(plan, rounds, runner) else []
    if late:
        _leave_out(plan, late, rounds, found)
        rounds = _read_rounds(plan.folder.path)
    spent = time.monotonic() - began
    attempts = attempt_folders(plan.folder.path)  # of which some may be at work in processes of this study
    begun = {folder.parent.name for folder in attempts if (folder / names.PROCESS_FILE).exists()}
    left = found.ends + seconds_left(plan.columns, rounds, found) / runner.workers
    if opens_finals(plan.columns, rounds, begun):
        finalists = [each.entrant.name for each in screened(rounds.table) or ()]
        if not shorten_finals(plan, found, finalists, spent=spent):
            return rounds
        say("study.minutes: the finals are cut to what is left of them; the page lists what is left out")
    elif opens_round(plan.columns, rounds, begun) and not may_go_on(plan, spent=spent, left=left):
        plan.stopped = rounds.round - 1
        say(f"study.minutes: round {rounds.round} would take about {duration(left)} and is not begun")
    else:
        return rounds
    plan.folder.state(plan.about(found.first(plan)))
    return _read_rounds(plan.folder.path)


def _read_rounds(folder: Path) -> HeldRounds:
    return hold_rounds(read_table(folder))


def _progress(
    plan: StudyPlan, rounds: HeldRounds, found: Estimate, tried: Container[str], *, until: float, pace: float
) -> StudyProgress:
    """Return what tells how far the study is with all that has its turn in this round, and with its controls."""
    due = [(turn.column, run) for turn in due_turns(plan.columns, rounds) for run in turn.runs]
    left = [(column, run) for column, run in due if run.key not in tried]
    number = f", round {rounds.round} of at most {len(plan.looks)}" if len(plan.looks) > 1 else ""
    return StudyProgress(
        plan.folder.path,
        {run.key: found.alone(column, run) for column, run in left},
        shared=_shared(plan, found, left, anew=len(left) == len(due)),
        done=len(due) - len(left),
        title=f"study{number}",
        until=until,
        needed=needed(plan, found),
        pace=pace,
    )


def _shared(
    plan: StudyPlan, found: Estimate, left: Sequence[tuple[PlannedColumn, PlannedRun]], *, anew: bool
) -> Shared:
    """Return what replicates take together before the first of them ends: passes over the images, and solved heads.

    Args:
        plan: Of the study.
        found: The estimate.
        left: Replicates that have not ended.
        anew: Whether none has.
    """
    probes, shared = {each.columns[0] for each in plan.entrants}, []
    for column in plan.columns:
        runs = [run for each, run in left if each is column]
        seconds = sum(found.solved(column, run) for run in runs)
        if column.column.name in probes and not any(run.key in found.done for run in column.runs):
            seconds += found.read(column)
        shared.append((frozenset(run.key for run in runs), seconds))
    if anew and not probes:
        shared.append((frozenset(run.key for _, run in left), found.shared))
    return shared


def _assign(plan: StudyPlan, turns: Sequence[ColumnTurn], found: Estimate, *, until: float) -> Iterator[Job]:
    """Yield a job for each turn.

    Args:
        plan: Of the study.
        turns: Of one round.
        found: With what has finished.
        until: After which nothing begins that is not needed, by the monotonic clock.
    """
    always = sorted(needed(plan, found))
    for turn in turns:
        name = turn.column.column.name
        folder = plan.folder.path / COLUMNS / name / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        job: dict[str, Any] = {"column": name, "runs": [run.key for run in turn.runs]}
        if math.isfinite(until):
            seconds = {run.key: found.run(turn.column, run) for run in turn.runs}
            job |= {"until": time.time() - time.monotonic() + until, "always": always, "seconds": seconds}
        publish_json(folder / names.JOB_FILE, job, indent=None)
        attempt = Attempt(folder=folder, key=name, number=0, point={"column": name}, record=None)
        yield Job(planned=_planned(turn.column, name), attempt=attempt)


def _planned(column: PlannedColumn, key: str) -> Planned:
    name = column.column.name
    overrides = (*column.overrides, f"study.column={name}")
    return Planned(point={"column": name}, overrides=overrides, key=key, composed=column.composed)


class _Endings:
    """How jobs ended that did not say so themselves."""

    def __init__(self) -> None:
        self._lost: list[tuple[Job, str]] = []

    def hear(self, job: Job, reason: str | None) -> bool:
        if reason is not None:
            say(f"failed: {job.planned.key}: {reason}")
            self._lost.append((job, reason))
        return True

    def mark_lost(self) -> None:
        """Say in their folders that such jobs are over, or a screen would wait for what will never come."""
        for job, reason in self._lost:
            folder = job.attempt.folder
            lost = {"column": job.planned.key, "lost": read_json(folder / names.JOB_FILE)["runs"], "reason": reason}
            publish_json(folder / COLUMN_FILE, lost, indent=None)
        self._lost.clear()


def _keep_pictures(plan: StudyPlan) -> None:
    """Keep the pictures of the mistakes made so far for `tlexp report`, which opens no images; what fails is let go."""
    from tlexp.studies.report.report import keep_pictures  # lazy: matplotlib

    with contextlib.suppress(Exception):  # the interruption is what counts
        keep_pictures(plan.folder.path, plan.source.held_out)


def _report(plan: StudyPlan, due: Sequence[PlannedRun]) -> int:
    """Write the report; return how many of the runs that had their turn did not finish."""
    from tlexp.studies.report.told import report  # lazy: matplotlib, for which no image waits

    tracking = plan.columns[0].composed.config.tracking
    print(report(plan.folder.path, tracking=tracking, images=plan.source.held_out))  # noqa: T201
    index = RunIndex(plan.folder.attempts())
    return sum(index.counting(run.key) is None for run in due)
