"""Pictures that differ from each other as photographs do: smooth patches of colour, and features to go with them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (128, 96)) -> Image.Image:
    """Return a picture of 8 x 8 random colours, enlarged smoothly."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def directions(of: NDArray[np.int64], *, dim: int = 64, cosine: float = 0.9, seed: int = 0) -> NDArray[np.float32]:
    """Return features (N, dim) of unit length: images of the same number have about that cosine, others about 0."""
    generator = np.random.default_rng(seed)
    own, noise = (generator.standard_normal((count, dim)) for count in (int(of.max()) + 1, len(of)))
    own, noise = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (own, noise))
    mixed = np.sqrt(cosine) * own[of] + np.sqrt(1 - cosine) * noise
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
