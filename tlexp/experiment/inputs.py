"""What a run takes: the label budget and the held-out splits, as images or as rows that frozen units made once."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from tlexp.arrays import Positions
from tlexp.cache import POOLED, CutKey, Store, Use, cut_key
from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EntryKind
from tlexp.data import Images, Source
from tlexp.errors import ConfigError
from tlexp.experiment.images import Budget
from tlexp.experiment.session import Session
from tlexp.features.batches import EVALUATED, FeatureSet, FitSetup, ImageSet, LabelledSet, chunk_size
from tlexp.features.entry import Entry, Storage, open_entries
from tlexp.features.extractor import Decode, FeatureExtractor, Key, digests_of
from tlexp.models import Classifier, feature_width
from tlexp.models.classifier import units_tensors
from tlexp.models.cut import Cut
from tlexp.train import Listener


class RunInputs:
    """What a run takes, phase by phase, and what its network is evaluated on, as its last phase takes it.

    Args:
        config: Of the run.
        session: What it has in common with others.
        classifier: The whole network, with its start; afterwards frozen as in the last phase.
        source: The images.
        budget: The label budget.
        setup: How it is trained.
        listener: Hears of images that are read, and of what the cache does.

    Attributes:
        entries: Where each phase of a fit enters the network, with the label budget.
        extractors: What makes the rows of each entry; None where it takes images.

    Raises:
        ConfigError: The cache must keep rows, but there are none to keep.
        DataError: An image cannot be read any more.
        OutOfMemoryError: A chunk does not fit into the device's memory.
    """

    def __init__(
        self,
        config: Config,
        session: Session,
        classifier: Classifier,
        source: Source,
        budget: Budget,
        setup: FitSetup,
        listener: Listener,
    ) -> None:
        self._config, self._session, self._setup = config, session, setup
        self._source, self._budget, self._listener = source, budget, listener
        self._units = len(classifier.units)
        self._decode: Decode = lambda images, places: session.decode(config, images, places, setup.expected, listener)
        self.extractors: list[FeatureExtractor | None] = []
        opened = open_entries(
            config.entry_rule,
            classifier,
            setup,
            lambda: session.room(config, listener.message),
            images=len(budget.positions),
            tested=sum(len(images.labels) for _, images in source.evaluated()) + len(budget.rest),
        )
        entries = []
        for entry in opened:
            self._refuse(classifier, entry)
            entries.append(self._read(classifier, entry))
        self.entries = tuple(entries)

    @property
    def use(self) -> Use | None:
        """What the cache has done so far; None where nothing is kept."""
        uses = [extractor.use for extractor in self.extractors if extractor is not None]
        return functools.reduce(operator.add, uses) if uses else None

    @property
    def head_alone(self) -> bool:
        """Whether no step of any phase runs a unit, because the features are kept."""
        phases = self._setup.plan.phases
        return all(
            entry.keeps_rows and phase.depth == self._units for entry, phase in zip(self.entries, phases, strict=True)
        )

    @property
    def uncut(self) -> str | None:
        """Why the network could not be cut behind the frozen units of a phase; None if it could, or had no need to."""
        if self._config.entry_rule.kind is EntryKind.images:
            return None
        inner = (
            entry.reason
            for entry, phase in zip(self.entries, self._setup.plan.phases, strict=True)
            if entry.prefix is None and 0 < phase.depth < self._units
        )
        return next(inner, None)

    def held_out(self) -> Iterator[tuple[str, LabelledSet]]:
        """Yield the test split and, where there are such, the shifted one and the rest of the pool.

        Each is read when its turn comes.
        """
        for split, images in self._source.evaluated():
            whole = np.arange(len(images.labels))
            yield split, self._test(images) if split == "test" else self._part(images, whole)
        if len(self._budget.rest):
            yield "rest", self._part(self._source.pool, self._budget.rest)

    def _refuse(self, classifier: Classifier, entry: Entry) -> None:
        """Refuse an entry that keeps nothing where the cache must; of several phases the first one keeps features."""
        alone = len(self._setup.plan.phases) == 1
        if not alone or self._config.cache.mode is not CacheMode.on or entry.keeps_rows:
            return
        if 0 < classifier.depth < len(classifier.units):
            told = f"{self._config.backbone.name} {entry.reason}; cache.mode=auto computes it as it goes"
        else:
            told = f"of the leading units freeze={self._config.freeze.policy} freezes {entry.reason}"
        raise ConfigError(f"cache.mode=on, but {told}")

    def _read(self, classifier: Classifier, entry: Entry) -> Entry:
        """Return an entry with the label budget as its steps take it."""
        pool, positions, views = self._source.pool, self._budget.positions, self._setup.views
        extractor = self._extractor(classifier, entry)
        self.extractors.append(extractor)
        if extractor is None:
            return dataclasses.replace(entry, images=self._image_budget)
        rows = self._rows(entry, extractor, pool, positions, views=views)
        self._fill_ahead(entry, extractor)
        return dataclasses.replace(entry, rows=rows)

    @functools.cached_property
    def _image_budget(self) -> ImageSet:
        """The images of the label budget, read once for all phases that take them."""
        return self._images(self._source.pool, self._budget.positions, varied=self._setup.views > 0)

    def _extractor(self, classifier: Classifier, entry: Entry) -> FeatureExtractor | None:
        """Return what makes the rows of an entry; None where it takes images."""
        if not entry.keeps_rows:
            return None
        config, setup, prefix = self._config, self._setup, entry.prefix
        store = self._session.store(config, self._listener.message)
        if (
            prefix is not None and entry.storage is Storage.memory
        ):  # no other run's: it is large, and gone with this one
            store = Store(None, max_bytes=config.cache.max_bytes)
        key = row_key(config, setup, classifier, None if prefix is None else prefix.cut, hashed=self._session.digest)
        passing = None if prefix is None else prefix.passing
        return FeatureExtractor(
            classifier,
            setup,
            keys=[key],
            store=store,
            decode=lambda images, places: self._session.decode(config, images, places, setup.expected, Listener()),
            progress=self._listener.images,
            passing=passing,
        )

    def _part(self, images: Images, positions: Positions) -> LabelledSet:
        """Return images of a split as the last phase takes them."""
        entry, extractor = self.entries[-1], self.extractors[-1]
        if extractor is None:
            return self._images(images, positions, varied=False)
        return self._rows(entry, extractor, images, positions, views=0)

    def _test(self, images: Images) -> LabelledSet:
        """Return the test split; runs of one process that see it alike find it ready."""
        extractor, session, whole = self.extractors[-1], self._session, np.arange(len(images.labels))
        if extractor is None:
            return self._part(images, whole)
        key = self._key(extractor)
        if session.held_out is None or session.held_out[0] != key:
            session.held_out = None  # the memory of the one before
            before, extractor.use = extractor.use, Use()
            test, used = self._part(images, whole), extractor.use
            extractor.use = before + used
            if not used.misses:  # from now on this is what every look at it takes
                session.held_out = key, test, used
            return test
        _, test, used = session.held_out
        extractor.use += used
        return test

    def _images(self, images: Images, positions: Positions, *, varied: bool) -> ImageSet:
        digests = digests_of(images, positions) if varied else None
        return ImageSet(self._decode(images, positions), self._setup, digests)

    def _rows(
        self, entry: Entry, extractor: FeatureExtractor, images: Images, positions: Positions, *, views: int
    ) -> FeatureSet:
        decode = self._decode  # not self: the test split outlives the run and its network
        return FeatureSet(
            [extractor.rows(images, positions, view=view) for view in (*range(views), None)],
            images.labels[positions],
            self._setup,
            decode=lambda places: decode(images, positions[places]).pixels,
            digests=digests_of(images, positions),
            memory_bytes=entry.memory_bytes,
            made_by=extractor.made_by,
            size=EVALUATED if entry.prefix is None else chunk_size(self._setup),
        )

    def _fill_ahead(self, entry: Entry, extractor: FeatureExtractor) -> None:
        """Read the features of the whole pool, so that another seed finds its budget ready, where that is little.

        It is where that at most doubles the images. Random weights that are calibrated differ from run to run.
        """
        pool, key = self._source.pool, self._key(extractor)
        tested = len(self._source.held_out.labels)
        little = len(pool.labels) + tested <= 2 * (len(self._budget.positions) + tested)
        alone = len(self._setup.plan.phases) == 1 and entry.prefix is None
        alone = alone and not self._config.backbone.calibrate
        if alone and extractor.keeps and little and key not in self._session.prepared:
            extractor.prepare(pool, np.arange(len(pool.labels)))
            self._session.prepared.add(key)

    def _key(self, extractor: FeatureExtractor) -> tuple[str, str]:
        """Return what names the rows of all images."""
        return extractor.made_by, self._source.digest


def row_key(
    config: Config,
    setup: FitSetup,
    classifier: Classifier,
    cut: Cut | None = None,
    *,
    hashed: Callable[[Mapping[str, Tensor]], str],
) -> Key:
    """Return the key of each view of what crosses a cut; without one, or behind all units, of the features.

    Args:
        config: Of the run.
        setup: How it is fed.
        classifier: With all units in front of the cut frozen.
        cut: Where rows are taken.
        hashed: Gives the digest of named tensors.
    """
    backbone, units = classifier.backbone, classifier.units
    cut = None if cut is None or cut.depth == len(units) else cut
    tensors = units_tensors(backbone, units if cut is None else units[: cut.depth])
    weights = hashed(tensors)

    def key(view: int | None) -> CutKey:
        return cut_key(
            config,
            setup.expected,
            weights=weights,
            width=feature_width(backbone) if cut is None else cut.width,
            device=setup.device,
            autocast=setup.plan.autocast,
            cut=POOLED if cut is None else cut.name,
            dtype=torch.float32 if cut is None else cut.dtype,
            view=view,
            view_seed=setup.view_seed,
        )

    return key
