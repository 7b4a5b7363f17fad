"""Which entrants of a study go on to its finals, by what their probes lose inside the labels.

An entrant is a network (or an input size) with columns of its own; the first of them is solved on its frozen features
and screens it. Losses are of images that a label budget holds back from itself, so that choosing spends none of the
test images: the bounds of the finals speak of the finalists. Their label draws are those of the screen; where that was
simulated the bounds held all the same (docs/results.md). It is not promised that the best one goes on.

losses (n,) float64, one for each data seed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_IN_TURN = 4
"""By loss and by the prior in turn. On published results these four lost 0.02 points on average, 0.2 at worst, and four
of which three go by loss up to 1.6: where a probe misleads, the prior's second choice does not."""
FINALISTS = _IN_TURN + 1
"""At most, the cheapest within the margin among them: further ones cost seeds and widen every bound."""
_TOLD_APART = 9
"""Decimals of a loss; of equals the prior's favourite comes first."""


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """Something that is screened.

    Attributes:
        name: Of it.
        columns: Names of its columns; the first one screens it.
        operations: Multiplications that one image takes, the order of cost.
        prior: What was known of it before, the higher the better; None where nothing was.
        facts: For the page: licence, megabytes, parameters, image_size, own_size and milliseconds.
        reads: Name of the entrant that reads the same network by its own pooling; "" where it does so itself.
        pooling: By which it reads it, in timm's words; None for its own.
    """

    name: str
    columns: tuple[str, ...]
    operations: int
    prior: float | None = None
    facts: Mapping[str, str | float | None] = field(default_factory=dict)
    reads: str = ""
    pooling: str | None = None

    @property
    def network(self) -> str:
        """What readings of one network have in common."""
        return self.reads or self.name


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What an entrant's probe reached on images of the label budget, by budget and data seed.

    Attributes:
        loss: (budget, seed) -> log loss after one temperature.
        accuracy: (budget, seed) -> balanced accuracy, [0, 1].
    """

    loss: Mapping[tuple[str, int], float]
    accuracy: Mapping[tuple[str, int], float]


@dataclass(frozen=True, kw_only=True)
class Screened:
    """One entrant after the screen.

    Attributes:
        entrant: It.
        excess: Its loss minus the least one, mean over budgets; None where its probe has none.
        behind: Balanced accuracy inside the labels below that of the entrant with the least loss, mean over budgets.
        why: What brought it into the finals, or left it out.
        goes_on: Whether it is a finalist.
    """

    entrant: Entrant
    excess: float | None
    behind: float | None
    why: str
    goes_on: bool


def screen(entrants: Sequence[Entrant], probed: Mapping[str, Probed], *, margin: float) -> tuple[Screened, ...]:
    """Return the entrants, those with the least loss first, and which of them go on.

    Of the readings of one network that with the least loss stands for it, of equals its own pooling. At most five go
    on: by loss and by the prior in turn four of them, the least loss and the prior's favourite first; and the cheapest
    that is within the margin. Where no budget can be held back from itself the prior alone chooses; of an
    entrant whose loss cannot be compared with the others' it alone speaks.

    Args:
        entrants: All that were looked at.
        probed: What their probes reached; one that failed is missing.
        margin: In balanced accuracy, (0, 1).
    """
    excess = _below_best({name: each.loss for name, each in probed.items()})
    ranked = sorted(entrants, key=lambda each: _rank(each, excess))
    tried = [each for each in ranked if each.name in probed] if excess else list(ranked)
    if not tried:
        return ()
    chosen: dict[str, Entrant] = {}
    for each in tried:
        chosen.setdefault(each.network, each)
    tried = [*chosen.values()]
    behind = _behind(tried[0], probed)
    within = [each for each in tried if behind.get(each.name, np.inf) <= margin] or tried[:1]
    reasons = _in_turn(tried, excess)
    reasons.setdefault(min(within, key=lambda each: each.operations).name, "the cheapest within the margin")
    return tuple(
        Screened(
            entrant=each,
            excess=excess.get(each.name),
            behind=behind.get(each.name),
            why=reasons.get(each.name) or _left_out(each, excess, probed, chosen),
            goes_on=each.name in reasons,
        )
        for each in ranked
    )


def _in_turn(tried: Sequence[Entrant], excess: Mapping[str, float]) -> dict[str, str]:
    """Return the first four by loss and by the prior in turn, and why each goes on.

    Args:
        tried: Those with the least loss first, and then by the prior.
        excess: Of those that have a loss.
    """
    known = sorted((each for each in tried if each.prior is not None), key=_least_known)
    reasons = {tried[0].name: "least probe loss" if excess else "the prior's choice"}
    if known:
        reasons.setdefault(known[0].name, "the prior's favourite")
    for by_loss, by_prior in itertools.zip_longest(tried[1:], known[1:]):
        for each, why in ((by_loss, "by probe loss"), (by_prior, "by the prior")):
            if each is not None and len(reasons) < _IN_TURN:
                reasons.setdefault(each.name, why if each.name in excess else "by the prior")
    return reasons


def by_prior(entrants: Sequence[Entrant]) -> list[Entrant]:
    """Return entrants as they would be taken without a look at the images; of equals the cheapest first."""
    return sorted(entrants, key=_least_known)


def prior_favourite(entrants: Sequence[Entrant]) -> Entrant:
    """Return the entrant that would be taken without a look at the images."""
    return by_prior(entrants)[0]


def _least_known(entrant: Entrant) -> tuple[float, int]:
    return np.inf if entrant.prior is None else -entrant.prior, entrant.operations


def _rank(entrant: Entrant, excess: Mapping[str, float]) -> tuple[float, float, int]:
    """Order by loss, and without one by the prior and the cost."""
    return round(excess.get(entrant.name, np.inf), _TOLD_APART), *_least_known(entrant)


def _left_out(
    entrant: Entrant, excess: Mapping[str, float], probed: Mapping[str, Probed], chosen: Mapping[str, Entrant]
) -> str:
    """Return why an entrant is left out.

    Args:
        entrant: It.
        excess: Of those that have a loss.
        probed: What probes reached.
        chosen: What stands for each network.
    """
    reading = chosen.get(entrant.network, entrant)
    if reading is not entrant and (entrant.name in probed or not excess):
        return f"left out for {reading.name}, the same network read otherwise"
    if entrant.name in excess:
        return "left out by probe loss"
    return "its probe did not finish" if excess and entrant.name not in probed else "left out by the prior"


def _below_best(losses: Mapping[str, Mapping[tuple[str, int], float]]) -> dict[str, float]:
    """Return what each loses beyond the best of a budget, on the data seeds that all have, mean over budgets.

    One that has none of those that the others share is not among them.
    """
    compared: dict[str, Mapping[tuple[str, int], float]] = {}
    shared: set[tuple[str, int]] = set()
    for name, each in sorted(losses.items(), key=lambda item: -len(item[1])):
        common = shared & set(each) if compared else set(each)
        if common:
            shared, compared[name] = common, each
    if not compared:
        return {}
    means = {name: _by_budget(each, sorted(shared)) for name, each in compared.items()}
    best = np.min(list(means.values()), axis=0)
    return {name: float(np.mean(mean - best)) for name, mean in means.items()}


def _behind(best: Entrant, probed: Mapping[str, Probed]) -> dict[str, float]:
    """Return the balanced accuracy that each has less than the one with the least loss, mean over budgets."""
    if best.name not in probed:
        return {}
    reference, found = probed[best.name].accuracy, {}
    for name, each in probed.items():
        shared = sorted(set(reference) & set(each.accuracy))
        if shared:
            found[name] = float(np.mean(_by_budget(reference, shared) - _by_budget(each.accuracy, shared)))
    return found


def _by_budget(values: Mapping[tuple[str, int], float], places: Sequence[tuple[str, int]]) -> NDArray[np.float64]:
    """Return (budgets,) the mean over the data seeds of each budget."""
    budgets = dict.fromkeys(labels for labels, _ in places)
    return np.array([np.mean([values[place] for place in places if place[0] == labels]) for labels in budgets])
