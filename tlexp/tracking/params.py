"""The parameters of a run in the tracking store: the settings that it uses and that decide its result."""

from collections.abc import Container, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from tlexp.config import config_fields
from tlexp.config.augment import AugmentKind
from tlexp.config.data import RENDERED, DataSource
from tlexp.config.freeze import FreezePolicy
from tlexp.config.head import HeadKind
from tlexp.tracking.names import flat_params

Param = str | int | float | bool | None
_Kind = TypeVar("_Kind", bound=StrEnum)
_OF_FILES = ("data.decoder", "data.follow_links", "data.max_pixels", "data.on_bad")
_OF_LAYERS = ("head.activation", "head.norm")
_OF_STEPS = ("train.longer", "train.limit_steps", "train.label_smoothing", "head.init", "head.dropout")


def run_params(config: Mapping[str, Any], kept: Container[str] = ()) -> dict[str, Param]:
    """Return the settings that a run uses, by full name.

    Those that are null or empty, cannot change a result, or belong to what the run does not do are left out.

    Args:
        config: Nested values; where one is a reference to a variable, nothing is known of what it decides.
        kept: Names of settings that stay all the same: those that a sweep varies.
    """
    fields, unused = config_fields(), set(_unused(config))

    def says(name: str, value: Param) -> bool:
        counts = name not in fields or fields[name].metadata.get("key", True)
        group = name.partition(".")[0]
        return counts and value not in (None, "[]") and not unused & {name, group}

    return {name: value for name, value in flat_params(config).items() if name in kept or says(name, value)}


def _unused(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings and groups that a run has no use for."""
    yield "tracking"
    head, source = _kind(HeadKind, config, "head", "kind"), _kind(DataSource, config, "data", "source")
    if head is not None and head.solved:
        yield from (*_OF_STEPS, *(f"optim.{name}" for name in config["optim"] if name != "weight_decay"))
    if head is not None and not head.hidden_layers:
        yield from _OF_LAYERS
    if source is not None and source is not DataSource.shapes:
        yield from (f"data.{name}" for name in RENDERED)
    if source is not None and source.example is None:
        yield from _OF_FILES
    if source is not None and source is not DataSource.timm:
        yield "data.split"
    if config["data"].get("group") is None:
        yield "data.on_leak"
    if _kind(FreezePolicy, config, "freeze", "policy") is not FreezePolicy.depth:
        yield "freeze.by"
    if config["tune"].get("trials") == 0:
        yield from (f"tune.{name}" for name in config["tune"] if name != "validate")
    varied = [config["augment"].get(name) for name in ("mixup", "cutmix")]
    if _kind(AugmentKind, config, "augment", "kind") is AugmentKind.none and not any(varied):
        yield "augment"


def _kind(kinds: type[_Kind], config: Mapping[str, Any], group: str, name: str) -> _Kind | None:
    """Return what a setting chooses; None where it is a reference, or of another version."""
    stated = str(config[group].get(name))
    return kinds(stated) if stated in [*kinds] else None
