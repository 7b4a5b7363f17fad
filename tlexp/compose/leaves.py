"""Nested values one by one, each with its dotted path."""

from collections.abc import Iterable, Mapping
from typing import Any


def leaves(node: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every value of nested mappings and lists with its dotted path.

    >>> dict(leaves({"optim": {"lr": 1.0, "betas": [0.9, 0.99]}, "head": {}, "classes": []}))
    {'optim.lr': 1.0, 'optim.betas.0': 0.9, 'optim.betas.1': 0.99, 'classes': []}
    """
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from leaves(value, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}.{index}")
    elif not (isinstance(node, Mapping) and not node):
        yield path, node
