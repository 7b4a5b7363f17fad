"""What the answers of studies of networks or sizes lose, against columns measured with data seeds that were not theirs.

    python tests/benchmarks/bench_networks.py multirun/A multirun/B ... [--truth multirun/C ...]
    python tests/benchmarks/bench_networks.py multirun/A multirun/B ... --split 3 [--truth multirun/C ...]

The truth at a budget is the mean of each column's balanced accuracy on the test images over the seeds that the other
studies have, those of --truth among them. Regrets are points lost against the best column of all that were measured: of
the column that the study takes, and of the frozen network that ImageNet's results alone would choose. `loses` has the
standard error of the difference to the best over seeds; bounds speak of the finalists, so they are held against those.

With --split the studies, which may be of different networks, are taken as one, with the columns that they measured at
all budgets and the seeds that all of these have. So many of the seeds are a study of their own, screen and finals, that
the other seeds and those of --truth judge: every choice of them, or a hundred at random. What a study says follows from
its records alone. What the column with the highest mean over all seeds would have lost shows how coarse the judges are.
"""

import argparse
import dataclasses
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Recommendation
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.rounds import TRAINED, plan_looks
from tlexp.studies.analysis.screen import prior_favourite
from tlexp.studies.analysis.stages import find_entrants
from tlexp.studies.analysis.table import Cell, Replicate, StudyTable

_MOST_SPLITS = 100
Truth = dict[str, dict[int, float]]
"""Column -> seed -> balanced accuracy in points."""


def truth(tables: Sequence[StudyTable], labels: str, known: Sequence[int]) -> Truth:
    """Return what columns reached at a budget; no seed that is known."""
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for table in tables:
        for (column, budget), cell in table.cells.items():
            for run in cell.finished if budget == labels else ():
                if run.seed not in known:
                    found[column][run.seed] = 100 * run.metrics["test/balanced_accuracy"]
    return found


def lost(column: str, best: str, reached: Mapping[str, Mapping[int, float]]) -> tuple[float, float]:
    """Return what a column has less than the best over the seeds that both have, and the standard error of that."""
    seeds = sorted({*reached[column]} & {*reached[best]})
    differences = np.array([reached[best][seed] - reached[column][seed] for seed in seeds])
    return float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)


def means_of(reached: Truth) -> dict[str, float]:
    """Return the mean of each column."""
    return {column: float(np.mean(list(runs.values()))) for column, runs in reached.items()}


def highest(reached: Truth) -> str:
    """Return the column with the highest mean."""
    means = means_of(reached)
    return max(means, key=means.__getitem__)


def pool(tables: Sequence[StudyTable], least: int) -> StudyTable:
    """Return studies of the same images as one: the columns of so many seeds or more, and the seeds that all have."""
    first = tables[0]
    assert all(np.array_equal(each.labels, first.labels) and each.names == first.names for each in tables[1:])
    budgets = tuple(labels for labels in first.budgets if all(labels in each.budgets for each in tables))
    measured: defaultdict[tuple[str, str], dict[int, Replicate]] = defaultdict(dict)
    for table in tables:
        for place, cell in table.cells.items():
            measured[place] |= {run.seed: run for run in cell.finished}
    columns = {column.name: column for table in tables for column in table.columns}
    most = {name: min(len(measured[name, labels]) for labels in budgets) for name in columns}
    whole = [name for name in columns if most[name] >= least]
    seeds = sorted(set.intersection(*(set(measured[name, labels]) for name in whole for labels in budgets)))
    print(f"seeds {seeds}; columns without: {sorted(set(columns) - set(whole)) or 'none'}")
    entrants = {each["name"]: each for table in tables for each in table.about["study"]["entrants"]}
    stated = {**first.about["study"], "entrants": list(entrants.values()), "unseen": [], "stopped": None}
    return dataclasses.replace(
        first,
        name="",
        about={**first.about, "study": stated},
        columns=tuple(columns[name] for name in whole),
        budgets=budgets,
        seeds=tuple(seeds),
        cells={
            (name, labels): Cell(
                column=name,
                labels=labels,
                replicates=tuple(measured[name, labels][seed] for seed in seeds),
                operations=next(each.cells[name, labels].operations for each in tables if (name, labels) in each.cells),
            )
            for name in whole
            for labels in budgets
        },
        skipped={},
    )


def of_seeds(table: StudyTable, seeds: Sequence[int]) -> StudyTable:
    """Return a study as if it had had these seeds alone, in the rounds of now."""
    cells = {
        place: dataclasses.replace(cell, replicates=tuple(run for run in cell.replicates if run.seed in seeds))
        for place, cell in table.cells.items()
    }
    about = {**table.about, "study": {**table.about["study"], "looks": plan_looks(len(seeds)), "trained": TRAINED}}
    return dataclasses.replace(table, name=str(seeds), about=about, seeds=tuple(seeds), cells=cells)


def splits(table: StudyTable, count: int) -> Iterator[StudyTable]:
    """Yield a study for each choice of so many seeds."""
    chosen = list(itertools.combinations(table.seeds, count))
    if len(chosen) > _MOST_SPLITS:
        chosen = random.Random(0).sample(chosen, _MOST_SPLITS)
    yield from (of_seeds(table, seeds) for seeds in chosen)


@dataclasses.dataclass
class Ledger:
    """What was taken, lost and bounded at a budget, answer by answer."""

    own: list[float] = dataclasses.field(default_factory=list)
    favourites: list[float] = dataclasses.field(default_factory=list)
    ideals: list[float] = dataclasses.field(default_factory=list)
    held: list[bool] = dataclasses.field(default_factory=list)
    bounds: list[float] = dataclasses.field(default_factory=list)
    sure: Counter[str] = dataclasses.field(default_factory=Counter)
    takes: Counter[str] = dataclasses.field(default_factory=Counter)

    def __add__(self, other: "Ledger") -> "Ledger":
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self))
        return Ledger(*(one + two for one, two in pairs))

    def judge(self, found: Recommendation, favourite: str | None, reached: Truth, ideal: str) -> str:
        """Take down one answer and return its cells of the table."""
        means = means_of(reached)
        best = max(means, key=means.__getitem__)
        self.sure[str(found.sureness)] += 1
        self.takes[str(found.column)] += 1
        if found.column is None or found.bound is None:
            return f"{found.column} | | {found.sureness} | {best} | | |"
        compared = max((each.column for each in found.candidates if each.column in means), key=means.__getitem__)
        loses, error = lost(found.column, best, reached)
        self.own.append(loses)
        self.favourites.append(lost(favourite, best, reached)[0] if favourite in reached else float("nan"))
        self.ideals.append(lost(ideal, best, reached)[0])
        self.bounds.append(100 * found.bound)
        self.held.append(lost(found.column, compared, reached)[0] <= 100 * found.bound)
        told = f"{found.column} | {100 * found.bound:.1f} | {found.sureness} | {best} | {loses:.2f} ({error:.2f})"
        return f"{told} | {self.favourites[-1]:.2f} |"

    def print_all(self, labels: str) -> None:
        """Print what the answers come to."""
        below = np.subtract(self.own, self.favourites)
        takes = ", ".join(f"{column} {times}" for column, times in self.takes.most_common())
        print(f"\n{labels}: {self.takes.total()} answers, {dict(self.sure)}; taken: {takes}")
        print(f"lost: mean {np.mean(self.own):.2f}, worst {max(self.own):.2f}; ", end="")
        print(f"what is best over all seeds: {np.mean(self.ideals):.2f}, {max(self.ideals):.2f}; ", end="")
        print(f"bounds: median {np.median(self.bounds):.1f}, held {sum(self.held)} of {len(self.held)}")
        if np.isfinite(self.favourites).any():
            usual, worst = np.nanmean(self.favourites), np.nanmax(self.favourites)
            print(f"the prior's favourite lost: mean {usual:.2f}, worst {worst:.2f}; ", end="")
            print(f"below it by more than a point: {sum(below > 1)}, at most by {np.nanmax(below):.2f}")


def print_means(tables: Sequence[StudyTable], budgets: Sequence[str]) -> None:
    """Print every column's mean, standard deviation and number of seeds."""
    print(f"| column | {' | '.join(budgets)} |\n|{'---|' * (1 + len(budgets))}")
    reached = {labels: truth(tables, labels, ()) for labels in budgets}
    for column in dict.fromkeys(column for runs in reached.values() for column in runs):
        told = [list(reached[labels].get(column, {}).values()) for labels in budgets]
        shown = [f"{np.mean(v):.1f} ± {np.std(v, ddof=1):.1f} ({len(v)})" if len(v) > 1 else "" for v in told]
        print(f"| {column} | {' | '.join(shown)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--truth", nargs="*", type=Path, default=[])
    parser.add_argument("--split", type=int, default=None, help="data seeds of each study that all are split into")
    arguments = parser.parse_args()
    measured = [read_table(folder) for folder in [*arguments.studies, *arguments.truth]]
    studies = measured[: len(arguments.studies)]
    if arguments.split is not None:
        measured = [pool(studies, arguments.split + (not arguments.truth)), *measured[len(studies) :]]
        studies = list(splits(measured[0], arguments.split))
    print_means(measured, measured[0].budgets)
    ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
    head = ("study", "labels", "takes", "may lose", "sure", "best of all", "loses", "the prior's favourite loses")
    rows = [f"| {' | '.join(head)} |\n|{'---|' * len(head)}"]
    for study in studies:
        entrants = find_entrants(study)
        favourite = prior_favourite(entrants).columns[0] if entrants else None
        for found in analyse(study).recommendations:
            reached, whole = (truth(measured, found.labels, seeds) for seeds in (study.seeds, ()))
            if not reached:
                parser.error(f"{study.name}: no other data seed judges it; name a study of other seeds")
            told = ledgers[found.labels].judge(found, favourite, reached, highest(whole))
            rows.append(f"| {study.name} | {found.labels} | {told}")
    print("\n".join(rows if arguments.split is None else rows[:0]))
    for labels, ledger in ledgers.items():
        ledger.print_all(f"{labels} labels")
    sum(ledgers.values(), Ledger()).print_all("all")


if __name__ == "__main__":
    main()
