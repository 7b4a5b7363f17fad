"""Which score tells images of none of the classes: those of left-out classes, and those of other image sets.

    python tests/benchmarks/bench_unknown.py FOLDER --backbones tiny lite0

FOLDER holds image sets as `data.root=` takes them. Half of the classes of each are known (all of a set of two), at most
40, with so many labels; unknown are test images of the others (near) and of the other sets (far), but for classes whose
names are known. Features of frozen units. Every score is 0.05-calibrated as in a run: out-of-fold scores say what is
far. Prints, as means over seeds, the AUROC, the share of the unknown that a false-alarm rate of 0.05 catches, and the
share of the known test images that it marks.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from tlexp.compose.load import load
from tlexp.data import chunks
from tlexp.experiment import images as images_module
from tlexp.experiment.build import build_classifier
from tlexp.experiment.session import Session
from tlexp.models.typicality import ReferenceRows, Typicality
from tlexp.train import Listener, choose_device

LEVEL = 0.05
MOST_KNOWN, POOL, TESTED, OTHERS = 40, 150, 1500, 150


def features_of(backbone, root, size, device):
    """Return class names, and features and labels of a part of the pool and of the test images."""
    words = [f"backbone={backbone}", f"backbone.image_size={size}", "data=folder", f"data.root={root}", "tracking=off"]
    words += [f"train.device={device}"]
    config, session = load([*words, "labels=5"]).config, Session()
    network, _ = session.network(config)
    source = session.images(config, network.expected, Listener())
    device, expected = choose_device(config.train.device), network.expected
    classifier = build_classifier(config, network, len(source.classes)).eval().to(device)
    found = []
    for images, most in ((source.pool, POOL), (source.held_out, TESTED)):
        order = np.random.default_rng(0).permutation(len(images.labels))
        if images is source.pool:
            turns = [order[images.labels[order] == label][:most] for label in range(len(source.classes))]
            order, most = np.concatenate(turns), len(order)
        places = np.sort(order[:most])
        bank = images_module.decode(config, images, places, expected, Listener())
        whole = np.arange(len(bank))
        stream = chunks(
            bank, whole, mean=expected.mean, std=expected.std, device=device, channels_last=True, size=32
        )  # fmt: skip
        with torch.no_grad():
            features = torch.cat([classifier.features(batch).cpu() for batch, _ in stream]).numpy()
        found.append((features, images.labels[places]))
    return source.classes, *found


def unit(rows):
    """Return rows of unit length."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class Head:
    """Logistic regression on standardised features, fitted once for the scores that need logits."""

    def __init__(self, rows, labels):
        self.scaler = StandardScaler().fit(rows)
        strength = 10 / rows.shape[1]
        fitted = LogisticRegression(C=strength, max_iter=100, tol=1e-3)
        self.fitted = fitted.fit(self.scaler.transform(rows), labels)

    def logits(self, rows):
        found = self.fitted.decision_function(self.scaler.transform(rows))
        return found if found.ndim > 1 else np.stack([-found / 2, found / 2], axis=1)


def max_probability(rows, labels, head):
    return lambda images: (lambda z: -np.exp(z.max(1) - logsumexp(z, axis=1)))(head.logits(images))


def energy(rows, labels, head):
    return lambda images: -logsumexp(head.logits(images), axis=1)


def own(rows, labels, head):
    """The score of the program."""
    reference = ReferenceRows.of(torch.from_numpy(rows))
    return lambda images: reference.distances(torch.from_numpy(images)).numpy()


def neighbour(count):
    def build(rows, labels, head):
        known = unit(rows)
        most = min(count, len(known))
        return lambda images: 1 - np.sort(unit(images) @ known.T, axis=1)[:, -most]

    return build


def nearest_mean(rows, labels, head):
    means = unit(np.stack([unit(rows)[labels == label].mean(0) for label in np.unique(labels)]))
    return lambda images: 1 - (unit(images) @ means.T).max(1)


def mahalanobis(relative):
    """Of features of unit length (Mueller and Hein 2025), relative to one Gaussian of all (Ren et al. 2021), or not."""

    def build(rows, labels, head):
        rows = unit(rows)
        classes = np.unique(labels)
        means = np.stack([rows[labels == label].mean(0) for label in classes])
        within = _Gaussian(means, rows - means[np.searchsorted(classes, labels)])
        overall = _Gaussian(rows.mean(0)[None], rows - rows.mean(0)) if relative else None
        return lambda images: within(unit(images)) - (overall(unit(images)) if overall else 0)

    return build


class _Gaussian:
    """Squared distances to the nearest of several means, under one covariance, shrunk (Ledoit and Wolf 2004)."""

    def __init__(self, means, residuals):
        share = max(ledoit_wolf_shrinkage(residuals, assume_centered=True), 1e-3)
        _, values, self.axes = np.linalg.svd(residuals / np.sqrt(len(residuals)), full_matrices=False)
        self.floor = share * (values**2).sum() / residuals.shape[1]
        spread = (1 - share) * values**2
        self.weights, self.means = spread / (spread + self.floor), means

    def __call__(self, images):
        squares = []
        for mean in self.means:
            offsets = images - mean
            inside = (offsets @ self.axes.T) ** 2 @ self.weights
            squares.append(((offsets**2).sum(1) - inside) / self.floor)
        return np.min(squares, axis=0)


SCORES = {
    "maximal probability": max_probability,
    "energy": energy,
    "nearest 3, mean (the program's)": own,
    "nearest": neighbour(1),
    "10th nearest": neighbour(10),
    "nearest class mean": nearest_mean,
    "Mahalanobis": mahalanobis(False),
    "relative Mahalanobis": mahalanobis(True),
}


def singular(name):
    """Return a class name that is the same in sets which say cat and cats."""
    return name.lower().rstrip("s")


def draw(sets, name, labels, seed):
    """Return rows and labels that are learned from, known test images, and the unknown by kind."""
    classes, (rows, owners), (test, told) = sets[name]
    generator, count = np.random.default_rng(seed), len(classes)
    known = np.sort(generator.permutation(count)[: min(MOST_KNOWN, count // 2) if count > 2 else count])
    drawn = np.concatenate([generator.permutation(np.flatnonzero(owners == label))[:labels] for label in known])
    unknown = {} if len(known) == count else {"near": test[~np.isin(told, known)]}
    names, far = [singular(classes[label]) for label in known], []
    for other, (others, _, (images, of)) in sets.items():
        if other != name:
            apart = ~np.isin([singular(others[label]) for label in of], names)
            far.append(images[apart][:OTHERS])
    return rows[drawn], owners[drawn], test[np.isin(told, known)], {**unknown, "far": np.concatenate(far)}


def measure(rows, labels, known, unknown, seed):
    """Return AUROC, share caught and false alarms of each score and kind of unknown images."""
    folds = min(5, int(np.unique(labels, return_counts=True)[1].min()))
    parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels))
    head, heads = Head(rows, labels), [Head(rows[train], labels[train]) for train, _ in parts]
    found = {}
    for score, build in SCORES.items():
        held_out = [
            build(rows[train], labels[train], own_head)(rows[held])
            for (train, held), own_head in zip(parts, heads, strict=True)
        ]
        final = build(rows, labels, head)
        known_scores = final(known)
        meaning = Typicality.of(ReferenceRows.of(torch.ones(1, 1)), np.concatenate(held_out))
        alarms = (meaning.typicalities(known_scores) <= LEVEL).mean()
        for kind, images in unknown.items():
            scores = final(images)
            truth = np.repeat([0, 1], [len(known_scores), len(scores)])
            area = roc_auc_score(truth, np.concatenate([known_scores, scores]))
            found[score, kind] = area, (meaning.typicalities(scores) <= LEVEL).mean(), alarms
    return found


def main():
    """Print a row for each backbone, score and kind of unknown images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cats_vs_dogs", "cifar10", "omniglot242", "hymenoptera"])
    parser.add_argument("--backbones", nargs="+", default=["tiny"])
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    arguments = parser.parse_args()
    print("| backbone | score | unknown | AUROC, mean | by set | caught at 0.05 | false alarms at 0.05 | by set |")
    print("|---|---|---|---|---|---|---|---|")
    for backbone in arguments.backbones:
        sets = {
            name: features_of(backbone, arguments.folder / name, arguments.size, arguments.device)
            for name in arguments.sets
        }
        results = defaultdict(dict)
        for name in sets:
            drawn = defaultdict(list)
            for seed in range(arguments.seeds):
                parts = draw(sets, name, arguments.labels, seed)
                for key, figures in measure(*parts, seed).items():
                    drawn[key].append(figures)
            for key, figures in drawn.items():
                results[key][name] = np.mean(figures, axis=0)
        for (score, kind), by_set in sorted(results.items(), key=lambda each: each[0][1], reverse=True):
            areas, caught, alarms = np.array(list(by_set.values())).T
            told = [f"{areas.mean():.3f}", " ".join(f"{each:.3f}" for each in areas), f"{caught.mean():.2f}"]
            told += [f"{alarms.mean():.3f}", " ".join(f"{each:.3f}" for each in alarms)]
            print(f"| {backbone} | {score} | {kind} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
