"""Photographs as people have them, and a small run on them."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import SMALL

CLASSES = ("cat", "dog")


def draw_photos(root: Path) -> Path:
    """Draw images of two classes into training and test folders, of several sizes and kinds; return the root."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 5)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                height, width = generator.integers(40, 90, 2)
                values = generator.integers(0, 128, (height, width, 3), dtype=np.uint8) + np.uint8(100 * label)
                exif = Image.Exif()
                exif[0x0112] = number % 8 + 1
                place = root / split / name / f"{number}"
                if number % 3:
                    Image.fromarray(values).save(place.with_suffix(".jpg"), exif=exif)
                else:
                    Image.fromarray(values).convert("LA" if number % 2 else "P").save(place.with_suffix(".png"))
    return root


def trained(photos: Path, folder: Path, *words: str) -> Path:
    """Do a small run on the photographs, and return its folder."""
    from tests.composed import load
    from tlexp.experiment.run import run
    from tlexp.train import Listener

    own = [word for word in SMALL if not word.startswith("data.")]
    folder.mkdir(exist_ok=True)
    run(load((*own, "data=folder", f"data.root={photos}", *words)).config, folder=folder, listener=Listener())
    return folder
