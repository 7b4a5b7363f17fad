"""Images are read while those before them pass the network, in chunks, and their rows are the same to the bit."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cache.conftest import a_key
from tests.features.test_batches import BANK, COUNT, DIGESTS, LABELS, PIXELS, SETUP, SIDE, VIEWS, rows_of
from tlexp.arrays import Positions
from tlexp.cache import Store
from tlexp.data import ImageBank
from tlexp.errors import DataError
from tlexp.features.batches import FitSetup, stored_views
from tlexp.features.extractor import FeatureExtractor

IMAGES: Any = SimpleNamespace(labels=LABELS, digest=lambda place: DIGESTS[place].tobytes())
WHOLE = np.arange(COUNT)


class Reading:
    """Decodes; remembers how many images it was asked for, and by which threads."""

    def __init__(self, *, broken: int | None = None) -> None:
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.broken = broken

    def __call__(self, images: Any, positions: Positions) -> ImageBank:
        self.asked.append(len(positions))
        self.threads.add(threading.get_ident())
        if self.broken in positions:
            raise DataError("it was changed")
        places = torch.from_numpy(positions)
        return ImageBank(pixels=BANK.pixels[places], labels=BANK.labels[places])


def extractor(reading: Reading, store: Store, *, setup: FitSetup = SETUP, passing: Any = None, **more: Any) -> Any:
    network: Any = SimpleNamespace(eval=lambda: None)

    def key(view: int | None) -> Any:
        return a_key(shape=(3 * SIDE**2,), view=view)

    passed = passing or (lambda images: [images.flatten(1)])
    return FeatureExtractor(network, setup, keys=[key], store=store, decode=reading, passing=passed, **more)


@pytest.mark.parametrize("view", [None, 1])
def test_rows_are_those_of_the_images_whoever_reads_them(view: int | None) -> None:
    told: list[tuple[int, int]] = []
    reading = Reading()
    made = extractor(
        reading,
        Store(None, max_bytes=0),
        setup=VIEWS,
        progress=lambda done, count: told.append((done, count)) or reading.threads.discard(threading.get_ident()),
    )
    rows = made.rows(IMAGES, WHOLE, view=view)
    expected = PIXELS if view is None else stored_views(VIEWS, DIGESTS)(PIXELS, WHOLE, view)
    assert torch.equal(rows.take(WHOLE), rows_of(expected))
    assert reading.asked == [32, 32, 6]
    assert len(reading.threads) == 1  # the caller's is none of them
    assert told == [(32, 64), (64, 64), (6, 6)]


def test_the_next_block_is_read_while_the_last_chunk_of_one_passes() -> None:
    """Where each block began to read when it is computed, the network would wait once for each."""
    reading, seen = Reading(), list[int]()

    def passing(images: Tensor) -> list[Tensor]:
        wanted = min(3, len(seen) + 2)
        deadline = time.monotonic() + 20
        while len(reading.asked) < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append(len(reading.asked))
        return [images.flatten(1)]

    extractor(reading, Store(None, max_bytes=0), passing=passing).rows(IMAGES, WHOLE)
    assert len(seen) == 3
    assert all(asked >= min(3, place + 2) for place, asked in enumerate(seen))


def test_rows_of_the_blocks_before_a_broken_image_are_kept(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="it was changed"):
        extractor(Reading(broken=COUNT - 1), Store(tmp_path, max_bytes=10**9)).rows(IMAGES, WHOLE)
    again = Reading()
    extractor(again, Store(tmp_path, max_bytes=10**9)).rows(IMAGES, WHOLE)
    assert again.asked == [6]
