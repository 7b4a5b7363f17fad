"""The names of timm's models, known without importing it: a line each, the architecture and its weights' tags."""

import functools

from tlexp.paths import PACKAGE

TABLE = PACKAGE / "config" / "timm_names.txt"
"""Written by `python -m tlexp.models.timm_names`."""


def is_known(name: str) -> bool:
    """Return whether timm has a model of this name, with or without a tag; a newer timm may have others.

    >>> is_known("resnet50"), is_known("resnet50.a1_in1k"), is_known("resnet5")
    (True, True, False)
    """
    architecture, _, tag = name.partition(".")
    tags = _table().get(architecture)
    return tags is not None and (not tag or tag in tags)


def architectures() -> tuple[str, ...]:
    """Return the names of all models, without tags."""
    return tuple(_table())


@functools.cache
def _table() -> dict[str, frozenset[str]]:
    lines = (line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#"))
    return {architecture: frozenset(tags) for architecture, *tags in lines}
