"""Configurations that several tests look at, each composed once, for it takes a tenth of a second."""

import functools

from tlexp.compose.load import Composed, load


@functools.cache
def composed(*words: str) -> Composed:
    """Return the configuration of the words, with the small backbone if they name none; nobody changes it."""
    chosen = any(word.startswith(("backbone=", "experiment=")) for word in words)
    return load(words if chosen else ("backbone=tiny", *words))
