"""Rendered geometric shapes: a classification problem that needs no download.

Every image has its own seed, made of (source seed, split, class, index), so that it is rendered alone and on demand,
and does not depend on how many others there are. Position, scale, rotation and colours do not
depend on the size in pixels.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tlexp.config.data import SHAPES
from tlexp.data.checked import Reading
from tlexp.data.classes import choose_classes, keep_classes
from tlexp.data.counts import Counts
from tlexp.data.groups import Grouper
from tlexp.data.images import Source, digest_lines

RENDERER = 1
"""Raised whenever the same parameters give other pixels than before; part of the digest."""

_WHERE = "data=shapes"
_SPLITS = ("train", "test")
_RADIUS = (0.22, 0.38)
_CONTRAST = 0.35

Polygon = NDArray[np.float64]
"""Corners (n, 2) of a polygon inside the unit circle."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What is rendered.

    Attributes:
        per_class: Images of each class in the pool.
        test_per_class: Held-out images of each class.
        num_classes: The first classes of SHAPES, 2..8.
        size: Side in pixels.
        noise: Standard deviation of the pixel noise, [0, 1].
        clutter: Strokes per image, half of them behind the shape.
    """

    per_class: int
    test_per_class: int
    num_classes: int
    size: int
    noise: float
    clutter: int

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Return the rendered source; nothing is rendered yet, the digest is that of the parameters."""
        parameters = [
            source_seed,
            self.per_class,
            self.test_per_class,
            self._classes,
            self.size,
            self.noise,
            self.clutter,
        ]
        whole = Source(
            classes=self._classes,
            pool=ShapeImages(shapes=self, split="train", source_seed=source_seed, per_class=self.per_class),
            held_out=ShapeImages(shapes=self, split="test", source_seed=source_seed, per_class=self.test_per_class),
            digest=digest_lines([["shapes", RENDERER], parameters]),
            pool_from="shapes rendered here",
            held_out_from="others rendered here",
        )
        return keep_classes(whole, classes, where=_WHERE, at_least=at_least)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the wanted ones of the first classes."""
        return choose_classes(self._classes, classes, where=_WHERE, at_least=at_least)

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts:
        """Return how many images of the wanted classes are rendered."""
        chosen = self.class_names(classes=classes, at_least=at_least)
        pool, held_out = ((each,) * len(chosen) for each in (self.per_class, self.test_per_class))
        return Counts(classes=chosen, pool=pool, held_out=held_out, split_off=False)

    @property
    def _classes(self) -> tuple[str, ...]:
        return SHAPES[: self.num_classes]


@dataclass(frozen=True, kw_only=True)
class ShapeImages:
    """Rendered images of one split, sorted by class.

    Attributes:
        shapes: What is rendered.
        split: train or test.
        source_seed: Seed of all images, from 0.
        per_class: Images of each class.
    """

    shapes: Shapes
    split: str
    source_seed: int
    per_class: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        return np.repeat(np.arange(self.shapes.num_classes, dtype=np.int64), self.per_class)

    @property
    def names(self) -> tuple[str, ...]:
        """Return split/class/index of every image."""
        classes = SHAPES[: self.shapes.num_classes]
        return tuple(f"{self.split}/{shape}/{i:05d}" for shape in classes for i in range(self.per_class))

    def read(self, index: int) -> Image.Image:
        """Render one image, RGB, size x size."""
        shapes, (label, number) = self.shapes, divmod(index, self.per_class)
        rng = np.random.default_rng([self.source_seed, _SPLITS.index(self.split), label, number])
        return render(SHAPES[label], rng, size=shapes.size, noise=shapes.noise, clutter=shapes.clutter)

    def digest(self, index: int) -> bytes:
        """Return the sha256 of all that decides one image's pixels; nothing is rendered."""
        shapes, (label, number) = self.shapes, divmod(index, self.per_class)
        return _digest(self.source_seed, self.split, label, number, shapes.size, float(shapes.noise), shapes.clutter)


@functools.lru_cache(maxsize=1 << 16)
def _digest(source_seed: int, split: str, label: int, number: int, size: int, noise: float, clutter: int) -> bytes:
    place = [source_seed, split, SHAPES[label], number]
    return bytes.fromhex(digest_lines([["shapes", RENDERER], place, [size, noise, clutter]]))


def render(shape: str, rng: np.random.Generator, *, size: int, noise: float, clutter: int) -> Image.Image:
    """Draw one shape with random colours, position, rotation and scale amid strokes and noise.

    Args:
        shape: One of SHAPES.
        rng: Source of every random choice.
        size: Side of the result in pixels.
        noise: Standard deviation of the pixel noise, [0, 1].
        clutter: Number of strokes, half of them behind the shape.
    """
    ground, ink = _colours(rng)
    radius = rng.uniform(*_RADIUS)
    centre = rng.uniform(radius, 1 - radius, 2)
    turn = rng.uniform(0, 2 * math.pi)
    strokes = [_Stroke.draw(rng) for _ in range(clutter)]

    # Edges are smoothed by drawing larger; beyond 256 pixels twice the side is fine enough and saves memory.
    side = size * (4 if size <= 256 else 2)
    canvas = Image.new("RGB", (side, side), ground)
    for stroke in strokes[::2]:
        stroke.paint(canvas)
    corners = (_OUTLINES[shape] @ _rotation(turn) * radius + centre) * side
    ImageDraw.Draw(canvas).polygon(corners.ravel().tolist(), fill=ink)
    for stroke in strokes[1::2]:
        stroke.paint(canvas)
    image = canvas.reduce(side // size)
    return _with_noise(image, rng, noise) if noise else image


def _colours(rng: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the colours of ground and shape, which differ in lightness so that the outline shows."""
    lightness = np.array([0.299, 0.587, 0.114])
    while True:
        pair = rng.uniform(0, 1, (2, 3))
        if abs((pair[0] - pair[1]) @ lightness) >= _CONTRAST:
            return _rgb(pair[0]), _rgb(pair[1])


def _rgb(values: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = (int(value * 255 + 0.5) for value in values)
    return red, green, blue


@dataclass(frozen=True)
class _Stroke:
    """A line that distracts from the shape; lengths relative to the side."""

    ends: tuple[float, ...]
    width: float
    colour: tuple[int, int, int]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Stroke":
        """Return a random stroke."""
        start, step = rng.uniform(0, 1, 2), rng.uniform(-0.35, 0.35, 2)
        return cls((*start, *(start + step)), float(rng.uniform(0.01, 0.04)), _rgb(rng.uniform(0, 1, 3)))

    def paint(self, canvas: Image.Image) -> None:
        """Draw the stroke onto a canvas."""
        ends = tuple(value * canvas.width for value in self.ends)
        ImageDraw.Draw(canvas).line(ends, fill=self.colour, width=max(1, round(self.width * canvas.width)))


def _with_noise(image: Image.Image, rng: np.random.Generator, noise: float) -> Image.Image:
    """Return the image with Gaussian noise on every channel."""
    pixels = np.asarray(image, dtype=np.float32)
    pixels = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(255 * noise)
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _rotation(angle: float) -> NDArray[np.float64]:
    """Return the (2, 2) matrix that turns row vectors by an angle in radians."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _regular(corners: int) -> Polygon:
    """Return a regular polygon."""
    return _arc(0, 2 * math.pi, corners + 1)[:-1]


def _arc(start: float, stop: float, points: int, *, radius: float = 1.0) -> Polygon:
    """Return points on a circle around the origin, from one angle to another, both included."""
    angles = np.linspace(start, stop, points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> Polygon:
    points = np.empty((10, 2))
    points[::2] = _regular(5)
    points[1::2] = 0.42 * _regular(5) @ _rotation(math.pi / 5)
    return points


def _cross() -> Polygon:
    arm, reach = 0.3, 0.95
    quarter = np.array([[reach, -arm], [reach, arm], [arm, arm]])
    return np.concatenate([quarter @ _rotation(turn * math.pi / 2) for turn in range(4)])


def _ring() -> Polygon:
    """Return one polygon around the ring and back inside; the seam lies within the filled part."""
    return np.concatenate([_arc(0, 2 * math.pi, 73), _arc(2 * math.pi, 0, 73, radius=0.6)])


def _crescent() -> Polygon:
    """Return the unit disc without a disc of radius 0.85 whose centre lies 0.45 beside."""
    radius, offset = 0.85, 0.45
    meeting = (1 + offset**2 - radius**2) / (2 * offset)
    outer, inner = math.acos(meeting), math.acos((meeting - offset) / radius)
    bite = _arc(2 * math.pi - inner, inner, 48, radius=radius) + np.array([offset, 0.0])
    return np.concatenate([_arc(outer, 2 * math.pi - outer, 48), bite])


_OUTLINES: dict[str, Polygon] = {
    "circle": _regular(72),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _star(),
    "cross": _cross(),
    "ring": _ring(),
    "hexagon": _regular(6),
    "crescent": _crescent(),
}
