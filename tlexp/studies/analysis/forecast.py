"""What twice the labels would reach, from the learning curve of one column.

scores (S, L): balanced accuracy of S data seeds at L nested budgets, in growing order. Leading axes in fits are
resamples.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_BUDGETS = 5
FURTHEST = 2.0
"""Times the largest budget: nothing is said beyond."""
COVERAGE = 0.90
WIDENING = 1.2
"""Of the band, so that it covers as many new draws as it says on published curves."""
_RESAMPLES = 100
_RATES = np.geomspace(0.05, 2.0, 25)
_SCALES = np.geomspace(0.05, 5.0, 25)
_Basis = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_FORMS: tuple[_Basis, ...] = (
    lambda share: share[None] ** -_RATES[:, None],
    lambda share: np.exp(-share[None] / _SCALES[:, None]),
    lambda share: np.pi / 2 - np.arctan(share[None] / _SCALES[:, None]),
)
"""Power law, exponential and arctan: what falls with the labels, a share of the largest budget each; (G, L) values."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a new draw of so many labels would reach.

    Attributes:
        labels: Per class.
        value: Balanced accuracy, the equal-weight mean of the forms.
        low, high: Ends of the 90 % band for one new draw.
    """

    labels: float
    value: float
    low: float
    high: float


def forecast(labels: NDArray[np.float64], scores: NDArray[np.float64], *, at: float) -> Forecast | str:
    """Return what a new draw of labels would reach, or the sentence that says why that is not told.

    The band counts the draw itself, the seeds that were measured (resampled jointly over the budgets) and how far the
    forms disagree.

    Args:
        labels: (L,) per class, growing.
        scores: (S, L) balanced accuracy.
        at: Labels per class to forecast.
    """
    reason = refusal(labels, scores, at=at)
    if reason is not None:
        return reason
    share, goal = labels / labels[-1], at / labels[-1]
    seeds = len(scores)
    forms = _extrapolate(share, scores.mean(axis=0), goal)
    drawn = np.random.default_rng(0).integers(seeds, size=(_RESAMPLES, seeds))
    resampled = _extrapolate(share, scores[drawn].mean(axis=1), goal).mean(axis=-1)
    variance = resampled.var() * seeds / (seeds - 1) + _seed_variance(scores) + forms.var(ddof=1)
    freedom = (seeds - 1) * (len(labels) - 1)
    half = WIDENING * float(stats.t.ppf((1 + COVERAGE) / 2, freedom) * np.sqrt(variance))
    value = float(forms.mean())
    return Forecast(labels=at, value=value, low=max(0.0, value - half), high=min(1.0, value + half))


def refusal(labels: NDArray[np.float64], scores: NDArray[np.float64], *, at: float) -> str | None:
    """Return the sentence that says why nothing is forecast; None where something is."""
    if len(labels) < LEAST_BUDGETS or len(scores) < 2:
        return f"A forecast takes {LEAST_BUDGETS} budgets and two data seeds that finished at all of them."
    if at > FURTHEST * labels[-1]:
        return "Nothing is forecast beyond twice the largest budget."
    if any(_falls(scores[:, low], scores[:, high]) for low, high in itertools.combinations(range(len(labels)), 2)):
        return "Nothing is forecast: accuracy falls with more labels by more than its intervals allow."
    return None


def _falls(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    """Return whether the paired difference of two budgets is surely below 0 (95 %)."""
    change = after - before
    error = change.std(ddof=1) / np.sqrt(len(change))
    return bool(change.mean() < -stats.t.ppf(0.975, len(change) - 1) * error - 1e-9)


def _seed_variance(scores: NDArray[np.float64]) -> float:
    """Return the variance of one draw: that of the two largest budgets, for draws vary less with more labels."""
    return float(scores[:, -2:].var(axis=0, ddof=1).mean())


def _extrapolate(share: NDArray[np.float64], means: NDArray[np.float64], goal: float) -> NDArray[np.float64]:
    """Return (..., F) what each form reaches at a goal, and last the largest budget's own mean."""
    fitted = [_fit(form, share, 1 - means, goal) for form in _FORMS]
    return np.stack([*(1 - error for error in fitted), means[..., -1]], axis=-1)


def _fit(form: _Basis, share: NDArray[np.float64], errors: NDArray[np.float64], goal: float) -> NDArray[np.float64]:
    """Return (...,) the error at a goal by floor + scale * form, neither below 0: least squares on a grid."""
    basis, ahead = form(share), form(np.array([goal]))[:, 0]
    middle, centre = basis.mean(axis=-1), errors.mean(axis=-1, keepdims=True)
    spread = basis - middle[:, None]
    scale = np.maximum(0.0, (errors - centre) @ spread.T / (spread**2).sum(axis=-1))
    floor = centre - scale * middle
    alone = np.maximum(0.0, errors @ basis.T / (basis**2).sum(axis=-1))
    scale, floor = np.where(floor < 0, alone, scale), np.maximum(floor, 0.0)
    lost = ((errors[..., None, :] - floor[..., None] - scale[..., None] * basis) ** 2).sum(axis=-1)
    best = lost.argmin(axis=-1)[..., None]
    found: NDArray[np.float64] = np.take_along_axis(floor + scale * ahead, best, axis=-1)[..., 0]
    return found
