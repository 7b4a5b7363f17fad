"""Which candidates of a label budget their seeds tell apart: differences of what ranks, paired by seed.

losses (C, S) of C candidates by S seeds, low ones good, nan where a seed lacks one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.confidence import t_quantile
from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.ranking import SEEDS, CandidateRuns, Standing, value


@dataclass(frozen=True, kw_only=True)
class Behind:
    """How much worse a candidate is than the first one: the mean over shared seeds, and how far that may be off.

    Attributes:
        mean: In the figure's own unit; positive is worse.
        width: None where the seeds do not tell.
    """

    mean: float
    width: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the seeds of a budget's candidates tell.

    Attributes:
        seeds: That a candidate shares with the first, at most.
        behind: Each ranked candidate against the first.
        contenders: Places of those of which no other one is surely better. The best one is among them with 95 %,
            whichever it is: bounds of C - 1 differences hold at once (Hsu 1984, multiple comparisons with the best).
    """

    seeds: int
    behind: tuple[Behind, ...]
    contenders: tuple[int, ...]


def compare(standing: Standing, *, objective: str, direction: str) -> Comparison | None:
    """Return what the seeds of the ranked candidates tell; None where there is nothing to compare.

    Args:
        standing: The candidates of one label budget.
        objective: What ranks them.
        direction: minimize or maximize.
    """
    count = len(standing.ranked)
    if count < 2:
        return None
    losses = _per_seed(standing.ranked, objective) * (1 if direction == "minimize" else -1)
    exact = objective.startswith("cost/")
    held = np.ones(count, bool)
    for place in range(count):
        means, widths, _ = _gaps(losses, place, exact=exact)
        held &= means - widths <= 0
    means, widths, shared = _gaps(losses, 0, exact=exact, sides=2)
    return Comparison(
        seeds=int(shared[1:].max()),
        behind=tuple(
            Behind(mean=float(mean), width=float(width) if np.isfinite(width) else None)
            for mean, width in zip(means, widths, strict=True)
        ),
        contenders=tuple(np.flatnonzero(held).tolist()),
    )


def _gaps(
    losses: NDArray[np.float64], place: int, *, exact: bool, sides: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return how much worse all are than one, how far that may be off, and by how many seeds, (C,) each.

    Differences that are all the same, of a figure that varies, say nothing of how much it does: few validation images
    give few different accuracies.
    """
    gaps = losses - losses[place]
    known = np.isfinite(gaps)
    counts = known.sum(axis=1)
    means = np.where(known, gaps, 0.0).sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(known, gaps - means[:, None], 0.0) ** 2
    freedom = np.maximum(counts - 1, 1).astype(np.float64)
    errors = np.sqrt(squares.sum(axis=1) / freedom / np.maximum(counts, 1))
    told = (counts > 1) & (exact | (errors > 1e-12 * np.abs(means)) & (errors > 0))
    widths = t_quantile(freedom, len(losses) - 1, sides=sides) * errors
    return means, np.where(told, widths, np.inf), counts


def _per_seed(candidates: Sequence[CandidateRuns], objective: str) -> NDArray[np.float64]:
    """Return (C, S) the figure of each candidate by each seed that any of them has."""
    by_seed = [{_seed(run): value(run, objective) for run in candidate.finished} for candidate in candidates]
    seeds = list(dict.fromkeys(seed for found in by_seed for seed in found))
    return np.array([[found.get(seed) for seed in seeds] for found in by_seed], dtype=np.float64)


def _seed(run: JobOutcome) -> tuple[str, ...]:
    return tuple(run.point.get(name, "") for name in SEEDS)
