"""A Swin transformer of few parameters: timm has none, and its maps have their channels last."""

from typing import Any

from timm.models import generate_default_cfgs, is_model, register_model
from timm.models.swin_transformer import _create_swin_transformer
from torch import nn

NAME = "small_swin"
default_cfgs = generate_default_cfgs(
    {
        f"{NAME}.none": {
            "input_size": (3, 32, 32),
            "fixed_input_size": True,
            "num_classes": 1000,
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "classifier": "head.fc",
        }
    }
)


def small_swin(pretrained: bool = False, **options: Any) -> nn.Module:
    """Return the network, as timm's constructors do."""
    shape = {"patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (1, 1, 1), "num_heads": (1, 2, 4)}
    built: nn.Module = _create_swin_transformer(NAME, pretrained, **{"img_size": 32, **shape, **options})
    return built


def known() -> str:
    """Register the network, once, and return its name."""
    if not is_model(NAME):
        register_model(small_swin)
    return NAME
