"""What the columns of a study will ask of the frozen layers, computed in one pass before the first of them."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from tlexp.cache import Use
from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.experiment.build import build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import row_key
from tlexp.experiment.session import Session
from tlexp.features.batches import FitSetup
from tlexp.features.entry import Prefix, Storage, build_prefix, choose_storage
from tlexp.features.extractor import FeatureExtractor
from tlexp.models import Classifier
from tlexp.models.tracing import CutError
from tlexp.train import Listener


def fill_cuts(
    configs: Sequence[Config], depths: Sequence[int], session: Session, *, device: torch.device, listener: Listener
) -> Use:
    """Store what crosses behind so many units each, of all images of some runs; each image passes the backbone once.

    Cuts are left out where the backbone cannot be cut, where reading would not pay, or where the limit is reached; the
    deepest come first, for they are the smallest and save most.

    Args:
        configs: Of runs that differ in label budget, seed and depth alone.
        depths: Frozen units; all of them for the features.
        session: What the runs have in common.
        device: Where they are trained.
        listener: Hears of images that are read.
    """
    first = configs[0]
    network, _ = session.network(first)
    wanted = sorted({depth for depth in depths if depth > 0}, reverse=True)
    store = session.store(first, listener.message)
    if first.cache.mode is CacheMode.off or not store.keeps or first.varying or first.backbone.calibrate or not wanted:
        return Use()
    source = session.source(first, network.expected, listener)
    budgets = [draw_labels(config, source) for config in configs]
    union = np.unique(np.concatenate([budget.positions for budget in budgets]))
    classifier = Classifier(network.backbone, nn.Identity(), network.units, len(network.units)).to(device)
    setup = build_setup(first, network.expected, device, images=len(union), classes=len(source.classes))
    tested = [images for images in (source.held_out, source.shifted) if images is not None]
    rows = len(union) * (setup.views + 1) + sum(len(images.labels) for images in tested)
    try:
        prefix = _paying(first, classifier, wanted, setup, rows)
    except CutError:
        return Use()
    if not prefix.cuts:
        return Use()
    frozen = FeatureExtractor(
        classifier,
        setup,
        keys=[row_key(first, setup, classifier, cut, hashed=session.digest) for cut in prefix.cuts],
        store=store,
        decode=lambda images, positions: session.decode(first, images, positions, network.expected, listener),
        passing=prefix.passing,
    )
    for view in (*range(setup.views), None):
        frozen.fill(source.pool, union, view=view)
    for images in tested:
        frozen.fill(images, np.arange(len(images.labels)))
    return frozen.use


def _paying(config: Config, classifier: Classifier, depths: Sequence[int], setup: FitSetup, rows: int) -> Prefix:
    """Return the prefix up to those cuts that are worth a place on disk and fit there together, features first of all.

    Raises:
        CutError: The backbone cannot be followed.
    """
    prefix = build_prefix(classifier, depths, setup, strict=False)
    left, chosen = config.cache.max_bytes, []
    for cut in prefix.cuts:
        place = choose_storage(
            CacheMode.on if cut.depth == len(classifier.units) else config.cache.mode,
            cut.row_bytes,
            rows=rows,
            seconds=functools.partial(prefix.up_to([cut]).seconds, setup),
            keeps=True,
            max_bytes=left,
            memory_bytes=0,
        )
        if place is Storage.disk:
            chosen.append(cut)
            left -= rows * cut.row_bytes
    return prefix.up_to(chosen)
