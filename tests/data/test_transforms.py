import math
import random

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from scipy.ndimage import affine_transform
from timm.data import create_transform, resolve_model_data_config
from torchvision.transforms.functional import to_pil_image

from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.data.transforms import build_augment, fit_image, keras_map, normalise

MODELS = (
    "resnet18.a1_in1k",
    "vgg16.tv_in1k",
    "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "test_resnet.r160_in1k",
    "convnext_atto.d2_in1k",
    "vit_base_patch16_siglip_224.webli",
)
SIZES = ((500, 375), (64, 64), (31, 200), (1, 1), (224, 224), (257, 255))
VARIED = [kind for kind in AugmentKind if kind is not AugmentKind.none]


def picture(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def preprocessing(config: dict) -> Preprocessing:
    return Preprocessing(
        image_size=config["input_size"][-1],
        **{key: config[key] for key in ("mean", "std", "interpolation", "crop_pct", "crop_mode")},
    )


def configs() -> list[dict]:
    found = []
    for name in MODELS:
        with torch.device("meta"):
            found.append(resolve_model_data_config(timm.create_model(name)))
    plain = found[0]
    return [
        *found,
        {**plain, "crop_mode": "border", "crop_pct": 0.9, "input_size": (3, 96, 96)},
        {**plain, "crop_mode": "squash", "crop_pct": 0.9, "interpolation": "lanczos"},
        {**plain, "crop_mode": "border", "crop_pct": 1.0, "interpolation": "nearest", "input_size": (3, 33, 33)},
    ]


def test_the_fit_is_timms_to_the_bit() -> None:
    seen = set()
    for config in configs():
        ours = preprocessing(config)
        seen.add((ours.crop_mode, ours.interpolation))
        theirs = create_transform(**config, is_training=False)
        for size in SIZES:
            image = picture(size)
            fitted = fit_image(image, ours)
            assert fitted.dtype == np.uint8
            assert fitted.shape == (ours.image_size, ours.image_size, 3)
            batch = torch.from_numpy(fitted.copy()).permute(2, 0, 1)[None]
            assert torch.equal(normalise(batch, ours.mean, ours.std)[0], theirs(image)), (config, size)
    assert len(seen) >= 5
    assert {mode for mode, _ in seen} == {"center", "squash", "border"}


def test_normalise_gives_float32_by_the_formula() -> None:
    images = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    before = images.clone()
    result = normalise(images, (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    assert result.dtype == torch.float32
    expected = (images.double() / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1).double()) / torch.tensor(
        [0.5, 0.25, 1.0]
    ).view(3, 1, 1)
    torch.testing.assert_close(result.double(), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(images, before)


@pytest.fixture
def copies() -> torch.Tensor:
    """64 copies of one image without symmetry."""
    smooth = picture((7, 6)).resize((32, 32), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(smooth)).permute(2, 0, 1).expand(64, -1, -1, -1).contiguous()


@pytest.mark.parametrize("kind", list(AugmentKind))
def test_augmentation_keeps_shape_type_and_its_input(kind: AugmentKind, copies: torch.Tensor) -> None:
    before = copies.clone()
    result = build_augment(kind)(copies, 0)
    assert (result.shape, result.dtype) == (copies.shape, torch.uint8)
    assert torch.equal(copies, before)


@pytest.mark.parametrize(
    ("kind", "least"), [("flip", 2), ("light", 64), ("crop", 64), ("randaug", 24), ("trivial", 20), ("keras", 64)]
)
def test_every_image_has_a_draw_of_its_own(kind: str, least: int, copies: torch.Tensor) -> None:
    result = build_augment(AugmentKind(kind))(copies, 5)
    assert len({image.numpy().tobytes() for image in result}) >= least


@pytest.mark.parametrize("kind", VARIED)
def test_augmentation_is_a_function_of_the_seed(kind: AugmentKind, copies: torch.Tensor) -> None:
    augment = build_augment(kind)
    assert torch.equal(augment(copies, 2**63 - 1), augment(copies, 2**63 - 1))
    assert not torch.equal(augment(copies, 1), augment(copies, 2))


@pytest.mark.parametrize("kind", VARIED)
def test_global_generators_are_left_as_they_were(kind: AugmentKind, copies: torch.Tensor) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = build_augment(kind)(copies, 0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    torch.manual_seed(99)
    assert torch.equal(first, build_augment(kind)(copies, 0))


def test_flip_mirrors_half_of_the_images(copies: torch.Tensor) -> None:
    flipped = 0
    for seed in range(20):
        for image, original in zip(build_augment(AugmentKind.flip)(copies, seed), copies, strict=True):
            same, mirrored = torch.equal(image, original), torch.equal(image, original.flip(2))
            assert same != mirrored
            flipped += mirrored
    assert 0.45 < flipped / 1280 < 0.55


def test_light_stays_within_its_ranges() -> None:
    # A bright dot on grey: where it lands shows the shift, how large it is the zoom.
    side = 64
    images = torch.full((512, 3, side, side), 60, dtype=torch.uint8)
    images[:, :, 24:40, 24:40] = 180
    varied = build_augment(AugmentKind.light)(images, 3).float().mean(1)
    inside = varied > (varied.amin((1, 2), keepdim=True) + varied.amax((1, 2), keepdim=True)) / 2
    area = inside.sum((1, 2)).float().sqrt() / 16
    assert 0.75 < area.min() < 0.9
    assert 1.15 < area.max() < 1.35
    places = torch.arange(side) - (side - 1) / 2
    shift = torch.stack([(inside.sum(axis) * places).sum(1) / inside.sum((1, 2)) for axis in (1, 2)])
    assert side / 8 * 0.9 < shift.abs().max() < side / 8 * 1.25 + 1
    bright = varied.amax((1, 2)) / 180
    assert 0.6 < bright.min() < 0.9
    assert 1.1 < bright.max() < 1.42


def test_light_without_movement_would_change_little(copies: torch.Tensor) -> None:
    varied = build_augment(AugmentKind.light)(copies, 0).float()
    assert (varied.mean((1, 2, 3)) / copies[0].float().mean()).sub(1).abs().max() < 0.4
    assert to_pil_image(build_augment(AugmentKind.light)(copies, 0)[0]).mode == "RGB"


def test_crops_stay_within_the_image_and_their_ranges() -> None:
    # Each pixel tells its own place, so that a crop shows what was cut out.
    side, count = 64, 512
    places = (torch.arange(side) * 2 + 60).to(torch.uint8)
    images = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    images[:, 0], images[:, 1] = places[None, None, :], places[None, :, None]
    images[:, 2] = 120
    varied = build_augment(AugmentKind.crop)(images, 3).float()
    # Brightness and contrast change all three channels of an image by one straight line: the blue one is flat.
    across, down = varied[:, 0], varied[:, 1]
    assert (across.std(1).amax(1) < 0.5).all(), "no rotation, no shear"
    assert (down.std(2).amax(1) < 0.5).all()
    width = across[:, 0, -1] - across[:, 0, 0]
    height = down[:, -1, 0] - down[:, 0, 0]
    assert 0.4 < (width < 0).float().mean() < 0.6
    assert (height > 0).all()
    ratio = (width.abs() / height).log()
    assert ratio.abs().max() < math.log(4 / 3) * 1.1
    assert ratio.abs().max() > math.log(4 / 3) * 0.8
    area = (width.abs() * height).sqrt() / (
        2 * (side - 1)
    )  # times the contrast, 0.8 to 1.2 (0.64 to 1.44 with brightness)
    assert 0.5 * 0.64 * 0.97 < area.min() < 0.5
    assert 0.85 < area.max() < 1.44 * 1.02


def test_keras_stays_within_its_ranges() -> None:
    # Each pixel tells its own place: the middle of the result shows the map that was drawn for it.
    side, count = 64, 512
    places = torch.arange(side).mul(3).add(30).to(torch.uint8)
    images = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    images[:, 0], images[:, 1] = places[None, None, :], places[None, :, None]
    column, row = build_augment(AugmentKind.keras)(images, 7)[:, :2].float().sub(30).div(3).unbind(1)
    across, down = (column[:, 32, 55] - column[:, 32, 8]) / 47, (row[:, 55, 32] - row[:, 8, 32]) / 47
    assert 0.4 < (across < 0).float().mean() < 0.6
    for zoom in (across.abs(), down):
        assert 0.79 < zoom.min() < 0.82
        assert 1.18 < zoom.max() < 1.21
    assert abs(np.corrcoef(across.abs(), down)[0, 1]) < 0.2, "each axis has a zoom of its own"
    slope = (row[:, 32, 55] - row[:, 32, 8]).abs() / 47
    assert slope.max() < math.tan(math.radians(0.2)) + 1 / 3 / 47, "0.2 degrees, not 0.2 of the side"
    wide = (across.abs() > 1.1).nonzero()[0, 0]
    assert (column[wide, 32, :2] == column[wide, 32, 0]).all(), "the border's pixel, not its mirror image"


def test_the_map_is_keras_own(copies: torch.Tensor) -> None:
    generator = np.random.default_rng(3)
    shear, rows, columns = generator.uniform(-20, 20, 64), *generator.uniform(0.8, 1.2, (2, 64))
    theta = keras_map(*(torch.from_numpy(values).float() for values in (shear, rows, columns)))
    grid = torch.nn.functional.affine_grid(theta, list(copies.shape), align_corners=False)
    ours = torch.nn.functional.grid_sample(copies.float(), grid, padding_mode="border", align_corners=False)
    centre = np.full(2, 15.5)
    for number in range(64):
        angle = np.deg2rad(shear[number])
        keras = np.array([[1, -np.sin(angle)], [0, np.cos(angle)]]) @ np.diag([rows[number], columns[number]])
        moved = [
            affine_transform(channel, keras, centre - keras @ centre, order=1, mode="nearest")
            for channel in copies[number].numpy().astype(float)
        ]
        assert np.abs(ours[number].numpy() - np.stack(moved)).max() < 0.01
