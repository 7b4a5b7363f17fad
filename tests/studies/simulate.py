"""Simulated studies with a known truth: how often what is said about them is wrong.

    python -m tests.studies.simulate [--studies 10000] [--only equal,seeds] [--seed 1]

A study draws its test images anew and tells an image right where a latent score is above 0 (a probit model): the
column's strength, plus a data seed's luck that all columns share and one of the column's own, plus an image's ease and
how the column takes to it, plus what is left. All columns of a study share test images and seeds, as in a real one.
correct (B, C, S, n): B studies at once.

Of 10,000 studies of each of the eleven kinds, S in 3, 5, 10 and n in 200, 600, 2000, --seed 1, the worst of the nine:

    simultaneous intervals hold the truth           0.956 (seeds, S=3, n=2000); 0.961 with ten seeds
      with Satterthwaite's freedom for the sum      0.795 with three seeds, 0.919 with five, 0.956 with ten
    a difference is called so wrongly               0.044 (seeds, S=3, n=2000)
    crossing regions hold the true crossing         0.993 (S=10, n=2000)
    intervals of one accuracy, of one difference    0.948, 0.952; of the cross-fitted accuracy 0.950
    the highest mean of equals is too high by       0.002 (high) to 0.050 (seeds); cross-fitted by less than 0.001, but
                                                    for -0.0013 in `rare` (S=5, n=200), whose standard error is 0.0005;
                                                    it is 0.0001 with --seed 2
Of 1,000 studies of each of the ten, S in 3 and 10 and n in 200 and 600 (not both 10 and 600), --seed 1, the worst of
the three:

    bounds of all columns' losses hold              0.984 (brink, S=3, n=600)
    the best column is not called worse             0.961 (seeds, S=10, n=200)
    decided and worse by more than the margin       0.016 (brink, S=3, n=600)
    a column is taken under permuted labels         0.016 (chance, S=3, n=600)
    decided on the brink                            0.760 (S=3, n=600)

Satterthwaite's formula takes its degrees of freedom from the estimated variances. With three seeds the variance between
them is often far too small by chance; then the freedom is too large as well, and quantiles far out, as a family needs
them, are much too small. Each share of the variance with its own quantile (Banerjee 1960) is wider by 10 % or less with
ten seeds and holds what it promises with three.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from tlexp.studies.analysis.crossfit import Pick, crossfit, highest
from tlexp.studies.analysis.crossings import regions
from tlexp.studies.analysis.intervals import Spread, TestImages, spread
from tlexp.studies.analysis.rule import bound_regrets, choose, comparisons, follow, may_be_best

MARGIN = 0.01
SEEDS = (3, 5, 10)
IMAGES = (200, 600, 2000)
_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of study.

    Attributes:
        accuracy: True accuracy of each column, the dearest first, before `tilt`.
        seeds: Data seeds.
        images: Test images.
        shares: Of each class.
        common, seed: Deviation of a data seed's luck, of all columns and of one.
        image, taste: Deviation of an image's ease, for all columns and for one.
        rest: What is left.
        tilt: The rarest class is harder by this, the most frequent easier.
        group, group_taste: Deviation of the ease of a group of images, for all columns and for one.
        size: Images of a group; 0 for no groups.
        unseen: Of the later four fifths of each class's images, the share that a seed is not tested on.
    """

    accuracy: tuple[float, ...] = (0.75,) * 5
    seeds: int = 5
    images: int = 600
    shares: tuple[float, ...] = (0.2,) * 5
    common: float = 0.1
    seed: float = 0.08
    image: float = 0.8
    taste: float = 0.4
    rest: float = 0.7
    tilt: float = 0.0
    group: float = 0.0
    group_taste: float = 0.0
    size: int = 0
    unseen: float = 0.0

    @property
    def labels(self) -> NDArray[np.int64]:
        counts = np.maximum(1, np.round(np.array(self.shares) * self.images)).astype(np.int64)
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def tested(self) -> TestImages:
        """The test images, group by group."""
        return TestImages(labels=self.labels, groups=self._groups)

    @property
    def truth(self) -> NDArray[np.float64]:
        """(C,) balanced accuracy over all seeds and images that there might be."""
        return self.truth_of(self.strength)

    def truth_of(self, strength: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (...) balanced accuracy of columns with these strengths, (..., K) on the latent scale."""
        found: NDArray[np.float64] = ndtr(strength / self._scale()).mean(axis=-1)
        return found

    def draw(self, studies: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return (B, C, S, n)."""
        columns, labels = len(self.accuracy), self.labels

        def normal(deviation: float, *shape: int) -> NDArray[np.float32]:
            return generator.standard_normal(shape, dtype=np.float32) * np.float32(deviation)

        score = normal(self.rest, studies, columns, self.seeds, len(labels))
        score += normal(self.common, studies, 1, self.seeds, 1) + normal(self.seed, studies, columns, self.seeds, 1)
        score += normal(self.image, studies, 1, 1, len(labels)) + normal(self.taste, studies, columns, 1, len(labels))
        score += self.strength[:, None, labels].astype(np.float32)
        if self._groups is not None:
            count = int(self._groups.max()) + 1
            score += normal(self.group, studies, 1, 1, count)[..., self._groups]
            score += normal(self.group_taste, studies, columns, 1, count)[..., self._groups]
        correct = (score > 0).astype(np.float32)
        if self.unseen:
            later = np.concatenate([np.arange(count) >= count // 5 for count in np.bincount(labels)])
            unseen = later & (generator.random((studies, 1, self.seeds, len(labels))) < self.unseen)
            correct = np.where(unseen, np.float32(np.nan), correct)
        return correct

    @property
    def _groups(self) -> NDArray[np.int64] | None:
        """(n,) of each image, of one class each."""
        if not self.size:
            return None
        places = np.concatenate([np.arange(count) // self.size for count in np.bincount(self.labels)])
        return np.unique(np.stack([self.labels, places]), axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def _scale(self) -> float:
        parts = (self.common, self.seed, self.image, self.taste, self.rest, self.group, self.group_taste)
        return float(np.sqrt(sum(part**2 for part in parts)))

    @property
    def strength(self) -> NDArray[np.float64]:
        """(C, K) on the latent scale."""
        tilt = np.linspace(self.tilt, -self.tilt, len(self.shares)) if self.tilt else np.zeros(len(self.shares))
        return (ndtri(np.array(self.accuracy))[:, None] + tilt) * self._scale()


QUIET = Kind(accuracy=(0.8,) * 5, common=0.1, seed=0.01, image=1.0, taste=0.05, rest=0.1)
"""Columns that tell nearly the same images right: only such ones can be told within a margin of 0.01."""
KINDS = {
    "equal": Kind(),
    "seeds": Kind(seed=0.25, taste=0.2),
    "high": Kind(accuracy=(0.98,) * 5),
    "unbalanced": Kind(shares=(0.5, 0.25, 0.15, 0.07, 0.03), tilt=0.5),
    "rare": Kind(shares=(0.4, 0.3, 0.2, 0.09, 0.01), tilt=0.3),
    "classes": Kind(accuracy=(0.8, 0.79, 0.77, 0.7, 0.6), shares=(0.02,) * 50),
    "chance": Kind(accuracy=(0.2,) * 5),
    "edge": replace(QUIET, accuracy=(0.8, 0.789, 0.789, 0.789, 0.789)),
    "brink": replace(QUIET, accuracy=(0.8, 0.7899)),
    "twins": replace(QUIET, accuracy=(0.8, 0.799, 0.799, 0.798, 0.798)),
    "groups": Kind(shares=(0.5, 0.5), image=0.4, taste=0.2, group=0.7, group_taste=0.4, size=8),
    "left": Kind(accuracy=(0.8, 0.78, 0.77, 0.7, 0.6), unseen=0.5),
}
"""Where the truth is the same for all columns, any difference that is called distinguishable is wrong; on the edge
every cheaper column loses 0.011, just more than the margin, on the brink 0.0101; twins lose 0.002 at most. The rarest
class of `rare` has 1 % of the images, 2 of 200. Eight images of `groups` are told right together, and what is left of a
pool differs between the seeds of `left`."""


@dataclass(kw_only=True)
class Tally:
    """What was found in each study, (B,) arrays in parts.

    Attributes:
        together: All simultaneous intervals hold the truth.
        satterthwaite: So they would with Satterthwaite's degrees of freedom for the sum of the variances.
        alone: The interval of the first pair by itself holds the truth.
        cell: The interval of the first column does.
        wrong: A pair is called distinguishable that is not, or the wrong way round.
        held: The bounds of what all columns lose against the best hold.
        best: The best column, of equals the first, is not called surely worse than another.
        above: Anything is better than guessing, so that a column is taken.
        decided: It is, and the bound of the column that is taken is within the margin.
        cheaper: A cheaper one than the highest mean is taken.
        worse: It is decided, and truly worse than the best by more than the margin.
        lost: What the column that is taken truly loses.
        optimism: Highest mean minus the truth of its column.
        crossfit: Cross-fitted highest mean minus the mean truth of what the folds chose.
        rule: The same for the rule of recommendation.
        told: The cross-fitted interval of the highest mean holds that truth.
    """

    parts: dict[str, list[NDArray[np.generic]]] = field(default_factory=dict)

    def add(self, **found: NDArray[np.generic]) -> None:
        for name, values in found.items():
            self.parts.setdefault(name, []).append(values)

    def means(self) -> dict[str, float]:
        """Return the mean of each, and the standard error of the cross-fitted one's."""
        found = {name: np.concatenate(parts).astype(np.float64) for name, parts in self.parts.items()}
        error = float(found["crossfit"].std() / np.sqrt(len(found["crossfit"])))
        return {name: float(values.mean()) for name, values in found.items()} | {"error": error}


def satterthwaite(found: Spread, family: int) -> NDArray[np.float64]:
    """Return the half-width with degrees of freedom estimated for the sum of both variances (1946)."""
    freedom = (found.seed_variance + found.image_variance) ** 2 / (
        found.seed_variance**2 / (found.per_seed.shape[-1] - 1) + found.image_variance**2 / found.image_freedom
    )
    width: NDArray[np.float64] = np.sqrt(found.seed_variance + found.image_variance)
    return width * stdtrit(freedom, 1 - 0.05 / family / 2)


def simulate(kind: Kind, studies: int, *, seed: int) -> dict[str, float]:
    """Return the means of what `Tally` holds over so many studies."""
    generator, tally = np.random.default_rng(seed), Tally()
    for correct in _chunks(kind, studies, generator):
        _judge(correct, kind, kind.tested, tally)
    return tally.means()


def simulate_crossings(studies: int, *, seeds: int, images: int, seed: int) -> dict[str, float]:
    """Return how often the regions of two columns hold the budget at which they truly cross, and their mean length.

    The columns' probits are linear in log k and cross at 12 labels per class, between the budgets 5 and 20. Test images
    and how the columns take to them are the same at all budgets.
    """
    generator = np.random.default_rng(seed)
    budgets, crossing = np.array([2.0, 5.0, 20.0, 100.0]), 12.0
    kind, test = Kind(seeds=seeds, images=images, accuracy=(0.75, 0.75)), TestImages(labels=Kind(images=images).labels)
    distance = np.log(budgets / crossing)
    held, length = 0, 0.0
    for _ in range(studies):
        fixed = generator.normal(0, kind.image, (1, len(test.labels))) + generator.normal(
            0, kind.taste, (2, len(test.labels))
        )
        luck = generator.normal(0, kind.common, (4, 1, seeds)) + generator.normal(0, kind.seed, (4, 2, seeds))
        strength = 0.6 + distance[:, None] * np.array([0.28, 0.2])
        score = (strength[..., None] + luck)[..., None] + fixed[None, :, None, :]
        score = score + generator.normal(0, kind.rest, (4, 2, seeds, len(test.labels)))
        correct = (score > 0).astype(np.float32)
        found = spread(correct[:, 0] - correct[:, 1], test)
        half = found.half_width()
        told = regions(list(zip(budgets.tolist(), found.value - half, found.value + half, strict=True)))
        held += any(low <= crossing <= high for low, high in told)
        length += sum(np.log(high / low) for low, high in told) / np.log(budgets[-1] / budgets[0])
    return {"held": held / studies, "length": float(length / studies)}


def _chunks(kind: Kind, studies: int, generator: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    size = max(1, _AT_ONCE // (len(kind.accuracy) * kind.seeds * len(kind.labels)))
    for start in range(0, studies, size):
        yield kind.draw(min(size, studies - start), generator)


def _judge(correct: NDArray[np.float32], kind: Kind, images: TestImages, tally: Tally) -> None:
    truth, columns, family = kind.truth, len(kind.accuracy), len(kind.accuracy) * (len(kind.accuracy) - 1) // 2
    values = np.zeros((len(correct), columns, columns))
    widths, classic, sides = values.copy(), values.copy(), values.copy()
    for i, j in itertools.combinations(range(columns), 2):
        found = spread(correct[:, i] - correct[:, j], images)
        values[:, i, j], values[:, j, i] = found.value, -found.value
        widths[:, i, j] = widths[:, j, i] = found.half_width(family)
        classic[:, i, j] = classic[:, j, i] = satterthwaite(found, family)
        sides[:, i, j] = sides[:, j, i] = found.half_width(comparisons(columns), sides=1)
        if (i, j) == (0, 1):
            tally.add(alone=np.abs(found.value - truth[0] + truth[1]) <= found.half_width())
    true = truth[:, None] - truth
    errors = np.abs(values - true)
    wrong = (np.abs(values) > widths) & ((true == 0) | (np.sign(values) != np.sign(true)))
    tally.add(
        together=(errors <= widths).all(axis=(1, 2)),
        satterthwaite=(errors <= classic).all(axis=(1, 2)),
        wrong=wrong.any(axis=(1, 2)),
        width=widths[:, 0, 1],
    )
    cells = spread(correct, images)
    tally.add(cell=np.abs(cells.value - truth)[:, 0] <= cells.half_width()[:, 0])
    above = cells.value - cells.half_width(columns) > images.chance
    average = spread(correct.mean(axis=1), images)
    above = above.any(axis=1) | (average.value - average.half_width() > images.chance)
    _judge_choice(correct, truth, cells.value, values + sides, sides, above, images, tally)


def _judge_choice(
    correct: NDArray[np.float32],
    truth: NDArray[np.float64],
    means: NDArray[np.float64],
    upper: NDArray[np.float64],
    sides: NDArray[np.float64],
    above: NDArray[np.bool_],
    images: TestImages,
    tally: Tally,
) -> None:
    costs = np.arange(len(truth))[::-1].astype(np.intp)
    bounds, regrets = bound_regrets(upper), truth.max() - truth
    chosen, best = choose(means, bounds, costs, MARGIN), means.argmax(axis=1)
    decided = above & (np.take_along_axis(bounds, chosen[:, None], 1)[:, 0] <= MARGIN)
    tally.add(
        held=(bounds >= regrets - 1e-12).all(axis=1),
        best=may_be_best(upper)[:, truth.argmax()],
        above=above,
        decided=decided,
        cheaper=chosen != best,
        worse=decided & (regrets[chosen] > MARGIN),
        lost=regrets[chosen],
        optimism=means.max(axis=1) - truth[best],
    )
    for name, pick in (("crossfit", highest(costs.argsort())), ("rule", follow(sides, costs, MARGIN))):
        picked = _Remembered(pick, truth)
        found = crossfit(correct, images, picked)
        expected = picked.mean()
        tally.add(**{name: found.value - expected})
        if name == "crossfit":
            tally.add(told=np.abs(found.value - expected) <= found.half_width())


class _Remembered:
    """A rule that remembers how good its picks truly are.

    Args:
        pick: The rule.
        truth: (C,).
    """

    def __init__(self, pick: Pick, truth: NDArray[np.float64]) -> None:
        self.pick, self.truth = pick, truth
        self.found: list[NDArray[np.float64]] = []

    def __call__(self, means: NDArray[np.float64]) -> NDArray[np.intp]:
        chosen = self.pick(means)
        self.found.append(self.truth[chosen].mean(axis=-1))
        return chosen

    def mean(self) -> NDArray[np.float64]:
        """Return (B,) the mean truth over both halves."""
        return np.mean(self.found, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies with a known truth.")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--only", default=",".join([*KINDS, "crossings"]))
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for name in chosen.only.split(","):
        for seeds, images in itertools.product(SEEDS, IMAGES):
            began = time.perf_counter()
            if name == "crossings":
                found = simulate_crossings(chosen.studies, seeds=seeds, images=images, seed=chosen.seed)
            else:
                kind = replace(KINDS[name], seeds=seeds, images=images)
                found = simulate(kind, chosen.studies, seed=chosen.seed)
            told = " ".join(f"{key} {value:.4f}" for key, value in found.items())
            print(f"{name:10} S={seeds:<2} n={images:<4} {told} ({time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
