"""Configurations that several tests look at, each composed once, for it takes a tenth of a second."""

import functools

from tlexp.compose.load import Composed, load


@functools.cache
def composed(*words: str) -> Composed:
    """Return the configuration that the words ask for; nobody changes what it holds."""
    return load(words)
