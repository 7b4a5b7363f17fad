"""The readout: what of a backbone's activations the head sees, always as one flat row of features per image.

timm's own pools the last map or tokens. The readouts here take the place of its `forward_head`, so that calling the
backbone still gives the features, and what they do not need (a final norm or convolution, vgg's `pre_logits`) leaves
the backbone: it does not run, does not train and is not counted.

maps (B, C, h, w), or (B, h, w, C) where channels come last; tokens (B, T, C); vectors (B, C); features (B, D).
"""

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Any

from torch import Tensor, nn

from tlexp.errors import ConfigError
from tlexp.models.rehearsal import Rehearsal


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
    """Take out the modules all of whose parameters are idle."""
    dropped: list[str] = []
    for name, module in list(backbone.named_modules()):
        if not name or name.startswith(tuple(f"{each}." for each in dropped)):
            continue
        owned = [f"{name}.{key}" for key, _ in module.named_parameters()]
        if owned and all(key in idle for key in owned):
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, _Nothing())
            dropped.append(name)
