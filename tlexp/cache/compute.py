"""The frozen prefix over images: rows of named cuts, each image read once for all of them.

images (B, 3, S, S), uint8 as decoded, float32 normalised in front of the backbone; rows (n, *row shape).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from tlexp.cache.entry import Digests
from tlexp.cache.key import POOLED
from tlexp.data import Augment
from tlexp.models import Classifier

_VIEW = b"view"


def compute_rows(
    classifier: Classifier,
    chunks: Iterable[Tensor],
    *,
    cuts: Sequence[str] = (POOLED,),
    passing: Callable[[Tensor], Sequence[Tensor]] | None = None,
    autocast: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Return the rows of each cut, in the order of the images, on the CPU.

    The network is in evaluation mode afterwards.

    Args:
        classifier: On its device, every unit in front of the cuts frozen.
        chunks: Images normalised, on its device.
        cuts: Names of places where the backbone is cut; all are filled in one pass.
        passing: Images -> their rows of each cut; None for the features, the only cut then.
        autocast: What the backbone computes in; None is float32.
    """
    passed = passing or (lambda images: [classifier.features(images)])
    rows: dict[str, list[Tensor]] = {cut: [] for cut in cuts}
    classifier.eval()
    with torch.no_grad():
        for images in chunks:
            with torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None):
                for cut, made in zip(cuts, passed(images), strict=True):
                    rows[cut].append(made.cpu())
    return {cut: torch.cat(parts) for cut, parts in rows.items()}


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
