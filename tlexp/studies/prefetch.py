"""What the columns of a study will ask of the frozen layers, computed in one pass before the first of them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from tlexp.cache import Use
from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EntryKind
from tlexp.config.freeze import FreezeConfig, FreezePolicy
from tlexp.experiment.build import build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import row_key
from tlexp.experiment.session import Session
from tlexp.features.batches import FitSetup
from tlexp.features.entry import Room, Storage, build_cutter, open_entry, pass_through, row_count
from tlexp.features.extractor import FeatureExtractor
from tlexp.models import Classifier
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError
from tlexp.train import FitPhase, Listener


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
    first = _wholly_frozen(configs[0])
    network, _ = session.network(first)
    wanted = sorted({depth for depth in depths if depth > 0}, reverse=True)
    room = session.room(first, listener.message)
    kept = first.cache.mode is not CacheMode.off and room.disk_bytes is not None and not first.backbone.calibrate
    if not wanted or not kept or first.entry_rule.kind is EntryKind.images:
        return Use()
    source = session.images(first, network.expected, listener)
    budgets = [draw_labels(config, source) for config in configs]
    union = np.unique(np.concatenate([budget.positions for budget in budgets]))
    whole = len(network.units)
    classifier = Classifier(network.backbone, nn.Identity(), network.units, whole, norm=first.freeze.norm).to(device)
    setup = build_setup(first, network, device, images=len(union), classes=len(source.classes))
    tested = [images for _, images in source.evaluated()]
    rest = np.unique(np.concatenate([budget.rest for budget in budgets]))
    rows = row_count(len(union), views=setup.views, tested=sum(len(images.labels) for images in tested) + len(rest))
    try:
        cutter = build_cutter(classifier, setup)
    except CutError:
        return Use()
    cuts = _paying(first, classifier, wanted, setup, room, cutter, rows=rows)
    if not cuts:
        return Use()
    classifier.refreeze(whole)
    extractor = FeatureExtractor(
        classifier,
        setup,
        keys=[row_key(first, setup, classifier, cut, hashed=session.digest) for cut in cuts],
        store=session.store(first, listener.message),
        decode=lambda images, positions: session.decode(first, images, positions, network.expected, Listener()),
        progress=listener.images,
        passing=pass_through(cutter, cuts),
    )
    for view in (*range(setup.views), None):
        extractor.fill(source.pool, union, view=view)
    for images in tested:
        extractor.fill(images, np.arange(len(images.labels)))
    if len(rest):
        extractor.fill(source.pool, rest, view=None)
    return extractor.use


def _wholly_frozen(config: Config) -> Config:
    """Return the run with all units frozen: what is stored is what they make, whichever of them a run trains."""
    return dataclasses.replace(config, freeze=FreezeConfig(policy=FreezePolicy.all, norm=config.freeze.norm))


def _paying(
    config: Config,
    classifier: Classifier,
    depths: Sequence[int],
    setup: FitSetup,
    room: Room,
    cutter: Cutter,
    *,
    rows: int,
) -> list[Cut]:
    """Return those cuts that the columns will keep on disk and that fit there together, in the order of the depths."""
    chosen = []
    room = dataclasses.replace(room, memory_bytes=0)  # what lies in memory is gone with the run
    for depth in depths:
        phase = FitPhase(steps=setup.plan.steps, depth=depth)
        entry = open_entry(config.entry_rule, classifier, phase, setup, room, rows=rows, cutter=cutter)
        if entry.storage is not Storage.disk:
            continue
        try:
            cut = cutter.whole() if entry.prefix is None else entry.prefix.cut
        except CutError:  # its features are no rows
            continue
        assert room.disk_bytes is not None
        room = dataclasses.replace(room, disk_bytes=max(0, room.disk_bytes - rows * cut.row_bytes))
        chosen.append(cut)
    return chosen
