"""Which log loss should choose the penalty where classes are unequal: `python tests/benchmarks/bench_balance.py`.

Heads are solved with and without class weights; their penalty is chosen inside the images by the calibrated log loss,
as it is and with each class counting the same, and judged by balanced accuracy on others. A minute or two.
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score

from tlexp.config.train import ClassWeights
from tlexp.data.budget import selection_folds
from tlexp.learn.calibration import calibrate_logits
from tlexp.train import Problem, solve, weigh_classes


def noisy_digits(rng):
    """Return digits under noise, labels, and the places of 132 to learn from, 2 to 40 a class."""
    digits = load_digits()
    counts = zip(rng.permutation(10), [2, 2, 3, 4, 6, 10, 15, 20, 30, 40], strict=True)
    own = [rng.permutation(np.flatnonzero(digits.target == label))[:count] for label, count in counts]
    return digits.data / 16 + rng.normal(0, 0.6, digits.data.shape), digits.target, np.concatenate(own)


def gaussians(rng, many, rare):
    """Return rows of two overlapping classes, labels, and the places of the first ones, to learn from."""
    labels = np.repeat([0, 1, 0, 1], [many, rare, 500, 500])
    noise = rng.normal(size=(len(labels), 20))
    return noise + np.outer(labels, rng.normal(0, 0.35, 20)), labels, np.arange(many + rare)


SETS = {
    "digits": noisy_digits,
    "72 to 8": lambda rng: gaussians(rng, 72, 8),
    "90 to 30": lambda rng: gaussians(rng, 90, 30),
}


def judged(kind, trained, rows, labels, train, seed):
    """Return balanced accuracies of the best penalty, and of those that either loss chooses."""
    classes, test = labels.max() + 1, np.setdiff1d(np.arange(len(labels)), train)
    features, targets = torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)

    def solutions(learned, others):
        weights = weigh_classes(trained, labels[learned], classes)
        problem = Problem(train=learned, validation=others, class_weights=weights)
        return [each.logits.numpy() for each in solve(kind, features, targets, [problem], num_classes=classes)[0]]

    reached = [balanced_accuracy_score(labels[test], logits.argmax(1)) for logits in solutions(train, test)]
    folds = selection_folds(labels[train], per_class=np.bincount(labels[train]).min(), seed=seed)
    parts = zip(*(solutions(train[fold.train], train[fold.validation]) for fold in folds), strict=True)
    pooled = [np.concatenate(part) for part in parts]
    own = labels[train[np.concatenate([fold.validation for fold in folds])]]
    chosen = [np.argmin([calibrate_logits(logits, own, by).loss for logits in pooled]) for by in ClassWeights]
    return [max(reached), *(reached[each] for each in chosen)]


def main():
    """Print a line for each set, head and training loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=25, help="draws of each set")
    draws = parser.parse_args().draws
    for name, draw in SETS.items():
        for kind in ("logreg", "ridge"):
            for trained in ClassWeights:
                found = [judged(kind, trained, *draw(np.random.default_rng(seed)), seed) for seed in range(draws)]
                best, plain, each = np.transpose(found)
                gain = each - plain
                print(
                    f"{name}, {kind}, class_weights={trained}: best {best.mean():.3f}, plain {plain.mean():.3f}, each "
                    f"class the same {each.mean():.3f}, gain {gain.mean():+.3f} +- {gain.std(ddof=1):.3f}"
                )


if __name__ == "__main__":
    main()
