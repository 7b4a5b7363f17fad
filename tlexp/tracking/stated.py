"""What the configuration of a record says to those who read it: a typed look, since a record may be anybody's."""

from collections.abc import Mapping
from typing import Any

from tlexp.jsonfile import abridged
from tlexp.secrets import public_uri, without_login
from tlexp.tracking.store import absolute_uri

_MISSING = object()
_BLOCK = "a block of values"
_READ: dict[str, tuple[type, ...]] = {
    "labels": (str, int, float),
    "seed": (int,),
    "backbone.name": (str,),
    "head.kind": (str,),
    "data.source": (str,),
    "freeze.policy": (str,),
    "freeze.units": (list, tuple, type(_MISSING)),
    "tracking.enabled": (bool,),
    "tracking.uri": (str, type(None)),
    "tracking.experiment": (str,),
    "tracking.log_model": (bool, type(_MISSING)),
}
"""Every setting that is read from records, and its types; earlier versions did not write those that may be missing."""


def require_stated(config: Mapping[str, Any], *, whole: bool = True) -> None:
    """Refuse a configuration whose readers would find another type than they take.

    A reference such as `${oc.env:NAME}` stands for a value of any type.

    Args:
        config: Nested values of a record.
        whole: Refuse one that lacks a group as well.

    Raises:
        TypeError: Which setting is missing, or is of another type.
    """
    for key, kinds in _READ.items():
        group, _, name = key.rpartition(".")
        block = config.get(group, _MISSING) if group else config
        if block is _MISSING and not whole:
            continue
        if block is not _MISSING and not isinstance(block, Mapping):
            raise TypeError(f"its config.{group} is {abridged(block)}, not {_BLOCK}")
        value = block.get(name, _MISSING) if isinstance(block, Mapping) else None
        if block is _MISSING or (value is _MISSING and type(_MISSING) not in kinds):
            raise TypeError(f"its config lacks {key}")
        if type(value) not in kinds and not (isinstance(value, str) and "${" in value):
            raise TypeError(f"its config.{key} is {abridged(value)}, not {kinds[0].__name__}")


def foreign_store(asked: str | None, store: str) -> str | None:
    """Return the store that a record asks for, without a password, where that is another one than a run takes here.

    Nobody here has named it then, and what a record says is anybody's word: files would go there.

    >>> foreign_store("http://host:5000", "sqlite:////tmp/mlflow.db"), foreign_store(None, "sqlite:////tmp/mlflow.db")
    ('http://host:5000', None)

    Args:
        asked: What the record says; None where it names none.
        store: Absolute URI of the store that a run started here takes.
    """
    named = None if asked is None else public_uri(absolute_uri(asked))
    return None if named is None or without_login(named) == without_login(public_uri(store)) else named
