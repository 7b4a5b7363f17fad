"""What learns from a label budget, and the settings that it compares."""

from collections.abc import Mapping

import numpy as np
from torch import nn

from tlexp.config import Config
from tlexp.config.head import HeadKind
from tlexp.config.optim import Choice
from tlexp.features.batches import FeatureSet, FitSetup, LabelledSet
from tlexp.features.entry import Entry
from tlexp.learn.selection import Candidate
from tlexp.learn.solved import Solutions, SolvedLearner
from tlexp.learn.trained import Heads, TrainedLearner
from tlexp.models import Classifier
from tlexp.train import CANDIDATES, Checkpoint, Listener

_WEIGHT_DECAY = 1e-1
"""Of a head that is solved where nothing can be compared."""
_NEIGHBOURS = 5


def build_learner(
    config: Config,
    classifier: Classifier,
    feed: LabelledSet,
    setup: FitSetup,
    *,
    checkpoint: Checkpoint | None,
    listener: Listener,
    solutions: Solutions | None = None,
    heads: Heads | None = None,
    entries: Mapping[int, Entry] | None = None,
) -> TrainedLearner | SolvedLearner:
    """Return what learns from a label budget: the whole network from images, or what follows its frozen part.

    Args:
        config: Of the run.
        classifier: The whole network, with its start.
        feed: The label budget.
        setup: How it is fed.
        checkpoint: Where fits are kept; None for a head that is solved.
        listener: Hears of every fit.
        solutions: Heads that were solved beforehand.
        heads: What a trained head starts from, by the positions that are trained on; None for its own start.
        entries: Where training enters in phases that freeze units in front, by how many they freeze.
    """
    learned = classifier
    if isinstance(feed, FeatureSet) and classifier.depth < len(classifier.units):
        learned = classifier.behind_cut()  # the feed gives what crosses the cut behind the frozen units
    elif isinstance(feed, FeatureSet):
        # The same head: what it learns is in the whole network at once.
        learned = Classifier(nn.Identity(), classifier.head, (), 0)
        if config.head.kind.solved:
            classes = setup.plan.num_classes
            return SolvedLearner(
                learned, config.head.kind, feed, listener=listener, num_classes=classes, solutions=solutions
            )
    assert checkpoint is not None
    return TrainedLearner(learned, feed, setup, checkpoint=checkpoint, listener=listener, heads=heads, entries=entries)


def candidates(config: Config, *, smallest: int) -> tuple[Candidate, list[Choice]]:
    """Return the default of a head, and those that a head which is solved compares all at once.

    Args:
        config: Of the run.
        smallest: Training images of a fold, at least.
    """
    kind, trials = config.head.kind, config.tune.trials
    if not kind.solved:
        return config.default_rates, []
    if kind is HeadKind.nearest_mean:
        return Choice(), [Choice()]
    if kind is HeadKind.knn:
        counts = sorted({min(int(count), max(1, smallest)) for count in CANDIDATES[str(kind)]})
        chosen = [Choice(neighbours=count) for count in counts]
        default = Choice(neighbours=min(_NEIGHBOURS, max(1, smallest)))
        return default, [default] if trials == 1 else chosen[: trials or None]
    stated = config.optim.weight_decay
    if stated is not None:
        return Choice(weight_decay=stated), [Choice(weight_decay=stated)]
    decays = CANDIDATES[str(kind)]
    if trials:
        decays = tuple(float(decay) for decay in np.geomspace(decays[0], decays[-1], trials)) if trials > 1 else ()
    default = Choice(weight_decay=_WEIGHT_DECAY)
    return default, [Choice(weight_decay=decay) for decay in decays] or [default]
