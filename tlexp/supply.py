"""How a run's images reach what learns from them: as they are, or as features that a frozen network made once."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tlexp.assembly import Budget
from tlexp.cache import CutKey, Use, cut_key
from tlexp.config import Config
from tlexp.data import ImageBank, Images, Source
from tlexp.feeds import FeatureFeed, Feed, ImageFeed, Regime
from tlexp.frozen import FrozenNetwork, digests_of
from tlexp.models import Classifier, feature_width
from tlexp.shared import Shared
from tlexp.train import Listener


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
        frozen: What makes the features; None where the learner takes images.
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
        self._made_by = ""
        self.frozen = None if config.moving else self._freeze(classifier)
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

    def _freeze(self, classifier: Classifier) -> FrozenNetwork:
        config, regime = self._config, self._regime
        weights = classifier.frozen_digest(self._shared.digest)
        width = feature_width(classifier.backbone)

        def key(view: int | None) -> CutKey:
            return cut_key(
                config,
                regime.expected,
                weights=weights,
                width=width,
                device=regime.device,
                autocast=regime.plan.autocast,
                view=view,
                view_seed=regime.view_seed,
            )

        # Reading features always beats making them again; a cut further in front might not.
        store = self._shared.store(config, self._listener.message)
        views = [key(view) for view in (*range(regime.views), None)]
        self._made_by = " ".join(view.digest for view in views)
        return FrozenNetwork(classifier, regime, key=key, store=store, decode=self._decode)

    def _feed(self, images: Images, positions: NDArray[np.int64], *, views: int, ahead: bool = False) -> Feed:
        if self.frozen is None:
            digests = digests_of(images, positions) if views else None
            return ImageFeed(self._decode(images, positions), self._regime, digests)
        frozen = self.frozen
        drawn = [frozen.rows(images, positions, view=view) for view in range(views)]
        clean = frozen.rows(images, positions)
        if ahead and frozen.keeps and self._worth_all(positions) and self._key not in self._shared.prepared:
            frozen.prepare(images, np.arange(len(images.labels)))
            self._shared.prepared.add(self._key)
        return FeatureFeed(
            [*drawn, clean],
            images.labels[positions],
            self._regime,
            decode=lambda places: self._decode(images, positions[places]).pixels,
            digests=digests_of(images, positions),
            memory_bytes=self._config.data.memory_bytes,
            made_by=self._made_by,
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

    def _decode(self, images: Images, positions: NDArray[np.int64]) -> ImageBank:
        return self._shared.decode(self._config, images, positions, self._regime.expected, self._listener)
