"""Exact copies are one image: whatever is drawn afterwards, no content lies in two places."""

import csv
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tlexp.config.labels import parse_labels
from tlexp.data.budget import draw_budget, hold_out, selection_folds
from tlexp.data.copies import CopyKind, copies_csv, copy_notes, find_copies, remaining
from tlexp.data.images import digest_lines

CLASSES = ("ant", "bee", "cat")
SIZES = (30, 25, 40)
TWICE = [
    (f"{name}/{number:02}{side}.png", label, f"{name} {number}")
    for label, (name, size) in enumerate(zip(CLASSES, SIZES, strict=True))
    for number in range(size)
    for side in ("", "-copy")
]

Image = tuple[str, int, str]


def parts_of(images: Sequence[Image], labels: str, seed: int, held_out: bool) -> list[NDArray[np.object_]]:
    """Return the contents of everything that a run takes: each fold's train and validation, and what is held out."""
    kept = [images[place] for place in remaining([name for name, *_ in images], find_copies({"train": images}))]
    numbers, digests = np.array([label for _, label, _ in kept]), np.array([digest for *_, digest in kept], object)
    pool, test = hold_out(numbers, seed=seed, classes=CLASSES) if held_out else (np.arange(len(kept)), np.zeros(0, int))
    budget = draw_budget(numbers[pool], parse_labels(labels), seed=seed, classes=CLASSES)
    drawn, folded = digests[pool][budget], numbers[pool][budget]
    smallest = int(np.bincount(folded).min())
    folds = selection_folds(folded, per_class=smallest, seed=seed)
    return [digests[test], drawn, *(drawn[part] for fold in folds for part in (fold.train, fold.validation))]


@pytest.mark.parametrize("labels", ["1", "2", "5", "10", "20", "0.3", "all"])
def test_no_content_lies_in_two_places_where_every_file_is_there_twice(labels: str) -> None:
    for seed in range(100):
        test, drawn, *folds = parts_of(TWICE, labels, seed, held_out=True)
        assert len({*test, *drawn}) == len(test) + len(drawn)
        assert Counter(digest.split()[0] for digest in test) == {"ant": 6, "bee": 5, "cat": 8}
        if labels.isdecimal():
            assert Counter(digest.split()[0] for digest in drawn) == dict.fromkeys(CLASSES, int(labels))
        for train, validation in zip(folds[::2], folds[1::2], strict=True):
            assert len({*train, *validation}) == len(train) + len(validation) == len(drawn)


def test_files_that_are_there_twice_change_no_draw() -> None:
    once = [image for image in TWICE if "-copy" not in image[0]]
    for seed in range(20):
        for ours, theirs in zip(*(parts_of(images, "10", seed, True) for images in (TWICE, once)), strict=True):
            assert ours.tolist() == theirs.tolist()


def test_the_training_pool_gives_way_and_the_first_name_stays() -> None:
    train = [("train/b.png", 0, "x"), ("train/a.png", 0, "x"), ("train/c.png", 0, "y"), ("train/d.png", 1, "z")]
    test = [("test/b.png", 0, "y"), ("test/a.png", 0, "y"), ("test/e.png", 0, "z")]
    found = {copy.name: (copy.same_as, copy.kind) for copy in find_copies({"train": train, "test": test})}
    assert found == {
        "train/b.png": ("train/a.png", CopyKind.repeated),
        "train/c.png": ("test/a.png", CopyKind.tested),
        "test/b.png": ("test/a.png", CopyKind.repeated),
        "train/d.png": ("test/e.png", CopyKind.torn),
        "test/e.png": ("train/d.png", CopyKind.torn),
    }


def test_without_copies_nothing_is_left_out() -> None:
    assert find_copies({"train": TWICE[::2], "test": []}) == ()


def test_every_planted_copy_is_found_once() -> None:
    """Against a direct reading of the rule, on random splits, labels and contents."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        splits: dict[str, list[Image]] = {"train": [], "test": [], "shifted": []}
        for number in range(60):
            content = int(rng.integers(25))
            label = content % 2 if rng.random() < 0.9 else 1 - content % 2
            split = ("train", "test", "shifted")[rng.integers(3)]
            splits[split].append((f"{split}/{number:02}", label, digest_lines([content])))
        left_out = {copy.name for copy in find_copies(splits)}
        kept = {split: [image for image in images if image[0] not in left_out] for split, images in splits.items()}
        labels: dict[str, set[int]] = {}
        for _, label, digest in (image for images in splits.values() for image in images):
            labels.setdefault(digest, set()).add(label)
        whole = {digest for digest, found in labels.items() if len(found) == 1}
        seen = {split: [digest for *_, digest in images] for split, images in kept.items()}
        given = {split: {digest for *_, digest in images} & whole for split, images in splits.items()}
        assert sorted(seen["test"]) == sorted(given["test"])
        assert sorted(seen["shifted"]) == sorted(given["shifted"])
        assert sorted(seen["train"]) == sorted(given["train"] - given["test"] - given["shifted"])


def test_each_kind_is_told_in_one_note_and_listed() -> None:
    train = [("a/1.jpg", 0, "x"), ("a/2.jpg", 0, "x"), ("a/3.jpg", 0, "x"), ("b/1, 2.jpg", 1, "y"), ("a/4.jpg", 0, "y")]
    copies = find_copies({"train": train, "test": [("test/5.jpg", 1, "z")]})
    assert list(copy_notes(copies)) == [
        "2 exact copies count once, e.g. a/2.jpg = a/1.jpg; copies.csv lists them",
        "2 images lie under two classes and are left out, e.g. a/4.jpg = b/1, 2.jpg; copies.csv lists them",
    ]
    assert list(csv.reader(io.StringIO(copies_csv(copies).decode()))) == [
        ["name", "same_as", "split", "why"],
        ["a/2.jpg", "a/1.jpg", "train", "counts once"],
        ["a/3.jpg", "a/1.jpg", "train", "counts once"],
        ["a/4.jpg", "b/1, 2.jpg", "train", "under two classes"],
        ["b/1, 2.jpg", "a/4.jpg", "train", "under two classes"],
    ]
    [told] = copy_notes(find_copies({"train": [("t/1", 0, "x")], "test": [("u/1", 0, "x")]}))
    assert told.startswith("1 training images are also in the test split and left out of training, e.g. t/1 = u/1;")
    assert list(copy_notes(())) == []
