"""What a run with a frozen backbone costs, in forward passes over its images.

    python tests/benchmarks/bench_frozen.py [--repeats 3] [WORDS ...]

resnet18 with random weights at 64 px, 1,000 rendered images (500 of them labelled, 500 held out), 50 epochs of the
head. One process; medians over repeats, in which all measurements take turns. Figures are off, tracking is off.

forward     every image decoded and passed through the network once
head        the head trained for 50 epochs on features that are known (selection left out, as in the runs)
cold, warm  a run on an empty cache, and the same run again with another seed
tuned       a run on an empty cache that compares 13 weight decays of a logistic regression, selects, refits and tests
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tlexp.compose.load import load
from tlexp.config import Config
from tlexp.experiment import build
from tlexp.experiment import images as images_module
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.run import run
from tlexp.experiment.session import Session
from tlexp.learn.learner import build_learner
from tlexp.train import Checkpoint, Listener, choose_device

WORDS = [
    "backbone=resnet18", "backbone.pretrained=false", "backbone.image_size=64", "data.per_class=100",
    "data.test_per_class=100", "data.num_classes=5", "labels=all", "tracking=off", "tracking.figures=false",
    "train.save_weights=false",
]  # fmt: skip
SGD = ["train.epochs=50", "tune.validate=false"]


def config(*words: str) -> Config:
    return load([*WORDS, *words]).config


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def whole_run(*words: str) -> float:
    made = config(*words)
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda: run(made, folder=Path(folder), listener=Listener()))


def parts(words: list[str]) -> tuple[float, float]:
    """Return the seconds of one forward pass over all images, decoding counted, and of the head's training."""
    made = config("cache=off", *SGD, *words)
    network = build.build_network(made)
    build.load_start(made, network)
    source = images_module.open_images(made, network.expected, Listener())
    budget = images_module.draw_labels(made, source)
    classes, device = len(source.classes), choose_device(made.train.device)
    classifier = build.build_classifier(made, network, classes).to(device)
    setup = build.build_setup(made, network, device, images=len(budget.positions), classes=classes)
    began = time.perf_counter()
    inputs = RunInputs(made, Session(), classifier, source, budget, setup, Listener())
    list(inputs.held_out())
    forward = time.perf_counter() - began
    everything = np.arange(len(budget.positions))
    with tempfile.TemporaryDirectory() as place:
        checkpoint = Checkpoint(Path(place), key="bench", seconds=3600)
        learner = build_learner(
            classifier, inputs.entries, setup, made.head.kind, checkpoint=checkpoint, listener=Listener()
        )
        return forward, timed(lambda: learner.train("final", everything, made.default_rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="more settings, e.g. train.device=cuda")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    words: list[str] = options.words
    parts(words)  # warms up
    found: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            forward, head = parts(words)
            row = {
                "forward": forward,
                "head": head,
                "cold": whole_run(f"cache.dir={one}", *SGD, *words),
                "warm": whole_run(f"cache.dir={one}", *SGD, "data.seed=1", *words),
                "tuned": whole_run(f"cache.dir={two}", "head=logreg", *words),
            }
        for name, seconds in row.items():
            found.setdefault(name, []).append(seconds)
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name:<8} {middle[name]:.3f} s  ({min(values):.3f} .. {max(values):.3f})")
    print(f"cold / (forward + head)  {middle['cold'] / (middle['forward'] + middle['head']):.2f}")
    print(f"warm / (forward + head)  {middle['warm'] / (middle['forward'] + middle['head']):.2f}")
    print(f"tuned / forward          {middle['tuned'] / middle['forward']:.2f}")
    print(f"{options.repeats} repeats, torch {torch.__version__}, {torch.get_num_threads()} threads, "
          f"load average {os.getloadavg()[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
