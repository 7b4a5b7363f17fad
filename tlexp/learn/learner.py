"""What learns from a label budget, and the settings that it compares."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlexp.config.head import HeadKind
from tlexp.config.optim import Choice, Rates
from tlexp.features.batches import FitSetup
from tlexp.features.entry import Entry
from tlexp.learn.search import Search, candidates_around, spread_candidates
from tlexp.learn.selection import Learner
from tlexp.learn.solved import Solutions, SolvedLearner
from tlexp.learn.trained import Heads, TrainedLearner
from tlexp.models import Classifier
from tlexp.train import CANDIDATES, Checkpoint, Listener

_WEIGHT_DECAY = 1e-1
"""Of a head that is solved where nothing can be compared."""
_NEIGHBOURS = 5


def build_learner(
    classifier: Classifier,
    entries: Sequence[Entry],
    setup: FitSetup,
    head: HeadKind,
    *,
    checkpoint: Checkpoint | None,
    listener: Listener,
    solutions: Solutions | None = None,
    heads: Heads | None = None,
) -> Learner[Any]:
    """Return what learns from a label budget: a network that is trained, or a head that is solved.

    Args:
        classifier: The whole network, with its start.
        entries: Where each phase of a fit enters it, with the label budget.
        setup: How it is trained.
        head: The kind of its head.
        checkpoint: Where fits are kept; None for a head that is solved.
        listener: Hears of every fit.
        solutions: Heads that were solved beforehand.
        heads: What a trained head starts from, by the positions that are trained on; None for its own start.
    """
    if head.solved:
        [entry] = entries
        return SolvedLearner(classifier, head, entry, listener=listener, setup=setup, solutions=solutions)
    assert checkpoint is not None
    return TrainedLearner(classifier, entries, setup, checkpoint=checkpoint, listener=listener, heads=heads)


def trained_candidates(search: Search, default: Rates, *, many: bool) -> list[Rates]:
    """Return the rates that a network which is trained compares; none where Optuna proposes them one by one.

    Args:
        search: Where they are looked for.
        default: Of the policy, or as stated.
        many: Whether all can be tried at once.
    """
    if search.trials < 2:
        return []
    if search.around:
        return candidates_around(default, search.trials)
    return spread_candidates(search, default) if many else []


def solved_candidates(
    head: HeadKind, *, trials: int, weight_decay: float | None, smallest: int
) -> tuple[Choice, list[Choice]]:
    """Return the default of a head that is solved, and the choices that it compares all at once.

    Args:
        head: Its kind.
        trials: How many are compared; 0 for as many as are usual.
        weight_decay: As stated, which leaves nothing to compare, or None.
        smallest: Training images of a fold, at least.
    """
    if head is HeadKind.knn:
        counts = sorted({min(int(count), max(1, smallest)) for count in CANDIDATES[str(head)]})
        chosen = [Choice(neighbours=count) for count in counts]
        default = Choice(neighbours=min(_NEIGHBOURS, max(1, smallest)))
        return default, [default] if trials == 1 else chosen[: trials or None]
    if not head.penalised:
        return Choice(), [Choice()]
    if weight_decay is not None:
        return Choice(weight_decay=weight_decay), [Choice(weight_decay=weight_decay)]
    decays = CANDIDATES[str(head)]
    if trials:
        decays = tuple(float(decay) for decay in np.geomspace(decays[0], decays[-1], trials)) if trials > 1 else ()
    default = Choice(weight_decay=_WEIGHT_DECAY)
    return default, [Choice(weight_decay=decay) for decay in decays] or [default]
