"""Simulated studies in rounds with a known truth: how often the looks at their data together err.

    python -m tests.studies.simulate_rounds [--studies 4000] [--only clear] [--looks 3 10 30] [--plant whole] [--seed 1]

The kinds are those of several budgets; each look sees more of the same seeds and the same test images. A column that is
surely worse than another by more than the margin leaves, a budget that is decided takes no more seeds, and what is said
of it stands. Shares of the error, bounds and what leaves are the package's own functions. `--plant whole` lets every
look err as if it were the only one, `--plant early` lets what was seen so far decide which column leaves, by means
alone, `--plant alone` lets every bound err as if it were the only one: each must be seen to break what is promised.
"""

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.studies.simulate_budgets import BUDGET_KINDS, BUDGETS, MARGIN, BudgetKind
from tlexp.studies.analysis.borrowing import borrow, of_mean
from tlexp.studies.analysis.intervals import Spread
from tlexp.studies.analysis.rounds import SHARES, TRAINED, plan_looks
from tlexp.studies.analysis.rule import bound_regrets, choose, comparisons, surely_worse

COLUMNS = (2, 5, 12)
ROUND_KINDS = BUDGET_KINDS | {
    "brink": BudgetKind(accuracy=(0.75, 0.699, 0.699, 0.699, 0.699)),
    "brink-quiet": BudgetKind(accuracy=(0.71, 0.6999, 0.6999, 0.6999, 0.6999), luck=(0.01,) * 5, image=0.002),
    "noisy-best": BudgetKind(accuracy=(0.75, 0.7, 0.7, 0.7, 0.7), luck=(0.2, 0.03, 0.03, 0.03, 0.03)),
}
"""On the brink every cheaper column loses just more than a margin of 0.05, or of 0.01."""
_AT_ONCE = 10_000_000


def simulate_rounds(
    kind: BudgetKind, studies: int, *, seed: int, margin: float = MARGIN, solved: int = 0, plant: str = ""
) -> dict[str, float]:
    """Return what was found at the budget at which it is worst, and what it took, a mean over budgets.

    held: the bounds of all columns that stayed hold against the best of all; kept: no column has left that is better
    than all that stayed by more than the margin; best: the true best one has not left; worse: it is called decided, and
    is worse by more than the margin; decided; replicates: share of all that were run; parted: points, on average, that
    the best one has more than the best of those that stayed.

    Args:
        kind: Of the studies; its seeds are the most that a study takes.
        studies: How many.
        seed: Of everything that is drawn.
        margin: In balanced accuracy.
        solved: So many of the cheapest columns take all seeds at once.
        plant: A bug: `whole`, `early` or `alone`.
    """
    generator = np.random.default_rng(seed)
    parts = []
    for start in range(0, studies, size := studies_at_once(kind)):
        drawn = Drawn(*kind.draw(min(size, studies - start), generator), truth=kind.truth)
        parts.append(follow_rounds(kind, drawn, margin=margin, solved=solved, plant=plant))
    return told_of_rounds(parts)


def studies_at_once(kind: BudgetKind) -> int:
    """Return how many studies are held in memory together."""
    return max(1, _AT_ONCE // (len(kind.per_class) * kind.columns**2 * kind.seeds))


def told_of_rounds(parts: Sequence[Mapping[str, NDArray[np.generic]]]) -> dict[str, float]:
    """Return what `simulate_rounds` does, from the studies of all parts."""
    found = {name: np.concatenate([part[name] for part in parts]).mean(axis=0) for name in parts[0]}
    lowest = {name: float(found[name].min()) for name in ("held", "kept", "best")}
    means = {name: float(found[name].mean()) for name in ("decided", "replicates", "parted")}
    return lowest | {"worse": float(found["worse"].max())} | means


@dataclass(frozen=True)
class Drawn:
    """Studies with their columns, the dearest first.

    Attributes:
        accuracies: (B, L, C, S) as they are on all images.
        shifts: (B, L, C) what the test images do to them.
        truth: (C,), or (B, L, C) where studies and budgets differ.
    """

    accuracies: NDArray[np.float64]
    shifts: NDArray[np.float64]
    truth: NDArray[np.float64]


def follow_rounds(
    kind: BudgetKind, drawn: Drawn, *, margin: float, solved: int = 0, networks: int = 0, plant: str = ""
) -> dict[str, NDArray[np.generic]]:
    """Return (B, L) what is true of each study's budgets in the end; arguments as of `simulate_rounds`.

    Where there are several networks, their columns of a depth stand side by side.
    """
    place, looks = drawn.shifts.shape, plan_looks(kind.seeds)
    shares = [1.0] * len(looks) if plant in ("whole", "alone") else SHARES[len(looks)]
    waits = np.arange(kind.columns) < kind.columns - solved
    inside, seeds = np.ones(place, dtype=bool), np.where(waits, looks[0], np.full(place, looks[-1]))
    going = np.ones(place[:2], dtype=bool)
    bounds, taken = np.ones(place), np.zeros(place[:2], dtype=np.intp)
    costs = np.arange(kind.columns)[::-1].astype(np.intp)
    for number, (look, share) in enumerate(zip(looks, shares, strict=True)):
        seeds = np.where(going[..., None] & inside & waits, look, seeds)
        family = 1.0 if plant == "alone" else comparisons(kind.columns) / share
        means, upper = _look(kind, drawn.accuracies, drawn.shifts, seeds, inside, family)
        pairs = inside[..., :, None] & inside[..., None, :]
        upper = np.where(pairs, upper, np.where(inside[..., None, :], -1.0, 0.0))  # who has left is no rival
        now = bound_regrets(upper)
        picked = choose(np.where(inside, means, -1.0), np.where(inside, now, 1.0), costs, margin)
        bounds, taken = np.where(going[..., None], now, bounds), np.where(going, picked, taken)
        if look == looks[-1]:
            break
        going &= np.take_along_axis(bounds, taken[..., None], -1)[..., 0] > margin
        leaves = surely_worse(np.where(pairs, upper, 0.0), margin)
        leaves = means < means.max(axis=-1, keepdims=True) - 2 * margin if plant == "early" else leaves
        inside &= ~(leaves & going[..., None])
        if networks:
            on = inside & waits & going[..., None]
            inside &= ~(on & _trailing(means, on, networks, TRAINED[number]))
    truth = np.broadcast_to(drawn.truth, place)
    regrets, best = truth.max(axis=-1, keepdims=True) - truth, truth.argmax(axis=-1)[..., None]
    own, lost = (np.take_along_axis(each, taken[..., None], -1)[..., 0] for each in (bounds, regrets))
    return {
        "held": ((bounds >= regrets - 1e-12) | ~inside).all(axis=-1),
        "kept": np.where(inside, regrets, 1.0).min(axis=-1) <= margin,
        "best": np.take_along_axis(inside, best, -1)[..., 0],
        "worse": (own <= margin) & (lost > margin),
        "decided": own <= margin,
        "replicates": seeds.mean(axis=-1) / looks[-1],
        "parted": 100 * np.where(inside, regrets, 1.0).min(axis=-1),
    }


def _trailing(means: NDArray[np.float64], on: NDArray[np.bool_], networks: int, most: int) -> NDArray[np.bool_]:
    """Return (B, 1, C) whose network is not among so many whose training has reached most.

    Args:
        means: (B, L, C).
        on: (B, L, C) what would train on.
        networks: How many.
        most: That do.
    """
    reached = np.where(on, means, -np.inf).reshape(*means.shape[:2], -1, networks).max(axis=2)
    trains = np.isfinite(reached)
    gaps = np.where(trains, reached.max(axis=-1, keepdims=True) - np.where(trains, reached, 0.0), 0.0).sum(axis=1)
    behind = np.where(trains.any(axis=1), gaps / np.maximum(trains.sum(axis=1), 1), np.inf)
    trails = behind.argsort(axis=-1, kind="stable").argsort(axis=-1) >= most
    return np.tile(trails, means.shape[2] // networks)[:, None]


def _look(
    kind: BudgetKind,
    accuracies: NDArray[np.float64],
    shifts: NDArray[np.float64],
    seeds: NDArray[np.intp],
    inside: NDArray[np.bool_],
    family: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means over shared seeds (B, L, C), and (B, L, C, C) how much better each column is than each other."""
    first, second = np.triu_indices(kind.columns, 1)
    shared = np.minimum(seeds[..., first], seeds[..., second])
    there = np.arange(accuracies.shape[-1]) < shared[..., None]
    pairs = np.where(there, accuracies[..., first, :] - accuracies[..., second, :], np.nan)
    told = borrow(pairs, np.array(kind.per_class), np.ones(len(kind.per_class), dtype=bool))
    overlap = (kind.shared / (1 - kind.shared))[:, None]
    value = np.nanmean(pairs, axis=-1) + shifts[..., first] - shifts[..., second]
    spread = Spread(
        value=value,
        per_seed=pairs,
        seed_variance=of_mean(told.value, shared, overlap),
        seed_freedom=told.freedom,
        image_variance=np.full(value.shape, 2 * kind.image**2),
        image_freedom=np.full(value.shape, 1e6),
    )
    half = spread.half_width(family, sides=1)
    upper = np.zeros((*value.shape[:-1], kind.columns, kind.columns))
    upper[..., first, second], upper[..., second, first] = value + half, half - value
    common = np.where(inside, seeds, seeds.max()).min(axis=-1)[..., None]
    own = np.arange(accuracies.shape[-1]) < common[..., None]
    return np.where(own, accuracies, 0.0).sum(axis=-1) / common + shifts, upper


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies in rounds with a known truth.")
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--only", default=",".join(ROUND_KINDS))
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    parser.add_argument("--seeds", type=int, nargs="+", default=(10, 30), help="the most that a study takes")
    parser.add_argument("--margin", type=float, nargs="+", default=(0.01, 0.05))
    parser.add_argument("--solved", type=int, default=0, help="columns that take all seeds at once")
    parser.add_argument("--plant", choices=["whole", "early", "alone"], default="")
    parser.add_argument("--seed", type=int, default=1)
    stated = parser.parse_args()
    for name, (budgets, alike), columns, seeds, margin in itertools.product(
        stated.only.split(","), ((1, 0.5), (3, 0.8), (5, 0.5)), stated.columns, stated.seeds, stated.margin
    ):
        began, count = time.perf_counter(), max(200, min(stated.studies, stated.studies * 5 // columns))
        settings = {"columns": columns, "seeds": seeds, "per_class": BUDGETS[budgets], "alike": alike}
        kind = replace(ROUND_KINDS[name], **settings)
        found = simulate_rounds(kind, count, seed=stated.seed, margin=margin, solved=stated.solved, plant=stated.plant)
        told = " ".join(f"{key} {value:.4f}" for key, value in found.items())
        error = (0.05 * 0.95 / count) ** 0.5
        print(
            f"{name:14} C={columns:<2} S<={seeds:<2} L={budgets} alike={alike:g} margin={margin:g} {told} "
            f"(+-{error:.4f}, {count} studies, {time.perf_counter() - began:.1f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
