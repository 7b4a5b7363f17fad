"""How a run's images reach what learns from them: as they are, or as features that a frozen network made once."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlexp.cache import POOLED, CutKey, Store, Use, cut_key
from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.data import Images, Source
from tlexp.errors import ConfigError
from tlexp.feeds import EVALUATED, FeatureFeed, Feed, ImageFeed, Regime, chunk_size
from tlexp.frozen import Decode, FrozenNetwork, Key, digests_of
from tlexp.labelled import Budget
from tlexp.models import Classifier, feature_width
from tlexp.models.classifier import units_tensors
from tlexp.models.cut import Cut
from tlexp.models.tracing import CutError
from tlexp.prefix import Place, build_prefix, choose_place
from tlexp.shared import Shared
from tlexp.train import Listener

EVERY_UNIT = "every one, which freeze=all does with features that are computed once, and with rates of its own"
"""What is said of a depth that leaves nothing to train."""


class Feeds:
    """How a run's images reach what learns from them: as they are, or as features that a frozen network made once.

    Args:
        config: Of the run.
        shared: What it has in common with others.
        classifier: The whole network, with its start.
        source: The images.
        budget: The label budget.
        regime: How it is fed.
        listener: Hears of images that are read, and of what the cache does.

    Attributes:
        frozen: What makes the features, or what crosses the cut behind the frozen units; None where the learner takes
            images.
        place: Where they are kept.
        refusal: Why the network could not be cut; None if it was, or had no need to.
        budget: The label budget.
    """

    def __init__(
        self,
        config: Config,
        shared: Shared,
        classifier: Classifier,
        source: Source,
        budget: Budget,
        regime: Regime,
        listener: Listener,
    ) -> None:
        self._config, self._shared, self._regime = config, shared, regime
        self._source, self._listener = source, listener
        self._decode: Decode = lambda images, places: shared.decode(config, images, places, regime.expected, listener)
        self._made_by = ""
        self.frozen: FrozenNetwork | None = None
        self.place = Place.memory if config.cache.mode is CacheMode.off else Place.disk
        self.refusal: str | None = None
        self._pooled = config.moving is None
        if self._pooled:  # reading features always beats making them again
            self.frozen = self._freeze(classifier, row_key(config, regime, classifier, hashed=shared.digest))
        elif config.keeps_prefix and config.varying is None and 0 < classifier.depth < len(classifier.units):
            self._cut(classifier, len(budget.positions))
        elif config.cache.mode is CacheMode.on:
            frozen = "none" if classifier.depth == 0 else EVERY_UNIT
            raise ConfigError(f"cache.mode=on, but of the leading units freeze={config.freeze.policy} freezes {frozen}")
        self.budget = self._feed(source.pool, budget.positions, views=regime.views, ahead=True)

    def held_out(self) -> Iterator[tuple[str, Feed]]:
        """Yield the test split and, where there is one, the shifted one, each read when its turn comes."""
        yield "test", self._test()
        shifted = self._source.shifted
        if shifted is not None:
            yield "shifted", self._feed(shifted, np.arange(len(shifted.labels)), views=0)

    def _test(self) -> Feed:
        """Return the test split; runs of one process that see it alike find it ready."""
        images, frozen, shared = self._source.held_out, self.frozen, self._shared
        whole = np.arange(len(images.labels))
        if frozen is None:
            return self._feed(images, whole, views=0)
        if shared.held_out is None or shared.held_out[0] != self._key:
            shared.held_out = None  # the memory of the one before
            before, frozen.use = frozen.use, Use()
            feed, used = self._feed(images, whole, views=0), frozen.use
            frozen.use = before + used
            if not used.misses:  # from now on this is what every look at it takes
                shared.held_out = self._key, feed, used
            return feed
        _, feed, used = shared.held_out
        frozen.use += used
        return feed

    def _cut(self, classifier: Classifier, images: int) -> None:
        """Cut the network behind its frozen units, if it can be; what crosses is kept where that pays."""
        config, regime = self._config, self._regime
        try:
            if config.head.units:
                raise CutError("head.units reads what several units make")
            prefix = build_prefix(classifier, [classifier.depth], regime)
        except CutError as error:
            unit = classifier.units[classifier.depth - 1].name
            self.refusal = f"{config.backbone.name} cannot be cut behind {unit}: {error}"
            if config.cache.mode is CacheMode.on:
                told = f"cache.mode=on, but {self.refusal}; cache.mode=auto computes it as it goes"
                raise ConfigError(told) from None
            return
        [cut] = prefix.cuts
        tested = self._source.held_out, self._source.shifted
        classifier.split(cut, prefix.passing)
        self.place = choose_place(
            config.cache.mode,
            cut.row_bytes,
            rows=images * (regime.views + 1) + sum(len(each.labels) for each in tested if each is not None),
            seconds=lambda: prefix.seconds(regime),
            keeps=self._shared.store(config, self._listener.message).keeps,
            max_bytes=config.cache.max_bytes,
            memory_bytes=config.data.memory_bytes,
        )
        if self.place is not Place.nowhere:
            key = row_key(config, regime, classifier, cut, hashed=self._shared.digest)
            self.frozen = self._freeze(classifier, key, prefix.passing)

    def _freeze(
        self, classifier: Classifier, key: Key, passing: Callable[[Tensor], list[Tensor]] | None = None
    ) -> FrozenNetwork:
        self._made_by = " ".join(key(view).digest for view in (*range(self._regime.views), None))
        if self._pooled or self.place is Place.disk:
            store = self._shared.store(self._config, self._listener.message)
        else:  # no other run's: it is large, and gone with this one
            store = Store(None, max_bytes=self._config.cache.max_bytes)
        return FrozenNetwork(classifier, self._regime, keys=[key], store=store, decode=self._decode, passing=passing)

    def _feed(self, images: Images, positions: NDArray[np.int64], *, views: int, ahead: bool = False) -> Feed:
        if self.frozen is None:
            digests = digests_of(images, positions) if views else None
            return ImageFeed(self._decode(images, positions), self._regime, digests)
        frozen, decode = self.frozen, self._decode  # not self: the test split's feed outlives the run and its network
        drawn = [frozen.rows(images, positions, view=view) for view in range(views)]
        clean = frozen.rows(images, positions)
        worth = self._pooled and frozen.keeps and self._worth_all(positions)
        if ahead and worth and self._key not in self._shared.prepared:
            frozen.prepare(images, np.arange(len(images.labels)))
            self._shared.prepared.add(self._key)
        return FeatureFeed(
            [*drawn, clean],
            images.labels[positions],
            self._regime,
            decode=lambda places: decode(images, positions[places]).pixels,
            digests=digests_of(images, positions),
            memory_bytes=self._config.data.memory_bytes,
            made_by=self._made_by,
            size=EVALUATED if self._pooled else chunk_size(self._regime),
        )

    @property
    def _key(self) -> tuple[str, str]:
        """What names the features of all images."""
        return self._made_by, self._source.digest

    def _worth_all(self, positions: NDArray[np.int64]) -> bool:
        """Return whether the whole pool is read now, so that another seed finds its budget ready.

        It is where that at most doubles the images.
        """
        source = self._source
        wanted = len(positions) + len(source.held_out.labels)
        return len(source.pool.labels) <= 2 * wanted


def row_key(
    config: Config,
    regime: Regime,
    classifier: Classifier,
    cut: Cut | None = None,
    *,
    hashed: Callable[[Mapping[str, Tensor]], str],
) -> Key:
    """Return the key of each view of what crosses a cut; without one, or behind all units, of the features.

    Args:
        config: Of the run.
        regime: How it is fed.
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
            regime.expected,
            weights=weights,
            width=feature_width(backbone) if cut is None else cut.width,
            device=regime.device,
            autocast=regime.plan.autocast,
            cut=POOLED if cut is None else cut.name,
            dtype=torch.float32 if cut is None else cut.dtype,
            view=view,
            view_seed=regime.view_seed,
        )

    return key
