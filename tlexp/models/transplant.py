"""Another program's weights into a backbone: names put right, every tensor accounted for."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import _builder
from torch import Tensor, nn

from tlexp.errors import WeightsError

_PREFIXES = ("_orig_mod.", "module.", "model.", "backbone.", "encoder.")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class _Architecture:
    """What timm knows about an architecture's checkpoints.

    Attributes:
        names: The names of the whole model's state, classifier included.
        filter: Rewrites an original checkpoint for timm's model; None where no architecture needs it.
    """

    names: frozenset[str]
    filter: Callable[..., Any] | None


def transplant(backbone: nn.Module, tensors: Mapping[str, Tensor], *, name: str, source: str, strict: bool) -> None:
    """Copy weights into a backbone, in place.

    Prefixes of wrappers are taken off, timm's filter for the architecture is applied, the source's classifier is left.

    Args:
        backbone: A backbone of `build_backbone`.
        tensors: The source's tensors by name.
        name: timm model name, for the filter and the message.
        source: Where the tensors come from, for the message.
        strict: Refuse tensors that the backbone has no place for, unless they stand under a module of another head.

    Raises:
        WeightsError: The tensors are of another architecture; names are listed, at most five of a kind.
    """
    architecture = _architecture(name)
    renamed = _filtered(_unwrapped(tensors, architecture.names), backbone, architecture, name=name, source=source)
    state = backbone.state_dict()
    given = {key: value for key, value in renamed.items() if key in state}
    problems = {
        "missing": [key for key in state if key not in given and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in renamed if strict and _is_foreign(key, state, architecture.names)],
        "of another shape": [
            f"{key} {tuple(given[key].shape)} instead of {tuple(state[key].shape)}"
            for key in given
            if given[key].shape != state[key].shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in problems.items() if keys)
        part = bool(problems["missing"]) and 0 < len(given) == len(renamed)
        fewer = "; a run exports what its head needs: take its head.units or head again, or a run whose head saw all"
        raise WeightsError(
            f"{source} does not fit {name}: {listed}; name weights of {name} with backbone.weights=FILE, or the model "
            "that they were made for with backbone.name=MODEL" + (fewer if part else "")
        )
    backbone.load_state_dict(given, strict=False)


def _first(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _is_foreign(key: str, state: Mapping[str, Tensor], whole: frozenset[str]) -> bool:
    """Whether a tensor shows another architecture; classifiers and auxiliary heads of the source do not."""
    root = key.partition(".")[0]
    return key not in state and key not in whole and any(each.partition(".")[0] == root for each in state)


def _unwrapped(tensors: Mapping[str, Tensor], names: frozenset[str]) -> dict[str, Tensor]:
    """Take off prefixes such as module. as long as that makes more names known, or while all names have one."""
    current = dict(tensors)
    while True:
        inner = [
            {key.removeprefix(prefix): value for key, value in current.items() if key.startswith(prefix)}
            for prefix in _PREFIXES
        ]
        known = len(names & current.keys())
        best = max(inner, key=lambda each: len(names & each.keys()))
        if len(names & best.keys()) > known:
            current = best
        elif not known and (whole := [each for each in inner if len(each) == len(current)]):
            current = whole[0]
        else:
            return current


def _filtered(
    tensors: dict[str, Tensor], backbone: nn.Module, architecture: _Architecture, *, name: str, source: str
) -> dict[str, Tensor]:
    """Apply the architecture's own checkpoint filter, which also fits position embeddings to another image size."""
    if architecture.filter is None:
        return tensors
    try:
        try:
            filtered = architecture.filter(tensors, backbone)
        except TypeError:  # some filters take the state alone
            filtered = architecture.filter(tensors)
    except Exception as error:
        raise WeightsError(
            f"{source} does not fit {name}: its tensors are not those of this architecture "
            f"({type(error).__name__}: {error}); name weights of {name} with backbone.weights=FILE"
        ) from error
    return dict(filtered)


@functools.cache
def _architecture(name: str) -> _Architecture:
    """Ask timm's builder how it would load this architecture's weights, on the meta device and without loading.

    The filter is handed from each architecture's module to the builder only, sometimes bound to arguments of the
    variant, so that taking it on its way is the one manner that is right for all.
    """
    filters: list[Callable[..., Any] | None] = []

    def note(*_: Any, filter_fn: Callable[..., Any] | None = None, **__: Any) -> None:
        filters.append(filter_fn)

    load, _builder.load_pretrained = _builder.load_pretrained, note
    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=True)
    finally:
        _builder.load_pretrained = load
    return _Architecture(names=frozenset(model.state_dict()), filter=filters[0])
