"""What twice the labels would reach, from the learning curve of one column.

scores (S, L): balanced accuracy of S data seeds at L nested budgets, in growing order. Leading axes in fits are
resamples.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.confidence import student

LEAST_BUDGETS = 5
FURTHEST = 2.0
"""Times the largest budget: nothing is said beyond."""
COVERAGE = 0.90
WIDENING = 1.2
"""Of the bands, so that they cover as many new draws as they say on published curves."""
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
class Band:
    """A value for one new draw of labels, with the ends of its 90 % band."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a new draw of so many labels would reach.

    Attributes:
        labels: Per class.
        reached: Balanced accuracy, the equal-weight mean of the forms.
        gain: It less that of the largest budget, drawn anew within the same draw.
    """

    labels: float
    reached: Band
    gain: Band


@dataclass(frozen=True, kw_only=True)
class NeededLabels:
    """How many labels per class an accuracy takes; None where not within twice the largest budget.

    Attributes:
        accuracy: Balanced accuracy.
        least: Labels at which the band's upper end reaches it.
        most: Labels at which its lower end does.
    """

    accuracy: float
    least: float | None
    most: float | None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What twice the labels, and what unfreezing, would bring.

    Attributes:
        column: The one that is taken at the largest budget.
        labels: Per class, of that budget.
        curve: Forecasts from the largest budget to twice as many; none where nothing is forecast.
        needed: What accuracies take.
        reason: Why nothing is forecast; None where something is.
        unfreezing: What the best column gains that freezes less; None where none does, or nobody knows.
    """

    column: str
    labels: float
    curve: tuple[Forecast, ...]
    needed: tuple[NeededLabels, ...]
    reason: str | None
    unfreezing: Band | None

    @property
    def twice(self) -> Forecast | None:
        """The forecast of twice the labels."""
        return self.curve[-1] if self.curve else None


def forecast(labels: NDArray[np.float64], scores: NDArray[np.float64], *, at: float) -> Forecast | str:
    """Return what a new draw of labels would reach, or the sentence that says why that is not told.

    The bands count the draw itself, the seeds that were measured (resampled jointly over the budgets) and how far the
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
    means = scores.mean(axis=0)
    forms = _extrapolate(share, means, goal)
    drawn = np.random.default_rng(0).integers(len(scores), size=(_RESAMPLES, len(scores)))
    drawn_means = scores[drawn].mean(axis=1)
    ahead = _extrapolate(share, drawn_means, goal).mean(axis=-1)
    disagreement, freedom = float(forms.var(ddof=1)), 2 * (len(scores) - 1)  # of the two budgets that draws vary by
    value, steps = float(forms.mean()), np.diff(scores[:, -2:], axis=1)
    unknown = WIDENING**2 * (disagreement + _spread(ahead, len(scores)) + _seed_variance(scores[:, -2:]))
    gained = WIDENING**2 * (disagreement + _spread(ahead - drawn_means[:, -1], len(scores)) + _seed_variance(steps))
    return Forecast(
        labels=at,
        reached=_new_draw(value, unknown, freedom, lowest=0.0),
        gain=_new_draw(value - float(means[-1]), gained, freedom),
    )


def paired_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> Band:
    """Return how much a new draw gains from before to after, (S,) scores of the same data seeds each."""
    change = after - before
    seeds = len(change)
    return _new_draw(float(change.mean()), float(change.var(ddof=1)) * (1 + 1 / seeds), seeds - 1)


def refusal(labels: NDArray[np.float64], scores: NDArray[np.float64], *, at: float) -> str | None:
    """Return the sentence that says why nothing is forecast; None where something is."""
    if len(labels) < LEAST_BUDGETS or len(scores) < 2:
        return f"A forecast takes {LEAST_BUDGETS} budgets and two data seeds that finished at all of them."
    if at > FURTHEST * labels[-1]:
        return "Nothing is forecast beyond twice the largest budget."
    pairs = list(itertools.combinations(range(len(labels)), 2))
    if any(_falls(scores[:, low], scores[:, high], pairs=len(pairs)) for low, high in pairs):
        return "Nothing is forecast: accuracy falls with more labels by more than its intervals allow."
    return None


def _falls(before: NDArray[np.float64], after: NDArray[np.float64], *, pairs: int) -> bool:
    """Return whether the paired difference of two budgets is surely below 0, 97.5 % for so many pairs at once."""
    change = after - before
    error = change.std(ddof=1) / np.sqrt(len(change))
    return bool(change.mean() < -student(len(change) - 1, 1 - 0.025 / pairs) * error - 1e-9)


def _new_draw(value: float, variance: float, freedom: int, *, lowest: float = -1.0) -> Band:
    half = float(student(freedom, (1 + COVERAGE) / 2) * np.sqrt(variance))
    return Band(value=value, low=max(lowest, value - half), high=min(1.0, value + half))


def _spread(resampled: NDArray[np.float64], seeds: int) -> float:
    """Return the variance of a mean over so many seeds, from means over seeds that were drawn among them."""
    return float(resampled.var()) * seeds / (seeds - 1)


def _seed_variance(scores: NDArray[np.float64]) -> float:
    """Return the variance of one draw, the mean over (S, L) budgets: of the two largest, for more labels vary less."""
    return float(scores.var(axis=0, ddof=1).mean())


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
