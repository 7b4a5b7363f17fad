"""Simulated studies as tables of runs, image by image: rounds, borrowing, the rest of the pool and groups all at once.

    python -m tests.studies.simulate_tables [--studies 1000] [--only clear,few] [--seeds 10] [--seed 1] [--plant whole]

A study has budgets of the same test images and of nested labels: an image's ease is the same at all of them, and the
luck of a data seed is correlated. All replicates that may ever have their turn are drawn; which of them have it, and
what each look says, is found by the package's own `hold_rounds` from the table, as for a real study. `--plant whole`
lets every look err as if it were the only one: bounds of `two-lucky` must be seen to fail too often then.
"""

import argparse
import time
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from tests.studies.simulate import Kind
from tlexp.studies.analysis import rounds
from tlexp.studies.analysis.findings import Sureness
from tlexp.studies.analysis.rounds import HeldRounds, hold_rounds, plan_looks
from tlexp.studies.analysis.table import Cell, Column, Replicate, Role, StudyTable
from tlexp.tracking import RunStatus

PER_CLASS = (5.0, 20.0, 80.0)


@dataclass(frozen=True, kw_only=True)
class TableKind:
    """A kind of study.

    Attributes:
        drawn: Of one budget; its accuracies are those at the smallest, of the columns, the dearest first.
        unlike: (C,) what multiplies the deviation of each column's own luck.
        gain: What each further budget adds to the strength of all columns.
        alike: Correlation of a seed's luck between budgets.
        rest: Of the later four fifths of each class's images, the share that a seed is tested on; 1 for a test split.
        solved: So many of the cheapest columns take all seeds at once.
        margin: In balanced accuracy.
    """

    drawn: Kind
    unlike: tuple[float, ...] = (1.0,) * 5
    gain: float = 0.15
    alike: float = 0.6
    rest: float = 1.0
    solved: int = 0
    margin: float = 0.02

    @property
    def truth(self) -> NDArray[np.float64]:
        """(L, C) balanced accuracy over all seeds and images that there might be."""
        columns = [replace(self.drawn, seed=self.drawn.seed * unlike) for unlike in self.unlike]
        found = [column.truth_of(self._strength()[:, place]) for place, column in enumerate(columns)]
        return np.stack(found, axis=1)

    def draw(self, generator: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (L, C, S, n) what is told right and (S, n) on which images a seed is tested."""
        kind, labels = self.drawn, self.drawn.labels
        budgets, columns, seeds = len(PER_CLASS), len(kind.accuracy), kind.seeds

        def luck(deviation: float, *shape: int) -> NDArray[np.float64]:
            same, own = generator.standard_normal((1, *shape)), generator.standard_normal((budgets, *shape))
            found: NDArray[np.float64] = deviation * (np.sqrt(self.alike) * same + np.sqrt(1 - self.alike) * own)
            return found[..., None]

        def ease(deviation: float, group_deviation: float, *shape: int) -> NDArray[np.float64]:
            found = deviation * generator.standard_normal((*shape, 1, len(labels)))
            groups = kind.tested.groups
            if groups is not None:
                found += group_deviation * generator.standard_normal((*shape, 1, int(groups.max()) + 1))[..., groups]
            return found

        score = kind.rest * generator.standard_normal((budgets, columns, seeds, len(labels)))
        score += luck(kind.common, 1, seeds) + luck(kind.seed, columns, seeds) * np.array(self.unlike)[:, None, None]
        score += ease(kind.image, kind.group, 1) + ease(kind.taste, kind.group_taste, columns)
        later = np.concatenate([np.arange(count) >= count // 5 for count in np.bincount(labels)])
        tested = ~later | (generator.random((seeds, len(labels))) < self.rest)
        return score + self._strength()[:, :, None, labels] > 0, tested

    def _strength(self) -> NDArray[np.float64]:
        """(L, C, K) on the latent scale."""
        first: NDArray[np.float64] = self.drawn.strength
        return first + self.gain * np.arange(len(PER_CLASS))[:, None, None]


LIKE = Kind(images=400, taste=0.2, seed=0.06, seeds=10)
CLEAR = replace(LIKE, accuracy=(0.8, 0.65, 0.65, 0.65, 0.65))
BRINK = replace(LIKE, accuracy=(0.75, 0.72, 0.72, 0.72, 0.72))
TABLE_KINDS = {
    "equal": TableKind(drawn=LIKE),
    "clear": TableKind(drawn=CLEAR, unlike=(1.0, 1.0, 1.0, 4.0, 6.0)),
    "clear-noisy": TableKind(drawn=CLEAR, unlike=(6.0, 1.0, 1.0, 4.0, 1.0)),
    "brink": TableKind(drawn=BRINK),
    "brink-noisy": TableKind(drawn=BRINK, unlike=(4.0, 1.0, 1.0, 1.0, 1.0)),
    "few": TableKind(drawn=BRINK, unlike=(4.0, 1.0, 1.0, 1.0, 1.0), solved=3),
    "left": TableKind(drawn=BRINK, unlike=(4.0, 1.0, 1.0, 1.0, 1.0), rest=0.5),
    "groups": TableKind(
        drawn=replace(BRINK, shares=(0.5, 0.5), image=0.4, group=0.7, group_taste=0.2, size=8),
        unlike=(4.0, 1.0, 1.0, 1.0, 1.0),
    ),
    "two": TableKind(drawn=replace(BRINK, accuracy=(0.75, 0.72)), unlike=(4.0, 1.0)),
    "two-lucky": TableKind(drawn=replace(BRINK, accuracy=(0.75, 0.729), taste=0.02, rest=0.3), unlike=(3.0, 1.0)),
    "chance": TableKind(drawn=replace(LIKE, accuracy=(0.2,) * 5), gain=0.0),
}
"""On the brink every cheaper column loses a little more than the margin; of `few` three of five columns take all seeds
at once while two wait; in `left` each seed has test images of its own; eight images of `groups` are told alike; of
`two-lucky` the luck of seeds says nearly all."""


def table_of(kind: TableKind, generator: np.random.Generator) -> StudyTable:
    """Return all that a study of this kind may ever measure."""
    correct, tested = kind.draw(generator)
    count, seeds = correct.shape[1], tuple(range(kind.drawn.seeds))
    columns = tuple(
        Column(
            name=f"c{number}",
            title=f"c{number}",
            role=Role.way,
            depth=None,
            trainable=count - number,
            solved=number >= count - kind.solved,
        )
        for number in range(count)
    )
    budgets = tuple(f"{each:g}" for each in PER_CLASS)
    cells = {
        (column.name, labels): Cell(
            column=column.name,
            labels=labels,
            replicates=tuple(
                Replicate(
                    seed=seed,
                    status=RunStatus.finished,
                    correct=correct[at, place, seed],
                    tested=None if kind.rest == 1 else tested[seed],
                )
                for seed in seeds
            ),
        )
        for at, labels in enumerate(budgets)
        for place, column in enumerate(columns)
    }
    return StudyTable(
        name="simulated",
        about={"study": {"looks": list(plan_looks(len(seeds)))}},
        backbone="tiny",
        columns=columns,
        budgets=budgets,
        per_class=dict(zip(budgets, PER_CLASS, strict=True)),
        classes=tuple(map(str, range(len(kind.drawn.shares)))),
        labels=kind.drawn.labels,
        groups=kind.drawn.tested.groups,
        seeds=seeds,
        cells=cells,
        margin=kind.margin,
        skipped={},
        record=None,
    )


def simulate_tables(kind: TableKind, studies: int, *, seed: int, plant: str = "") -> dict[str, float]:
    """Return what was found at the budget at which it is worst, and what it took, a mean over budgets.

    held: the bounds of all columns that stayed hold against the best of all; kept: the best column has not left; worse:
    it is called decided, and is worse by more than the margin; taken: a column is recommended; decided; replicates:
    share of all that had their turn.

    Args:
        kind: Of the studies.
        studies: How many.
        seed: Of everything that is drawn.
        plant: A bug: `whole`.
    """
    generator, truth = np.random.default_rng(seed), kind.truth
    whole = {number: (1.0,) * number for number in rounds.SHARES} if plant == "whole" else rounds.SHARES
    with mock.patch.object(rounds, "SHARES", whole):
        parts = [_judge(hold_rounds(table_of(kind, generator)), truth, kind) for _ in range(studies)]
    found = {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}
    lowest = {name: float(found[name].min()) for name in ("held", "kept")}
    highest = {name: float(found[name].max()) for name in ("worse", "taken")}
    return lowest | highest | {name: float(found[name].mean()) for name in ("decided", "replicates")}


def _judge(held: HeldRounds, truth: NDArray[np.float64], kind: TableKind) -> dict[str, list[float]]:
    """Return for each budget what is true of its last look."""
    found: dict[str, list[float]] = {}
    names = [column.name for column in held.table.columns]
    for at, labels in enumerate(held.table.budgets):
        decision = held.looks[labels].decision
        places = [names.index(cell.column) for cell in decision.candidates]
        regrets = truth[at].max() - truth[at]
        taken = None if decision.chosen is None else regrets[places[decision.chosen]]
        decided = decision.sureness is Sureness.decided
        ran = sum(len(cell.replicates) for (_, budget), cell in held.table.cells.items() if budget == labels)
        told = {
            "held": (decision.bounds >= regrets[places] - 1e-12).all(),
            "kept": (names[int(truth[at].argmax())], labels) not in held.dropped,
            "worse": decided and taken is not None and taken > kind.margin,
            "taken": taken is not None,
            "decided": decided,
            "replicates": ran / (len(names) * kind.drawn.seeds),
        }
        for name, value in told.items():
            found.setdefault(name, []).append(float(value))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate whole studies, image by image, with a known truth.")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default=",".join(TABLE_KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=(10,), help="the most that a study takes")
    parser.add_argument("--plant", choices=["whole"], default="")
    parser.add_argument("--seed", type=int, default=1)
    stated = parser.parse_args()
    for name in stated.only.split(","):
        for seeds in stated.seeds:
            began, kind = time.perf_counter(), TABLE_KINDS[name]
            kind = replace(kind, drawn=replace(kind.drawn, seeds=seeds))
            found = simulate_tables(kind, stated.studies, seed=stated.seed, plant=stated.plant)
            told = " ".join(f"{key} {value:.4f}" for key, value in found.items())
            error = (0.05 * 0.95 / stated.studies) ** 0.5
            print(f"{name:12} S<={seeds:<2} {told} (+-{error:.4f}, {time.perf_counter() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
