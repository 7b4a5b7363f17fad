"""`--format timm`: a folder that timm itself loads, with timm's own names of weights.

Temperature and class frequencies are folded into the last layer: (W x + b) / T + log(wanted / trained) is linear too.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from timm.models import get_pretrained_cfg, split_model_name_tag
from torch import Tensor, nn

from tlexp.config.backbone import PIXELS
from tlexp.errors import ConfigError
from tlexp.formats.format import Format, Trained, formats_told
from tlexp.models import ModelCard
from tlexp.models.statefile import EXPORT
from tlexp.paths import publish, publish_json

_WEIGHTS, _CONFIG = EXPORT[1], "config.json"
_KEPT = ("first_conv", "classifier", "fixed_input_size", "license")
"""What of timm's own description of the architecture stays true of the trained network."""
_SNIPPET = """\
import timm
import torch
from PIL import Image

model = timm.create_model("local-dir:.", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
classes = model.pretrained_cfg["label_names"]


@torch.inference_mode()
def probabilities(images):
    \"\"\"Return one row per image and one column per class.\"\"\"
    return model(torch.stack([transform(image) for image in images])).softmax(1).numpy()
"""
_ABOUT = """\
`timm.create_model("local-dir:FOLDER", pretrained=True)` loads it. To have it on a hub, from this folder:

```
hf upload USER/NAME . .
```

and from there on it is `timm.create_model("hf-hub:USER/NAME", pretrained=True)`."""
_FRONT = "---\nlibrary_name: timm\npipeline_tag: image-classification\ntags:\n- timm\n- image-classification\n---\n"


def _write(trained: Trained, folder: Path) -> None:
    arguments = _arguments(trained.card)
    model = _model(trained, arguments)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    publish(folder / _WEIGHTS, save(state, metadata={"format": "pt"}))
    publish_json(folder / _CONFIG, _config(trained.card, model, arguments), ensure_ascii=False)


@torch.no_grad()
def _model(trained: Trained, arguments: dict[str, Any]) -> nn.Module:
    """Return timm's own model with the trained weights.

    Raises:
        ConfigError: timm has no such model, or none with such a head.
    """
    weight, bias = _last_layer(trained)
    card = trained.card
    model: nn.Module = timm.create_model(card.backbone, num_classes=len(card.classes), **arguments)
    last: Any = getattr(model, "get_classifier", lambda: None)()
    if not isinstance(last, nn.Linear | nn.Conv2d) or last.bias is None or last.weight[0].numel() != weight.shape[1]:
        raise _refusal(card, f"the classifier of timm's {card.backbone} is not one linear layer on those features")
    own = {f"{name}." for name, module in model.named_modules() if module is last}
    loaded = model.load_state_dict(trained.classifier.backbone.state_dict(), strict=False)
    lacking = [key for key in loaded.missing_keys if not key.startswith(tuple(own))]
    if lacking or loaded.unexpected_keys:
        raise _refusal(card, f"timm's {card.backbone} has other weights ({[*lacking, *loaded.unexpected_keys][0]})")
    last.weight.copy_(weight.reshape(last.weight.shape))
    last.bias.copy_(bias)
    return model


def _last_layer(trained: Trained) -> tuple[Tensor, Tensor]:
    """Return weight (K, D) and bias (K,) that give the logits of the run, divided and corrected."""
    card, layers = (
        trained.card,
        [each for each in trained.classifier.head.children() if not isinstance(each, nn.Dropout)],
    )
    if card.backbone == PIXELS:
        raise _refusal(card, "raw pixels are no model of timm's")
    if card.head_units:
        raise _refusal(card, f"its head sees several units ({', '.join(card.head_units)})")
    if card.head.kind.sees_map or len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        raise _refusal(card, f"head={card.head.kind} is not one linear layer")
    bias = layers[0].bias.double() / card.temperature
    if card.prior is not None:
        bias = bias + torch.from_numpy(card.prior.offsets)
    return (layers[0].weight.double() / card.temperature).float(), bias.float()


def _arguments(card: ModelCard) -> dict[str, Any]:
    """Return what timm has to be told to build the architecture as it was trained."""
    found = None if card.backbone == PIXELS else get_pretrained_cfg(card.backbone)
    side = card.preprocessing.image_size
    resized = found is not None and found.fixed_input_size and tuple(found.input_size[1:]) != (side, side)
    pooled = {} if card.global_pool is None else {"global_pool": card.global_pool}
    return pooled | ({"img_size": side} if resized else {})


def _config(card: ModelCard, model: nn.Module, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what timm's loader reads."""
    expected, found = card.preprocessing, get_pretrained_cfg(card.backbone)
    assert found is not None
    own = {name: value for name, value in found.to_dict().items() if name in _KEPT and value is not None}
    side, count = expected.image_size, len(card.classes)
    return {
        "architecture": split_model_name_tag(card.backbone)[0],
        "num_classes": count,
        "num_features": model.num_features,
        "label_names": list(card.classes),
        **({"model_args": arguments} if arguments else {}),
        "pretrained_cfg": {
            **own,
            "num_classes": count,
            "input_size": [3, side, side],
            "mean": list(expected.mean),
            "std": list(expected.std),
            "interpolation": expected.interpolation,
            "crop_pct": expected.crop_pct,
            "crop_mode": expected.crop_mode,
            "custom_load": False,
        },
    }


def _refusal(card: ModelCard, reason: str) -> ConfigError:
    return ConfigError(f"--format timm cannot hold this network: {reason}; choose {formats_told(card.head.kind)}")


FORMAT = Format(write=_write, snippet=lambda card: _SNIPPET, about=lambda card: _ABOUT, front=_FRONT)
