"""What a study will take, from a few measured steps of each column's network."""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from tlexp.config import Config, config_key
from tlexp.config.head import HeadKind
from tlexp.config.tune import TuneConfig
from tlexp.errors import WeightsError
from tlexp.experiment.estimate import SolvingCost, UnitCosts, measure_costs, measure_solving, run_seconds
from tlexp.experiment.session import Session
from tlexp.models.weights import is_here
from tlexp.studies.analysis.rounds import most_seeds
from tlexp.studies.analysis.screen import FINALISTS
from tlexp.studies.planning.planned_column import PlannedColumn, PlannedRun
from tlexp.studies.planning.study_plan import StudyPlan
from tlexp.terminal import one_line
from tlexp.train import Listener

_ENDS_SECONDS = 4.0
"""Of what comes once besides the runs and the imports: the tracking store and the report, on one core."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds by column and by replicate, of what has not finished.

    Attributes:
        costs: Of each column's network, by the name of the column.
        solving: Of its head, where that is solved.
        tested: Test images.
        shared: Of reading all images once, and again for heads that see something else of the frozen backbone.
        starts: Of starting, as measured in this process: they are over when anything begins.
        ends: Of what comes once at the end.
        done: Keys of the runs that have finished.
        images: That pass a network once.
        passed: Columns whose features the pass of another reading of their network makes.
    """

    costs: Mapping[str, UnitCosts]
    solving: Mapping[str, SolvingCost]
    tested: int
    shared: float
    starts: float
    ends: float
    done: frozenset[str]
    images: int = 0
    passed: frozenset[str] = frozenset()

    @property
    def once(self) -> float:
        """What comes once."""
        return self.starts + self.ends

    def run(self, column: PlannedColumn, run: PlannedRun) -> float:
        """Return the seconds of one replicate."""
        return self.alone(column, run) + self.solved(column, run)

    def alone(self, column: PlannedColumn, run: PlannedRun) -> float:
        """Return what a replicate takes when its head, if it is solved, has been solved with those of others."""
        budget, costs = run.budget, self.costs[column.column.name]
        return run_seconds(run.config, costs, images=budget.images, folds=budget.folds, tested=self.tested)

    def solved(self, column: PlannedColumn, run: PlannedRun) -> float:
        """Return the seconds in which the head of a replicate is solved; 0 where it is trained."""
        solving = self.solving.get(column.column.name)
        return 0.0 if solving is None else solving.seconds(run.budget.images, run.budget.pooled_folds)

    def of(self, column: PlannedColumn, runs: Sequence[PlannedRun] | None = None) -> float:
        """Return the seconds that are left of a column, or of some of its runs."""
        return sum(self.run(column, run) for run in (column.runs if runs is None else runs) if run.key not in self.done)

    def passing(self, plan: StudyPlan, column: PlannedColumn) -> float:
        """Return the seconds of the pass that a probe's network takes over all images, heads of the screen included."""
        return self.read(column) + self.of(column, plan.probing(column))

    def read(self, column: PlannedColumn) -> float:
        """Return the seconds in which all images pass a column's network; 0 where they have."""
        name = column.column.name
        over = name in self.passed or any(run.key in self.done for run in column.runs)
        return 0.0 if over else self.costs[name].image * self.images

    def milliseconds(self, plan: StudyPlan) -> dict[str, float]:
        """Return what an image takes in each network of a pool of which something is left to do, by name."""
        costs = {each.name: self.costs[each.columns[0]].image for each in plan.entrants}
        return {name: round(1000 * seconds, 2) for name, seconds in costs.items() if seconds}

    def least(self, plan: StudyPlan) -> float:
        """Return the seconds that a study takes of which nothing more is left out while it runs: a screen may stop."""
        return self.once + self.passing(plan, plan.probes[0]) if plan.entrants else self.total(plan)

    def screening(self, plan: StudyPlan) -> float:
        """Return the seconds that are left of the passes of all entrants."""
        return sum(self.passing(plan, each) for each in plan.probes)

    def finals(self, plan: StudyPlan, entrants: Collection[str]) -> float:
        """Return the seconds of what comes after the screen if these entrants, or the dearest of them, go on."""
        seen = {run.key for each in plan.probes for run in plan.probing(each)}
        columns = self._at_most(plan, entrants)
        return sum(self.of(each, [run for run in each.runs if run.key not in seen]) for each in columns)

    def cheapest_final(self, plan: StudyPlan, entrants: Collection[str]) -> float:
        """Return the seconds that are left of the least that some entrants train: a first round at a largest budget."""
        largest = {column.column.name: (column, runs) for column, runs in training_cells(plan, entrants)[::-1]}
        return min((self.of(*cell) for cell in largest.values()), default=0.0)

    def total(self, plan: StudyPlan) -> float:
        """Return the seconds that the study takes at most with what is left of it, its start included."""
        return self.once + self.shared + sum(self.of(column) for column in self._at_most(plan))

    def whole(self, plan: StudyPlan) -> dict[str, float]:
        """Return the seconds of a study of which nothing is left out: what comes once, and what for each data seed."""
        going = [each for each in self._at_most(plan) if not each.column.is_control]
        seed = sum(self.run(each, run) for each in going for run in each.runs if run.seed == plan.seeds[-1])
        return {"once": self.total(plan) - seed * len(plan.seeds), "seed": seed}

    def first(self, plan: StudyPlan) -> float:
        """Return the seconds that it takes if the first round decides."""
        return self.once + self.shared + sum(self.of(each, plan.opening(each)) for each in self._at_most(plan))

    def _at_most(self, plan: StudyPlan, entrants: Collection[str] | None = None) -> list[PlannedColumn]:
        """Return the columns that may run: the screen's part of all probes, and what as many as may be finalists take.

        After each look a network fewer trains on.
        """
        seconds = {
            each.name: sum(self.of(column) for column in plan.columns if column.column.name in each.columns[1:])
            for each in plan.entrants
            if entrants is None or each.name in entrants
        }
        ordered = sorted((each for each in plan.entrants if each.name in seconds), key=lambda each: seconds[each.name])
        dearest = {each.network: each.name for each in ordered}  # one reading of a network goes on
        going = sorted(dearest.values(), key=lambda name: seconds[name])[-FINALISTS:]
        out = [each for each in plan.entrants if each.name not in going]
        never, seen = {name for each in out for name in each.columns[1:]}, {each.columns[0] for each in out}
        left = (each for each in plan.columns if each.column.name not in never)
        most = {
            column: most_seeds(plan.looks, plan.trained, going[::-1].index(each.name))
            for each in plan.entrants
            if each.name in going
            for column in each.columns[1:]
        }
        return [
            replace(each, runs=tuple(plan.probing(each)))
            if each.column.name in seen
            else each.seeded(plan.seeds[: most.get(each.column.name)])
            for each in left
        ]


def training_cells(plan: StudyPlan, entrants: Collection[str]) -> list[tuple[PlannedColumn, list[PlannedRun]]]:
    """Return what some entrants train in the first round: columns, each with the replicates of a budget.

    What is wanted most comes first: entrants in their order, of each the largest budget, where unfreezing brings most,
    and at a budget what is frozen most.
    """
    names = {each.name: each.columns[1:] for each in plan.entrants}
    columns = {each.column.name: each for each in plan.columns}
    cells = []
    for entrant in entrants:
        for budget in reversed(plan.budgets):
            for column in (columns[name] for name in names.get(entrant, ()) if name in columns):
                if found := [run for run in plan.opening(column) if run.budget is budget]:
                    cells.append((column, found))
    return cells


def estimate(plan: StudyPlan, shared: Session, done: frozenset[str]) -> Estimate:
    """Return what the study will take, by a few measured steps of each column's network."""
    imports, began = time.process_time(), time.perf_counter()
    by_column: dict[str, UnitCosts] = {}
    largest = plan.budgets[-1].images
    classes, tested = len(plan.source.classes), len(plan.source.held_out.labels) + len(plan.rest)
    image = 0.0
    measured: dict[str, UnitCosts] = {}
    solving: dict[str, SolvingCost] = {}
    for column in _shown(plan):
        costs, config = UnitCosts(step=0.0, image=0.0), column.runs[-1].config
        if any(run.key not in done for run in column.runs):
            config = _as_measured(config, shared) if plan.pool else config
            alike = _alike(config)
            if alike not in measured:
                measured[alike] = measure_costs(config, shared, images=largest, classes=classes, tested=tested)
            costs = measured[alike]
            if config.head.kind.solved:
                solving[column.column.name] = measure_solving(
                    config, shared, plan.source.pool, images=largest, classes=classes, image=costs.image
                )
        image = max(image, costs.image if column.column.competes else 0.0)
        by_column[column.column.name] = costs
    heads = [each.composed.config.head for each in plan.columns if each.column.competes]
    seen = {(head.kind.sees_map, tuple(head.units)) for head in heads}
    seeds = plan.probe_seeds if plan.entrants else len(plan.seeds)
    asked = seeds * (largest + len(plan.rest))  # budgets of a data seed lie inside its largest
    images = (min(len(plan.source.pool.labels), asked) + len(plan.source.held_out.labels)) * len(seen)
    starts = imports + time.perf_counter() - began
    passed = _passed(plan, shared)
    if probes := {each.columns[0] for each in plan.entrants}:  # each network passes all images, one after the other
        begun = {each.column.name for each in plan.columns if any(run.key in done for run in each.runs)}
        image = sum(by_column[name].image for name in probes - passed - begun)
    return Estimate(
        costs=by_column,
        solving=solving,
        tested=tested,
        shared=image * images,
        starts=starts,
        ends=_ENDS_SECONDS,
        done=done,
        images=images,
        passed=passed,
    )


def _shown(plan: StudyPlan) -> Iterator[PlannedColumn]:
    """Yield the columns; on a terminal a line says which network, size or column is timed, elsewhere nothing does."""
    entrants = [each.name for each in plan.entrants]
    with tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True, disable=None) as bar:  # None: on a terminal alone
        for number, each in enumerate(plan.columns, 1):
            name, told = each.column.entrant, f"column {number} of {len(plan.columns)}: {each.column.name}"
            if name in entrants:
                told = f"{plan.study.screens[:-1]} {entrants.index(name) + 1} of {len(entrants)}: {each.column.name}"
            bar.set_description_str(one_line(f"timing {told}"))
            yield each


def _passed(plan: StudyPlan, session: Session) -> frozenset[str]:
    """Return the columns whose features are kept when another reading of their network has passed the images."""
    if not session.keeps_rows(plan.columns[0].composed.config, Listener().message):
        return frozenset()
    names = {each.name for each in plan.entrants}
    return frozenset(each.columns[0] for each in plan.entrants if each.reads in names)


def _as_measured(config: Config, session: Session) -> Config:
    """Return a run with random weights where its own are not here, which cost the same: a bill downloads nothing.

    Nor does it end where they cannot be read: the study leaves such a network out when its probe fails. How long
    logistic regression takes on their features is told by the own ones alone.
    """
    backbone, own = config.backbone, config.backbone.weights
    here = backbone.packaged or Path(own).exists() if own else backbone.pretrained and is_here(backbone.name)
    if here:
        with contextlib.suppress(WeightsError):
            session.network(config)
            return config
    return replace(config, backbone=replace(backbone, pretrained=False, weights=None))


def _alike(config: Config) -> str:
    """Return what names the runs of which an image and a step cost the same; heads that are solved take no steps."""
    head = replace(config.head, kind=HeadKind.logreg) if config.head.kind.solved else config.head
    head = replace(head, global_pool=None)  # pooling costs next to nothing beside the network
    train = replace(config.train, longer=1)
    return config_key(replace(config, head=head, train=train, tune=TuneConfig()))
