"""Where the candidates of a selection come from: listed beforehand, or proposed one after another."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from tlexp.config.optim import Choice, Rates
from tlexp.learn.calibration import Calibrated

if TYPE_CHECKING:
    from optuna.trial import Trial as OptunaTrial

C = TypeVar("C", Rates, Choice)
"""What a learner takes: learning rate and weight decay of one that is trained, the choice of one that is solved."""

_EDGE = 0.05
"""A best value within this fraction of the searched range (on its log scale) from an end is flagged."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How many candidates are compared, and where they are looked for.

    Attributes:
        trials: Candidates; 0 compares none and takes the default.
        lr: Low and high of the learning rate.
        weight_decay: Low and high of the weight decay.
        seed: Of the sampler.
        around: Whether the candidates lie around the default, in place of those ranges.
    """

    trials: int
    lr: tuple[float, float]
    weight_decay: tuple[float, float]
    seed: int
    around: bool = False


@dataclass(frozen=True, kw_only=True)
class Trial(Generic[C]):
    """One candidate: its settings, and how good it is over the pooled validation parts; None where it diverged."""

    number: int
    rates: C
    calibrated: Calibrated | None

    @property
    def loss(self) -> float | None:
        """Its calibrated log loss."""
        return None if self.calibrated is None else self.calibrated.loss


def spread_candidates(search: Search, default: Rates) -> list[Rates]:
    """Return the default and points spread evenly over the searched ranges (Halton 1960), for trying all at once."""
    from scipy.stats import qmc  # lazy: most runs search nothing

    points = qmc.Halton(2, scramble=True, rng=search.seed).random(max(0, search.trials - 1))
    ranges = (search.lr, search.weight_decay)
    values = [[low * (high / low) ** x for x, (low, high) in zip(point, ranges, strict=True)] for point in points]
    return [_clipped(default, search), *(Rates(lr=float(lr), weight_decay=float(decay)) for lr, decay in values)]


def candidates_around(default: Rates, trials: int) -> list[Rates]:
    """Return rates spread evenly, on a log scale, from a tenth of the default to ten times it; two decays take turns.

    >>> [round(each.lr, 6) for each in candidates_around(Rates(lr=1e-3, weight_decay=0.05), 2)]
    [0.000316, 0.003162]
    """
    exponents = [(2 * number + 1) / trials - 1 for number in range(trials)]
    return [
        Rates(lr=default.lr * 10**exponent, weight_decay=default.weight_decay / (100 if number % 2 else 1))
        for number, exponent in enumerate(exponents)
    ]


def offered_by(search: Search, default: C) -> "Offered[C]":
    """Return the default alone, or what a search proposes from it on."""
    if search.trials == 0:
        return Listed([default])
    assert isinstance(default, Rates)  # a head that is solved has its candidates listed
    return cast(Offered[C], _Proposed(search, default))


def edge_flags(winner: Trial[C], trials: Sequence[Trial[C]], search: Search) -> tuple[str, ...]:
    """Return a sentence for each setting whose best value lies at the edge of its range where that may cost something.

    It may where the best candidate that does not lie there loses more than a standard error of the difference, over the
    images: beyond the edge more could be won. Often all near an edge are alike, and it is but a place to stop at.

    Args:
        winner: The best of them.
        trials: All that were tried.
        search: Where they were looked for.
    """
    return tuple(
        edge.told
        for edge in _reached(winner.rates, [trial.rates for trial in trials], search)
        if _pays(winner, [trial for trial in trials if not edge.holds(trial.rates)])
    )


@dataclass(frozen=True)
class _Edge:
    """An end of what was searched: what is said of a best value there, and which candidates lie there."""

    told: str
    holds: Callable[[Rates | Choice], bool]


def _reached(winner: Rates | Choice, tried: Sequence[Rates | Choice], search: Search) -> Iterator[_Edge]:
    """Yield the edges at which the winner lies."""
    if isinstance(winner, Choice) or search.around:
        name = "weight_decay" if isinstance(winner, Choice) else "lr"
        values = sorted({getattr(each, name) for each in tried if getattr(each, name)})
        best = getattr(winner, name)
        if len(values) > 1 + search.around and best in (values[0], values[-1]):  # one of two rates is always an end
            told = f"the best {name} {best:.3g} is the end of those compared ({values[0]:.3g}..{values[-1]:.3g})"
            yield _Edge(told, lambda each: bool(getattr(each, name) == best))
    elif search.trials > 1:
        for name in ("lr", "weight_decay"):
            low, high = interval = getattr(search, name)
            edge, best = _edge_of(getattr(winner, name), interval), getattr(winner, name)
            if edge == 1 or (edge == -1 and name == "lr"):  # the least weight decay is none
                told = f"the best {name} {best:.3g} lies at the edge of tune.{name}=[{low:g},{high:g}]: widen it"
                yield _Edge(told, partial(_lies_at, name, interval, edge))


def _lies_at(name: str, interval: tuple[float, float], edge: int, rates: Rates | Choice) -> bool:
    return _edge_of(getattr(rates, name), interval) == edge


def _edge_of(value: float, interval: tuple[float, float]) -> int:
    """Return -1 near the low end of an interval, 1 near the high one, else 0."""
    low, high = interval
    position = math.log(value / low) / math.log(high / low)
    return (position >= 1 - _EDGE) - (position <= _EDGE)


def _pays(winner: Trial[C], inner: Sequence[Trial[C]]) -> bool:
    """Return whether a winner is better than all inner candidates by more than a standard error of the difference."""
    others = [trial.calibrated for trial in inner if trial.calibrated is not None]
    if winner.calibrated is None or not others:
        return True
    gains = min(others, key=lambda each: each.loss).losses - winner.calibrated.losses
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains)))


class Offered(Protocol[C]):
    """Candidates, one after another; what comes next may follow from what was told."""

    def __iter__(self) -> Iterator[C]:
        """Yield each of them."""
        ...

    def tell(self, trial: Trial[C]) -> None:
        """Report the loss of the candidate that was handed out last."""
        ...


class Listed(Generic[C]):
    """Candidates that stand beforehand."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates: Sequence[C] = candidates

    def __iter__(self) -> Iterator[C]:
        return iter(self._candidates)

    def tell(self, trial: Trial[C]) -> None:
        """Nothing follows from a loss."""


class _Proposed:
    """The default, and what Optuna's TPE proposes after it.

    The sampler is seeded and told in order, so that a resumed run is offered the same candidates again.
    """

    def __init__(self, search: Search, default: Rates) -> None:
        import optuna  # lazy: most runs search nothing

        self._search, self._default = search, default
        self._asked: OptunaTrial | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=search.seed))

    def __iter__(self) -> Iterator[Rates]:
        self._study.enqueue_trial(dataclasses.asdict(_clipped(self._default, self._search)))
        for _ in range(self._search.trials):
            self._asked = self._study.ask()
            yield Rates(
                lr=self._asked.suggest_float("lr", *self._search.lr, log=True),
                weight_decay=self._asked.suggest_float("weight_decay", *self._search.weight_decay, log=True),
            )

    def tell(self, trial: Trial[Rates]) -> None:
        """Report the loss of the candidate that was handed out last."""
        if self._asked is not None:
            from optuna.trial import TrialState  # lazy: most runs search nothing

            state = TrialState.FAIL if trial.loss is None else None
            self._study.tell(self._asked, trial.loss, state=state)


def _clipped(rates: Rates, search: Search) -> Rates:
    return Rates(lr=_clip(rates.lr, search.lr), weight_decay=_clip(rates.weight_decay, search.weight_decay))


def _clip(value: float, interval: tuple[float, float]) -> float:
    return min(max(value, interval[0]), interval[1])
