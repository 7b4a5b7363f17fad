"""How a configuration field is declared: its default, its documentation and whether it belongs to the run's key."""

from dataclasses import field
from typing import Any


def setting(default: Any, doc: str, *, key: bool = True) -> Any:
    """Return a dataclass field that carries its own documentation.

    Args:
        default: The default; lists are copied for each instance.
        doc: Meaning, unit and range, one sentence or two. Shown by `--help` and in error messages.
        key: Whether two runs that differ only here are different runs. False for what cannot change a result.
    """
    metadata = {"doc": doc, "key": key}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
