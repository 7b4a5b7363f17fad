"""`conf/data`: where the images come from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.group import GroupKind, OnLeak, parse_group
from tlexp.config.setting import setting

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "hexagon", "crescent")
"""The classes of `data=shapes`, in their order of use."""


class DataSource(StrEnum):
    """shapes = rendered here, digits = scikit-learn's, folder and csv = the user's images, timm = its datasets."""

    shapes = "shapes"
    digits = "digits"
    folder = "folder"
    csv = "csv"
    timm = "timm"

    @property
    def example(self) -> str | None:
        """A command's words that name the source's files; None where it has none."""
        return _EXAMPLES.get(self)

    @property
    def in_memory(self) -> bool:
        """Whether a function returns all its images as arrays."""
        return self is DataSource.digits


_EXAMPLES = {
    DataSource.folder: "data=folder data.root=photos",
    DataSource.csv: "data=csv data.root=labels.csv",
    DataSource.timm: "data=timm data.name=torch/cifar10 data.root=datasets",
}


_FILES = tuple(_EXAMPLES)
RENDERED = ("per_class", "test_per_class", "num_classes", "size", "noise", "clutter")
"""Settings of rendered shapes."""
_OF = {
    **dict.fromkeys(("root", "bits", "decoder"), _FILES),
    **dict.fromkeys(("train", "test"), (DataSource.folder,)),
    "columns": (DataSource.csv, DataSource.timm),
    **dict.fromkeys(("name", "split", "test_split", "download"), (DataSource.timm,)),
    **dict.fromkeys(RENDERED, (DataSource.shapes,)),
}
"""Setting -> the sources that know it; all know the others."""
_INSTEAD = {
    "per_class": "; labels=20 learns from so many of each class",
    "num_classes": "; data.classes=[...] takes some of the classes",
    "size": "; what the network sees is backbone.image_size, and study=sizes compares several",
}
"""Setting -> what may be meant where the source does not know it."""

_BOUNDS = {
    **dict.fromkeys(("per_class", "test_per_class", "max_pixels"), (1, math.inf, "")),
    "source_seed": (0, math.inf, ""),
    "memory_bytes": (0, math.inf, " bytes"),
    "seed": (0, math.inf, ", or null for the run's seed"),
    "bits": (8, 16, ", or null for all 16"),
    "num_classes": (2, len(SHAPES), ""),
    "size": (8, 2048, " pixels, or null for the backbone's input"),
    "noise": (0, 1, ""),
    "clutter": (0, 50, " strokes"),
}
"""Setting -> the least, the most, and of what."""
_NAMED = {
    "train": ("folder", "photos/train"),
    "test": ("folder", "photos/test"),
    "class_names": ("file", "names.csv"),
    "neither": ("folder", "others"),
    "shifted": ("folder", "others"),
}
"""Setting of a path -> what it names, and an example."""


class OnBad(StrEnum):
    """What happens with an image that cannot be read."""

    refuse = "refuse"
    skip = "skip"


class Decoder(StrEnum):
    """How JPEGs become pixels: exact = all of them, fast = of large ones only as many as the network's input needs."""

    exact = "exact"
    fast = "fast"


class Evaluate(StrEnum):
    """held_out = the test split, rest = also what is left of the pool; auto = held_out, and rest in studies."""

    auto = "auto"
    held_out = "held_out"
    rest = "rest"


_SUM = 1e-6
"""How far from 1 shares may add up to."""
_ROOTLESS = ("hfds/", "hfids/", "tfds/")
_PREFIXES = ("torch/", *_ROOTLESS, "wds/")
"""How timm's names of datasets begin; the first ones keep what they fetch in a place of their own."""


@dataclass
class DataConfig:
    """The images and their labels."""

    source: DataSource = setting(DataSource.shapes, f"{', '.join(DataSource)}.")
    root: str | None = setting(
        None,
        "data=folder: folder with train/ and test/ or val/ trees (also Training, seg_train and the like), or one tree, "
        "of one folder per class; data=csv: the table, with a row per image: path (from the table's folder, or "
        "absolute), label and, if given, split; data=timm: where the dataset lies.",
    )
    train: str | None = setting(
        None,
        "data=folder: folder with one folder per class, in place of data.root; alone, a fifth is held out.",
    )
    test: str | None = setting(None, "data=folder: the test images of data.train, with the same class folders.")
    columns: list[str] | None = setting(
        None,
        "data=csv: names of the columns [path,label] or [path,label,split]; data=timm: keys of [image,label] where its "
        "reader has any; null takes the usual ones.",
    )
    name: str | None = setting(
        None,
        "data=timm: the dataset with timm's prefix, torch/cifar10, hfds/NAME, hfids/NAME, tfds/NAME or wds/NAME; null "
        "is a folder or a tar file at data.root.",
    )
    split: str = setting("train", "data=timm: the split that label budgets are drawn from.")
    test_split: str | None = setting(
        None,
        "data=timm: the test split; null takes test, else val or validation, else a stratified fifth of data.split.",
    )
    download: bool = setting(False, "data=timm: fetch the dataset where it is missing.", key=False)
    classes: list[str] | None = setting(
        None,
        "Classes to use, in any order, or to leave out, each after a minus, '[-unsorted]': labels keep the order of "
        "the source; null takes all.",
    )
    class_names: str | None = setting(
        None,
        "Table from classes to names for people, which are shown everywhere: columns label and name by their header, "
        "else the first two.",
        key=False,
    )
    neither: str | None = setting(
        None,
        "Folder of images, at any depth, that show none of the classes: one more class, neither, the last one; as "
        "large a share is held out as of the others.",
    )
    shifted: str | None = setting(
        None,
        "Folder of the same classes from another domain, one folder per class: a second test, read once beside the "
        "first (shifted/*).",
    )
    prior: dict[str, float] | None = setting(
        None,
        "Shares of the classes where the network will be used, e.g. '{cat:0.9,dog:0.1}', names in quotes where they "
        "hold other signs, '{\"a,b\":0.9,dog:0.1}': predictions of held-out images are corrected to them (Saerens et "
        "al. 2002); null leaves them as trained.",
    )
    group: str | None = setting(
        None,
        "What keeps images together in splits, budgets and folds: a table with path,group, column:NAME of data=csv's "
        "table, pattern:REGEX on the name below the class (its first group, else all that it finds), or folder:N, the "
        "folder that holds the image (1), the one above it (2); null takes each image by itself.",
    )
    on_leak: OnLeak = setting(
        OnLeak.refuse,
        "A group in the training pool and in a given test split or data.shifted: refuse, list (leaks.csv and a note) "
        "or move (its training images leave the pool, for a given test split stays as it is).",
    )
    evaluate: Evaluate = setting(
        Evaluate.auto,
        "What a network is tested on: held_out, the test split; rest, beside it (rest/*) up to 2,000 images of the "
        "pool that no budget up to its half draws with this seed, where the test split is a fifth that was split off; "
        "auto, rest in studies where that is so, else held_out.",
    )
    seed: int | None = setting(None, "Draws the label budget, from 0; null takes the run's seed.")
    source_seed: int = setting(0, "Renders shapes and splits off a held-out part where none is given, from 0.")
    on_bad: OnBad = setting(OnBad.refuse, "Unreadable images: refuse (all named) or skip (counted, never replaced).")
    follow_links: bool = setting(
        False,
        "Follow links that lead out of data.root, or of the folder that a table's path names.",
    )
    max_pixels: int = setting(100_000_000, "Largest image that is decoded, in pixels, against decompression bombs.")
    decoder: Decoder = setting(
        Decoder.exact,
        "How JPEGs become pixels: exact, all of them; fast, large ones at the smallest of 1/1, 1/2, 1/4 and 1/8 whose "
        "sides are twice as long as the network's input needs, which is quicker and gives slightly other pixels.",
    )
    bits: int | None = setting(
        None,
        "Bits that the values of 16-bit grey images use, 8..16; null takes all 16, and notes images that use fewer.",
    )
    memory_bytes: int = setting(
        4 << 30, "Decoded images above this many bytes are kept in a memory map on disk instead.", key=False
    )
    recheck: bool = setting(
        False,
        "Read all image files for their check, also those that have not changed since an earlier command read them.",
        key=False,
    )
    per_class: int = setting(200, "data=shapes: training images per class in the pool, from 1.")
    test_per_class: int = setting(100, "data=shapes: test images per class, from 1.")
    num_classes: int = setting(6, f"data=shapes: number of classes, 2..{len(SHAPES)}: {', '.join(SHAPES)}.")
    size: int | None = setting(
        None,
        "data=shapes: side of the image in pixels, 8..2048; null takes the backbone's input. What a network sees of "
        "photographs is backbone.image_size.",
    )
    noise: float = setting(0.1, "data=shapes: standard deviation of the pixel noise, [0, 1].")
    clutter: int = setting(4, "data=shapes: distracting strokes per image, 0..50.")

    @property
    def at_least(self) -> int:
        """How many classes the source itself needs: a run tells two apart, of which one may be `neither`."""
        return 2 if self.neither is None else 1

    def foreign_problems(self) -> Iterator[str]:
        """Yield why a setting of other sources is refused, where it is stated."""
        plain = DataConfig()
        for name, sources in _OF.items():
            value = getattr(self, name)
            if self.source not in sources and value != getattr(plain, name):
                needed = " or ".join(f"data={source}" for source in sources)
                more = _INSTEAD.get(name, "")
                yield f"data.{name}={value} needs {needed}: data={self.source} knows none{more}"

    def problems(self) -> list[str]:
        """Return every broken rule of this group, but for settings that are of other sources."""
        found = [
            *self._file_problems(),
            *self._timm_problems(),
            *self._group_problems(),
            *self._prior_problems(),
        ]
        for name, (kind, example) in _NAMED.items():
            if getattr(self, name) == "":
                found.append(f"data.{name}= names no {kind}: give one, e.g. data.{name}={example}, or leave it out")
        for name, (low, high, unit) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                span = f"at least {low}" if high == math.inf else f"{low}..{high}"
                found.append(f"data.{name}={value}: must be {span}{unit}")
        return found

    def _file_problems(self) -> list[str]:
        """Return the broken rules of what names files and classes."""
        found = []
        rootless = self.source is DataSource.timm and (self.name or "").startswith(_ROOTLESS)
        if self.source is DataSource.folder:
            found += self._tree_problems()
        if self.source.example and not self.root and not rootless and self.train is None and self.test is None:
            found.append(f"data.root is missing: data={self.source} needs it, e.g. {self.source.example}")
        most, rule = 2, "two different names, [image,label]"
        if self.source is DataSource.csv:
            most, rule = 3, "two or three different names, [path,label,split]"
        if self.columns is not None and not 2 <= len(self.columns) == len(set(self.columns)) <= most:
            found.append(f"data.columns={self.columns}: must be {rule}")
        if self.classes is not None:
            least = 1 if all(name.startswith("-") for name in self.classes) else self.at_least
            if not least <= len(self.classes) == len(set(self.classes)):
                found.append(
                    f"data.classes={self.classes}: must be two or more different names (one with data.neither), names "
                    "to leave out, each after a minus, or null for all"
                )
        return found

    def _prior_problems(self) -> list[str]:
        """Return the broken rules of the shares of classes; their names are looked at where the images are known."""
        if self.prior is None:
            return []
        found = []
        wrong = ",".join(f"{name}:{share:g}" for name, share in self.prior.items() if not share > 0)
        if wrong:
            found.append(
                f"data.prior={{{wrong}}}: each share must be above 0; data.classes leaves out a class that never comes"
            )
        if len(self.prior) < 2:
            found.append(f"data.prior={{{','.join(self.prior)}}}: give each class a share, of two classes at least")
        total = math.fsum(self.prior.values())
        if abs(total - 1) > _SUM:
            found.append(f"data.prior: the shares must add up to 1, these add up to {total:.9g}; divide each by that")
        return found

    def _tree_problems(self) -> list[str]:
        """Return the broken rules of a training and a test folder that are named apart."""
        given = [f"data.{name}={value}" for name, value in (("train", self.train), ("test", self.test)) if value]
        if given and self.root:
            return [f"data.root={self.root} beside {' '.join(given)}: name one folder, or training and test folder"]
        if self.test and not self.train:
            return [f"data.test={self.test} needs data.train=DIR, the folder of the training images"]
        return []

    def _group_problems(self) -> list[str]:
        """Return the broken rules of what keeps images together."""
        if self.group is None:
            needless = f"data.on_leak={self.on_leak} needs data.group: without groups there is nothing that could leak"
            return [] if self.on_leak is OnLeak.refuse else [needless]
        try:
            rule = parse_group(self.group)
        except ValueError as error:
            return [str(error)]
        if self.evaluate is Evaluate.rest:
            return [
                f"data.evaluate=rest beside data.group={self.group}: a budget has images of all groups, which leaves "
                "none to test on; leave one of them out"
            ]
        if not self.source.example:
            return [
                f"data.group={self.group} needs images with names, data=folder, data=csv or data=timm: each image of "
                f"data={self.source} stands for itself; leave data.group out"
            ]
        if rule.kind is not GroupKind.column:
            return []
        beside = [f"data.{name}" for name in ("neither", "shifted") if getattr(self, name) is not None]
        if self.source is not DataSource.csv:
            return [f"data.group={rule} needs data=csv: data={self.source} has no columns; write a table of path,group"]
        if beside:
            return [
                f"data.group={rule} beside {' and '.join(beside)}: the images there stand in no row; write a table of "
                "path,group for all of them"
            ]
        return []

    def _timm_problems(self) -> list[str]:
        """Return the broken rules of what timm is asked for."""
        found = []
        if self.name and not self.name.lower().startswith(_PREFIXES):
            found.append(
                f"data.name={self.name}: must begin with {', '.join(_PREFIXES)}, or be null for a folder or a tar file "
                "at data.root"
            )
        if not self.split or self.test_split == self.split:
            found.append(f"data.split={self.split}: must name a split, another one than data.test_split")
        return found
