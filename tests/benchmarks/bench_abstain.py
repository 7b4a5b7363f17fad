"""Does abstaining keep its promise on photographs: of many splits, how often are answers right in the share promised.

    python tests/benchmarks/bench_abstain.py FOLDER

FOLDER holds image sets as `data.root=` takes them. Training and test images of a set are thrown together, split anew:
so many labels of each class are learned from, all others tell the truth. Features of frozen units; logistic regression,
its penalty chosen, its temperature and its thresholds found on the folds of the labels by the functions of a run. A
promise that cannot be given is kept. Prints, for each promise, in how many splits it was kept, in how many it was given
and in how many of those it was kept, and the mean coverage where it was given.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from tlexp.compose.load import load
from tlexp.config.optim import Choice
from tlexp.data import chunks, selection_folds
from tlexp.experiment import images as images_module
from tlexp.experiment.build import build_classifier
from tlexp.experiment.session import Session
from tlexp.learn.calibration import calibrate_logits, kept_temperature
from tlexp.learn.selection import rank
from tlexp.models.abstention import Abstention
from tlexp.train import CANDIDATES, Listener, Problem, choose_device, solve, to_probabilities

PROMISES = (0.7, 0.8, 0.9, 0.95)


def features_of(words, *, classes, most):
    """Return features and labels of all images of a set, or of some of its classes and so many of each."""
    config, session = load([*words, "labels=5"]).config, Session()
    network, _ = session.network(config)
    source = session.images(config, network.expected, Listener())
    device, expected = choose_device(config.train.device), network.expected
    classifier = build_classifier(config, network, len(source.classes)).eval().to(device)
    found = []
    for images in (source.pool, source.held_out):
        order = np.random.default_rng(0).permutation(len(images.labels))
        known = range(min(classes, len(source.classes)))
        turns = [order[images.labels[order] == label][: most // 2] for label in known]
        places = np.sort(np.concatenate(turns))
        bank = images_module.decode(config, images, places, expected, Listener())
        stream = chunks(
            bank,
            np.arange(len(bank)),
            mean=expected.mean,
            std=expected.std,
            device=device,
            channels_last=True,
            size=32,
        )
        with torch.no_grad():
            found.append((torch.cat([classifier.features(batch).cpu() for batch, _ in stream]), images.labels[places]))
    return torch.cat([features for features, _ in found]), np.concatenate([labels for _, labels in found])


def promised(features, labels, per_class, seed):
    """Return, for each promise, its threshold, and coverage and accuracy of answers on all other images."""
    generator, count = np.random.default_rng(seed), int(labels.max()) + 1
    drawn = [generator.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(count)]
    learned = np.concatenate(drawn)
    others = np.setdiff1d(np.arange(len(labels)), learned)
    folds = selection_folds(labels[learned], per_class=per_class, seed=seed)
    problems = [Problem(train=learned[fold.train], validation=learned[fold.validation]) for fold in folds]
    problems.append(Problem(train=learned, validation=others))
    *tried, final = solve("logreg", features, torch.from_numpy(labels), problems, num_classes=count)
    told = np.concatenate([labels[learned[fold.validation]] for fold in folds])
    ranked = []
    for number, decay in enumerate(CANDIDATES["logreg"]):
        logits = np.concatenate([fits[number].logits.numpy() for fits in tried])
        calibrated = calibrate_logits(logits, told)
        ranked.append((rank(Choice(weight_decay=decay), calibrated), number, logits))
    _, winner, logits = min(ranked, key=lambda each: each[0])
    temperature = kept_temperature(logits, told)
    probabilities = to_probabilities(logits / np.float32(temperature))
    known = Abstention.of(probabilities.max(1), probabilities.argmax(1) == told)
    truth = to_probabilities(final[winner].logits.numpy() / np.float32(temperature))
    right, confidence = truth.argmax(1) == labels[others], truth.max(1)
    rows = []
    for promise in PROMISES:
        least = known.threshold(promise)
        sure = confidence >= (np.inf if least is None else least)
        rows.append((least is not None, sure.mean(), right[sure].mean() if sure.any() else 1.0))
    return rows


def main():
    """Print a row for each set and promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cats_vs_dogs", "cifar10", "omniglot242", "hymenoptera"])
    parser.add_argument("--labels", nargs="+", type=int, default=[200, 50, 15, 100], help="of each class, set by set")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--classes", type=int, default=20, help="of a set, at most")
    parser.add_argument("--most", type=int, default=1000, help="images of a class")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    arguments = parser.parse_args()
    print("| set | labels | images | accuracy promised | kept | given | kept where given | coverage where given |")
    print("|---|---|---|---|---|---|---|---|")
    for name, per_class in zip(arguments.sets, arguments.labels, strict=True):
        words = [f"backbone={arguments.backbone}", f"backbone.image_size={arguments.size}", "data=folder"]
        words += [f"data.root={arguments.folder / name}", "tracking=off", f"train.device={arguments.device}"]
        features, labels = features_of(words, classes=arguments.classes, most=arguments.most)
        found = np.array([promised(features, labels, per_class, seed) for seed in range(arguments.splits)])
        for promise, (given, coverage, accuracy) in zip(PROMISES, found.transpose(1, 2, 0), strict=True):
            kept, some = accuracy >= promise, given.astype(bool)
            of_given = f"{kept[some].mean():.3f} | {coverage[some].mean():.2f}" if some.any() else "- | -"
            shares = f"{kept.mean():.3f} | {some.mean():.3f} | {of_given}"
            print(f"| {name} | {per_class} | {len(labels)} | {promise} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
