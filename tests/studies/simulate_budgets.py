"""Simulated studies of several label budgets, at the level of each seed's accuracy, with a known truth.

    python -m tests.studies.simulate_budgets [--studies 2000] [--only equal,spike] [--columns 5 12] [--seeds 3 10]
                                             [--budgets 1 3 5 8] [--spikes 3 6 15]

A seed's accuracy is the column's, plus a luck that is correlated between the nested budgets and falls with the labels,
plus what the test images do to the column, whose variance is known. Of a pool, seeds share part of their luck: as much
as they share images. All that is said of a study is computed by the package's own functions.
"""

import argparse
import itertools
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tlexp.studies.analysis.borrowing import borrow, of_mean
from tlexp.studies.analysis.intervals import Spread
from tlexp.studies.analysis.rule import bound_regrets, choose, comparisons, may_be_best

MARGIN = 0.01
BUDGETS = {
    1: (10.0,),
    3: (5.0, 20.0, 100.0),
    5: (2.0, 5.0, 10.0, 20.0, 50.0),
    8: (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
}
COLUMNS = (2, 5, 12, 36)
SEEDS = (3, 10, 30)
_AT_ONCE = 10_000_000


@dataclass(frozen=True, kw_only=True)
class BudgetKind:
    """A kind of study.

    Attributes:
        accuracy: Of the columns, the dearest first; repeated from the second on where there are more columns.
        luck: Deviation of a seed's luck at the smallest budget, of each column; repeated likewise.
        spike: What multiplies it at the smallest budget alone.
        columns: How many.
        seeds: Data seeds.
        per_class: Labels per class of each budget.
        alike: Correlation of a seed's luck between two budgets.
        power: The variance of the luck falls with this power of the labels.
        pool: Images per class that all seeds draw from; inf where they share none.
        image: Deviation by the test images, of each column.
    """

    accuracy: tuple[float, ...] = (0.7,) * 5
    luck: tuple[float, ...] = (0.06,) * 5
    spike: tuple[float, ...] = (1.0,) * 5
    columns: int = 5
    seeds: int = 3
    per_class: tuple[float, ...] = BUDGETS[3]
    alike: float = 0.5
    power: float = 0.0
    pool: float = np.inf
    image: float = 0.005

    @property
    def truth(self) -> NDArray[np.float64]:
        """(C,)."""
        return self._stretched(self.accuracy)

    @property
    def shared(self) -> NDArray[np.float64]:
        """(L,) k / N."""
        return np.array(self.per_class) / self.pool

    def draw(self, studies: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (B, L, C, S) accuracies as they are on all images, and (B, L, C) what the test images do to them."""
        shape = studies, len(self.per_class), self.columns, self.seeds

        def correlated(*ends: int) -> NDArray[np.float64]:
            both = generator.standard_normal((studies, 1, *ends)), generator.standard_normal((*shape[:2], *ends))
            found: NDArray[np.float64] = np.sqrt(self.alike) * both[0] + np.sqrt(1 - self.alike) * both[1]
            return found

        common = self.shared[:, None, None]
        luck = np.sqrt(1 - common) * correlated(self.columns, self.seeds)
        luck += np.sqrt(common) * correlated(self.columns, 1)
        accuracies = self.truth[:, None] + self._deviations()[..., None] * luck
        return accuracies, self.image * correlated(self.columns)

    def _deviations(self) -> NDArray[np.float64]:
        """(L, C)."""
        labels = np.array(self.per_class)
        found = np.sqrt((labels / labels[0]) ** -self.power)[:, None] * self._stretched(self.luck)
        found[0] *= self._stretched(self.spike)
        return found

    def _stretched(self, values: tuple[float, ...]) -> NDArray[np.float64]:
        """Return the first value, and the others repeated in turn."""
        others = itertools.islice(itertools.cycle(values[1:]), self.columns - 1)
        return np.array([values[0], *others])


EQUAL = BudgetKind()
CLEAR = BudgetKind(accuracy=(0.85, 0.7, 0.7, 0.7, 0.7), luck=(0.05, 0.05, 0.05, 0.2, 0.35))
UNEQUAL = (0.02, 0.05, 0.1, 0.2, 0.35)
BUDGET_KINDS = {
    "equal": EQUAL,
    "unequal": BudgetKind(luck=UNEQUAL),
    "noisy-better": BudgetKind(accuracy=(0.6, 0.65, 0.7, 0.75, 0.8), luck=UNEQUAL),
    "noisy-worse": BudgetKind(accuracy=(0.8, 0.75, 0.7, 0.65, 0.6), luck=UNEQUAL),
    "clear": CLEAR,
    "clear-noisy": replace(CLEAR, luck=(0.35, 0.05, 0.05, 0.2, 0.05)),
    "spike": replace(CLEAR, luck=(0.03,) * 5, spike=(1.0, 8.0, 1.0, 1.0, 1.0)),
    "spike-best": replace(CLEAR, luck=(0.03,) * 5, spike=(8.0, 1.0, 1.0, 1.0, 1.0)),
    "steep-clear": replace(CLEAR, power=1.0),
    "steep-equal": replace(EQUAL, power=1.0),
    "pool-clear": replace(CLEAR, pool=250.0),
    "pool-alike": replace(EQUAL, pool=250.0, accuracy=(0.72, 0.7, 0.7, 0.7, 0.7)),
}
"""Where one column is clearly the best and the others lie far below, its bound against each of them has to hold by
itself; where all are equal another's bound holds in its place. A pool of 250 per class is drawn from by 100 at most."""


def simulate_budgets(kind: BudgetKind, studies: int, *, seed: int) -> dict[str, float]:
    """Return what was found at the budget at which it is worst; medians of the bound of the column taken, over budgets.

    held: the bounds of all columns hold; best: the true best one is not called worse than another; worse: it is called
    decided, and is worse by more than the margin; bound, former: medians of the bound of the column that is taken, and
    of what it was by intervals of all pairs; ratio: the largest of one to the other.
    """
    generator = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // (len(kind.per_class) * kind.columns**2 * kind.seeds))
    parts = [_judge(kind, min(size, studies - start), generator) for start in range(0, studies, size)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    bound, former = np.median(found["bound"], axis=0), np.median(found["former"], axis=0)
    return {
        "held": float(found["held"].mean(axis=0).min()),
        "best": float(found["best"].mean(axis=0).min()),
        "worse": float(found["worse"].mean(axis=0).max()),
        "bound": float(bound.mean()),
        "former": float(former.mean()),
        "ratio": float((bound / np.maximum(former, 1e-9)).max()),
    }


def _judge(kind: BudgetKind, studies: int, generator: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Return (B, L) what is true of each study's budgets, and the bounds of the column that is taken."""
    accuracies, shifts = kind.draw(studies, generator)
    means = accuracies.mean(axis=-1) + shifts
    first, second = np.triu_indices(kind.columns, 1)
    pairs = accuracies[:, :, first] - accuracies[:, :, second]
    plain = _spread(kind, pairs, shifts[:, :, first] - shifts[:, :, second])
    shares = kind.shared
    told = borrow(pairs, np.array(kind.per_class), np.ones(len(shares), dtype=bool))
    overlap = (shares / (1 - shares))[:, None]
    variance = of_mean(told.value, kind.seeds, overlap)
    wide = replace(plain, seed_variance=variance, seed_freedom=told.freedom)
    upper = _matrix(kind, wide, wide.half_width(comparisons(kind.columns), sides=1))
    family = kind.columns * (kind.columns - 1) // 2
    former = bound_regrets(_matrix(kind, plain, plain.half_width(family)))
    bounds = bound_regrets(upper)
    costs = np.arange(kind.columns)[::-1].astype(np.intp)
    taken = choose(means, bounds, costs, MARGIN)[..., None]
    regrets = kind.truth.max() - kind.truth
    own, lost = np.take_along_axis(bounds, taken, -1)[..., 0], regrets[taken[..., 0]]
    return {
        "held": (bounds >= regrets - 1e-12).all(axis=-1),
        "best": may_be_best(upper)[..., kind.truth.argmax()],
        "worse": (own <= MARGIN) & (lost > MARGIN),
        "bound": own,
        "former": np.take_along_axis(former, taken, -1)[..., 0],
    }


def _spread(kind: BudgetKind, pairs: NDArray[np.float64], shifts: NDArray[np.float64]) -> Spread:
    value = pairs.mean(axis=-1) + shifts
    return Spread(
        value=value,
        per_seed=pairs,
        seed_variance=pairs.var(axis=-1, ddof=1) / kind.seeds,
        seed_freedom=np.full(value.shape, kind.seeds - 1.0),
        image_variance=np.full(value.shape, 2 * kind.image**2),
        image_freedom=np.full(value.shape, 1e6),
    )


def _matrix(kind: BudgetKind, pairs: Spread, half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., C, C) how much better each column (first axis) is than each other at most."""
    first, second = np.triu_indices(kind.columns, 1)
    upper = np.zeros((*half.shape[:-1], kind.columns, kind.columns))
    upper[..., first, second], upper[..., second, first] = pairs.value + half, half - pairs.value
    return upper


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies of several budgets with a known truth.")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default=",".join(BUDGET_KINDS))
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--budgets", type=int, nargs="+", default=(1, 3, 5), choices=BUDGETS)
    parser.add_argument("--spikes", type=float, nargs="+", default=(8.0,), help="what multiplies a spike's deviation")
    parser.add_argument("--seed", type=int, default=1)
    stated = parser.parse_args()
    correlated = [(budgets, alike) for budgets in stated.budgets for alike in ((0.5,) if budgets == 1 else (0.5, 0.8))]
    for name, spike, (budgets, alike), columns, seeds in itertools.product(
        stated.only.split(","), stated.spikes, correlated, stated.columns, stated.seeds
    ):
        began, count = time.perf_counter(), max(200, min(stated.studies, stated.studies * 10 // columns))
        kind = BUDGET_KINDS[name]
        spikes = tuple(1.0 if each == 1 else spike for each in kind.spike)
        settings = {"columns": columns, "seeds": seeds, "per_class": BUDGETS[budgets], "alike": alike, "spike": spikes}
        found = simulate_budgets(replace(kind, **settings), count, seed=stated.seed)
        told = f"spike {spike:g} " * (max(spikes) > 1) + " ".join(f"{key} {value:.4f}" for key, value in found.items())
        error = (0.05 * 0.95 / count) ** 0.5
        print(
            f"{name:14} C={columns:<2} S={seeds:<2} L={budgets} alike={alike:g} {told} "
            f"(+-{error:.4f}, {count} studies, {time.perf_counter() - began:.1f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
