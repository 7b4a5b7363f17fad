"""What a frozen probe says of images that it did not learn from: labels that look wrong, classes that are confused.

features (N, D); labels (N,) int64 of K classes; groups (N,) int64; probabilities (N, K) float64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tlexp.arrays import Labels, Positions
from tlexp.learn.calibration import log_loss
from tlexp.paths import csv_bytes
from tlexp.train import Problem, solve
from tlexp.train.logreg import WEIGHT_DECAYS
from tlexp.train.metrics import count_confusions, to_probabilities

FOLDS = 5
_DEALS = 3
"""One deal alone finds 4 points fewer of 50 wrong labels of 1,000 on cifar10."""
SURE = 0.95
"""A suspect of this confidence counts as a finding."""
_FEWEST = 2
"""Images that are confused: a single one says nothing of its class."""
_COMPARED = 5_000
"""Penalties are compared on so many images at most; the best one changes little from there on. Of more, one deal is
solved: each image is judged by a probe that has learned from thousands of others."""
_ONE_FOLD = 2_000
"""Of more images, one fold of the deal tells the penalties apart."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the probe says of images that it did not learn from.

    Attributes:
        probabilities: (N, K) float64; uniform where nothing could be said.
        judged: Which images something could be said of, (N,) bool: the probe has learned from another group that has
            their label.
    """

    probabilities: NDArray[np.float64]
    judged: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """An image whose label looks wrong.

    Attributes:
        place: Among all images.
        label: Class index that it has.
        looks_like: Class index that the probe gives it.
        confidence: How improbable the probe finds its label, (0, 1]: the probability of all others together.
    """

    place: int
    label: int
    looks_like: int
    confidence: float


def deal_folds(labels: Labels, groups: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.int64]:
    """Return the fold of each image, (N,) int64: groups stay whole, and each class is spread over all folds.

    >>> deal_folds(np.array([0, 0, 0, 0, 1, 1]), np.array([7, 7, 1, 2, 3, 4])).tolist()
    [0, 0, 1, 2, 3, 4]

    Args:
        labels: A group counts for the class that most of its images have.
        groups: Images of one number stay together.
        seed: Of the draw.
    """
    _, group = np.unique(groups, return_inverse=True)
    table = np.zeros((group.max() + 1, labels.max() + 1), np.int64)
    np.add.at(table, (group, labels), 1)
    drawn = np.random.default_rng(seed).permutation(len(table))
    dealt = drawn[np.argsort(table.argmax(1)[drawn], kind="stable")]  # like cards, class after class
    fold = np.empty(len(table), np.int64)
    fold[dealt] = np.arange(len(table)) % FOLDS
    return fold[group]


def judge(features: Tensor, labels: Labels, groups: NDArray[np.int64], *, classes: int) -> Judgement | None:
    """Return what logistic regression says of each image, solved on the folds that it is not in.

    Its penalty is the one of the least log loss over all folds, for its probabilities are taken as they are; over one
    fold where there are more than 2,000 images. Probabilities are means over three deals of the folds; those of one
    deal where there are more than 5,000. None where no class has two groups, or there is one class alone.

    Args:
        features: Of the frozen backbone.
        labels: As they are given.
        groups: What shows the same, so that no label is vouched for by a twin.
        classes: K.
    """
    if len(np.unique(labels)) < 2:
        return None
    deals = [_Deal.of(labels, groups, seed) for seed in range(_DEALS if len(labels) <= _COMPARED else 1)]
    judged = np.logical_and.reduce([deal.judged for deal in deals])
    if not judged.any():
        return None
    decay = _choose_penalty(features, labels, deals[0], classes)
    said = [to_probabilities(_out_of_fold(features, labels, deal, classes, [decay])[0]) for deal in deals]
    probabilities = np.mean(said, axis=0)
    probabilities[~judged] = 1 / classes
    return Judgement(probabilities=probabilities, judged=judged)


@dataclass(frozen=True, kw_only=True)
class _Deal:
    """A division into folds: positions to learn from and positions to judge, of each; which images can be judged."""

    parts: list[tuple[Positions, Positions]]
    judged: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Labels, groups: NDArray[np.int64], seed: int) -> "_Deal":
        fold = deal_folds(labels, groups, seed=seed)
        parts = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(FOLDS)]
        return cls.within([(train, held) for train, held in parts if len(held) and len(train)], labels)

    @classmethod
    def within(cls, parts: list[tuple[Positions, Positions]], labels: Labels) -> "_Deal":
        judged = np.zeros(len(labels), bool)
        for train, held in parts:
            judged[held] = np.isin(labels[held], labels[train])
        return cls(parts=parts, judged=judged)

    def thinned(self, labels: Labels) -> "_Deal":
        """Return the same with one part, and every so many-th image of it, where images are many."""
        if len(labels) <= _ONE_FOLD:
            return self
        train, held = max(self.parts, key=lambda part: int(self.judged[part[1]].sum()))
        step = -(-len(labels) // _COMPARED)
        thinned = self.within([(train[::step], held[::step])], labels)
        return thinned if thinned.judged.any() else self


def _choose_penalty(features: Tensor, labels: Labels, deal: _Deal, classes: int) -> float:
    """Return the penalty of the least log loss over all folds; over a part of one where images are many."""
    deal = deal.thinned(labels)
    logits = _out_of_fold(features, labels, deal, classes, WEIGHT_DECAYS)
    losses = [log_loss(each[deal.judged], labels[deal.judged]) for each in logits]
    return WEIGHT_DECAYS[int(np.argmin(losses))]


def _out_of_fold(
    features: Tensor, labels: Labels, deal: _Deal, classes: int, weight_decays: Sequence[float]
) -> NDArray[np.float32]:
    """Return the logits of each penalty, (M, N, K)."""
    problems = [Problem(train=train, validation=held) for train, held in deal.parts]
    solved = solve(
        "logreg", features, torch.from_numpy(labels), problems, num_classes=classes, candidates=weight_decays
    )
    logits = np.zeros((len(weight_decays), len(labels), classes), np.float32)
    for (_, held), fits in zip(deal.parts, solved, strict=True):
        for place, fitted in enumerate(fits):
            assert fitted.logits is not None  # each problem asks for them
            logits[place, held] = fitted.logits.numpy()
    return logits


def find_suspects(judgement: Judgement, labels: Labels) -> list[Suspect]:
    """Return the images that look like another class than theirs, the least probable label first.

    >>> said = Judgement(probabilities=np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), judged=np.ones(3, bool))
    >>> [(each.place, each.looks_like, each.confidence) for each in find_suspects(said, np.array([1, 1, 1]))]
    [(0, 0, 0.9), (1, 0, 0.6)]

    Args:
        judgement: Of all images.
        labels: As they are given.
    """
    places = np.arange(len(labels))
    doubt = 1 - judgement.probabilities[places, labels]
    named = judgement.probabilities.argmax(1)
    wrong = np.flatnonzero(judgement.judged & (named != labels))
    ranked = wrong[np.argsort(-doubt[wrong], kind="stable")]
    return [
        Suspect(place=place, label=int(labels[place]), looks_like=int(named[place]), confidence=float(doubt[place]))
        for place in ranked.tolist()
    ]


def suspects_csv(suspects: Iterable[Suspect], names: Sequence[str], classes: Sequence[str]) -> bytes:
    """Return a table of suspects: name, label, looks_like, confidence."""
    rows = [
        (names[each.place], classes[each.label], classes[each.looks_like], f"{each.confidence:.4f}")
        for each in suspects
    ]
    return csv_bytes([("name", "label", "looks_like", "confidence"), *rows])


def mistaken(judgement: Judgement, labels: Labels, label: int) -> tuple[int, int, int, int]:
    """Return how many images of a class look like others, of how many, and how many of others like it, of how many."""
    own, named = labels[judgement.judged] == label, judgement.probabilities[judgement.judged].argmax(1) == label
    return int((own & ~named).sum()), int(own.sum()), int((~own & named).sum()), int((~own).sum())


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """Two classes that are taken for each other.

    Attributes:
        classes: Their indices, the one that is mistaken more often first.
        mistaken: Images of each that are taken for the other.
        images: Images of each that were judged; none of a class that is one group.
    """

    classes: tuple[int, int]
    mistaken: tuple[int, int]
    images: tuple[int, int]

    @property
    def share(self) -> float:
        """The share of each class that is taken for the other one, averaged: a small class counts as a large one."""
        return sum(wrong / max(1, images) for wrong, images in zip(self.mistaken, self.images, strict=True)) / 2


def find_confusions(judgement: Judgement, labels: Labels, *, most: int) -> list[ConfusedPair]:
    """Return the pairs of classes that are confused most, by the shares of their images.

    Args:
        judgement: Of all images.
        labels: As they are given, (N,) int64.
        most: So many pairs.
    """
    table = count_confusions(judgement.probabilities[judgement.judged], labels[judgement.judged])
    both = np.triu(table + table.T, 1)
    found = [_pair(table, int(one), int(other)) for one, other in zip(*np.nonzero(both >= _FEWEST), strict=True)]
    return sorted(found, key=lambda pair: (-pair.share, pair.classes))[:most]


def _pair(table: NDArray[np.int64], one: int, other: int) -> ConfusedPair:
    counts = np.maximum(table.sum(axis=1), 1)
    if table[other, one] / counts[other] > table[one, other] / counts[one]:
        one, other = other, one
    return ConfusedPair(
        classes=(one, other),
        mistaken=(int(table[one, other]), int(table[other, one])),
        images=(int(table[one].sum()), int(table[other].sum())),
    )
