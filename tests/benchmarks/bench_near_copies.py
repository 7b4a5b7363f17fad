"""Are planted near copies and bursts found among real photographs, what else is taken for one, and how long it takes.

    TLEXP_SETS=FOLDER python tests/benchmarks/bench_near_copies.py [--sets cats_vs_dogs cifar10] [--sheet pairs.png]

FOLDER/cats_vs_dogs ... have train/ and test/ or val/ trees. Of each set 1,000 photographs are drawn. Near copies: 20
of each kind are added. Bursts: 20 photographs are each replaced by 4 to 6 views of them, turned, shifted and relit, and
all images are numbered consecutively. As they are: pairs in the whole set, of at most --most images, and those between
training and test; --sheet shows them. Features are those of lite0 at its native size.
"""

import argparse
import io
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from tlexp.compose.load import load
from tlexp.data import fit_image, normalise
from tlexp.data.decode import EXTENSIONS
from tlexp.doctor.bursts import find_bursts
from tlexp.doctor.fingerprint import fingerprint
from tlexp.doctor.grouping import group_images
from tlexp.doctor.near_copies import NearCopies, find_near_copies
from tlexp.experiment.build import build_classifier
from tlexp.experiment.session import Session
from tlexp.train import choose_device

Picture = Image.Image
Change = Callable[[Picture, np.random.Generator], Picture]


def crop(image: Picture, generator: np.random.Generator, share: float) -> Picture:
    width, height = (max(1, round(side * share)) for side in image.size)
    left, top = (int(generator.integers(0, more + 1)) for more in (image.width - width, image.height - height))
    return image.crop((left, top, left + width, top + height))


def jpeg(image: Picture) -> Picture:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def half(image: Picture) -> Picture:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def view(image: Picture, generator: np.random.Generator) -> Picture:
    turned = image.rotate(generator.uniform(-4, 4), Image.Resampling.BICUBIC)
    shifted = crop(turned, generator, generator.uniform(0.84, 0.9))
    return ImageEnhance.Brightness(shifted).enhance(generator.uniform(0.8, 1.2))


CHANGES: dict[str, Change] = {
    "crop to 0.9 of each side": lambda image, draw: crop(image, draw, 0.9),
    "crop to 0.8": lambda image, draw: crop(image, draw, 0.8),
    "crop to 0.7": lambda image, draw: crop(image, draw, 0.7),
    "half the size": lambda image, draw: half(image),
    "JPEG of quality 40": lambda image, draw: jpeg(image),
    "mirrored": lambda image, draw: ImageOps.mirror(image),
    "mirrored, half, JPEG": lambda image, draw: jpeg(half(ImageOps.mirror(image))),
    "crop to 0.8, mirrored": lambda image, draw: ImageOps.mirror(crop(image, draw, 0.8)),
    "crop to 0.8, JPEG": lambda image, draw: jpeg(crop(image, draw, 0.8)),
    "crop to 0.8, mirrored, half, JPEG": lambda image, draw: jpeg(half(ImageOps.mirror(crop(image, draw, 0.8)))),
}


def images_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS)


def drawn(paths: Sequence[Path], most: int) -> list[Path]:
    chosen = np.random.default_rng(0).permutation(len(paths))[:most]
    return [paths[place] for place in np.sort(chosen)]


def opened(paths: Sequence[Path]) -> list[Picture]:
    return [Image.open(path).convert("RGB") for path in paths]


class Lite0:
    """Frozen features of unit length."""

    def __init__(self, device: str) -> None:
        config = load(["backbone=lite0", f"train.device={device}"]).config
        self.device = choose_device(device)
        network, _ = Session().network(config)
        self.expected = network.expected
        self.classifier = build_classifier(config, network, 2).to(self.device, memory_format=torch.channels_last).eval()

    @torch.no_grad()
    def __call__(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        return np.concatenate([self._features(images[start : start + 32]) for start in range(0, len(images), 32)])

    def _features(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        pixels = np.stack([fit_image(image, self.expected) for image in images])
        batch = normalise(
            torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device), self.expected.mean, self.expected.std
        )
        features = self.classifier.features(batch.contiguous(memory_format=torch.channels_last))
        return torch.nn.functional.normalize(features, dim=1).cpu().numpy()


def seen(images: Sequence[Picture], lite0: Lite0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return np.stack([fingerprint(image) for image in images]), lite0(images)


def planted_copies(photographs: Sequence[Picture], lite0: Lite0, known: tuple) -> tuple[Counter[str], int]:
    """Return how many of twenty copies of each kind are found, and how many pairs are none that were planted."""
    generator = np.random.default_rng(1)
    images, original, kinds = [], list(range(len(photographs))), [""] * len(photographs)
    for kind, change in CHANGES.items():
        for place in generator.permutation(len(photographs))[:20].tolist():
            images.append(change(photographs[place], generator))
            original.append(place)
            kinds.append(kind)
    more = seen(images, lite0)
    found = find_near_copies(*(np.concatenate(both) for both in zip(known, more, strict=True)))
    pairs = set(map(tuple, found.pairs.tolist()))
    planted = range(len(photographs), len(original))
    recalled = Counter(kinds[place] for place in planted if (original[place], place) in pairs)
    return recalled, sum(original[one] != original[other] for one, other in pairs)


def planted_bursts(photographs: Sequence[Picture], lite0: Lite0, known: tuple) -> tuple[int, int, int]:
    """Return how many of 20 bursts are found whole, how many pairs are false, and the size of the largest group."""
    generator = np.random.default_rng(2)
    sizes = dict.fromkeys(generator.permutation(len(photographs))[:20].tolist(), 0)
    sizes = {place: int(generator.integers(4, 7)) for place in sizes}
    views = {place: seen([view(photographs[place], generator) for _ in range(size)], lite0)[1]
             for place, size in sizes.items()}  # fmt: skip
    rows = [views.get(place, known[1][place : place + 1]) for place in range(len(photographs))]
    original = np.repeat(np.arange(len(photographs)), [len(row) for row in rows])
    features = np.concatenate(rows)
    pairs = find_bursts([f"photographs/IMG_{number:04}.jpg" for number in range(len(original))], features)
    grouping = group_images(pairs, features)
    whole = sum(len(set(grouping.numbers[original == place].tolist())) == 1 for place in sizes)
    return whole, int((original[pairs[:, 0]] != original[pairs[:, 1]]).sum()), int(np.bincount(grouping.numbers).max())


def as_they_are(paths: Sequence[Path], root: Path, lite0: Lite0) -> tuple[NearCopies, str]:
    """Return the near copies in a set, and a line about them."""
    parts = [seen(opened(paths[start : start + 500]), lite0) for start in range(0, len(paths), 500)]
    fingerprints, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    began = time.process_time()
    found = find_near_copies(fingerprints, features)
    seconds = time.process_time() - began
    names = [path.relative_to(root).as_posix() for path in paths]
    bursts = find_bursts(names, features)
    grouping = group_images(np.concatenate([found.pairs, bursts]), features)
    split = [name.partition("/")[0] for name in names]
    across = {pair for pair in map(tuple, found.pairs.tolist()) if split[pair[0]] != split[pair[1]]}
    tested = {place for pair in across for place in pair if split[place] != "train"}
    return found, (
        f"{len(names)} images: {len(found.pairs)} pairs, {len(across)} of them between training and test, with "
        f"{len(tested)} images of the test; {len(bursts)} pairs in bursts; the largest group has "
        f"{np.bincount(grouping.numbers).max()}; {seconds:.0f} s"
    )


def draw_sheet(found: NearCopies, paths: Sequence[Path], file: Path, side: int = 96, columns: int = 6) -> None:
    pairs = found.pairs.tolist()
    sheet = Image.new("RGB", (columns * (2 * side + 8), (len(pairs) // columns + 1) * (side + 6)), "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        for place, image in enumerate(opened([paths[place] for place in pair])):
            shown = ImageOps.contain(image, (side, side))
            sheet.paste(shown, (column * (2 * side + 8) + place * (side + 1), row * (side + 6)))
    sheet.save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["cats_vs_dogs", "cifar10", "hymenoptera"])
    parser.add_argument("--most", type=int, default=10_000, help="0 leaves the sets as they are alone")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    options = parser.parse_args()
    lite0 = Lite0(options.device)
    for name in options.sets:
        root = Path(os.environ["TLEXP_SETS"], name)
        photographs = opened(drawn(images_of(root), 1000))
        known = seen(photographs, lite0)
        recalled, false = planted_copies(photographs, lite0, known)
        print(f"{name}, {len(photographs)} images and 200 near copies: {false} false pairs", flush=True)
        for kind in CHANGES:
            print(f"  {recalled[kind]} of 20 {kind}")
        whole, false, largest = planted_bursts(photographs, lite0, known)
        print(f"  {whole} of 20 bursts whole, {false} false pairs; the largest group has {largest}", flush=True)
        if not options.most:
            continue
        paths = drawn(images_of(root), options.most)
        found, line = as_they_are(paths, root, lite0)
        print(f"  as it is, {line}", flush=True)
        if options.sheet:
            draw_sheet(found, paths, options.sheet.with_stem(f"{options.sheet.stem}-{name}"))


if __name__ == "__main__":
    main()
