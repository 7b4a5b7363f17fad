import dataclasses
from pathlib import Path

import torch

from tests.composed import load
from tests.doctor.conftest import Plain
from tlexp.data import Images, Source
from tlexp.doctor.gallery import file_bytes, visit
from tlexp.experiment.images import open_images
from tlexp.models import preprocessing
from tlexp.train import Listener


class Heard(Listener):
    """Counts the images that are told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def images(self, done: int, count: int) -> None:
        self.told.append((done, count))


def a_source() -> tuple[Source, Plain, Plain]:
    pool, held_out = Plain([0, 1, 0], ["a", "b", "c"]), Plain([1, 0], ["d", "e"])
    source = Source(classes=("x", "y"), pool=pool, held_out=held_out, digest="0" * 64, pool_from="train/")
    return source, pool, held_out


def test_every_image_is_read_once_whoever_reads_it() -> None:
    source, pool, held_out = a_source()
    heard = Heard()

    def extract(images: Images) -> torch.Tensor:
        images.read(1)
        images.read(4)
        return torch.zeros(5, 2)

    gallery = visit(source, extract, heard)
    assert (sorted(pool.asked), sorted(held_out.asked)) == ([0, 1, 2], [0, 1])
    assert heard.told == [(1, 3), (2, 3), (3, 3)]
    assert gallery.names == ("a", "b", "c", "d", "e")
    assert gallery.tested.tolist() == [False] * 3 + [True] * 2
    assert gallery.labels.tolist() == [0, 1, 0, 1, 0]
    assert gallery.sizes.tolist() == [[20, 10], [21, 10], [22, 10], [20, 10], [21, 10]]
    assert gallery.fingerprints.shape == (5, 32, 32)
    assert gallery.file_bytes.tolist() == [0] * 5


def test_files_have_sizes_in_every_split(photos: Path) -> None:
    config = load([f"data.root={photos}", "data=folder"]).config
    expected = preprocessing("test_resnet", image_size=32, mean=None, std=None, interpolation=None, crop_pct=None)
    whole = open_images(config, expected, Listener())
    root = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(photos / "train")))
    part = open_images(root, expected, Listener())
    for images, folder in ((whole.held_out, photos), (part.pool, photos / "train")):
        assert file_bytes(images).tolist() == [(folder / name).stat().st_size for name in images.names]
