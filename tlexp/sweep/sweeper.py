"""A sweep, told top to bottom: what is there of its points, what has to run, and the results.

The records in its folder are the truth. A sweep keeps no other state: the same command typed again reads them, takes
over what finished and runs the rest.
"""

import contextlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from optuna.trial import Trial
from tqdm import tqdm

from tlexp.config.sweep import SweepConfig
from tlexp.errors import ConfigError, Interrupted, TrackingError, TrainingError
from tlexp.sweep.composer import Planned
from tlexp.sweep.crew import Assignment, Border, Crew
from tlexp.sweep.ledger import Ledger
from tlexp.sweep.plan import Plan, sampler, shown
from tlexp.sweep.progress import Progress
from tlexp.sweep.run import SweptRun
from tlexp.sweep.search import Search
from tlexp.sweep.survey import survey_table
from tlexp.sync import sync
from tlexp.tracking import RunStatus, absolute_uri, ensure_store, names
from tlexp.tracking.stale import close_dead_runs

__all__ = ["Border", "sweep"]

_MOST_REPEATS = 20
"""How often in a row a search may propose what is known already, before what is left is taken in order."""


def sweep(settings: SweepConfig, words: Sequence[str], border: Border) -> None:
    """Run every point of the swept words that has not finished yet, and write the results.

    Raises:
        ConfigError: The settings do not fit, or another process works on the sweep.
        TrainingError: The sweep came to its end, but some runs did not finish.
        Interrupted: A signal asked to stop.
    """
    problems = [*settings.problems(), *_objective_problems(settings.objective)]
    if problems:
        raise ConfigError(problems)
    plan = Plan(settings, words, border)
    for note in plan.notes:
        say(f"note: {note}")
    if settings.dry_run:
        runs = Sweep(settings, plan, Ledger(plan.folder.attempts())).runs()
        text = survey_table(plan.folder.path, runs, proposed=max(0, plan.total - len(runs)), sampler=sampler(settings))
        print(text)  # noqa: T201 - this is what was asked for
        return
    with plan.folder.locked():
        plan.folder.state(plan.about)
        Sweep(settings, plan, Ledger(plan.folder.attempts())).run(border)


@dataclass(kw_only=True)
class Candidate:
    """Settings that a search tries, once for each seed.

    Attributes:
        number: Its place in the search.
        settings: Swept setting -> value, without seeds.
        runs: Its points; empty where the settings do not fit together.
        refusal: Why they do not.
    """

    number: int
    settings: dict[str, str]
    runs: list[Planned]
    refusal: str | None = None


class Sweep:
    """One execution of a sweep.

    Args:
        settings: How to go through it.
        plan: What it is.
        ledger: What is there.
    """

    def __init__(self, settings: SweepConfig, plan: Plan, ledger: Ledger) -> None:
        self.settings, self.plan, self.ledger = settings, plan, ledger
        self.candidates = self._known() if plan.searches else []
        self._progress = Progress(plan.total, objective=settings.objective, goal=settings.goal)
        self._store_is_there = False
        self._closed = 0

    def run(self, border: Border) -> None:
        """Run what has to run, and write the results.

        Raises:
            TrainingError: Some runs did not finish.
            Interrupted: A signal asked to stop.
        """
        folder, tracking = self.plan.folder.path, self.plan.first.composed.config.tracking
        self._close_dead()
        say(f"sweep {folder}")
        for planned in self.plan.points or [each for candidate in self.candidates for each in candidate.runs]:
            if self.ledger.counting(planned.key) is not None:
                self._progress.ended(well=True, anew=False, value=self._value(planned), point=shown(planned.point))
        self._progress.begin()
        with contextlib.closing(self._progress), _way_out(), Crew(border, self.plan.folder, self._hear) as crew:
            whole = self._search(crew) if self.plan.searches else crew.run(self._assign(self.plan.points))
        self._mend_store()
        runs = self.runs()
        goal = self.settings.goal
        from tlexp.sweep.results import write_results  # lazy: plots load scikit-learn, which nothing before waits for

        print(write_results(folder, runs, objective=self.settings.objective, direction=goal, tracking=tracking))  # noqa: T201
        for note in changed_inputs(runs):
            say(f"note: {note}")
        self._judge(runs, whole=whole)

    def runs(self) -> list[SweptRun]:
        """Return every point with the run that counts for it, in the sweep's order."""
        if not self.plan.searches:
            return [self.ledger.swept(number, planned) for number, planned in enumerate(self.plan.points)]
        found: list[SweptRun] = []
        for candidate in self.candidates:
            found += [self.ledger.swept(len(found) + place, planned) for place, planned in enumerate(candidate.runs)]
            if candidate.refusal is not None:
                found.append(_refused(len(found), candidate))
        return found

    def _assign(self, points: Sequence[Planned], number: int = 0) -> Iterator[Assignment]:
        """Yield an attempt for each point that has not finished."""
        for planned in points:
            if self.ledger.counting(planned.key) is not None:
                continue
            self._ensure_store()
            earlier = self.ledger.attempts(planned.key)
            attempt = self.plan.folder.begin(planned.key, planned.point, number, earlier)
            yield Assignment(planned=planned, attempt=attempt)

    def _hear(self, assignment: Assignment, reason: str | None) -> bool:
        """Enter how a run ended; return whether the sweep goes on."""
        planned, attempt = assignment.planned, assignment.attempt
        self.ledger.hear(attempt, reason)
        self._progress.ended(well=attempt.counts, value=self._value(planned), point=shown(planned.point))
        if not attempt.counts:
            found = self.ledger.swept(0, planned)
            say(f"{found.status}: {shown(planned.point)}: {_one_line(found.reason)}")
        return self._progress.failed <= self.settings.max_failure_rate * self.plan.total

    def _search(self, crew: Crew) -> bool:
        """Try candidates until there are as many as asked for; return whether the sweep may go on."""
        search = Search(
            self.plan.candidates.axes,
            sampler=sampler(self.settings),
            seed=self.settings.seed,
            direction=self.settings.goal,
            known=len(self.candidates),
        )
        waiting: list[tuple[Trial | None, Candidate]] = []
        for candidate in self.candidates:
            if all(self.ledger.counting(planned.key) for planned in candidate.runs):
                search.add(candidate.settings, self._mean(candidate))
            else:
                waiting.append((None, candidate))
        at_once = self.settings.n_jobs or crew.workers
        while True:
            batch, waiting = waiting[:at_once], waiting[at_once:]
            while len(batch) < at_once and len(self.candidates) < (self.plan.trials or 0):
                proposal = self._propose(search)
                if proposal is None:
                    break
                batch.append(proposal)
            if not batch:
                return True
            goes_on = crew.run(
                assignment
                for _, candidate in batch
                for assignment in self._assign(candidate.runs, number=candidate.number)
            )
            for trial, candidate in batch:
                value = self._mean(candidate)
                if trial is None:
                    search.add(candidate.settings, value)
                else:
                    search.tell(trial, value)
            if not goes_on:
                return False

    def _propose(self, search: Search) -> tuple[Trial | None, Candidate] | None:
        """Return a candidate that is not known yet; None where there is none left."""
        known = {tuple(planned.key for planned in candidate.runs): candidate for candidate in self.candidates}
        for _ in range(_MOST_REPEATS):
            trial, settings = search.ask()
            candidate = self._candidate(self._next_number(), settings)
            same = known.get(tuple(planned.key for planned in candidate.runs))
            if candidate.refusal is None and same is not None:
                search.tell(trial, self._mean(same))
                continue
            self.candidates.append(candidate)
            return trial, candidate
        for settings in self.plan.candidates.points() if self.plan.candidates.finite else ():
            candidate = self._candidate(self._next_number(), settings)
            if tuple(planned.key for planned in candidate.runs) not in known:
                self.candidates.append(candidate)
                return None, candidate
        say(f"note: {sampler(self.settings)} proposes nothing new any more; the sweep ends here")
        return None

    def _candidate(self, number: int, settings: dict[str, str]) -> Candidate:
        try:
            runs = [self.plan.compose(point) for point in self.plan.runs_of(settings)]
        except ConfigError as error:
            say(f"failed: {shown(settings)}: {_one_line(str(error))}")
            return Candidate(number=number, settings=settings, runs=[], refusal=str(error))
        return Candidate(number=number, settings=settings, runs=runs)

    def _known(self) -> list[Candidate]:
        """Return the candidates that were tried before, as far as they belong to the space as it is now."""
        numbers: dict[tuple[str, ...], int] = {}
        for attempt in self.ledger.every():
            if self.plan.space.holds(attempt.point):
                settings = tuple(self.plan.candidate_of(attempt.point).values())
                numbers[settings] = min(attempt.number, numbers.get(settings, attempt.number))
        ordered = sorted(numbers.items(), key=lambda entry: entry[1])
        found = [
            self._candidate(number, dict(zip(self.plan.candidates.names, settings, strict=True)))
            for settings, number in ordered
        ]
        return [candidate for candidate in found if candidate.refusal is None]

    def _next_number(self) -> int:
        return max((candidate.number for candidate in self.candidates), default=-1) + 1

    def _value(self, planned: Planned) -> float | None:
        """Return the objective of a finished run."""
        attempt = self.ledger.counting(planned.key)
        if attempt is None or attempt.record is None or attempt.record.status is not RunStatus.finished:
            return None
        return attempt.record.metrics.get(self.settings.objective)

    def _mean(self, candidate: Candidate) -> float | None:
        """Return the objective over the candidate's seeds; None unless all finished.

        Raises:
            ConfigError: They finished and do not have it.
        """
        if not candidate.runs or any(self.ledger.counting(planned.key) is None for planned in candidate.runs):
            return None
        values = [self._value(planned) for planned in candidate.runs]
        known = [value for value in values if value is not None]
        if not known:
            raise ConfigError(
                f"hydra.sweeper.objective={self.settings.objective}: {shown(candidate.settings)} finished without it, "
                "so there is nothing to search by; more labels give runs a validation part"
            )
        return fmean(known) if len(known) == len(values) else None

    def _ensure_store(self) -> None:
        """Make the tracking store, once and before anything is launched: runs that start together would break it."""
        tracking = self.plan.first.composed.config.tracking
        if self._store_is_there or not tracking.enabled:
            return
        self._store_is_there = True
        try:
            ensure_store(absolute_uri(tracking.uri))
        except TrackingError as error:
            say(f"note: {error}")

    def _close_dead(self) -> None:
        """Close the tracked runs that dead processes left open."""
        tracking = self.plan.first.composed.config.tracking
        if tracking.enabled:
            self._closed += len(close_dead_runs(tracking.uri, experiment=tracking.experiment))

    def _mend_store(self) -> None:
        """Write runs that have a record, but were not whole in the tracking store, into it again."""
        self._close_dead()  # those of workers that gave up on a busy store
        if self._closed:
            try:
                sync([self.plan.folder.path], uri=None, experiment=None)
            except TrackingError as error:
                say(f"note: {error}")

    def _judge(self, runs: Sequence[SweptRun], *, whole: bool) -> None:
        """End with an error where runs are missing."""
        failed = [run for run in runs if run.status not in (RunStatus.finished, RunStatus.pruned, None)]
        again = "the same command typed again runs them again"
        if not whole:
            limit = f"hydra.sweeper.max_failure_rate={self.settings.max_failure_rate}"
            raise TrainingError(
                f"{limit}: {len(failed)} of {self.plan.total} runs failed and the sweep stopped; {again}"
            )
        if failed:
            raise TrainingError(f"{len(failed)} of {len(runs)} runs did not finish; {again}")


def changed_inputs(runs: Sequence[SweptRun]) -> list[str]:
    """Return a sentence for each kind of input that runs of the same settings saw in different states.

    Records are taken over by their settings; that images or weights changed in the meantime shows when others of the
    same sweep ran later.
    """
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.record is None or run.record.status is not RunStatus.finished or run.folder is None:
            continue
        config = run.record.config
        about = json.dumps([config["backbone"], config["data"]], sort_keys=True)
        found["images", about][str(run.record.data.get("digest"))].append(run.folder.name)
        # Random weights follow from the seed.
        about = json.dumps([config["backbone"], config["seed"]], sort_keys=True)
        found["weights", about][str(run.record.train.get("weights", {}).get("digest"))].append(run.folder.name)
    return [
        f"the {kind} changed during the sweep: runs {', '.join(fewest)} saw others than the rest; remove their folders "
        "and type the command again"
        for (kind, _), states in found.items()
        if len(states) > 1
        for fewest in sorted(states.values(), key=len)[:-1]
    ]


def say(text: str) -> None:
    """Print one line for people, beside a progress line."""
    tqdm.write(text, file=sys.stderr)


@contextlib.contextmanager
def _way_out() -> Iterator[None]:
    """Say how to go on where a signal ends the sweep."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        say("interrupted; the same command typed again goes on")
        raise


def _refused(number: int, candidate: Candidate) -> SweptRun:
    return SweptRun(
        number=number,
        point=candidate.settings,
        overrides=(),
        key="",
        folder=None,
        status=RunStatus.failed,
        reason=candidate.refusal,
        record=None,
    )


def _objective_problems(objective: str) -> list[str]:
    stated = f"hydra.sweeper.objective={objective}"
    if objective.startswith("test/"):
        return [f"{stated}: the test split is read once, after all choices, and never ranks; take val/ or cost/"]
    known = [metric for metric in names.METRICS if metric.startswith(("val/", "cost/"))]
    return [] if objective in known else [f"{stated} is no figure to rank by: {', '.join(known)}"]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
