"""What every source of images gives: lazily read pictures with labels and names, and the two splits made of them."""

import dataclasses
import functools
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.data.copies import Copy, remaining, require_classes
from tlexp.data.groups import Groups, joined_notes
from tlexp.data.leaks import Leak, find_leaks, leak_note, leaked_names
from tlexp.data.splits import TRAIN
from tlexp.errors import DataError

OnProgress = Callable[[int, int], None]
"""Called with (images done, images in all) from the calling thread."""


class Images(Protocol):
    """A sequence of labelled images, each read when it is asked for."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Return the name of every image: unique, printable, the same on every machine."""
        ...

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright.

        Raises:
            DataError: The image cannot be read, or is another one than when the source was opened.
        """
        ...

    def digest(self, index: int) -> bytes:
        """Return 32 bytes that name the content of one image: images of equal digests have equal pixels."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Some images of a split, with labels of their own: places (N,) in it and class indices (N,), int64."""

    images: Images
    places: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of every image."""
        known = self.images.names
        return tuple(known[int(place)] for place in self.places)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright."""
        return self.images.read(int(self.places[index]))

    def digest(self, index: int) -> bytes:
        """Return the digest of one image."""
        return self.images.digest(int(self.places[index]))


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Images of several splits, one after another."""

    parts: tuple[Images, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        return np.concatenate([part.labels for part in self.parts])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of every image."""
        return tuple(name for part in self.parts for name in part.names)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright."""
        part, place = self._place(index)
        return part.read(place)

    def digest(self, index: int) -> bytes:
        """Return the digest of one image."""
        part, place = self._place(index)
        return part.digest(place)

    def _place(self, index: int) -> tuple[Images, int]:
        place = bisect_right(self._ends, index)
        return self.parts[place], index - (self._ends[place - 1] if place else 0)

    @functools.cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = np.cumsum([len(part.labels) for part in self.parts]).tolist()
        return ends


@dataclass(frozen=True, kw_only=True)
class Source:
    """Labelled images in two splits that share no image; no content is there twice.

    Attributes:
        classes: Class names in the order of the labels, printable.
        pool: What label budgets are drawn from.
        held_out: The test split.
        shifted: A second one, from another domain; None where there is none.
        pool_from: Where the images of the pool come from, as people know it, e.g. "training/" or "split train".
        held_out_from: The same for the test split; None where it is a stratified fifth of what they come from.
        short_sides: Smallest, median and largest short side of the images as they lie, in pixels; None if all are made.
        digest: sha256 of the source's own classes, names, labels and content, 64 hexadecimal digits; does not depend on
            where it lies or on names for people.
        skipped: Images that cannot be read and were left out, each as (name, reason).
        copies: Images that were left out because others are the same.
        groups: Which images belong together; None where each stands for itself.
        leaks: Images of groups that are both in the pool and in a held-out split, or were before they left the pool.
        notes: Remarks for the user, one sentence each.
        prior: Share of each class where the network will be used; none where nobody knows.
        meant: The folder below the one that was named which holds the classes by its looks; None where none does.
    """

    classes: tuple[str, ...]
    pool: Images
    held_out: Images
    digest: str
    skipped: tuple[tuple[str, str], ...] = ()
    copies: tuple[Copy, ...] = ()
    groups: Groups | None = None
    leaks: tuple[Leak, ...] = ()
    notes: tuple[str, ...] = ()
    shifted: Images | None = None
    pool_from: str
    held_out_from: str | None = None
    short_sides: tuple[int, int, int] | None = None
    prior: tuple[float, ...] = ()
    meant: Path | None = None

    @property
    def skipped_lines(self) -> tuple[str, ...]:
        """Return each image that was left out as "name: reason", for people."""
        return tuple(f"{name}: {reason}" for name, reason in self.skipped)

    def evaluated(self) -> list[tuple[str, Images]]:
        """Return the splits that a trained network is evaluated on, with their names."""
        return [("test", self.held_out), *([] if self.shifted is None else [("shifted", self.shifted)])]

    def group_codes(self, images: Images) -> NDArray[np.int64] | None:
        """Return the number of the group of every image of a split, (N,) int64; None where each stands for itself.

        Numbers go by the sorted names of the groups of that split.
        """
        return None if self.groups is None else self.groups.codes(images.names)

    @property
    def leaked(self) -> int:
        """How many groups the pool shares with held-out splits; none unless data.on_leak=list allows it."""
        if self.groups is None:
            return 0
        known = self.groups.of
        held_out = {known[name] for _, images in self.evaluated() for name in images.names}
        return len(held_out & {known[name] for name in self.pool.names})

    def without(self, copies: Sequence[Copy], *, where: str) -> "Source":
        """Return the source without images that are the same as others, among these or elsewhere.

        Args:
            copies: Those to leave out; some may be images that are not in it.
            where: What has been compared, for messages.

        Raises:
            DataError: A class has nothing else.
        """
        pool, held_out = (without(images, copies) for images in (self.pool, self.held_out))
        require_classes(self.classes, {TRAIN: pool.labels, "test": held_out.labels}, copies, where=where)
        same = pool is self.pool and held_out is self.held_out
        digest = self.digest if same else digest_lines([["without"], self.digest, [copy.name for copy in copies]])
        copies = (*self.copies, *copies)
        return dataclasses.replace(self, pool=pool, held_out=held_out, digest=digest, copies=copies)

    def regrouped(self, stated: Groups | None, copies: Sequence[Copy], *, where: str) -> "Source":
        """Return the source with groups of more images, those joined that share an image; its digest follows its own.

        Args:
            stated: Of its images and of others; None where each stands for itself.
            copies: Among all of them.
            where: What has been compared, for messages.

        Raises:
            DataError: A group came to lie on both sides, and that is refused.
        """
        groups = None if stated is None else stated.joined(copies)
        found = dataclasses.replace(self, groups=groups)
        if groups is None or groups is stated:
            return found
        return dataclasses.replace(
            found,
            digest=grouped_digest(self.digest, groups, self.pool, self.held_out),
            notes=(*self.notes, *joined_notes(stated, groups, copies)),
        ).settled(self.held_out, split="test", where=where)

    def settled(self, held_out: Images, *, split: str, where: str) -> "Source":
        """Return the source after a look at groups that are both in the pool and in a held-out split that was given.

        Args:
            held_out: The split.
            split: What it is called, test or shifted.
            where: The source for messages.

        Raises:
            DataError: There are some, and they are refused, or nothing else is left of a class.
        """
        if self.groups is None:
            return self
        on_leak, where = self.groups.on_leak, f"{where} with {self.groups.stated}"
        leaks = find_leaks(self.groups.of, self.pool.names, held_out.names, split=split)
        known = {leak.name for leak in self.leaks}
        if all(leak.name in known for leak in leaks):
            return self
        leaving = set(leaked_names(leaks, split=split, on_leak=on_leak, where=where))
        staying = [place for place, name in enumerate(self.pool.names) if name not in leaving]
        pool = subset(self.pool, np.array(staying, np.int64))
        if gone := sorted(set(range(len(self.classes))) - set(pool.labels.tolist())):
            raise DataError(
                f"{where}: data.on_leak=move leaves no training image of class {self.classes[gone[0]]}, for all of its "
                f"groups are in the split {split} too; add images of other groups, or divide the splits by group"
            )
        return dataclasses.replace(
            self,
            pool=pool if leaving else self.pool,
            digest=digest_lines([["leaks"], self.digest, sorted(leaving)]) if leaving else self.digest,
            leaks=tuple(sorted({*self.leaks, *leaks})),
            notes=(*self.notes, leak_note(leaks, split=split, on_leak=on_leak)),
        )


def without(images: Images, copies: Iterable[Copy]) -> Images:
    """Return the images of a split that are not left out; the split itself where all stay."""
    places = remaining(images.names, copies)
    return images if len(places) == len(images.labels) else subset(images, places)


def subset(images: Images, places: NDArray[np.int64]) -> Subset:
    """Return some images of a split: places (N,) in it."""
    return Subset(images=images, places=places, labels=images.labels[places])


def describe(images: Images) -> list[list[Any]]:
    """Return name, label and digest of every image, as JSON values."""
    digests = (images.digest(index).hex() for index in range(len(images.names)))
    return [list(line) for line in zip(images.names, images.labels.tolist(), digests, strict=True)]


def grouped_digest(digest: str, groups: Groups | None, *splits: Images) -> str:
    """Return the digest of a source whose images have groups; the same one where they have none."""
    if groups is None:
        return digest
    return digest_lines([["groups"], digest, *([groups.of[name] for name in images.names] for images in splits)])


def digest_lines(lines: Iterable[Any]) -> str:
    """Return the sha256 of JSON values, one a line, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for line in lines:
        sha.update(json.dumps(line, sort_keys=True).encode())
        sha.update(b"\n")
    return sha.hexdigest()
