"""A sweep, told top to bottom: what is there of its points, what has to run, and the results.

The records in its folder are the truth. A sweep keeps no other state: the same command typed again reads them, takes
over what finished and runs the rest.
"""

import contextlib
from collections.abc import Iterator, Sequence

from tlexp.config.sweep import Pruner, SweepConfig
from tlexp.errors import ConfigError, TrainingError
from tlexp.jobs.elsewhere import under_way
from tlexp.jobs.index import RunIndex
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.peers import Peers, await_peers
from tlexp.jobs.planned import Planned, way_out
from tlexp.jobs.predecessor import predecessor_note
from tlexp.jobs.progress import SweepProgress, say
from tlexp.jobs.runner import HydraContext, Job, JobRunner, workers
from tlexp.jobs.submission import await_submitted, require_queue, submits
from tlexp.jobs.tracked import TrackedSweep
from tlexp.sweeps.candidates import Candidate, Candidates
from tlexp.sweeps.changed_inputs import changed_inputs
from tlexp.sweeps.dry_run import survey_table
from tlexp.sweeps.points import Plan, sampler, shown
from tlexp.sweeps.pruning import LEAST_STEPS
from tlexp.sweeps.settings import cost_kind, shortened
from tlexp.tracking import names

_SHARED = (
    "other commands may share this search: what it proposes then follows from what they have told by that moment, so "
    "that a search is not repeated bit for bit; its runs are"
)
_MANY_IMAGES = 10**9
"""With which no stated length of a fit is longer."""


def sweep(settings: SweepConfig, overrides: Sequence[str], context: HydraContext) -> list[JobOutcome]:
    """Run every point of the swept overrides that has not finished yet, write the results, and return every point.

    Raises:
        ConfigError: The settings do not fit, or another process works on the sweep.
        DataError, WeightsError: Runs that are left could not begin.
        TrainingError: The sweep came to its end, but some runs did not finish.
        Interrupted: A signal asked to stop.
    """
    problems = [*settings.problems(), *_objective_problems(settings.objective)]
    if problems:
        raise ConfigError(problems)
    plan = Plan(settings, overrides, context)
    if settings.storage is not None and (problem := _sharing_problem(plan, context)):
        raise ConfigError(problem)
    if settings.pruner is not Pruner.none and (problem := _pruning_problem(settings, plan)):
        raise ConfigError(problem)
    for note in plan.notes:
        say(f"note: {note}")
    plan.folder.agree(plan.about["fixed"])
    if before := predecessor_note(plan.folder.path, plan.about):
        say(f"note: {before}")
    if settings.dry_run:
        index = RunIndex(plan.folder.attempts(shared=True))
        plan.require_inputs(index)
        runs = Sweep(settings, plan, index).runs()
        text = survey_table(
            plan.folder.path,
            runs,
            proposed=max(0, plan.total - len(runs)),
            sampler=sampler(settings),
            under_way=under_way(plan.folder.path, index.every()),
        )
        print(text)  # noqa: T201 - this is what was asked for
        return runs
    if not plan.folder.path.exists():
        require_queue(context.config.hydra.launcher._target_)
        plan.require_inputs(RunIndex([]))  # before it is made
    if settings.storage is not None:
        return _sweep_among_others(settings, plan, context)
    await_peers(plan.folder.path)
    with plan.folder.locked():
        plan.folder.state(plan.about)
        await_submitted(plan.folder.path)
        index = RunIndex(plan.folder.attempts())
        plan.require_inputs(index)
        return Sweep(settings, plan, index).run(context)


def _sweep_among_others(settings: SweepConfig, plan: Plan, context: HydraContext) -> list[JobOutcome]:
    """Go through a search that other commands may go through at the same time."""
    from tlexp.sweeps.shared import SharedCandidates  # lazy: loads what databases need

    with contextlib.ExitStack() as stack:
        with plan.folder.turn():
            plan.folder.state(plan.about)
            peers = Peers(plan.folder.path)
            first = not peers.others()
            index = RunIndex(plan.folder.attempts(shared=not first))
            plan.require_inputs(index)
            stack.enter_context(peers)
            candidates = SharedCandidates(settings, plan, index, peers, first=first)
        if sampler(settings) != "random":
            say(f"note: {_SHARED}")
        return Sweep(settings, plan, index, candidates=candidates, peers=peers).run(context)


class Sweep:
    """One execution of a sweep.

    Args:
        settings: How to go through it.
        plan: What it is.
        index: What is there.
        candidates: Of a search that several commands share; those of this one alone when None.
        peers: Those commands.
    """

    def __init__(
        self,
        settings: SweepConfig,
        plan: Plan,
        index: RunIndex,
        *,
        candidates: Candidates | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.settings, self.plan, self.index, self._peers = settings, plan, index, peers
        self._candidates = candidates or (Candidates(settings, plan, index) if plan.searches else None)
        self._counted: set[str] = set()
        self._tracked = TrackedSweep(plan.folder.path, plan.first.composed.config.tracking)
        self._kinds = {planned.key: cost_kind(planned.composed.config) for planned in plan.points}
        self._progress = SweepProgress(
            [""] * plan.total if plan.searches else [*self._kinds.values()],  # what is drawn is a fair sample
            objective=settings.objective,
            goal=settings.goal,
            searches=plan.searches,
        )

    def run(self, context: HydraContext) -> list[JobOutcome]:
        """Run what has to run, write the results, and return every point with the run that counts for it.

        Raises:
            TrainingError: Some runs did not finish.
            Interrupted: A signal asked to stop.
        """
        self._tracked.close_dead()
        say(f"sweep {self.plan.folder.path}")
        self._count_known()
        self._progress.begin(workers=workers(context.config))
        stop = None if self._peers is None else self._peers.stop
        with (
            contextlib.closing(self._progress),
            way_out(),
            JobRunner(context, self.plan.folder, self._hear, stop=stop, waits=self._progress.waits) as runner,
        ):
            whole = self._run_all(runner)
        with contextlib.nullcontext() if self._peers is None else self.plan.folder.turn():
            return self._end(whole=whole)

    def _end(self, *, whole: bool) -> list[JobOutcome]:
        """Write the results and return every point."""
        folder, tracking, runs = self.plan.folder.path, self.plan.first.composed.config.tracking, self.runs()
        self._tracked.mend(runs)
        goal = self.settings.goal
        from tlexp.sweeps.results import write_results  # lazy: plots load scikit-learn, which nothing before waits for

        objective, searches = self.settings.objective, self.plan.searches
        text = write_results(folder, runs, objective=objective, direction=goal, searches=searches, tracking=tracking)
        print(text)  # noqa: T201
        for note in changed_inputs(runs):
            say(f"note: {note}")
        self._judge(runs, whole=whole)
        return runs

    def runs(self) -> list[JobOutcome]:
        """Return every point with the run that counts for it, in the sweep's order."""
        if self._candidates is not None:
            return self._candidates.runs()
        return [self.index.outcome(number, planned) for number, planned in enumerate(self.plan.points)]

    def _run_all(self, runner: JobRunner) -> bool:
        """Run what has to run; return whether the sweep came to its end."""
        if self._candidates is None:
            return runner.run(self._assign(self.plan.points))

        def run(batch: Sequence[Candidate]) -> bool:
            self._count_known()
            return runner.run(each for tried in batch for each in self._assign(tried.runs, tried.number))

        return self._candidates.search(run, at_once=self.settings.n_jobs or runner.workers)

    def _assign(self, points: Sequence[Planned], number: int = 0) -> Iterator[Job]:
        """Yield an attempt for each point that has not finished."""
        for planned in points:
            if self.index.counting(planned.key) is not None:
                continue
            if self._is_out(points):
                if planned.key not in self._counted:
                    self._count(planned, well=True, anew=True)
                continue
            self._tracked.ensure()
            earlier = self.index.attempts(planned.key)
            attempt = self.plan.folder.begin(planned.key, planned.point, number, earlier)
            self._progress.hand_over(planned.key)
            yield Job(planned=planned, attempt=attempt)

    def _hear(self, job: Job, reason: str | None) -> bool:
        """Enter how a run ended; return whether the sweep goes on."""
        planned, attempt = job.planned, job.attempt
        self.index.hear(attempt, reason)
        self._count(planned, well=attempt.counts, anew=True)
        if not attempt.counts:
            found = self.index.outcome(0, planned)
            say(f"{found.status}: {shown(planned.point)}: {found.reason}")
        elif self.index.pruned(planned.key) is not None:
            say(f"pruned: {shown(planned.point)}: {self.index.outcome(0, planned).reason}")
        return self._progress.failed <= self.settings.max_failure_rate * self.plan.total

    def _count_known(self) -> None:
        """Count the runs that are there; with other commands at work they become more by themselves."""
        groups = [self.plan.points] if self._candidates is None else [tried.runs for tried in self._candidates.tried]
        for points in groups:
            out = self._is_out(points)
            for planned in points:
                if planned.key not in self._counted and (out or self.index.counting(planned.key) is not None):
                    self._count(planned, well=True, anew=False)

    def _is_out(self, points: Sequence[Planned]) -> bool:
        """Return whether a candidate of these points is out of the search, for a run of it was pruned."""
        return self._candidates is not None and any(self.index.pruned(each.key) for each in points)

    def _count(self, planned: Planned, *, well: bool, anew: bool) -> None:
        self._counted.add(planned.key)
        value = self.index.value(planned.key, self.settings.objective)
        kind, point = self._kinds.get(planned.key, ""), shown(shortened(planned.point))
        self._progress.ended(planned.key, kind, well=well, anew=anew, value=value, point=point)

    def _judge(self, runs: Sequence[JobOutcome], *, whole: bool) -> None:
        """End with an error where runs are missing."""
        failed = [run for run in runs if run.status is not None and not run.status.is_final]
        again = "the same command typed again runs them again"
        if not whole:
            limit = f"hydra.sweeper.max_failure_rate={self.settings.max_failure_rate}"
            raise TrainingError(
                f"{limit}: {len(failed)} of {self.plan.total} runs failed and the sweep stopped; {again}"
            )
        if lost := sum(run.status is None or not run.status.is_final for run in runs):
            raise TrainingError(f"{lost} of {len(runs)} runs did not finish; {again}")


def _sharing_problem(plan: Plan, context: HydraContext) -> str | None:
    """Return why several commands cannot share the sweep."""
    if not plan.searches:
        return (
            "hydra.sweeper.storage: every point of this sweep is known beforehand and none is searched for: leave it "
            "out, or try fewer than all with hydra.sweeper.n_trials"
        )
    if submits(context.config):
        return (
            "hydra.sweeper.storage: commands that share a search do its runs themselves: leave hydra/launcher out and "
            "let the scheduler start the command as often as wanted, e.g. srun --ntasks=4 python -m tlexp -m ..."
        )
    return None


def _pruning_problem(settings: SweepConfig, plan: Plan) -> str | None:
    """Return why no run of the sweep could be pruned."""
    stated, config = f"hydra.sweeper.pruner={settings.pruner}", plan.first.composed.config
    if not plan.searches:
        return (
            f"{stated}: every point of this sweep is known beforehand and all are wanted: leave it out, or try fewer "
            "than all with hydra.sweeper.n_trials"
        )
    if config.head.kind.solved and not _swept("head.kind", plan):
        return f"{stated}: head={config.head.kind} is solved at once and has no middle to be ended in: leave it out"
    if config.tune.trials > 1 and not _swept("tune.trials", plan):
        return (
            f"{stated}: tune.trials={config.tune.trials} has each run search by itself, and only fits of one candidate "
            "are compared with each other: leave one of them out"
        )
    if not config.tune.validate and not _swept("tune.validate", plan):
        return f"{stated} needs the validation part that tune.validate=false leaves out: leave one of them out"
    steps = config.train.count_steps(_MANY_IMAGES)
    if steps < LEAST_STEPS and not any(_swept(f"train.{name}", plan) for name in ("steps", "epochs", "limit_steps")):
        return f"{stated}: fits of {steps} steps are too short to be ended in their middle (least: {LEAST_STEPS})"
    return None


def _swept(name: str, plan: Plan) -> bool:
    """Return whether a setting differs between points, by itself or through its group or an experiment."""
    return any(key in (name, "experiment") or name.startswith(f"{key}.") for key in plan.space.names)


def _objective_problems(objective: str) -> list[str]:
    stated = f"hydra.sweeper.objective={objective}"
    if objective.startswith("test/"):
        return [f"{stated}: the test split is read once, after all choices, and never ranks; take val/ or cost/"]
    known = [metric for metric in names.METRICS if metric.startswith(("val/", "cost/"))]
    return [] if objective in known else [f"{stated} is no figure to rank by: {', '.join(known)}"]
