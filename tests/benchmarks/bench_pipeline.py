"""How far reading and the network run side by side in the frozen pass, with both simulated, and with neither.

    python tests/benchmarks/bench_pipeline.py [--images 1280] [--turns 5] [--photos FOLDER] [--device cpu] [--words ...]

The simulated reader and the simulated network sleep, so that the overlap is that of the pass itself, on any machine:
the seconds of the slower side alone, as a share of those of the pass; 1 is all of it. In turn, as without a thread that
reads ahead, both together would take their sum. Medians over turns. With photographs, a cold pass of a real network
over them is timed, reading ahead and in turn, turn by turn.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from tlexp.cache import Store
from tlexp.compose.load import load
from tlexp.config.protocol import CHUNK
from tlexp.data import ImageBank
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.inputs import row_key
from tlexp.experiment.session import Session
from tlexp.features import extractor, read_ahead
from tlexp.features.extractor import FeatureExtractor
from tlexp.train import Listener, choose_device

SIDES = ((0.02, 0.02), (0.1, 0.1), (0.03, 0.1), (0.1, 0.03), (0.0, 0.1), (0.1, 0.0))
"""Seconds of a chunk of 32 images, to read and to pass the network; lite0 takes 0.4 at 224 px on two cores."""


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def simulated(reading: float, passing: float, count: int, ahead: int) -> float:
    """Return the seconds of a pass whose sides sleep so long for each chunk."""
    config, session = load(["backbone=tiny", "backbone.image_size=32", "freeze=all"]).config, Session()
    network, _ = session.network(config)
    setup = build_setup(config, network, torch.device("cpu"), images=count, classes=2)
    classifier = build_classifier(config, network, 2)
    images = SimpleNamespace(labels=np.zeros(count, int), digest=lambda place: int(place).to_bytes(32, "little"))
    width = row_key(config, setup, classifier, hashed=session.digest)(None).shape[0]

    def decode(_: object, positions: np.ndarray) -> ImageBank:
        time.sleep(reading)
        return ImageBank(
            pixels=torch.zeros(len(positions), 3, 32, 32, dtype=torch.uint8), labels=torch.zeros(len(positions))
        )

    def pass_on(chunk: torch.Tensor) -> list[torch.Tensor]:
        time.sleep(passing)
        return [torch.zeros(len(chunk), width)]

    made = FeatureExtractor(
        classifier, setup, keys=[row_key(config, setup, classifier, hashed=session.digest)],
        store=Store(None, max_bytes=0), decode=decode, passing=pass_on,
    )  # fmt: skip
    return with_ahead(ahead, lambda: made.rows(images, np.arange(count)))


def with_ahead(ahead: int, work: Callable[[], object]) -> float:
    """Return the seconds of work where so many chunks are read early."""
    extractor.ReadAhead = functools.partial(read_ahead.ReadAhead, ahead=ahead)
    try:
        return timed(work)
    finally:
        extractor.ReadAhead = read_ahead.ReadAhead


def real(folder: Path, words: list[str], turns: int) -> None:
    """Print the seconds of cold passes over photographs."""
    config = load(["freeze=all", "data=folder", f"data.root={folder}", "labels=5", *words]).config
    session, device = Session(), choose_device(config.train.device)
    network, _ = session.network(config)
    source = session.images(config, network.expected, Listener())
    images, classes = source.pool, len(source.classes)
    setup = build_setup(config, network, device, images=len(images.labels), classes=classes)
    classifier = build_classifier(config, network, classes).to(device)

    def cold() -> None:
        FeatureExtractor(
            classifier, setup, keys=[row_key(config, setup, classifier, hashed=session.digest)],
            store=Store(None, max_bytes=0),
            decode=lambda those, places: session.decode(config, those, places, setup.expected, Listener()),
        ).rows(images, np.arange(len(images.labels)))  # fmt: skip

    taken: dict[int, list[float]] = {0: [], read_ahead.AHEAD: []}
    for turn in range(turns + 1):
        for ahead, found in taken.items():
            found += [with_ahead(ahead, cold)] if turn else []
    in_turn, early = (statistics.median(found) for found in taken.values())
    pace = f"{len(images.labels) / early:,.0f} images a second"
    print(f"{len(images.labels)} photographs on {device}: in turn {in_turn:.2f} s, reading ahead {early:.2f} s, {pace}")
    print(f"in turn / reading ahead: {in_turn / early:.3f} (medians of {turns})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--device", default="cpu", help="of the real network, e.g. cuda")
    parser.add_argument("--words", nargs="*", default=["backbone=lite0"], help="of the real pass")
    options = parser.parse_args()
    if options.photos:
        real(options.photos, [f"train.device={options.device}", *options.words], options.turns)
        return
    chunks = -(-options.images // CHUNK)
    print(f"| {CHUNK} images read, ms | passed, ms | in turn, s | side by side, s | slower side alone, s | overlap |")
    print("|---|---|---|---|---|---|")
    for reading, passing in SIDES:
        taken: dict[int, list[float]] = {0: [], read_ahead.AHEAD: []}
        for _ in range(options.turns):
            for ahead, found in taken.items():
                found.append(simulated(reading, passing, options.images, ahead))
        in_turn, beside = (statistics.median(found) for found in taken.values())
        slower = chunks * max(reading, passing)
        sides = f"{1000 * reading:.0f} | {1000 * passing:.0f} | {in_turn:.3f} | {beside:.3f} | {slower:.3f}"
        print(f"| {sides} | {slower / beside:.2f} |", flush=True)


if __name__ == "__main__":
    main()
