"""What of a label budget other images are compared with.

features (N, T C) float32, of T tokens or places with C numbers each, T = 1 where they were pooled.
"""

from functools import partial

import torch

from tlexp.arrays import Positions
from tlexp.features.batches import FitSetup, LabelledSet
from tlexp.models import Classifier
from tlexp.models.typicality import ReferenceRows, pool_tokens, reference_places
from tlexp.train import map_features


def find_reference(
    classifier: Classifier, images: LabelledSet, positions: Positions, setup: FitSetup, *, width: int
) -> ReferenceRows:
    """Return features of images that a classifier learned from, as many as a reference has room for.

    Args:
        classifier: It takes what the set gives.
        images: The label budget.
        positions: Those that it learned from.
        setup: How it is fed.
        width: C.
    """
    taken = positions[reference_places(images.labels[positions], width)]
    pooled = partial(pool_tokens, width=width)
    features = map_features(classifier, images.chunks(taken), pooled, autocast=setup.plan.autocast)
    return ReferenceRows.of(torch.from_numpy(features)).to(setup.device)
