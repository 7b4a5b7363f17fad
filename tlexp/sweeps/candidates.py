"""The candidates of a search: those that were tried before, and new ones that Optuna proposes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from tlexp.config.sweep import SweepConfig
from tlexp.errors import ConfigError
from tlexp.jobs.index import RunIndex
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.planned import Planned
from tlexp.jobs.progress import say
from tlexp.sweeps.points import Plan, sampler, shown
from tlexp.tracking import RunStatus
from tlexp.tracking.blocks import PrunedBlock

if TYPE_CHECKING:
    from optuna.trial import Trial

    from tlexp.sweeps.search import OptunaSearch

Result = float | PrunedBlock | None
"""What came out of settings: the objective, or where a run of them was pruned; None where nothing did."""
MOST_REPEATS = 20
"""How often in a row a search may propose what is known already, before what is left is taken in order."""


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

    @property
    def identity(self) -> tuple[str, ...]:
        """What two spellings of the same candidate have in common: its runs."""
        return tuple(planned.key for planned in self.runs) or tuple(self.settings.values())


class Candidates:
    """The candidates of one sweep.

    Args:
        settings: How to go through it.
        plan: What it is.
        index: What is there.

    Attributes:
        tried: In their order.
    """

    def __init__(self, settings: SweepConfig, plan: Plan, index: RunIndex) -> None:
        self._settings, self._plan, self._index = settings, plan, index
        self.tried: list[Candidate] = []
        self.tried = self._known()

    def runs(self) -> list[JobOutcome]:
        """Return every point with the run that counts for it."""
        found: list[JobOutcome] = []
        for candidate in self.tried:
            runs = [self._index.outcome(len(found) + place, planned) for place, planned in enumerate(candidate.runs)]
            found += runs if self._pruned(candidate) is None else map(_given_up, runs)
            if candidate.refusal is not None:
                found.append(_refused(len(found), candidate))
        return found

    def is_settled(self, candidate: Candidate) -> bool:
        """Return whether nothing of a candidate has to run: all has ended well, or a run of it was pruned."""
        return self._pruned(candidate) is not None or all(
            self._index.counting(planned.key) is not None for planned in candidate.runs
        )

    def search(self, run: Callable[[Sequence[Candidate]], bool], *, at_once: int) -> bool:
        """Try candidates until there are as many as asked for; return whether the sweep may go on.

        Args:
            run: Runs what has not finished of them; returns whether the sweep may go on.
            at_once: How many.
        """
        from tlexp.sweeps.search import OptunaSearch  # lazy: a grid asks nothing of Optuna

        search = OptunaSearch(
            self._plan.candidates.axes,
            sampler=sampler(self._settings),
            seed=self._settings.seed,
            direction=self._settings.goal,
            known=len(self.tried),
        )
        waiting: list[tuple[Trial | None, Candidate]] = []
        for candidate in self.tried:
            if self.is_settled(candidate):
                search.add(candidate.settings, self._result(candidate))
            else:
                waiting.append((None, candidate))
        while True:
            batch, waiting = waiting[:at_once], waiting[at_once:]
            while len(batch) < at_once and len(self.tried) < (self._plan.trials or 0):
                proposal = self._propose(search)
                if proposal is None:
                    break
                batch.append(proposal)
            if not batch:
                return True
            goes_on = run([candidate for _, candidate in batch])
            for trial, candidate in batch:
                value = self._result(candidate)
                if trial is None:
                    search.add(candidate.settings, value)
                else:
                    search.tell(trial, value)
            if not goes_on:
                return False

    def _propose(self, search: "OptunaSearch") -> "tuple[Trial | None, Candidate] | None":
        """Return a candidate that is not known yet; None where there is none left."""
        known = {candidate.identity: candidate for candidate in self.tried}
        for _ in range(MOST_REPEATS):
            trial, settings = search.ask()
            candidate = self._candidate(self._next_number(), settings)
            same = known.get(candidate.identity)
            if candidate.refusal is None and same is not None:
                search.tell(trial, self._result(same))
                continue
            self.tried.append(candidate)
            return trial, candidate
        for settings in self._plan.candidates.points() if self._plan.candidates.finite else ():
            candidate = self._candidate(self._next_number(), settings)
            if candidate.identity not in known:
                self.tried.append(candidate)
                return None, candidate
        say(f"note: {sampler(self._settings)} proposes nothing new any more; the sweep ends here")
        return None

    def _candidate(self, number: int, settings: dict[str, str]) -> Candidate:
        try:
            runs = [self._plan.compose(point) for point in self._plan.runs_of(settings)]
        except ConfigError as error:
            say(f"failed: {shown(settings)}: {error}")
            return Candidate(number=number, settings=settings, runs=[], refusal=str(error))
        return Candidate(number=number, settings=settings, runs=runs)

    def _known(self) -> list[Candidate]:
        """Return the candidates that were tried before, as far as they belong to the space as it is now."""
        numbers: dict[tuple[str, ...], int] = {}
        for attempt in self._index.every():
            if self._plan.space.holds(attempt.point):
                settings = tuple(self._plan.candidate_of(attempt.point).values())
                numbers[settings] = min(attempt.number, numbers.get(settings, attempt.number))
        ordered = sorted(numbers.items(), key=lambda entry: entry[1])
        found = [
            self._candidate(number, dict(zip(self._plan.candidates.names, settings, strict=True)))
            for settings, number in ordered
        ]
        return [candidate for candidate in found if candidate.refusal is None]

    def _next_number(self) -> int:
        return max((candidate.number for candidate in self.tried), default=-1) + 1

    def _pruned(self, candidate: Candidate) -> PrunedBlock | None:
        """Return where a run of the candidate was pruned."""
        found = (self._index.pruned(planned.key) for planned in candidate.runs)
        return next((block for block in found if block is not None), None)

    def _result(self, candidate: Candidate) -> Result:
        """Return the objective over the candidate's seeds, or where one was pruned; None unless all finished.

        Raises:
            ConfigError: They finished and do not have it.
        """
        if (pruned := self._pruned(candidate)) is not None:
            return pruned
        if not candidate.runs or any(self._index.counting(planned.key) is None for planned in candidate.runs):
            return None
        values = [self._index.value(planned.key, self._settings.objective) for planned in candidate.runs]
        known = [value for value in values if value is not None]
        if not known:
            raise ConfigError(
                f"hydra.sweeper.objective={self._settings.objective}: {shown(candidate.settings)} finished without it, "
                f"so there is nothing to search by; {_way_out(self._settings.objective)}"
            )
        return fmean(known) if len(known) == len(values) else None


def _way_out(objective: str) -> str:
    """Return what gives runs the figure that they lack."""
    if objective.startswith("cost/"):
        return "not every head and device has this cost: name another, e.g. hydra.sweeper.objective=cost/seconds"
    return "more labels give runs a validation part"


def _given_up(run: JobOutcome) -> JobOutcome:
    """Return a run of a candidate that was pruned; what has not ended well by then does not run any more."""
    if run.status is not None and run.status.is_final:
        return run
    return replace(run, status=RunStatus.pruned, reason="a run of these settings with another seed was pruned")


def _refused(number: int, candidate: Candidate) -> JobOutcome:
    return JobOutcome(
        number=number,
        point=candidate.settings,
        overrides=(),
        key="",
        folder=None,
        status=RunStatus.failed,
        reason=candidate.refusal,
        record=None,
    )
