"""`conf/data`: where the images come from."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.setting import setting

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "hexagon", "crescent")
"""The classes of `data=shapes`, in their order of use."""


class DataSource(StrEnum):
    """shapes = rendered here, digits = scikit-learn's, folder and csv = the user's images."""

    shapes = "shapes"
    digits = "digits"
    folder = "folder"
    csv = "csv"

    @property
    def example(self) -> str | None:
        """A command's words that name the source's files; None where it has none."""
        return _EXAMPLES.get(self)


_EXAMPLES = {
    DataSource.folder: "data=folder data.root=photos",
    DataSource.csv: "data=csv data.root=labels.csv",
}


class OnBad(StrEnum):
    """What happens with an image that cannot be read."""

    refuse = "refuse"
    skip = "skip"


@dataclass
class DataConfig:
    """The images and their labels."""

    source: DataSource = setting(DataSource.shapes, "shapes, digits, folder or csv.")
    root: str | None = setting(
        None,
        "data=folder: folder with train/ and test/ or val/ trees, or one tree, of one folder per class; data=csv: the "
        "table, with a row per image: path (from the table's folder, or absolute), label and, if given, split.",
    )
    columns: list[str] | None = setting(
        None, "data=csv: names of the columns [path,label] or [path,label,split]; null takes these."
    )
    classes: list[str] | None = setting(
        None, "Classes to use, in any order: labels keep the order of the source; null takes all."
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
    seed: int | None = setting(None, "Draws the label budget, from 0; null takes the run's seed.")
    source_seed: int = setting(0, "Renders shapes and splits off a held-out part where none is given, from 0.")
    on_bad: OnBad = setting(OnBad.refuse, "Unreadable images: refuse (all named) or skip (counted, never replaced).")
    follow_links: bool = setting(False, "Follow links that lead out of data.root.")
    max_pixels: int = setting(100_000_000, "Largest image that is decoded, in pixels, against decompression bombs.")
    memory_bytes: int = setting(
        4 << 30, "Decoded images above this many bytes are kept in a memory map on disk instead.", key=False
    )
    per_class: int = setting(200, "data=shapes: training images per class in the pool, from 1.")
    test_per_class: int = setting(100, "data=shapes: test images per class, from 1.")
    num_classes: int = setting(6, f"data=shapes: number of classes, 2..{len(SHAPES)}: {', '.join(SHAPES)}.")
    size: int | None = setting(
        None, "data=shapes: side of the image in pixels, 8..2048; null takes the backbone's input."
    )
    noise: float = setting(0.1, "data=shapes: standard deviation of the pixel noise, [0, 1].")
    clutter: int = setting(4, "data=shapes: distracting strokes per image, 0..50.")

    @property
    def at_least(self) -> int:
        """How many classes the source itself needs: a run tells two apart, of which one may be `neither`."""
        return 2 if self.neither is None else 1

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.source.example and not self.root:
            found.append(f"data.root is missing: data={self.source} needs it, e.g. {self.source.example}")
        if self.root and not self.source.example:
            found.append(f"data.root={self.root} needs data=folder or data=csv: data={self.source} reads no files")
        if self.columns is not None and self.source is not DataSource.csv:
            found.append(f"data.columns={self.columns} needs data=csv: data={self.source} has no columns")
        if self.columns is not None and not 2 <= len(self.columns) == len(set(self.columns)) <= 3:
            found.append(f"data.columns={self.columns}: must be two or three different names, [path,label,split]")
        if self.classes is not None and not self.at_least <= len(self.classes) == len(set(self.classes)):
            found.append(
                f"data.classes={self.classes}: must be two or more different names (one with data.neither), or null "
                "for all"
            )
        for name in ("neither", "shifted"):
            if getattr(self, name) == "":
                found.append(f"data.{name}= names no folder: give one, e.g. data.{name}=others, or leave it out")
        for name, least in (("source_seed", 0), ("per_class", 1), ("test_per_class", 1), ("max_pixels", 1)):
            if getattr(self, name) < least:
                found.append(f"data.{name}={getattr(self, name)}: must be at least {least}")
        if self.seed is not None and self.seed < 0:
            found.append(f"data.seed={self.seed}: must be at least 0, or null for the run's seed")
        if self.memory_bytes < 0:
            found.append(f"data.memory_bytes={self.memory_bytes}: must be at least 0 bytes")
        if not 2 <= self.num_classes <= len(SHAPES):
            found.append(f"data.num_classes={self.num_classes}: must be 2..{len(SHAPES)}")
        if self.size is not None and not 8 <= self.size <= 2048:
            found.append(f"data.size={self.size}: must be 8..2048 pixels, or null for the backbone's input")
        if not 0 <= self.noise <= 1:
            found.append(f"data.noise={self.noise}: must be in [0, 1]")
        if not 0 <= self.clutter <= 50:
            found.append(f"data.clutter={self.clutter}: must be 0..50 strokes")
        return found
