"""The network applied: to a training batch, or in evaluation to all images of a split.

images (B, 3, S, S) float32 normalised; features (B, D) float32; labels (B,) int64; logits (B, K) float32.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from tlexp.errors import DivergedError
from tlexp.models.classifier import Classifier, in_chunks
from tlexp.train.device import spared, within_memory

Forward = Callable[[torch.Tensor], torch.Tensor]
"""images, or what crosses a cut -> logits."""
Beside = Callable[[torch.Tensor], torch.Tensor]
"""features -> what is wanted of them beside the logits, (B, ...)."""


def predict(
    classifier: Classifier, chunks: Iterable[tuple[torch.Tensor, torch.Tensor]], *, autocast: torch.dtype | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return logits (N, K) and labels (N,) of chunks, in their order, in evaluation mode.

    On the CPU a row's logits do not depend, to the bit, on how many rows come at once: see `in_chunks`.

    Raises:
        DivergedError: The logits are not finite.
        OutOfMemoryError: An image does not fit into the device's memory, or a chunk into that of the CPU.
    """
    [logits], labels = _evaluate(classifier, chunks, lambda features: [classifier.head(features).float()], autocast)
    return _finite(logits), labels


def predict_beside(
    classifier: Classifier,
    chunks: Iterable[tuple[torch.Tensor, torch.Tensor]],
    beside: Beside,
    *,
    autocast: torch.dtype | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return what `predict` returns and, in the middle, what else is made of the same features, (N, ...).

    Raises:
        DivergedError: The logits are not finite.
        OutOfMemoryError: An image does not fit into the device's memory, or a chunk into that of the CPU.
    """

    def made_of(features: torch.Tensor) -> list[torch.Tensor]:
        return [classifier.head(features).float(), beside(features)]

    (logits, others), labels = _evaluate(classifier, chunks, made_of, autocast)
    return _finite(logits), others, labels


def map_features(
    classifier: Classifier,
    chunks: Iterable[tuple[torch.Tensor, torch.Tensor]],
    beside: Beside,
    *,
    autocast: torch.dtype | None,
) -> NDArray[np.float32]:
    """Return what `predict_beside` makes of features beside the logits, (N, ...), to the bit, without the head.

    Raises:
        OutOfMemoryError: As `predict`.
    """
    [others], _ = _evaluate(classifier, chunks, lambda features: [beside(features)], autocast)
    return others


def forward(network: Forward, images: torch.Tensor, autocast: torch.dtype | None) -> torch.Tensor:
    """Return float32 logits, whatever precision the backbone computes in."""
    with torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None):
        return network(images).float()


def _evaluate(
    classifier: Classifier,
    chunks: Iterable[tuple[torch.Tensor, torch.Tensor]],
    made_of: Callable[[torch.Tensor], list[torch.Tensor]],
    autocast: torch.dtype | None,
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Return what is made of the features of all chunks, (N, ...) each, and their labels (N,)."""

    def outputs(chunk: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast(chunk.device.type, dtype=autocast, enabled=autocast is not None):
            return made_of(classifier.features(chunk))

    classifier.eval()
    made, labels = [], []
    evaluate = spared(partial(in_chunks, outputs))
    with torch.no_grad():
        for images, chunk_labels in chunks:
            told = f"evaluation with {sizes(images)}: use a smaller backbone.image_size, or train.device=cpu"
            found = within_memory(partial(evaluate, images), told)
            made.append([each.cpu() for each in found])
            labels.append(chunk_labels.cpu())
    return [torch.cat(parts).numpy() for parts in zip(*made, strict=True)], torch.cat(labels).numpy()


def _finite(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(logits).all():
        raise DivergedError("the network's outputs are not finite: lower optim.lr")
    return logits


def sizes(images: torch.Tensor) -> str:
    """Return the size of a batch in words."""
    if images.ndim == 2:
        return f"features of {len(images)} images on {images.device}"
    count, _, height, width = images.shape
    return f"{count} images of {height}x{width} pixels on {images.device}"
