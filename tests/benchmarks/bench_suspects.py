"""How many wrong labels doctor finds that were planted among the labels of photographs.

    python tests/benchmarks/bench_suspects.py cats_vs_dogs [--images 1000] [--wrong 50] [--turns 5] [--image-size 224]

Prints a table as markdown: the share of the wrong labels among as many first suspects, mean over turns (range), by
doctor's rule and by two others, and what is counted as a finding. A turn draws which labels are wrong, and what they
become.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels, Positions
from tlexp.compose.load import load
from tlexp.data import Images
from tlexp.data.images import subset
from tlexp.doctor.features import expected_by, extract_features, seen_by_lite0
from tlexp.doctor.suspects import SURE, find_suspects, judge
from tlexp.experiment.images import open_images
from tlexp.experiment.session import Session
from tlexp.train import Listener


def chosen(images: Images, count: int, classes: int) -> Images:
    """Return as many images of each class, count in all."""
    generator = np.random.default_rng(1)
    drawn = [
        generator.choice(np.flatnonzero(images.labels == label), count // classes, replace=False)
        for label in range(classes)
    ]
    return subset(images, np.sort(np.concatenate(drawn)))


def planted(labels: Labels, wrong: int, classes: int, turn: int) -> Labels:
    """Return the labels, some of them wrong."""
    generator = np.random.default_rng(100 + turn)
    places = generator.choice(len(labels), wrong, replace=False)
    changed = labels.copy()
    changed[places] = (changed[places] + generator.integers(1, classes, wrong)) % classes
    return changed


def ranked_by_margin(probabilities: NDArray[np.float64], labels: Labels, *, by_class: bool) -> Positions:
    """Return images by how much more probable than their label the next class is, relative to its mean or not."""
    places = np.arange(len(labels))
    usual = [probabilities[labels == label, label].mean() for label in range(probabilities.shape[1])]
    scores = probabilities - (np.array(usual) if by_class else 0)
    others = scores.copy()
    others[places, labels] = -np.inf
    return np.argsort(scores[places, labels] - others.max(1), kind="stable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="a folder as data.root has it")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--wrong", type=int, default=50)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--image-size", type=int)
    options = parser.parse_args()
    config = seen_by_lite0(load(["data=folder", f"data.root={options.root}"]).config)
    expected = expected_by(config)
    source = open_images(config, expected, Listener())
    classes = len(source.classes)
    images = chosen(source.pool, options.images, classes)
    config = dataclasses.replace(config, backbone=dataclasses.replace(config.backbone, image_size=options.image_size))
    features = extract_features(config, images, Session(), Listener(), classes=classes)
    sure: list[list[bool]] = []
    found: dict[str, list[float]] = {"1 - p": [], "margin": [], "by class": []}
    for turn in range(options.turns):
        labels = planted(images.labels, options.wrong, classes, turn)
        said = judge(features, labels, np.arange(len(labels)), classes=classes)
        assert said is not None
        suspects, truth = find_suspects(said, labels), labels != images.labels
        orders = (
            [each.place for each in suspects],
            *(ranked_by_margin(said.probabilities, labels, by_class=each) for each in (False, True)),
        )
        for rule, order in zip(found, orders, strict=True):
            found[rule].append(float(truth[order[: options.wrong]].mean()))
        sure.append([bool(truth[each.place]) for each in suspects if each.confidence >= SURE])
    side = options.image_size or expected.image_size
    told = [f"{np.mean(each):.3f} ({min(each):.2f} .. {max(each):.2f})" for each in found.values()]
    print(
        f"| set, side | {' | '.join(found)} | suspects of {SURE:g} or more | of them wrong |\n|---|---|---|---|---|---|"
    )
    print(
        f"| {options.root.name}, {side} px | {' | '.join(told)} | {np.mean([len(each) for each in sure]):.1f} | "
        f"{np.mean(np.concatenate(sure)):.2f} |"
    )


if __name__ == "__main__":
    main()
