"""Backbones: any timm model without its classifier, or raw pixels, and the preprocessing that it expects.

images (B, 3, S, S) float32 normalised -> features (B, D) float32, timm's pre-logits.
"""

import copy
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, is_model, list_models, split_model_name_tag
from torch import Tensor, nn

from tlexp.config import Preprocessing
from tlexp.config.backbone import PIXELS
from tlexp.config.casting import nearest
from tlexp.config.head import HeadKind
from tlexp.config.preprocessing import LARGEST_RESIZED, resizes_too_far
from tlexp.errors import ConfigError, UnknownModelError
from tlexp.models.pixels import PIXELS_CFG, Pixels
from tlexp.models.readout import hands_on_class_token, read_map, read_units
from tlexp.models.rehearsal import Rehearsal
from tlexp.models.seeds import drawn_from
from tlexp.paths import conf_options

_SHAPE = "_feature_shape"
"""Attribute of a built backbone: the shape of its features, which are flat."""
_READINGS = {"token": "avg", "avg": "token"}
"""timm's names of the class token and of the average of the patches, each beside the other one."""


def preprocessing(
    name: str,
    *,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str | None = None,
    crop_pct: float | None = None,
) -> Preprocessing:
    """Return what the model's own pretrained configuration asks of images, with overrides applied.

    Args:
        name: timm model name, with or without a weights tag; a tag may change size and normalisation.
        image_size: Side of the square input in pixels.
        mean: Three values in [0, 1].
        std: Three values in (0, 1].
        interpolation: Resampling in timm's words.
        crop_pct: Side of the centre crop as a fraction of the resized short side.

    Raises:
        ConfigError: The model or its tag is unknown, the model does not take square colour images, or the crop is too
            small a part of what they are resized to.
    """
    source = pretrained_cfg(name)
    stated = {"mean": mean, "std": std, "interpolation": interpolation, "crop_pct": crop_pct}
    resolved = resolve_data_config(args=stated, pretrained_cfg=source)
    channels, height, width = resolved["input_size"]
    if channels != 3:
        raise ConfigError(f"backbone.name={name}: takes images of {channels} channels, not of 3; choose another model")
    if image_size is None and height != width:
        raise ConfigError(
            f"backbone.name={name}: its own input is {height} x {width}, not square: set backbone.image_size"
        )
    side = image_size or height
    if resizes_too_far(side, resolved["crop_pct"]):
        raise _too_small(resolved["crop_pct"], side)
    return Preprocessing(
        image_size=side,
        mean=tuple(resolved["mean"]),
        std=tuple(resolved["std"]),
        interpolation=resolved["interpolation"],
        crop_pct=resolved["crop_pct"],
        crop_mode=resolved["crop_mode"],
    )


def _too_small(crop_pct: float, side: int) -> ConfigError:
    least = math.ceil(1e4 * side / LARGEST_RESIZED) / 1e4
    return ConfigError(
        f"backbone.crop_pct={crop_pct:g}: images would be resized to {side / crop_pct:,.0f} pixels before they are "
        f"cropped to {side}, and {LARGEST_RESIZED:,} is the most: use {least:g} or more, or null for the model's own"
    )


def pretrained_cfg(name: str) -> dict[str, Any]:
    """Return timm's pretrained configuration of a model name, with or without a weights tag.

    Raises:
        ConfigError: The model or its tag is unknown; the message has the nearest names.
    """
    if name == PIXELS:
        return dict(PIXELS_CFG)
    architecture, tag = split_model_name_tag(name)
    if not is_model(architecture):
        models = list_models()
        options = {each: f"backbone={each}" for each in conf_options("backbone") if each not in models}
        alike = nearest(architecture, [*options, *models], options)
        raise UnknownModelError(
            f"backbone.name={name}: timm has no model {architecture!r}{alike or '; `timm.list_models()` lists them'}"
        )
    known = [split_model_name_tag(each)[1] for each in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in known:
        near = difflib.get_close_matches(tag, known, n=4, cutoff=0.0)
        raise ConfigError(
            f"backbone.name={name}: {architecture} has no weights tag {tag!r}; nearest: {', '.join(near)}"
        )
    found = get_pretrained_cfg(name)
    assert found is not None
    return dict(found.to_dict())


def build_backbone(
    name: str,
    *,
    image_size: int,
    global_pool: str | None = None,
    head: HeadKind = HeadKind.linear,
    head_units: Sequence[str] = (),
    drop_rate: float = 0.0,
    drop_path_rate: float | None = None,
    seed: int = 0,
    meta: bool = False,
) -> nn.Module:
    """Return the timm model without its classifier, with random weights; calling it gives the features (B, D).

    The global random generators are left as they were.

    Args:
        name: timm model name, with or without a weights tag.
        image_size: Side of the square input in pixels; models of a fixed size are built for it.
        global_pool: timm's pooling of the last map or tokens; None takes the model's own.
        head: What will stand on it: some kinds see the whole last map or all tokens, the others what is pooled.
        head_units: Units whose pooled features it sees side by side; none for those of the last one.
        drop_rate: Dropout in front of the head and where the architecture has it, [0, 1).
        drop_path_rate: Stochastic depth, [0, 1); None takes the architecture's own default.
        seed: Draws the weights.
        meta: Build on the meta device: shapes and names, no memory and no values.

    Raises:
        ConfigError: The model is unknown, does not take the size, the pooling or the stochastic depth, or has not the
            map or the units that the head is to see.
    """
    source = pretrained_cfg(name)
    options: dict[str, Any] = {"drop_rate": drop_rate} if drop_rate else {}
    if drop_path_rate is not None:
        options["drop_path_rate"] = drop_path_rate
    if source.get("fixed_input_size") and tuple(source["input_size"][1:]) != (image_size, image_size):
        options["img_size"] = image_size
    try:
        backbone = _create(name, options, seed=seed, meta=meta)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise _refusal(name, options, source) from error
    if global_pool is not None:
        _set_pool(backbone, name, global_pool)
    shape: tuple[int, ...] = (_checked_width(backbone, name, image_size),)
    if head.sees_map:
        shape = read_map(backbone, name=name, image_size=image_size, kind=head)
    elif head_units:
        shape = (read_units(backbone, head_units, name=name, image_size=image_size),)
    backbone.__dict__[_SHAPE] = shape
    return backbone.train()


def feature_width(backbone: nn.Module) -> int:
    """Return D, the width of a built backbone's features, as a forward pass gave it: pooling may double timm's."""
    return math.prod(feature_shape(backbone))


def feature_shape(backbone: nn.Module) -> tuple[int, ...]:
    """Return (D,), or (T, C) where the features are those of T tokens or places, one after the other."""
    shape: tuple[int, ...] = backbone.__dict__[_SHAPE]
    return shape


def other_pooling(backbone: nn.Module, name: str, *, image_size: int) -> str | None:
    """Return the pooling by which a vision transformer can be read beside its own: its class token, or the average.

    Args:
        backbone: Of `build_backbone`, with its own pooling.
        name: timm's.
        image_size: Side of the square input in pixels.

    Returns:
        None where there is no class token, or the architecture takes no other pooling.
    """
    other = _READINGS.get(_pool_of(backbone) or "")
    if other is None or not hands_on_class_token(backbone, image_size=image_size):
        return None
    try:
        read_otherwise(backbone, name, other)
    except ConfigError:
        return None
    return other


def read_otherwise(backbone: nn.Module, name: str, pooling: str) -> nn.Module:
    """Return a backbone as another pooling reads it: the same weights, in modules that are the same but for the head.

    Args:
        backbone: Of `build_backbone`.
        name: timm's.
        pooling: timm's, of as many features.

    Raises:
        ConfigError: The architecture does not take the pooling.
    """
    other = copy.copy(backbone)
    other._modules = dict(backbone._modules)  # a new head is not put into the backbone
    _set_pool(other, name, pooling)
    return other


def _create(name: str, options: Mapping[str, Any], *, seed: int, meta: bool) -> nn.Module:
    if name == PIXELS:
        return Pixels()
    with drawn_from(seed), torch.device("meta" if meta else "cpu"):
        backbone: nn.Module = timm.create_model(name, num_classes=0, **options)
    return backbone


def _refusal(name: str, options: Mapping[str, Any], source: Mapping[str, Any]) -> ConfigError:
    """Return the error that names each option which the architecture does not take."""
    height, width = source["input_size"][1:]
    ways_out = {
        "drop_rate": "leave it at 0",
        "drop_path_rate": "leave it null",
        "img_size": f"the model needs {height}" if height == width else f"the model needs {height} x {width}",
    }
    problems = []
    for option, value in options.items():
        try:
            _create(name, {option: value}, seed=0, meta=True)
        except (TypeError, AssertionError, ValueError, RuntimeError):
            key = "image_size" if option == "img_size" else option
            problems.append(f"backbone.{key}={value} is not taken by {name}: {ways_out[option]}")
    return ConfigError(problems or f"backbone.name={name}: timm cannot build this model with {dict(options)}")


def _set_pool(backbone: nn.Module, name: str, global_pool: str) -> None:
    """Change the pooling and nothing else.

    Built with another pooling from the start, a ViT moves its norm to where the pretrained weights have none.
    """
    before = {key: value.shape for key, value in backbone.state_dict().items()}
    reset: Any = backbone.reset_classifier
    try:
        reset(0, global_pool)
    except (AssertionError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise _pool_refusal(backbone, name, global_pool) from error
    after = {key: value.shape for key, value in backbone.state_dict().items()}
    if _pool_of(backbone) != global_pool or not after.items() <= before.items():
        raise _pool_refusal(backbone, name, global_pool)


def _pool_refusal(backbone: nn.Module, name: str, global_pool: str) -> ConfigError:
    return ConfigError(
        f"head.global_pool={global_pool} is not taken by {name}: leave it null for the model's own"
        + (f" ({own})" if (own := _pool_of(backbone)) else "")
    )


def _pool_of(backbone: nn.Module) -> str | None:
    """Return the pooling in force, from where timm's models keep it: in the head, else in the model."""
    head = getattr(backbone, "head", None)
    for holder in (getattr(head, "global_pool", None), head, getattr(backbone, "global_pool", None)):
        pool = getattr(holder, "pool_type", holder)
        if isinstance(pool, str):
            return pool
    return None


def _checked_width(backbone: nn.Module, name: str, image_size: int) -> int:
    """Return the width of the features; refuse a size or an architecture that does not give one vector per image."""
    own = pretrained_cfg(name)["input_size"][-1]
    try:
        features = Rehearsal(backbone, image_size=image_size).features
    except Exception as error:
        raise ConfigError(
            f"backbone.image_size={image_size} does not fit {name}: its own size is {own} ({error})"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ConfigError(f"backbone.name={name}: does not give one feature vector per image; set head.global_pool=avg")
    return int(features.shape[1])
