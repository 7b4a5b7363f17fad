"""Simulated studies of a pool of networks with a known truth: what the screen loses, and how often the finals err.

    python -m tests.studies.simulate_screens [--studies 10000] [--only alike] [--plant test] [--seed 1]

Twelve networks have three columns each: frozen, half frozen, not frozen. A probe's accuracy inside the labels is the
frozen column's, plus what the set does to this probe alone, plus a share of the luck of its label draws, which are
those of the finals too, plus the luck of what is held back; its loss falls with it; the screen sees the first seeds
alone. What is known before is correlated with the frozen accuracy. The finalists' columns take their data seeds in
rounds, the frozen ones all at once; after each look a network fewer trains on. Who goes on, shares of the error and
bounds are the package's own functions. `--plant test` lets the screen look at the test images, which must be seen in
what they gave the finalists; plants of the rounds are those of `simulate_rounds`.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.studies.simulate_budgets import BUDGETS, MARGIN, BudgetKind
from tests.studies.simulate_rounds import Drawn, follow_rounds, studies_at_once, told_of_rounds
from tlexp.studies.analysis.screen import FINALISTS, Entrant, Probed, screen
from tlexp.studies.analysis.stages import PROBE_SEEDS

DEPTHS = 3
"""Columns of a network: not frozen, half frozen, frozen."""


@dataclass(frozen=True, kw_only=True)
class ScreenKind:
    """A kind of study; accuracies are in [0, 1].

    Attributes:
        networks: How many, the cheapest first.
        spread: Deviation of the networks' frozen accuracy.
        ahead: What the best of them has more than that.
        gain: What training more than a head adds, at each budget, half frozen as much.
        taste: Deviation of what it adds, for a network and depth.
        luck: Deviation of a data seed's luck: of the best network, and of the others in turn.
        image: Deviation by the test images, of each column.
        pool: Images per class that all seeds draw from; inf where they share none.
        misled: Deviation of what a set does to a network's probe alone.
        shared: Of the luck of its draws on the test images, what a probe has inside the labels too.
        held: Deviation of the luck of what is held back.
        prior: Correlation of what was known before with the frozen accuracy.
    """

    networks: int = 12
    spread: float = 0.03
    ahead: float = 0.0
    gain: tuple[float, ...] = (-0.02, 0.0, 0.03)
    taste: float = 0.01
    luck: tuple[float, ...] = (0.05, 0.05)
    image: float = 0.005
    pool: float = np.inf
    misled: float = 0.01
    shared: float = 0.5
    held: float = 0.05
    prior: float = 0.6

    def finals(self, finalists: int) -> BudgetKind:
        """Return the kind of study that so many networks make."""
        return BudgetKind(
            accuracy=(0.0, 0.0), luck=(1.0, 1.0), columns=DEPTHS * finalists, seeds=30, per_class=BUDGETS[3],
            pool=self.pool, image=self.image,
        )  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """Studies of a pool of N networks, as all of it would turn out.

    Attributes:
        truth: (B, L, 3, N), columns of a depth side by side, the frozen ones last.
        accuracies: (B, L, 3, N, S) as they are on all images.
        shifts: (B, L, 3, N) what the test images do to them.
        inside: (B, L, N, S) accuracy of the probes inside the labels.
        prior: (B, N).
    """

    truth: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    shifts: NDArray[np.float64]
    inside: NDArray[np.float64]
    prior: NDArray[np.float64]


SCREEN_KINDS = {
    "alike": ScreenKind(spread=0.01),
    "ahead": ScreenKind(ahead=0.15, luck=(0.05, 0.05, 0.05, 0.2, 0.35), pool=250.0),
    "misleading": ScreenKind(spread=0.04, taste=0.04, misled=0.04, prior=0.0),
    "lucky": ScreenKind(spread=0.01, ahead=0.05, luck=(0.02, 0.1), misled=0.0, shared=1.0, held=0.0),
}
"""Networks that hardly differ; one that is clearly the best among others that are far below and vary more, where a pool
is drawn from; probes and a prior that say little of what training brings; and probes that know all the luck of their
label draws, of which the luckiest of the others go on."""


def draw_pool(kind: ScreenKind, studies: int, generator: np.random.Generator) -> Pool:
    """Return so many studies."""
    finals, networks = kind.finals(kind.networks), kind.networks
    strength = generator.standard_normal((studies, networks))
    frozen = 0.7 + kind.spread * strength
    best = np.arange(networks) == frozen.argmax(axis=1)[:, None]
    frozen = frozen + kind.ahead * best
    added = np.array(kind.gain)[:, None, None] + kind.taste * generator.standard_normal((studies, 1, 2, networks))
    truth = frozen[:, None, None] + np.concatenate([added, np.zeros((studies, len(kind.gain), 1, networks))], axis=2)
    others = np.resize(kind.luck[1:], networks)
    noise, shifts = finals.draw(studies, generator)
    luck = np.where(best, kind.luck[0], others)[:, None, None, :, None] * noise.reshape(*truth.shape, finals.seeds)
    inside = truth[:, :, -1, :, None] + kind.shared * luck[:, :, -1]
    inside += kind.misled * generator.standard_normal((studies, 1, networks, 1))
    inside += kind.held * generator.standard_normal(inside.shape)
    prior = kind.prior * strength + np.sqrt(1 - kind.prior**2) * generator.standard_normal(strength.shape)
    return Pool(truth, truth[..., None] + luck, shifts.reshape(truth.shape), inside, prior)


def choose_finalists(inside: NDArray[np.float64], prior: NDArray[np.float64]) -> list[int]:
    """Return the places of those that the screen lets into the finals, the dearest first.

    Args:
        inside: (L, N, S) accuracy of the probes.
        prior: (N,).
    """
    names = [str(place) for place in range(len(prior))]
    entrants = [
        Entrant(name=name, columns=(name,), operations=place, prior=float(prior[place]))
        for place, name in enumerate(names)
    ]
    places = [(str(labels), seed) for labels in range(inside.shape[0]) for seed in range(inside.shape[2])]
    probed = {}
    for place, name in enumerate(names):
        accuracy = dict(zip(places, inside[:, place].ravel().tolist(), strict=True))
        probed[name] = Probed(loss={key: 1 - value for key, value in accuracy.items()}, accuracy=accuracy)
    return sorted(int(each.entrant.name) for each in screen(entrants, probed, margin=MARGIN) if each.goes_on)[::-1]


def simulate_screens(kind: ScreenKind, studies: int, *, seed: int, plant: str = "") -> dict[str, float]:
    """Return what `simulate_rounds` does of the finalists, and what the screen loses.

    lost: at so many of the budgets the best column of all is better than the best of the finalists by more than the
    margin; points: mean of by how much; favourite, favourite_points: the same of the prior's favourite alone; spent:
    what the test images gave the finalists' probes, mean points, 0 where nobody looked at them; finalists: mean number.

    Args:
        kind: Of the studies.
        studies: How many.
        seed: Of everything that is drawn.
        plant: A bug: `test`, or one of the rounds.
    """
    generator = np.random.default_rng(seed)
    parts, screens = [], []
    for start in range(0, studies, size := studies_at_once(kind.finals(FINALISTS))):
        pool = draw_pool(kind, min(size, studies - start), generator)
        seen = (pool.accuracies + pool.shifts[..., None])[:, :, -1] if plant == "test" else pool.inside
        chosen = [choose_finalists(*each) for each in zip(seen[..., :PROBE_SEEDS], pool.prior, strict=True)]
        screens.append(_lost(pool, chosen))
        for count in sorted({len(each) for each in chosen}):
            rows = np.array([row for row, each in enumerate(chosen) if len(each) == count])
            drawn = _finals(pool, rows, np.array([chosen[row] for row in rows]))
            finals = kind.finals(count)
            parts.append(follow_rounds(finals, drawn, margin=MARGIN, solved=count, networks=count, plant=plant))
    lost = {name: float(np.concatenate([part[name] for part in screens]).mean()) for name in screens[0]}
    return told_of_rounds(parts) | lost


def _finals(pool: Pool, rows: NDArray[np.intp], chosen: NDArray[np.intp]) -> Drawn:
    """Return the columns of the finalists, (B, F) places of the networks, in the order of their cost."""
    places = chosen[:, None, None, :]

    def columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
        taken = np.take_along_axis(values[rows], places if values.ndim == 4 else places[..., None], axis=3)
        return taken.reshape(*taken.shape[:2], -1, *taken.shape[4:])

    return Drawn(columns(pool.accuracies), columns(pool.shifts), columns(pool.truth))


def _lost(pool: Pool, chosen: list[list[int]]) -> dict[str, NDArray[np.float64]]:
    """Return (B, L) what no finalist has, and what the prior's favourite has not."""
    reached = pool.truth.max(axis=2)
    within = np.zeros(pool.prior.shape, dtype=bool)
    for row, places in enumerate(chosen):
        within[row, places] = True
    favourite = np.arange(within.shape[1]) == pool.prior.argmax(axis=1)[:, None]
    spent = [np.mean(pool.shifts[row, :, -1, places]) for row, places in enumerate(chosen)]
    gaps = [reached.max(axis=2) - np.where(each[:, None], reached, 0.0).max(axis=2) for each in (within, favourite)]
    return {
        "lost": (gaps[0] > MARGIN).astype(np.float64), "points": 100 * gaps[0],
        "favourite": (gaps[1] > MARGIN).astype(np.float64), "favourite_points": 100 * gaps[1],
        "spent": 100 * np.array(spent), "finalists": within.sum(axis=1).astype(np.float64),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate studies of a pool of networks with a known truth.")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--only", default=",".join(SCREEN_KINDS))
    parser.add_argument("--image", type=float, default=None, help="deviation by the test images")
    parser.add_argument("--plant", choices=["test", "whole", "early", "alone"], default="")
    parser.add_argument("--seed", type=int, default=1)
    stated = parser.parse_args()
    for name in stated.only.split(","):
        began, kind = time.perf_counter(), SCREEN_KINDS[name]
        kind = kind if stated.image is None else replace(kind, image=stated.image)
        found = simulate_screens(kind, stated.studies, seed=stated.seed, plant=stated.plant)
        told = " ".join(f"{key} {value:.4f}" for key, value in found.items())
        print(f"{name:10} {told} ({stated.studies} studies, {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
