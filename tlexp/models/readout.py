"""The readout: what of a backbone's activations the head sees, always as one flat row of features per image.

timm's own pools the last map or tokens. The readouts here take the place of its `forward_head`, so that calling the
backbone still gives the features, and what they do not need (a final norm or convolution, vgg's `pre_logits`) leaves
the backbone: it does not run, does not train and is not counted.

maps (B, C, h, w), or (B, h, w, C) where channels come last; tokens (B, T, C); vectors (B, C); features (B, D).
"""

import difflib
import math
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.errors import ConfigError
from tlexp.models.rehearsal import Rehearsal
from tlexp.models.units import Unit, find_units

_EPSILON = 1e-12
"""Added to the mean square of a unit's features, so that none is divided by zero."""


class _Layout(StrEnum):
    """Where the channels of an activation stand."""

    channels_first = "channels_first"
    channels_last = "channels_last"
    tokens = "tokens"
    vector = "vector"


def read_map(backbone: nn.Module, *, name: str, image_size: int, kind: str) -> tuple[int, int]:
    """Let a backbone give its whole last map or tokens, flattened place by place; return places T and channels C.

    Class and register tokens are tokens as any other.

    Args:
        backbone: Of `build_backbone`, changed in place.
        name: timm's, for the message.
        image_size: Side of the square input in pixels.
        kind: The head's, for the message.

    Raises:
        ConfigError: The backbone has no last map or tokens.
    """
    activation = _last_activation(backbone, image_size)
    layout = None if activation is None else _layout(tuple(activation.shape[1:]), backbone)
    if activation is None or layout in (None, _Layout.vector):
        raise ConfigError(
            f"head={kind} needs the last map or the tokens of the backbone, and backbone.name={name} has none that it "
            "gives as one tensor: use head=linear or head=mlp, or another backbone"
        )
    _replace_head(backbone, _Flat(layout))
    rehearsal = Rehearsal(backbone, image_size=image_size)
    _drop(backbone, {key for key, _ in backbone.named_parameters() if key not in rehearsal.used})
    channels = activation.shape[1 if layout is _Layout.channels_first else -1]
    return rehearsal.features.shape[1] // channels, channels


def read_units(backbone: nn.Module, names: Sequence[str], *, name: str, image_size: int) -> int:
    """Let a backbone give the pooled features of several units, side by side in forward order; return their width.

    A map is averaged over its places; of tokens the class token, if there is one, and the mean of the patches count, as
    in DINOv2's linear probes (Oquab et al. 2023, arXiv 2304.07193). Each unit's part is scaled to a root mean square of
    1 for every image, as Head2Toe gives layers of different size one norm (Evci et al. 2022, arXiv 2201.03529).

    Args:
        backbone: Of `build_backbone`, changed in place.
        names: Of its units.
        name: timm's, for the message.
        image_size: Side of the square input in pixels.

    Raises:
        ConfigError: There is no such unit, or what crosses behind it is not one map, tokens or vector.
    """
    stated = f"head.units=[{','.join(names)}]"
    if _last_activation(backbone, image_size) is None:
        raise ConfigError(f"{stated}: backbone.name={name} gives no single tensor to its head, leave it out")
    _replace_head(backbone, _everything)
    units = find_units(backbone, image_size=image_size)
    chosen = _chosen(units, names, name)
    rehearsal = Rehearsal(backbone, image_size=image_size)
    taps = [_Tap(backbone, unit, rehearsal) for unit in chosen]
    behind = {key for unit in units[chosen[-1].index + 1 :] for key in unit.parameters}
    try:
        _drop(backbone, behind | {key for key, _ in backbone.named_parameters() if key not in rehearsal.used})
        Rehearsal(backbone, image_size=image_size)
        for tap in taps:
            tap.settle(backbone)
        _replace_head(backbone, _SideBySide(taps))
        return int(Rehearsal(backbone, image_size=image_size).features.shape[1])
    except _UnreadableError as error:
        raise ConfigError(f"{stated}: unit {error} of {name} hands on no single map or tokens, leave it out") from error
    except Exception as error:
        raise ConfigError(
            f"{stated}: {name} does not run without what comes behind: name its last unit, {units[-1].name}, as well "
            f"({error})"
        ) from error


def hands_on_class_token(backbone: nn.Module, *, image_size: int) -> bool:
    """Return whether a backbone's head is handed a class token beside those of the patches, and can read either."""
    activation = _last_activation(backbone, image_size) if getattr(backbone, "cls_token", None) is not None else None
    if activation is None or _layout(tuple(activation.shape[1:]), backbone) is not _Layout.tokens:
        return False
    return activation.shape[1] > 1


def _chosen(units: Sequence[Unit], names: Sequence[str], backbone: str) -> list[Unit]:
    """Return units by name, in forward order."""
    known = [unit.name for unit in units]
    problems = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
            problems.append(
                f"head.units names {name}, which {backbone} has not in front of its pooling; nearest: "
                f"{', '.join(near)}; all: {', '.join(known)}"
            )
    if problems:
        raise ConfigError(problems)
    return [unit for unit in units if unit.name in names]


def _everything(activation: Tensor, pre_logits: bool = False) -> Tensor:
    """Stand in for a head while units are looked for: anything that uses all that is handed to it."""
    return activation.flatten(1)


class _UnreadableError(Exception):
    """Names a unit that hands on several tensors, or one of no known layout."""


class _Tap:
    """Keeps what a unit hands on, as a hook on the last of the unit's outermost modules.

    Args:
        backbone: The hook is registered in it.
        unit: The unit.
        rehearsal: Of the backbone.
    """

    def __init__(self, backbone: nn.Module, unit: Unit, rehearsal: Rehearsal) -> None:
        self.unit = unit.name
        self._held: Any = None
        self._shape = unit.shape
        backbone.get_submodule(_last_module(backbone, unit, rehearsal)).register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Hear of an output."""
        self._held = output

    def settle(self, backbone: nn.Module) -> None:
        """Learn the layout from an output that was heard of."""
        held, self._held = self._held, None
        shape = tuple(held.shape[1:]) if isinstance(held, Tensor) else ()
        layout = _layout(shape, backbone)
        crosses = self._shape
        if layout is None or crosses is None or (len(crosses) > 1 and shape != crosses):
            raise _UnreadableError(self.unit)
        self.layout = layout
        self.first, self.classed = _prefix(backbone, shape[0]) if layout is _Layout.tokens else (0, False)

    def pooled(self) -> Tensor:
        """Return the unit's features (B, C), or (B, 2 C) where there is a class token; what is held is let go."""
        held, self._held = self._held, None
        values: Tensor = held.float()
        if self.layout is not _Layout.vector:
            tokens = _tokens(values, self.layout)
            values = tokens[:, self.first :].mean(1)
            if self.classed:
                values = torch.cat([tokens[:, 0], values], 1)
        return F.rms_norm(values, values.shape[1:], eps=_EPSILON)


def _last_module(backbone: nn.Module, unit: Unit, rehearsal: Rehearsal) -> str:
    """Return the module in which a unit ends: of those that hold nothing of another unit, the last to start."""
    own = set(unit.parameters)
    whole = {
        name
        for name in unit.modules
        if name in rehearsal.started
        and name
        and all(f"{name}.{key}" in own for key, _ in backbone.get_submodule(name).named_parameters())
    }
    outermost = [name for name in whole if name.rpartition(".")[0] not in whole]
    return max(outermost, key=rehearsal.started.__getitem__)


def _prefix(backbone: nn.Module, count: int) -> tuple[int, bool]:
    """Return how many of a unit's tokens come before the patches, and whether the first is a class token.

    Some architectures append theirs halfway: in front of that there are as many tokens as patches, a square number.
    """
    first = int(getattr(backbone, "num_prefix_tokens", 0))
    if not _square(count - first) and _square(count):
        return 0, False
    return first, first > 0 and getattr(backbone, "cls_token", None) is not None


def _square(count: int) -> bool:
    return count >= 0 and math.isqrt(count) ** 2 == count


class _SideBySide:
    """Ignores what a head is handed, and returns what was tapped on the way (B, D)."""

    def __init__(self, taps: Sequence[_Tap]) -> None:
        self.taps = tuple(taps)

    def __call__(self, activation: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the row of every image."""
        return torch.cat([tap.pooled() for tap in self.taps], 1)


class _Flat:
    """An activation (B, ...) -> (B, T * C), place by place, each with its channels."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout

    def __call__(self, activation: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the row of every image."""
        return _tokens(activation, self.layout).flatten(1)


def _last_activation(backbone: nn.Module, image_size: int) -> Tensor | None:
    """Return what timm's models hand to their head, on the meta device; None if it is not one tensor."""
    if not hasattr(backbone, "forward_features"):
        return None
    seen: list[Any] = []
    own: Callable[..., Any] = backbone.forward_head  # type: ignore[assignment]

    def note(activation: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(activation)
        return own(activation, *arguments, **options)

    _replace_head(backbone, note)
    try:
        Rehearsal(backbone, image_size=image_size)
    finally:
        del backbone.__dict__["forward_head"]
    return seen[0] if len(seen) == 1 and isinstance(seen[0], Tensor) else None


def _replace_head(backbone: nn.Module, head: Callable[..., Any]) -> None:
    """Let every way of calling the backbone end in this head, traced ones and those of a copy included."""
    backbone.__dict__["forward_head"] = head


def _layout(shape: Sequence[int], backbone: nn.Module) -> _Layout | None:
    """Return the layout of an activation without its batch; None for one that is none of these.

    Images are square, and so are maps: the side that is not like the others is that of the channels.
    """
    if len(shape) == 1:
        return _Layout.vector
    if len(shape) == 2:
        return _Layout.tokens
    if len(shape) != 3:
        return None
    last = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
    if len(set(shape)) == 2 and shape[0] != shape[2]:
        last = shape[0] == shape[1]
    return _Layout.channels_last if last else _Layout.channels_first


def _tokens(activation: Tensor, layout: _Layout) -> Tensor:
    """Return (B, T, C) of an activation that is no vector."""
    if layout is _Layout.channels_first:
        return activation.flatten(2).mT
    return activation.flatten(1, 2) if layout is _Layout.channels_last else activation


class _Nothing(nn.Module):
    """Stands where nothing is needed."""

    def forward(self, inputs: Any, *_: Any, **__: Any) -> Any:
        """Return what came in."""
        return inputs


def _drop(backbone: nn.Module, idle: Collection[str]) -> None:
    """Take out the modules all of whose parameters are idle; lists of modules stay, for they are iterated over."""
    dropped: list[str] = []
    for name, module in list(backbone.named_modules()):
        if not name or name.startswith(tuple(f"{each}." for each in dropped)):
            continue
        owned = [f"{name}.{key}" for key, _ in module.named_parameters()]
        if owned and all(key in idle for key in owned) and not isinstance(module, nn.Sequential | nn.ModuleList):
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, _Nothing())
            dropped.append(name)
