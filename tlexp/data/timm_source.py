"""Whatever timm's `create_dataset` reads: datasets of torchvision, Hugging Face, TensorFlow, WebDataset, folders, tars.

Where the reader gives an image file's bytes, they are decoded and named as those of a folder are. Where it gives pixels
alone, those are what is digested; what can only be read in one pass is kept in a temporary file. Classes are sorted by
name, character by character, whatever the dataset's own numbers.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.data import create_dataset
from torch.utils.data import IterableDataset

from tlexp.data.checked import Found, Reading, check
from tlexp.data.classes import choose_classes, listed, require_equal, taken_classes
from tlexp.data.counts import Counts
from tlexp.data.decode import printable
from tlexp.data.files import Listing, UnreadImage
from tlexp.data.groups import Grouper
from tlexp.data.images import Source
from tlexp.data.reader import ReaderImage, ReaderImages, StreamedImages
from tlexp.data.splits import choose_held_out, require_one_each, split_meant, splits_meant
from tlexp.errors import DataError

_NEEDS = {
    "hfds": ("datasets", "hf"),
    "hfids": ("datasets", "hf"),
    "tfds": ("tensorflow_datasets", "tfds"),
    "wds": ("webdataset", "wds"),
}
"""Prefix of a name -> the module that timm imports for it, and our extra that brings it."""
_VALIDATED = ("imagenet", "places365", "inaturalist", "inat")
"""Datasets of torchvision whose labelled held-out split is validation."""
_FOLDERS = ("", "torch/folder", "torch/image_folder")
"""Names of which the splits are folders at the root."""
_REFUSALS = (AssertionError, RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError, ImportError)
"""What timm and the libraries behind it raise on a name, root or split that they cannot open."""


@dataclass(frozen=True, kw_only=True)
class TimmSet:
    """What timm is asked for.

    Attributes:
        name: With timm's prefix, e.g. torch/cifar10; empty for a folder or a tar file.
        root: Where it lies, or is to be kept; None for the library's own place.
        split: What label budgets are drawn from.
        test_split: The test split; None for test, else val, else validation, else a fifth of `split`.
        columns: Keys of the image and of the label; None for the reader's own.
        download: Whether it may be downloaded where it is missing.
    """

    name: str
    root: Path | None
    split: str
    test_split: str | None
    columns: Sequence[str] | None
    download: bool

    @property
    def where(self) -> str:
        """The dataset for messages."""
        place = "" if self.root is None else f" data.root={printable(str(self.root))}"
        return f"data=timm data.name={printable(self.name)}{place}"

    @property
    def prefix(self) -> str:
        """Which reader timm takes."""
        return self.name.partition("/")[0].lower() if "/" in self.name else ""

    def open(self, *, classes: Sequence[str] | None, at_least: int, source_seed: int, reading: Reading) -> Source:
        """Open the dataset with timm and check its images; a fifth is held out where it has no test split.

        Raises:
            DataError: A package is missing, timm cannot open it, it has no usable labels, or images cannot be read.
        """
        pool = _Split(self, self.split)
        test, notes = (self.test_split, ()) if self.test_split else choose_held_out(pool.others)
        held_out = None if test is None else _Split(self, test)
        chosen = pool.choose(classes, at_least)
        if held_out is not None:
            others = taken_classes(held_out.classes, classes)
            where, way_out = f"{self.where} split {test}", "data.classes=[...] keeps those that both have"
            require_equal(chosen, others, where=where, than=f"split {self.split}", way_out=way_out)
        found = Found(
            where=self.where,
            classes=chosen,
            pool=pool.listing(chosen),
            held_out=None if held_out is None else held_out.listing(chosen),
            pool_from=f"split {printable(self.split)}",
            held_out_from=None if test is None else f"split {printable(test)}",
            notes=notes,
        )
        return check(found, reading, source_seed=source_seed)

    def class_names(self, *, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the class names of the split that label budgets are drawn from.

        Raises:
            DataError: A package is missing, timm cannot open it, or it has no usable labels.
        """
        return _Split(self, self.split).choose(classes, at_least)

    def counts(self, *, classes: Sequence[str] | None, at_least: int, grouper: Grouper | None = None) -> Counts | None:
        """Return None: some readers go through all images to count them."""
        return None


class _Split:
    """One split of a dataset, opened.

    Attributes:
        classes: Its class names, sorted.
    """

    def __init__(self, asked: TimmSet, split: str) -> None:
        self._asked, self._split = asked, split
        self._dataset = _create(asked, split)
        self._images: ReaderImages | StreamedImages
        if isinstance(self._dataset, IterableDataset):
            self._images = StreamedImages(self._dataset, f"{asked.where} split {split}")
        else:
            self._images = ReaderImages(self._dataset)
        numbered = _numbered(self._dataset)
        self._labels = [self._name(target, numbered) for target in self._images.targets]
        self.classes = tuple(sorted(set(self._labels)))

    def choose(self, classes: Sequence[str] | None, at_least: int) -> tuple[str, ...]:
        """Return the classes that are used."""
        chosen = choose_classes(self.classes, classes, where=self._asked.where, at_least=at_least)
        if hidden := [name for name in chosen if name.startswith(".") and self._asked.name.lower() in _FOLDERS]:
            raise DataError(
                f"{self._asked.where} split {self._split}: {listed(hidden)} would be a class, but is a hidden folder; "
                "data=folder leaves it out, data.classes=[...] names those that are meant"
            )
        if len(chosen) < at_least:
            raise DataError(f"{self._asked.where} split {self._split}: {len(chosen)} classes, at least two are needed")
        return chosen

    def listing(self, classes: Sequence[str]) -> Listing:
        """Return the images of some classes, sorted by name."""
        label = {name: number for number, name in enumerate(classes)}
        names = _names(self._dataset, self._asked.root, self._split, len(self._labels))
        files: list[UnreadImage] = [
            ReaderImage(images=self._images, index=index, name=name, label=label[kind])
            for index, (name, kind) in enumerate(zip(names, self._labels, strict=True))
            if kind in label
        ]
        refused = tuple((f"{self._split}/{place}", reason) for place, reason in self._images.refused)
        return Listing(files=tuple(sorted(files, key=lambda file: file.name)), refused=refused)

    @property
    def others(self) -> list[str]:
        """The names of the other splits, as far as can be told without opening them."""
        own = (self._split, _spelled(self._asked, self._split))
        return [name for name in _known_splits(self._asked, self._dataset) if name not in own]

    def _name(self, target: Any, numbered: dict[int, str]) -> str:
        """Return the class name of a label.

        Raises:
            DataError: It is none, or not one class.
        """
        if isinstance(target, str) and target:
            return printable(target)
        try:
            number = int(target)
        except (TypeError, ValueError):
            number = -1
        if number < 0:
            raise DataError(
                f"{self._asked.where} split {self._split}: label {target!r} is no class; choose another split with "
                "data.split or data.test_split, or the key of the labels with data.columns=[image,label]"
            )
        return printable(numbered.get(number, str(number)))


def _create(asked: TimmSet, split: str) -> Any:
    """Return timm's dataset.

    Raises:
        DataError: A package is missing, or timm cannot open it.
    """
    module, extra = _NEEDS.get(asked.prefix, (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        raise DataError(f"data.name={printable(asked.name)} needs the package {module}: pip install 'tlexp[{extra}]'")
    keys = dict(zip(("input_key", "target_key"), asked.columns or (), strict=False))
    try:
        return create_dataset(
            asked.name,
            root=None if asked.root is None else str(asked.root),
            split=_spelled(asked, split),
            download=asked.download,
            **keys,
        )
    except _REFUSALS as error:
        reason = printable(str(error).partition("\n")[0]) or "it lies in no form that timm knows"
        raise DataError(
            f"{asked.where} split {split} cannot be opened: {reason} ({type(error).__name__}); see data.name, "
            "data.root, data.split and, where it is to be fetched, data.download"
        ) from error


def _known_splits(asked: TimmSet, dataset: Any) -> Sequence[str]:
    """Return the splits of a dataset, as far as can be told without opening them."""
    kind, reader = asked.name.partition("/")[2].lower(), getattr(dataset, "reader", dataset)
    if asked.prefix == "torch" and kind not in ("folder", "image_folder"):
        return ["validation"] if kind in _VALIDATED else ["test"]
    if asked.prefix in ("hfds", "hfids"):
        return list(reader.dataset.info.splits or ())
    if asked.prefix == "tfds":
        return list(reader.builder.info.splits)
    if asked.prefix == "wds":
        return list(reader.info.get("splits", ()))
    return _split_folders(asked)


def _split_folders(asked: TimmSet) -> list[str]:
    """Return the folders of a folder that are called as splits are."""
    if asked.root is None or not asked.root.is_dir() or asked.name.lower() not in _FOLDERS:
        return []
    return sorted(path.name for path in asked.root.iterdir() if path.is_dir() and split_meant(path.name))


def _spelled(asked: TimmSet, split: str) -> str:
    """Return a split as a folder spells it, e.g. Training: timm knows few spellings, and would take it as a class."""
    folders = _split_folders(asked)
    require_one_each(splits_meant(folders), where=asked.where, way_out="rename or remove all but one")
    alike = [name for name in folders if split_meant(name) == split_meant(split)]
    return split if split in alike else (alike or [split])[0]


def _numbered(dataset: Any) -> dict[int, str]:
    """Return the names of the labels by their numbers, as far as the dataset knows them."""
    holder = getattr(dataset, "reader", dataset)
    known = getattr(holder, "class_to_idx", None) or getattr(holder, "class_name_to_idx", None) or {}
    numbered: dict[int, str] = {}
    for name, number in known.items():
        numbered.setdefault(int(number), str(name))
    return numbered


def _names(dataset: Any, root: Path | None, split: str, count: int) -> list[str]:
    """Return the path below the root of every image that is a file of its own, else split and number."""
    samples = getattr(getattr(dataset, "reader", dataset), "samples", None)
    if isinstance(samples, list) and root is not None and all(isinstance(sample[0], str) for sample in samples):
        return [printable(os.path.relpath(path, root).replace(os.sep, "/")) for path, *_ in samples]
    return [f"{printable(split)}/{index:07d}" for index in range(count)]
