"""Images without photographs: iterated-function-system fractals, a folder per class (Kataoka et al., arXiv 2101.08515).

    python tests/benchmarks/render_fractals.py FOLDER [--classes 200] [--train 120] [--test 5]
    python -m tlexp experiment=pretrain_tiny data.root=FOLDER train.epochs=20 hydra.run.dir=outputs/fractals
    python -m tlexp -m data=folder data.root=cifar10 backbone=tiny backbone.weights=outputs/fractals \
        labels=5,20 seed=0,1,2

A class is a system of 2 to 7 contracting maps that fills over a fifth of the image; an image of it has one parameter
scaled by 0.8 to 1.2, a turn, a mirror and two colours. One generator, seed 0, draws everything.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
WALKERS, STEPS, SETTLED = 256, 110, 20
Array = NDArray[np.float64]
rng = np.random.default_rng(0)


def draw_system() -> tuple[Array, Array]:
    """Return maps (n, 6) and their chances (n,)."""
    while True:
        maps = rng.uniform(-1, 1, (rng.integers(2, 8), 6))
        if any(np.linalg.svd(row[:4].reshape(2, 2), compute_uv=False)[0] >= 1 for row in maps):
            continue
        chances = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2]) + 1e-3
        chances /= chances.sum()
        image = draw(maps, chances)
        if image is not None and (image > 0).mean() > 0.2:
            return maps, chances


def draw(maps: Array, chances: Array) -> Array | None:
    """Return how often each pixel is visited, (SIDE, SIDE); None where the points do not spread."""
    turns, shifts = maps[:, :4].reshape(-1, 2, 2), maps[:, 4:]
    points, visited = np.zeros((WALKERS, 2)), []
    for step in range(STEPS):
        chosen = rng.choice(len(chances), WALKERS, p=chances)
        points = np.einsum("nij,nj->ni", turns[chosen], points) + shifts[chosen]
        if step >= SETTLED:
            visited.append(points)
    places = np.concatenate(visited)
    low, high = np.percentile(places, 1, 0), np.percentile(places, 99, 0)
    if not np.isfinite(places).all() or (high - low).min() < 1e-3:
        return None
    cells = ((places - low) / (high - low) * (SIDE - 9) + 4).astype(int)
    cells = cells[(cells >= 1).all(1) & (cells < SIDE - 1).all(1)]
    image = np.zeros((SIDE, SIDE))
    np.add.at(image, (cells[:, 1], cells[:, 0]), 1)
    return image


def render(maps: Array, chances: Array) -> NDArray[np.uint8]:
    """Return an image of a system, (SIDE, SIDE, 3)."""
    varied = maps.copy()
    varied[:, rng.integers(0, 6)] *= rng.uniform(0.8, 1.2)
    image = draw(varied, chances)
    while image is None:
        image = draw(maps, chances)
    image = np.rot90(np.log1p(image) / (np.log1p(image).max() + 1e-9), rng.integers(0, 4))
    image = image[:, ::-1] if rng.random() < 0.5 else image
    front, back = rng.uniform(0.4, 1, 3), rng.uniform(0, 0.4, 3)
    if rng.random() < 0.5:
        front, back = back, front
    return ((back + (front - back) * np.clip(image[..., None] * 1.8, 0, 1)) * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--train", type=int, default=120)
    parser.add_argument("--test", type=int, default=5)
    options = parser.parse_args()
    for number in range(options.classes):
        maps, chances = draw_system()
        for split, count in (("train", options.train), ("test", options.test)):
            folder = options.folder / split / f"c{number:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            for image in range(count):
                Image.fromarray(render(maps, chances)).save(folder / f"{image:04d}.png", compress_level=1)


if __name__ == "__main__":
    main()
