"""What data.decoder=fast spares, and what it takes from accuracy.

    python tests/benchmarks/bench_decoder.py SET ... [--sizes 64 96] [--finer 2] [--seeds 10] [--megapixels 12]

A set is a folder as data.root has it. Milliseconds are those of the processor for one image, read, decoded and resized:
means of 20 images, medians over turns that the two decoders take in turn. Accuracies are those of logreg on
features of a frozen network, 20 images a class drawn by each seed: exact, and the difference of fast to it, seed by
seed, mean and standard deviation. With --megapixels photographs are enlarged first (Lanczos, JPEG of quality 90), which
makes larger ones up; --grain adds noise of so many grey levels, without which they are emptier than those of a camera.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tlexp.compose.load import load
from tlexp.config.labels import parse_labels
from tlexp.data import chunks, decode, draw_budget
from tlexp.data.decode import pillow_guard
from tlexp.data.transforms import fit_image
from tlexp.experiment import images as images_module
from tlexp.experiment.build import build_classifier
from tlexp.experiment.session import Session
from tlexp.train import Listener, Problem, predict, solve

PENALTY = 1e-2
PACED = 20


class Decoded:
    """A set as one decoder gives it, before a frozen network."""

    def __init__(self, folder: Path, size: int, decoder: str, options: argparse.Namespace) -> None:
        words = [f"backbone={options.backbone}", f"backbone.image_size={size}", f"data.root={folder}"]
        more = ["data=folder", f"data.decoder={decoder}", "labels=20", "train.device=cpu"]
        self.config, session = load([*words, *more]).config, Session()
        network, _ = session.network(self.config)
        self.expected, self.most = network.expected, options.most
        self.source = session.images(self.config, self.expected, Listener())
        self.classifier = build_classifier(self.config, network, len(self.source.classes))
        self.classifier.to(memory_format=torch.channels_last).head = torch.nn.Identity()

    def paced(self) -> float:
        """Return the processor's seconds of an image."""
        pool = self.source.pool
        places = range(0, len(pool.labels), -(-len(pool.labels) // PACED))
        with pillow_guard:
            began = time.process_time()
            for place in places:
                fit_image(pool.read(place), self.expected)
            return (time.process_time() - began) / len(places)

    def features(self) -> list[torch.Tensor]:
        """Return those of the pool and of the held-out images."""
        found = []
        for images in (self.source.pool, self.source.held_out):
            places = np.arange(len(images.labels))[: self.most]
            if len(images.labels) > self.most:
                places = np.sort(np.random.default_rng(0).permutation(len(images.labels))[: self.most])
            bank = images_module.decode(self.config, images, places, self.expected, Listener())
            fed = chunks(
                bank,
                np.arange(len(bank)),
                mean=self.expected.mean,
                std=self.expected.std,
                device=torch.device("cpu"),
                channels_last=True,
                size=32,
            )
            found.append((torch.from_numpy(predict(self.classifier, fed, autocast=None)[0]), bank.labels))
        return found


def accuracies(decoded: Decoded, seeds: int) -> np.ndarray:
    """Return the share of held-out images that are right after each draw."""
    (rows, labels), (held, answers) = decoded.features()
    found = []
    for seed in range(seeds):
        drawn = draw_budget(labels.numpy(), parse_labels("20"), seed=seed, classes=decoded.source.classes, groups=None)
        problem = Problem(train=np.arange(len(drawn)), validation=np.arange(len(drawn), len(drawn) + len(held)))
        every, told = torch.cat([rows[drawn], held]), torch.cat([labels[drawn], answers])
        classes = len(decoded.source.classes)
        logits = solve("logreg", every, told, [problem], num_classes=classes, candidates=[PENALTY])[0][0].logits
        assert logits is not None
        found.append(float((logits.argmax(1) == answers).float().mean()))
    return np.array(found)


def enlarge(folder: Path, into: Path, megapixels: float, grain: float) -> None:
    """Write the photographs of a folder with so many pixels, and noise of so many grey levels."""
    generator = np.random.default_rng(0)
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")):
        image = Image.open(path).convert("RGB")
        times = math.sqrt(megapixels * 1e6 / (image.width * image.height))
        large = image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.LANCZOS)
        if grain:
            values = np.asarray(large) + generator.normal(0, grain, (large.height, large.width, 1))
            large = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        place = into / path.relative_to(folder).with_suffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        large.save(place, quality=90)


def compared(folder: Path, size: int, options: argparse.Namespace) -> Iterator[str]:
    """Yield rows of the table."""
    sets = {0: Decoded(folder, size, "exact", options)}
    for finer in options.finer:
        decode.FINER = finer
        sets[finer] = Decoded(folder, size, "fast", options)
    taken: dict[int, list[float]] = {finer: [] for finer in sets}
    for turn in range(options.turns + 1):
        for finer, decoded in sets.items():
            taken[finer] += [decoded.paced()] if turn else []
    cost = {finer: statistics.median(found) * 1e3 for finer, found in taken.items()}
    right = {finer: accuracies(decoded, options.seeds) for finer, decoded in sets.items()} if options.seeds else {}
    for finer in options.finer:
        cells = [folder.name, str(size), str(finer), f"{cost[0]:.1f} / {cost[finer]:.1f}"]
        if right:
            more = right[finer] - right[0]
            cells += [f"{right[0].mean():.3f}", f"{more.mean():+.4f} ± {more.std(ddof=1):.4f}"]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96], help="pixels")
    parser.add_argument("--finer", nargs="+", type=int, default=[decode.FINER], help="times the resized side")
    parser.add_argument("--seeds", type=int, default=10, help="draws of the budget, 0 measures time alone")
    parser.add_argument("--most", type=int, default=1000, help="images of the pool, and held-out ones")
    parser.add_argument("--megapixels", type=float, help="enlarge photographs to so many")
    parser.add_argument("--grain", type=float, default=0, help="grey levels of noise on those")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print("| set | px | finer | ms exact / fast | accuracy, exact | fast less exact |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folders = options.sets
        if options.megapixels:
            folders = [Path(made, folder.name) for folder in options.sets]
            for folder, into in zip(options.sets, folders, strict=True):
                enlarge(folder, into, options.megapixels, options.grain)
        for folder in folders:
            for size in options.sizes:
                for row in compared(folder, size, options):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
