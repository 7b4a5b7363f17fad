"""What the columns of a study will ask of the frozen layers, computed in one pass before the first of them."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tlexp.cache import Use
from tlexp.config import Config
from tlexp.config.freeze import FreezeConfig, FreezePolicy
from tlexp.experiment.build import build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import row_key
from tlexp.experiment.session import Session
from tlexp.features.batches import FitSetup
from tlexp.features.entry import Room, Storage, build_cutter, open_entry, pass_through, read_together, row_count
from tlexp.features.extractor import FeatureExtractor, Key
from tlexp.models import Classifier
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError
from tlexp.train import FitPhase, Listener

_Made = tuple[Sequence[Key], Callable[[Tensor], list[Tensor]]]


def fill_cuts(
    configs: Sequence[Config],
    depths: Sequence[int],
    session: Session,
    *,
    device: torch.device,
    listener: Listener,
    poolings: Sequence[str] = (),
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
        poolings: timm's: the features are stored as each of them reads the backbone too, and nothing further in front.
    """
    first = _wholly_frozen(configs[0])
    network, _ = session.network(first)
    wanted = sorted({depth for depth in depths if depth > 0}, reverse=True)
    if not wanted or not session.keeps_rows(first, listener.message):
        return Use()
    room = session.room(first, listener.message)
    source = session.images(first, network.expected, listener)
    budgets = [draw_labels(config, source) for config in configs]
    union = np.unique(np.concatenate([budget.positions for budget in budgets]))
    whole = len(network.units)
    classifier = Classifier(network.backbone, nn.Identity(), network.units, whole, norm=first.freeze.norm).to(device)
    setup = build_setup(first, network, device, images=len(union), classes=len(source.classes))
    tested = [images for _, images in source.evaluated()]
    rest = np.unique(np.concatenate([budget.rest for budget in budgets]))
    rows = row_count(len(union), views=setup.views, tested=sum(len(images.labels) for images in tested) + len(rest))
    made = (
        _readings(first, classifier, setup, session, poolings)
        if poolings
        else _cuts(first, classifier, setup, session, wanted, room, rows=rows)
    )
    if made is None:
        return Use()
    keys, passing = made
    extractor = FeatureExtractor(
        classifier,
        setup,
        keys=keys,
        store=session.store(first, listener.message),
        decode=lambda images, positions: session.decode(first, images, positions, network.expected, Listener()),
        progress=listener.images,
        passing=passing,
    )
    for view in (*range(setup.views), None):
        extractor.fill(source.pool, union, view=view)
    for images in tested:
        extractor.fill(images, np.arange(len(images.labels)))
    if len(rest):
        extractor.fill(source.pool, rest, view=None)
    # All that the runs will ask for is there: none of them is to go through the pool for the others.
    session.prepared |= {(made_by, source.digest) for made_by in extractor.makers}
    return extractor.use


def _wholly_frozen(config: Config) -> Config:
    """Return the run with all units frozen: what is stored is what they make, whichever of them a run trains."""
    return dataclasses.replace(config, freeze=FreezeConfig(policy=FreezePolicy.all, norm=config.freeze.norm))


def _cuts(
    config: Config,
    classifier: Classifier,
    setup: FitSetup,
    session: Session,
    depths: Sequence[int],
    room: Room,
    *,
    rows: int,
) -> _Made | None:
    """Return what names the rows of cuts, and what makes them; None where there is none that pays."""
    try:
        cutter = build_cutter(classifier, setup)
    except CutError:
        return None
    cuts = _paying(config, classifier, depths, setup, room, cutter, rows=rows)
    classifier.refreeze(len(classifier.units))
    keys = [row_key(config, setup, classifier, cut, hashed=session.digest) for cut in cuts]
    return (keys, pass_through(cutter, cuts)) if cuts else None


def _readings(
    config: Config, classifier: Classifier, setup: FitSetup, session: Session, poolings: Sequence[str]
) -> _Made:
    """Return what names the features of the network's own pooling and of others, and what makes them."""
    read = [config, *(_read_by(config, pooling) for pooling in poolings)]
    keys = [row_key(each, setup, classifier, hashed=session.digest) for each in read]
    return keys, read_together(classifier.eval(), poolings, name=config.backbone.name)


def _read_by(config: Config, pooling: str) -> Config:
    return dataclasses.replace(config, head=dataclasses.replace(config.head, global_pool=pooling))


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
