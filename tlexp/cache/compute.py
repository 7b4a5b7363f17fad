"""The frozen prefix over images: rows of several cuts, each image read once for all of them.

images (B, 3, S, S), uint8 as decoded, float32 normalised in front of the backbone; rows (n, *row shape).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from tlexp.cache.entry import Digests
from tlexp.data import Augment
from tlexp.models import Classifier

_VIEW = b"view"


def compute_rows(
    classifier: Classifier,
    chunks: Iterable[Tensor],
    *,
    passing: Callable[[Tensor], Sequence[Tensor]] | None = None,
    autocast: torch.dtype | None = None,
) -> list[Tensor]:
    """Return the rows of each cut, in the order of the images, on the CPU.

    The network is in evaluation mode afterwards.

    Args:
        classifier: On its device, every unit in front of the cuts frozen.
        chunks: Images normalised, on its device.
        passing: Images -> their rows of each cut; None for the features, the only cut then.
        autocast: What the backbone computes in; None is float32.
    """
    passed = passing or (lambda images: [classifier.features(images)])
    chunked: list[list[Tensor]] = []
    classifier.eval()
    with torch.no_grad():
        for images in chunks:
            with torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None):
                chunked.append([rows.cpu() for rows in passed(images)])
    return [torch.cat(parts) for parts in zip(*chunked, strict=True)]


def draw_view(pixels: Tensor, images: Digests, augment: Augment, *, view: int, seed: int) -> Tensor:
    """Return images (B, 3, S, S) uint8 varied one by one, so that a view depends on the image and on no neighbour.

    Args:
        pixels: Of the images, uint8.
        images: Their digests, (B, 32).
        augment: What varies them.
        view: Number of the view, from 0.
        seed: Of all views.
    """
    place = b"\0".join([_VIEW, str(seed).encode(), str(view).encode()])
    seeds = [hashlib.sha256(place + np.asarray(digest).tobytes()).digest()[:8] for digest in images]
    varied = [
        augment(image[None], int.from_bytes(drawn, "little") >> 1) for image, drawn in zip(pixels, seeds, strict=True)
    ]
    return torch.cat(varied) if varied else pixels
