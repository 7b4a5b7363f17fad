"""What is taken down of each image, and what of a gallery shows the same."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.doctor.gallery import Gallery
from tlexp.doctor.kinship import Kinship
from tlexp.paths import csv_bytes


def glance(image: Image.Image) -> NDArray[Any]:
    """Return what near copies are proposed by."""
    return np.zeros(1, np.uint8)


def find_kinship(gallery: Gallery) -> Kinship:
    """Return which images are near copies or of one burst."""
    return Kinship(pairs=(), bursts=(), groups=np.arange(len(gallery)))


def groups_csv(gallery: Gallery, kinship: Kinship) -> bytes:
    """Return a table that `data.group=` reads: name, group."""
    return csv_bytes([("name", "group"), *zip(gallery.names, kinship.groups.tolist(), strict=True)])
