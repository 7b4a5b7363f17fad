"""How a run's images reach what learns from them: as they are, or as features that a frozen network made once."""

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
from tlexp.data import Images, Source
from tlexp.errors import ConfigError
from tlexp.experiment.images import Budget
from tlexp.experiment.session import Session
from tlexp.features.batches import EVALUATED, FeatureSet, FitSetup, ImageSet, LabelledSet, chunk_size
from tlexp.features.entry import Entry, Prefix, Storage, build_prefix, choose_storage
from tlexp.features.extractor import Decode, FeatureExtractor, Key, digests_of
from tlexp.models import Classifier, feature_width
from tlexp.models.classifier import units_tensors
from tlexp.models.cut import Cut
from tlexp.models.tracing import CutError
from tlexp.train import Listener

EVERY_UNIT = "every one, which freeze=all does with features that are computed once, and with rates of its own"
"""What is said of a depth that leaves nothing to train."""


class RunInputs:
    """How a run's images reach what learns from them: as they are, or as features that a frozen network made once.

    Args:
        config: Of the run.
        session: What it has in common with others.
        classifier: The whole network, with its start.
        source: The images.
        budget: The label budget.
        setup: How it is fed.
        listener: Hears of images that are read, and of what the cache does.

    Attributes:
        frozen: What makes the features, or what crosses the cut behind the frozen units; None where the learner takes
            images.
        entries: Where training enters the network in phases that freeze units in front, by how many they freeze.
        refusal: Why the network could not be cut; None if it was, or had no need to.
        budget: The label budget.
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
        self._source, self._listener = source, listener
        self._decode: Decode = lambda images, places: session.decode(config, images, places, setup.expected, listener)
        self.frozen: FeatureExtractor | None = None
        self.entries: dict[int, Entry] = {}
        self.refusal: str | None = None
        self._keeping: list[FeatureExtractor] = []
        self._pooled = config.moving is None
        steady = config.freezes_prefix and config.varying is None
        if self._pooled:
            self.frozen = self._features(classifier)
        elif steady and setup.plan.phases:
            self._enter_phases(classifier, budget)
        elif steady and 0 < classifier.depth < len(classifier.units):
            tested = (len(each.labels) for each in (source.held_out, source.shifted) if each is not None)
            rows = len(budget.positions) * (setup.views + 1) + sum(tested)
            prefix, self.frozen = self._cut(classifier, rows=rows, memory_bytes=config.data.memory_bytes)
            if prefix is not None:
                classifier.split(prefix.cuts[0], prefix.passing)
        elif config.cache.mode is CacheMode.on:
            frozen = "none" if classifier.depth == 0 else EVERY_UNIT
            raise ConfigError(f"cache.mode=on, but of the leading units freeze={config.freeze.policy} freezes {frozen}")
        self.budget = self._feed(source.pool, budget.positions, views=setup.views, ahead=True)

    @property
    def use(self) -> Use | None:
        """What the cache has done so far; None where nothing is kept."""
        return functools.reduce(operator.add, (each.use for each in self._keeping)) if self._keeping else None

    def held_out(self) -> Iterator[tuple[str, LabelledSet]]:
        """Yield the test split and, where there is one, the shifted one, each read when its turn comes."""
        yield "test", self._test()
        shifted = self._source.shifted
        if shifted is not None:
            yield "shifted", self._feed(shifted, np.arange(len(shifted.labels)), views=0)

    def _test(self) -> LabelledSet:
        """Return the test split; runs of one process that see it alike find it ready."""
        images, frozen, session = self._source.held_out, self.frozen, self._session
        whole = np.arange(len(images.labels))
        if frozen is None:
            return self._feed(images, whole, views=0)
        key = self._key(frozen)
        if session.held_out is None or session.held_out[0] != key:
            session.held_out = None  # the memory of the one before
            before, frozen.use = frozen.use, Use()
            feed, used = self._feed(images, whole, views=0), frozen.use
            frozen.use = before + used
            if not used.misses:  # from now on this is what every look at it takes
                session.held_out = key, feed, used
            return feed
        _, feed, used = session.held_out
        frozen.use += used
        return feed

    def _enter_phases(self, classifier: Classifier, budget: Budget) -> None:
        """Find where each phase enters: what it freezes was frozen in those before, so it is as it started.

        Afterwards the classifier is frozen as in the last phase.
        """
        images, left = len(budget.positions), self._config.data.memory_bytes
        for phase in self._setup.plan.phases:
            prefix, frozen = None, None
            classifier.refreeze(phase.depth)
            if phase.depth == len(classifier.units):
                frozen = self._features(classifier)
            elif phase.depth:
                prefix, frozen = self._cut(classifier, rows=images * (self._setup.views + 1), memory_bytes=left)
            if prefix is None and frozen is None:
                continue
            feed = None
            if frozen is not None:
                pool, views = self._source.pool, self._setup.views
                feed = self._rows(frozen, pool, budget.positions, views=views, memory_bytes=left)
                left -= feed.held_bytes * (1 if frozen.keeps else 2)  # rows without a folder lie in memory themselves
            self.entries[phase.depth] = Entry(prefix=prefix, feed=feed)

    def _features(self, classifier: Classifier) -> FeatureExtractor:
        """Return what makes the features; reading them always beats making them again."""
        key = row_key(self._config, self._setup, classifier, hashed=self._session.digest)
        return self._keep(classifier, key, disk=True)

    def _cut(
        self, classifier: Classifier, *, rows: int, memory_bytes: int
    ) -> tuple[Prefix | None, FeatureExtractor | None]:
        """Cut the network behind its frozen units, if it can be; what crosses is kept where that pays."""
        config, setup = self._config, self._setup
        try:
            prefix = cut_behind(config, classifier, setup)
        except CutError as error:
            unit = classifier.units[classifier.depth - 1].name
            refusal = f"{config.backbone.name} cannot be cut behind {unit}: {error}"
            if config.cache.mode is CacheMode.on and not setup.plan.phases:  # their first one keeps features
                told = f"cache.mode=on, but {refusal}; cache.mode=auto computes it as it goes"
                raise ConfigError(told) from None
            self.refusal = self.refusal or refusal
            return None, None
        store = self._session.store(config, self._listener.message)
        place = storage_of(config, prefix, setup, store, rows=rows, memory_bytes=memory_bytes)
        if place is Storage.nowhere:
            return prefix, None
        key = row_key(config, setup, classifier, prefix.cuts[0], hashed=self._session.digest)
        return prefix, self._keep(classifier, key, disk=place is Storage.disk, passing=prefix.passing)

    def _keep(
        self, classifier: Classifier, key: Key, *, disk: bool, passing: Callable[[Tensor], list[Tensor]] | None = None
    ) -> FeatureExtractor:
        if disk:
            store = self._session.store(self._config, self._listener.message)
        else:  # no other run's: it is large, and gone with this one
            store = Store(None, max_bytes=self._config.cache.max_bytes)
        frozen = FeatureExtractor(
            classifier, self._setup, keys=[key], store=store, decode=self._decode, passing=passing
        )
        self._keeping.append(frozen)
        return frozen

    def _feed(self, images: Images, positions: Positions, *, views: int, ahead: bool = False) -> LabelledSet:
        frozen = self.frozen
        if frozen is None:
            digests = digests_of(images, positions) if views else None
            return ImageSet(self._decode(images, positions), self._setup, digests)
        feed = self._rows(frozen, images, positions, views=views, memory_bytes=self._config.data.memory_bytes)
        worth = self._pooled and frozen.keeps and self._worth_all(positions)
        if ahead and worth and self._key(frozen) not in self._session.prepared:
            frozen.prepare(images, np.arange(len(images.labels)))
            self._session.prepared.add(self._key(frozen))
        return feed

    def _rows(
        self, frozen: FeatureExtractor, images: Images, positions: Positions, *, views: int, memory_bytes: int
    ) -> FeatureSet:
        decode = self._decode  # not self: the test split's feed outlives the run and its network
        return FeatureSet(
            [frozen.rows(images, positions, view=view) for view in (*range(views), None)],
            images.labels[positions],
            self._setup,
            decode=lambda places: decode(images, positions[places]).pixels,
            digests=digests_of(images, positions),
            memory_bytes=memory_bytes,
            made_by=frozen.made_by,
            size=EVALUATED if self._pooled else chunk_size(self._setup),
        )

    def _key(self, frozen: FeatureExtractor) -> tuple[str, str]:
        """Return what names the rows of all images."""
        return frozen.made_by, self._source.digest

    def _worth_all(self, positions: Positions) -> bool:
        """Return whether the whole pool is read now, so that another seed finds its budget ready.

        It is where that at most doubles the images.
        """
        source = self._source
        wanted = len(positions) + len(source.held_out.labels)
        return len(source.pool.labels) <= 2 * wanted


def cut_behind(config: Config, classifier: Classifier, setup: FitSetup) -> Prefix:
    """Return the prefix up to the cut behind the frozen units.

    Raises:
        CutError: There is none; says why.
    """
    if config.head.units:
        raise CutError("head.units reads what several units make")
    return build_prefix(classifier, [classifier.depth], setup)


def storage_of(
    config: Config, prefix: Prefix, setup: FitSetup, store: Store, *, rows: int, memory_bytes: int
) -> Storage:
    """Return where rows of a prefix's only cut are kept."""
    return choose_storage(
        config.cache.mode,
        prefix.cuts[0].row_bytes,
        rows=rows,
        seconds=lambda: prefix.seconds(setup),
        keeps=store.keeps,
        max_bytes=config.cache.max_bytes,
        memory_bytes=memory_bytes,
    )


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
