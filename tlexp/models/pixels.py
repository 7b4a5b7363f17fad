"""Raw pixels as if they were a backbone: what any pretrained network has to beat.

images (B, 3, S, S) float32 normalised -> features (B, 768) float32.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 16
PIXELS_CFG: dict[str, Any] = {
    "input_size": (3, 32, 32),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "box",
    "crop_pct": 1.0,
    "crop_mode": "center",
}
"""What it expects of images, in the words of timm's pretrained configurations: values in [-1, 1]."""


class Pixels(nn.Module):
    """Images averaged over areas to 16 x 16 and flattened; it has no parameters, hence no units of depth.

    Attributes:
        num_features: Width of the features, as timm's models state it.
        head_hidden_size: The same, in front of a head.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = 3 * SIDE**2

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 768), channel by channel, row by row."""
        return F.interpolate(images, size=SIDE, mode="area").flatten(1)
