"""Every image is found in the first entry that holds it, whatever its digest looks like."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.cache.conftest import some_images, true_rows
from tlexp.cache.entry import CacheEntry, Digests, memory_entry
from tlexp.cache.rows import locate


def entry(images: Digests) -> CacheEntry:
    return memory_entry(images, true_rows(images), 0.0)


def slow(images: Digests, entries: Sequence[CacheEntry]) -> list[tuple[int, int]]:
    """Look for every image in every entry, one by one."""
    found = []
    for image in images:
        places = [
            (number, int(place))
            for number, entry in enumerate(entries)
            for place in np.flatnonzero((entry.images == image).all(axis=1))
        ]
        found.append(places[0] if places else (-1, 0))
    return found


@given(
    st.lists(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=5), max_size=4),
    st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=8),
)
def test_as_a_search_one_by_one(held: list[list[tuple[int, ...]]], wanted: list[tuple[int, ...]]) -> None:
    """Digests differ in the first, ninth and last byte, so that many begin alike and many end with zeros."""

    def digests(values: Sequence[tuple[int, ...]]) -> Digests:
        made = np.zeros((len(values), 32), np.uint8)
        made[:, [0, 8, 31]] = values
        return made

    entries = [entry(digests(values)) for values in held]
    entry_of, row_of = locate(digests(wanted), entries)
    assert list(zip(entry_of.tolist(), row_of.tolist(), strict=True)) == slow(digests(wanted), entries)


def test_nothing_is_found_in_nothing() -> None:
    assert locate(some_images(3), [])[0].tolist() == [-1, -1, -1]
    assert locate(some_images(0), [entry(some_images(3))])[0].shape == (0,)
