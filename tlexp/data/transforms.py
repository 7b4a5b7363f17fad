"""Images to the network's input: the deterministic fit of one image, normalisation and augmentation of batches.

Shapes: images (B, 3, S, S), uint8 as stored and augmented, float32 after `normalise`.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.data.placement import to_device

Augment = Callable[[Tensor, int], Tensor]
"""(images (B, 3, S, S) uint8, seed) to images of the same shape, type and device; every image has a draw of its own."""

IMAGE_BY_IMAGE = frozenset({AugmentKind.randaug, AugmentKind.trivial})
"""Kinds that torchvision draws and makes for one image after another, so that a GPU would wait for each of them."""
_SHIFT = 1 / 8
_ZOOM = (0.8, 1.25)
_LIGHT = 0.2
_CROP_AREA = (0.25, 1.0)
_CROP_ASPECT = 4 / 3
_KERAS_SHEAR = 0.2
_KERAS_ZOOM = 0.2


def fit_image(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return an RGB image resized and cropped to (S, S, 3) uint8, exactly as timm's evaluation does before scaling."""
    pixels: NDArray[np.uint8] = _timm_transform(preprocessing)(image).permute(1, 2, 0).numpy()
    return pixels


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 images (B, 3, S, S) as float32: scaled to [0, 1], minus mean, divided by std."""
    centre, spread = (_channels(tuple(values), images.device) for values in (mean, std))
    return images.to(torch.float32).div_(255).sub_(centre).div_(spread)


def build_augment(kind: AugmentKind) -> Augment:
    """Return the augmentation of that kind.

    The same images and seed give the same result; torch's global generators are left as they were.
    """
    kinds: dict[AugmentKind, Augment] = {
        AugmentKind.none: _none,
        AugmentKind.flip: _flip,
        AugmentKind.light: _light,
        AugmentKind.crop: _crop,
        AugmentKind.randaug: functools.partial(_drawn, v2.RandAugment),
        AugmentKind.trivial: functools.partial(_drawn, v2.TrivialAugmentWide),
        AugmentKind.keras: _keras,
    }
    return kinds[kind]


@functools.lru_cache(maxsize=16)
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one value per channel on the device, kept there, because every copy to an accelerator waits for it."""
    return torch.tensor(values, dtype=torch.float32).to(device).view(1, -1, 1, 1)


@functools.lru_cache(maxsize=8)
def _timm_transform(preprocessing: Preprocessing) -> Callable[[Image.Image], Tensor]:
    transform: Callable[[Image.Image], Tensor] = create_transform(
        input_size=preprocessing.image_size,
        is_training=False,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=preprocessing.crop_pct,
        crop_mode=preprocessing.crop_mode,
        normalize=False,
    )
    return transform


def _none(images: Tensor, seed: int) -> Tensor:
    return images


def _flip(images: Tensor, seed: int) -> Tensor:
    """Mirror every image left-right with even odds."""
    return _mirror(images, _generator(seed))


def _light(images: Tensor, seed: int) -> Tensor:
    """Mirror, shift, zoom and change brightness and contrast of every image.

    Shift up to 1/8 of the side, zoom 0.8 to 1.25 (even in its logarithm), brightness and contrast within 20 %. What
    comes into view at the border is the mirrored image.
    """
    generator = _generator(seed)
    mirrored = _mirror(images, generator)
    shift, zoom, light = (torch.rand(len(images), 2, generator=generator) * 2 - 1 for _ in range(3))
    scale = torch.exp(zoom[:, 0] * math.log(_ZOOM[1]))
    # grid_sample looks from the result into the image, so a zoom in shrinks the grid; its side is 2 long.
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
    theta[:, :, 2] = shift * 2 * _SHIFT
    return _relit(_resampled(mirrored, theta), light)


def _crop(images: Tensor, seed: int) -> Tensor:
    """Crop every image at random and resize the crop; mirror it and change its brightness and contrast.

    The crop has a quarter of the area or more and an aspect of 3/4 to 4/3 (Szegedy et al. 2015, arXiv 1409.4842, which
    goes down to 8 % of far larger images).
    """
    generator = _generator(seed)
    area, aspect, flip, *places = torch.rand(5, len(images), generator=generator)
    light = torch.rand(len(images), 2, generator=generator) * 2 - 1
    area = _CROP_AREA[0] + area * (_CROP_AREA[1] - _CROP_AREA[0])
    aspect = torch.exp((aspect * 2 - 1) * math.log(_CROP_ASPECT))
    sides = torch.stack([area * aspect, area / aspect], dim=1).sqrt().clamp_(max=1)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = sides[:, 0] * torch.where(flip < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = sides[:, 1]
    theta[:, :, 2] = (torch.stack(places, dim=1) * 2 - 1) * (1 - sides)
    return _relit(_resampled(images, theta), light)


def _keras(images: Tensor, seed: int) -> Tensor:
    """Shear, zoom and mirror every image as Keras' ImageDataGenerator(shear_range=0.2, zoom_range=0.2) does.

    A shear of up to 0.2 degrees (Keras counts in degrees: at 224 pixels nothing moves by half a pixel), then rows and
    columns scaled each by a factor of its own from 0.8 to 1.2, about the centre; what comes into view is the nearest
    pixel of the border. Mirrored left-right with even odds (keras_preprocessing 1.1, ImageDataGenerator).
    """
    generator = _generator(seed)
    shear, rows, columns = torch.rand(3, len(images), generator=generator) * 2 - 1
    theta = keras_map(shear * _KERAS_SHEAR, 1 + rows * _KERAS_ZOOM, 1 + columns * _KERAS_ZOOM)
    moved = _resampled(images, theta, border="border").add_(0.5).clamp_(0, 255).to(torch.uint8)
    return _mirror(moved, generator)


def keras_map(shear: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return Keras' shear in degrees and zooms (B,) as affine maps (B, 2, 3) from (column, row) of result to source."""
    angle = torch.deg2rad(shear)
    theta = torch.zeros(len(shear), 2, 3)
    theta[:, 0, 0] = columns * torch.cos(angle)
    theta[:, 1, 0] = -columns * torch.sin(angle)
    theta[:, 1, 1] = rows
    return theta


def _resampled(images: Tensor, theta: Tensor, *, border: str = "reflection") -> Tensor:
    """Return every image under its affine map (B, 2, 3) from result to source, float32; mirrored beyond the border."""
    grid = F.affine_grid(to_device(theta, images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images.to(torch.float32), grid, padding_mode=border, align_corners=False)


def _relit(images: Tensor, light: Tensor) -> Tensor:
    """Return float images with brightness and contrast changed by up to 20 %, as uint8; light (B, 2) in [-1, 1]."""
    brightness, contrast = (1 + _LIGHT * to_device(light, images.device)).T.reshape(2, -1, 1, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    varied: Tensor = ((images - mean) * contrast + mean) * brightness
    return varied.add_(0.5).clamp_(0, 255).to(torch.uint8)


def _drawn(operation: Callable[..., Callable[[Tensor], Tensor]], images: Tensor, seed: int) -> Tensor:
    """Mirror, then let torchvision draw operations for every image.

    RandAugment: 2 of magnitude 9 (Cubuk et al. 2019, arXiv 1909.13719); TrivialAugmentWide: one of any magnitude
    (Müller & Hutter 2021, arXiv 2103.10158).
    """
    mirrored = _mirror(images, _generator(seed))
    vary = operation(interpolation=InterpolationMode.BILINEAR)
    # torchvision draws from the global CPU generator alone, on any device: it is lent and put back.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return torch.stack([vary(image) for image in mirrored])


def _mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    turned = (torch.rand(len(images), generator=generator) < 0.5).nonzero()[:, 0]
    turned = to_device(turned, images.device)
    return images.index_copy(0, turned, images.index_select(0, turned).flip(3))


def _generator(seed: int) -> torch.Generator:
    """Return a generator on the CPU, so that every device sees the same draws."""
    return torch.Generator().manual_seed(seed)
