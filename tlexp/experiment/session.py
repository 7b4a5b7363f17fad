"""What the runs of one process have in common: made for the first that asks, handed to all that ask for the same."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tlexp.arrays import Positions
from tlexp.cache import Store, Use, cache_folder
from tlexp.config import Config, Preprocessing, config_values
from tlexp.config.cache import CacheMode
from tlexp.config.data import Evaluate
from tlexp.config.entry import EntryKind
from tlexp.data import ImageBank, Images, Source
from tlexp.experiment.build import Network, build_network, load_start
from tlexp.experiment.images import decode, decoding_of, open_images
from tlexp.features.batches import LabelledSet
from tlexp.features.entry import Room
from tlexp.learn.solved import Solutions
from tlexp.models import WeightsOrigin
from tlexp.models.digest import same_bits, tensors_digest
from tlexp.tracking import Backlog
from tlexp.train import Listener, give_back_freed_memory, settle_process


class Session:
    """Network, images, cache and solutions.

    Args:
        several: Whether more than one run will ask; one alone keeps no copies.

    Attributes:
        solutions: Heads that were solved beforehand.
        held_out: The test split as a frozen network sees it: what names it, the features, and what finding them takes.
        prepared: What names the pools of which all features are kept that runs will ask for.
        backlog: What is still to be written into the tracking store; None where each run waits for that.

    Raises:
        ConfigError: The environment asks for an allocator that there is not.
    """

    def __init__(self, *, several: bool = False) -> None:
        settle_process()  # every run, study and estimate begins here, before its first large tensor
        self.solutions = Solutions()
        self.held_out: tuple[tuple[str, str], LabelledSet, Use] | None = None
        self.prepared: set[tuple[str, str]] = set()
        self.backlog: Backlog | None = None
        self._several = several
        self._network: _Start | None = None
        self._source: tuple[str, Source] | None = None
        self._decoded: dict[int, _Decoded] = {}
        self._stores: dict[tuple[Path | None, int], Store] = {}

    @contextlib.contextmanager
    def tracking_behind(self) -> Iterator[None]:
        """Let the end of each run be written into the tracking store while the next run is at work."""
        self.backlog = backlog = Backlog()
        try:
            yield
        finally:
            self.backlog = None
            backlog.settle()

    def network(self, config: Config) -> tuple[Network, WeightsOrigin]:
        """Return the backbone as it starts, cut into units, and where its weights came from.

        Raises:
            ConfigError: Unknown model, a size or pooling it does not take, a depth that is out of range.
            WeightsError: The weights cannot be had, cannot be read or do not fit.
        """
        key = _key(
            config_values(config.backbone),
            config.head.global_pool,
            config.head.kind.sees_map,
            config.head.units,
            config.train.channels_last,  # kernels round by how weights were laid out
            config.seed if config.backbone.random_start else None,
        )
        if self._network is None or self._network.key != key:
            if self._network is not None:
                self._network = None  # the memory of the one before
                if not config.backbone.random_start:  # else each seed has one of its own, and of one size
                    give_back_freed_memory()
            network = build_network(config)  # before any weights are read: a wrong depth is refused at once
            origin = load_start(config, network)
            if not self._several:
                return network, origin
            self._network = _Start.of(key, network, origin)
        start = self._network
        start.restore()
        return start.network.frozen_as(config), start.origin

    def digest(self, tensors: Mapping[str, Tensor]) -> str:
        """Return the sha256 of tensors of the backbone before a run trains; those as they started are hashed once.

        Parameters that torch counts no change of are taken to be as they started: what is written through `.data` or
        by a fused optimiser it does not count.
        """
        return tensors_digest(tensors) if self._network is None else self._network.digest(tensors)

    def digest_after(self, tensors: Mapping[str, Tensor]) -> str:
        """Return the same after training: every bit is looked at, whatever torch has counted."""
        return tensors_digest(tensors) if self._network is None else self._network.digest(tensors, every_bit=True)

    def images(self, config: Config, expected: Preprocessing, listener: Listener) -> Source:
        """Return the images, checked.

        Raises:
            DataError: They do not allow a run.
        """
        all_of_them = dataclasses.replace(config.data, seed=None, evaluate=Evaluate.auto)  # whichever a run uses
        key = _key(config_values(all_of_them), expected.image_size, decoding_of(config, expected).least_side)
        if self._source is None or self._source[0] != key:
            if self._source is not None:
                self._decoded.clear()
                give_back_freed_memory()
            self._source = key, open_images(config, expected, listener)
        return self._source[1]

    def decode(
        self, config: Config, images: Images, positions: Positions, expected: Preprocessing, listener: Listener
    ) -> ImageBank:
        """Return images decoded, resized and cropped for the backbone."""

        def read(places: Positions) -> ImageBank:
            return decode(config, images, places, expected, listener)

        size = len(images.labels) * 3 * expected.image_size**2
        if not self._several or size > config.data.memory_bytes:
            return read(positions)
        known = self._decoded.get(id(images))
        if known is None or known.expected != expected:
            known = self._decoded[id(images)] = _Decoded(images, expected)
        return known.take(positions, read)

    def room(self, config: Config, warn: Callable[[str], None]) -> Room:
        """Return how much of what frozen layers make may be kept, and where."""
        store = self.store(config, warn)
        return Room(
            mode=config.cache.mode,
            disk_bytes=store.max_bytes if store.keeps else None,
            memory_bytes=config.data.memory_bytes,
        )

    def keeps_rows(self, config: Config, warn: Callable[[str], None]) -> bool:
        """Return whether what frozen layers make of images is kept for other runs."""
        if config.backbone.calibrate or config.entry_rule.kind is EntryKind.images:
            return False
        return self.store(config, warn).keeps

    def store(self, config: Config, warn: Callable[[str], None]) -> Store:
        """Return where features are kept."""
        folder = None if config.cache.mode is CacheMode.off else cache_folder(config.cache.dir)
        place = folder, config.cache.max_bytes
        store = self._stores.setdefault(place, Store(folder, max_bytes=config.cache.max_bytes, warn=warn))
        store.warn = warn
        return store


@functools.cache
def process_session() -> Session:
    """Return what all jobs of this process share."""
    return Session(several=True)


@dataclass(frozen=True, kw_only=True)
class _Start:
    """A network, and a copy of what training may change."""

    key: str
    network: Network
    origin: WeightsOrigin
    state: dict[str, Tensor]
    digests: dict[frozenset[str], str] = field(default_factory=dict)
    versions: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    found_same: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, network: Network, origin: WeightsOrigin) -> "_Start":
        state = {name: tensor.detach().clone() for name, tensor in _tensors(network)}
        return cls(key=key, network=network, origin=origin, state=state)

    @torch.no_grad()
    def restore(self) -> None:
        """Let all be as it started; what the run before has compared at its end is so, if torch counts no change."""
        for name, tensor in _tensors(self.network):
            if not (self.found_same.get(name) is tensor and self._is_untouched(name, tensor)):
                tensor.copy_(self.state[name])
            tensor.grad = None
            self.versions[name] = tensor, tensor._version
        self.found_same.clear()

    def digest(self, tensors: Mapping[str, Tensor], *, every_bit: bool = False) -> str:
        started = self.state  # where adapters stand, tensors have other names
        for name, tensor in tensors.items():
            untouched = not every_bit and self._is_untouched(name, tensor)
            if not (untouched or (name in started and same_bits(tensor, started[name]))):
                return tensors_digest(tensors)
            if every_bit:
                self.found_same[name] = tensor
        names = frozenset(tensors)
        if names not in self.digests:
            self.digests[names] = tensors_digest(tensors)
        return self.digests[names]

    def _is_untouched(self, name: str, tensor: Tensor) -> bool:
        """Return whether torch counted no change of a parameter; it does not count those of running statistics."""
        restored, version = self.versions.get(name, (None, 0))
        return isinstance(tensor, nn.Parameter) and tensor is restored and tensor._version == version


def _tensors(network: Network) -> list[tuple[str, Tensor]]:
    """Return all parameters and buffers, those that are not saved as well."""
    return [*network.backbone.named_parameters(), *network.backbone.named_buffers()]


class _Decoded:
    """The images of one split, each decoded when it is first asked for."""

    def __init__(self, images: Images, expected: Preprocessing) -> None:
        self.expected = expected
        self._images = images  # kept, so that its identity is nobody else's
        side = expected.image_size
        self._pixels = torch.empty(len(images.labels), 3, side, side, dtype=torch.uint8)
        self._labels = torch.from_numpy(images.labels)
        self._known = np.zeros(len(images.labels), bool)

    def take(self, positions: Positions, read: Callable[[Positions], ImageBank]) -> ImageBank:
        """Return images, reading those that are missing."""
        missing = np.unique(positions[~self._known[positions]])
        if len(missing):
            self._pixels[torch.from_numpy(missing)] = read(missing).pixels
            self._known[missing] = True
        if len(positions) == len(self._labels) and (positions == np.arange(len(positions))).all():
            return ImageBank(pixels=self._pixels, labels=self._labels)
        places = torch.from_numpy(positions)
        return ImageBank(pixels=self._pixels[places], labels=self._labels[places])


def _key(*values: Any) -> str:
    return json.dumps(values, sort_keys=True)
