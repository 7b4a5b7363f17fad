"""The user's own images: every file is read once at the start, for its digest and to see that it decodes."""

import contextlib
import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.config.data import OnBad
from tlexp.data.budget import hold_out
from tlexp.data.decode import DECODER, Decoded, decode, pillow_guard, printable
from tlexp.data.images import Progress, Source, digest_lines
from tlexp.data.listing import ImageFile, Layout, Listing, find_layout, list_images
from tlexp.errors import DataError

_NAMED = 20
"""So many bad images are named in an error."""
_CHUNK = 16
"""Files a thread takes at once: large enough for small images, small enough to stop soon."""
_WHOLE_BYTES = 64 << 20
"""Larger files are not read into memory in one piece."""
_SMALL_BYTES = 8 << 10


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A file that decodes: the digest of its bytes, 64 hexadecimal digits, and what its decoding converted."""

    file: ImageFile
    digest: str
    conversions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FolderImages:
    """Images of one split, decoded anew at every reading."""

    checked: tuple[_Checked, ...]
    max_pixels: int

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        return np.fromiter((item.file.label for item in self.checked), np.int64, len(self.checked))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the printable path below the root of every image."""
        return tuple(item.file.name for item in self.checked)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright.

        Raises:
            DataError: The file cannot be read any more, or its bytes are not those of the digest.
        """
        item = self.checked[index]
        try:
            digest, decoded = _read(item.file, self.max_pixels)
        except DataError as error:
            raise DataError(f"{item.file.name} could be read when the run began, now not: {error}") from error
        if digest != item.digest:
            raise DataError(f"{item.file.name} was changed while the run used it; start again")
        return decoded.image

    def digest(self, index: int) -> bytes:
        """Return the sha256 of one file's bytes, as they were when the source was opened."""
        return bytes.fromhex(self.checked[index].digest)


def open_folder(
    root: Path, *, source_seed: int, on_bad: OnBad, follow_links: bool, max_pixels: int, progress: Progress
) -> Source:
    """List, read and check a folder of images.

    Args:
        root: See `listing`.
        source_seed: Splits off the held-out fifth where the folder has no test split.
        on_bad: Whether unreadable images are an error or left out.
        follow_links: Follow links out of the root.
        max_pixels: Largest image that is decoded.
        progress: Called as files are read.

    Raises:
        DataError: The folder has no usable form; images cannot be read (all of them in one message); a class is empty.
    """
    layout = find_layout(root, follow_links=follow_links)
    splits = [split for split in (layout.pool, layout.held_out) if split is not None]
    listings = [list_images(split, layout, follow_links=follow_links) for split in splits]
    checked, skipped = _check(listings, layout, on_bad, max_pixels, progress)
    if layout.held_out is None:
        labels = np.array([item.file.label for item in checked[0]])
        parts = hold_out(labels, seed=source_seed, classes=layout.classes)
        checked = [tuple(checked[0][i] for i in part) for part in parts]
    pool, held_out = (FolderImages(checked=items, max_pixels=max_pixels) for items in checked)
    return Source(
        classes=layout.classes,
        pool=pool,
        held_out=held_out,
        digest=_digest(layout.classes, pool, held_out),
        skipped=skipped,
        notes=(*layout.notes, *_notes(listings, pool, held_out)),
    )


def _check(
    listings: Sequence[Listing], layout: Layout, on_bad: OnBad, max_pixels: int, progress: Progress
) -> tuple[list[tuple[_Checked, ...]], tuple[str, ...]]:
    """Read every listed file; return what can be used of each split, and what cannot as "name: reason".

    Raises:
        DataError: Something cannot be read and on_bad is refuse, or a class has nothing left.
    """
    files = [file for listing in listings for file in listing.files]
    bad = [(file.name, reason) for listing in listings for file, reason in listing.refused]
    checked: list[_Checked] = []
    for result in _read_all(files, max_pixels, progress):
        checked.append(result) if isinstance(result, _Checked) else bad.append(result)
    lines = tuple(f"{name}: {reason}" for name, reason in sorted(bad))
    if bad and on_bad is OnBad.refuse:
        raise DataError(_bad_message(layout, lines, len(files) + sum(len(listing.refused) for listing in listings)))
    split_of = {file.name: i for i, listing in enumerate(listings) for file in listing.files}
    kept = [tuple(item for item in checked if split_of[item.file.name] == i) for i in range(len(listings))]
    for items in kept:
        missing = set(range(len(layout.classes))) - {item.file.label for item in items}
        if missing:
            names = ", ".join(layout.classes[label] for label in sorted(missing))
            raise DataError(f"no image that can be read is left in class {names}:\n{_first(lines)}")
    return kept, lines


def _read_all(files: Sequence[ImageFile], max_pixels: int, progress: Progress) -> Iterator[_Checked | tuple[str, str]]:
    """Read files in threads; yield in their order what was found, or (name, reason)."""

    def check(file: ImageFile) -> _Checked | tuple[str, str]:
        try:
            digest, decoded = _read(file, max_pixels)
        except DataError as error:
            return file.name, str(error)
        return _Checked(file=file, digest=digest, conversions=decoded.conversions)

    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    done = 0
    with pillow_guard, ThreadPoolExecutor(_threads(files)) as pool:
        for results in pool.map(lambda chunk: [check(file) for file in chunk], chunks):
            yield from results
            done += len(results)
            progress(done, len(files))


def _threads(files: Sequence[ImageFile]) -> int:
    """Return how many threads read: small images spend their time in Python, where threads only hinder each other."""
    sizes = [0]
    for file in files[:: max(1, len(files) // 100)]:
        with contextlib.suppress(OSError):
            sizes.append(Path(file.path).stat().st_size)
    return 1 if sum(sizes) < _SMALL_BYTES * len(sizes) else min(8, os.cpu_count() or 1)


def _read(file: ImageFile, max_pixels: int) -> tuple[str, Decoded]:
    """Return the sha256 of a file's bytes and its image.

    Raises:
        DataError: The reason why it cannot be read.
    """
    try:
        with open(file.path, "rb") as opened:  # noqa: PTH123 - a Path per file is slow
            whole = os.fstat(opened.fileno()).st_size <= _WHOLE_BYTES
            stream: io.BytesIO | io.BufferedReader = io.BytesIO(opened.read()) if whole else opened
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            return digest, decode(stream, max_pixels=max_pixels)
    except OSError as error:
        raise DataError(error.strerror or type(error).__name__) from error


def _bad_message(layout: Layout, lines: Sequence[str], total: int) -> str:
    return (
        f"data.root={printable(str(layout.root))}: {len(lines)} of {total} images cannot be used:\n{_first(lines)}\n"
        "Mend or remove them, or leave them out with data.on_bad=skip"
    )


def _first(lines: Sequence[str]) -> str:
    """Return the first lines, indented, and how many more there are."""
    more = [f"... and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    return "\n".join(f"  {line}" for line in (*lines[:_NAMED], *more))


def _digest(classes: Sequence[str], pool: FolderImages, held_out: FolderImages) -> str:
    return digest_lines(
        [
            ["folder", DECODER, list(classes)],
            *([item.file.name, item.file.label, item.digest] for item in pool.checked),
            ["held out"],
            *([item.file.name, item.file.label, item.digest] for item in held_out.checked),
        ]
    )


def _notes(listings: Sequence[Listing], pool: FolderImages, held_out: FolderImages) -> Iterator[str]:
    """Say what was passed over, converted, or lies there twice."""
    if others := sum(listing.others for listing in listings):
        yield f"{others} other files between the images are not used"
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for item in (*pool.checked, *held_out.checked):
        for conversion in item.conversions:
            counts[conversion] += 1
            examples.setdefault(conversion, item.file.name)
    for conversion, count in sorted(counts.items()):
        yield f"{count} images {conversion}, e.g. {examples[conversion]}"
    yield from _duplicates(pool, held_out)


def _duplicates(pool: FolderImages, held_out: FolderImages) -> Iterator[str]:
    """Say which images are the same byte for byte, where that leaks the test split or contradicts a label."""
    in_pool = {item.digest: item.file.name for item in reversed(pool.checked)}
    shared = [(in_pool[item.digest], item.file.name) for item in held_out.checked if item.digest in in_pool]
    if shared:
        yield f"{len(shared)} held-out images are also in the training pool, e.g. {shared[0][1]} = {shared[0][0]}"
    same: defaultdict[str, list[ImageFile]] = defaultdict(list)
    for item in (*pool.checked, *held_out.checked):
        same[item.digest].append(item.file)
    torn = [files for files in same.values() if len({file.label for file in files}) > 1]
    if torn:
        other = next(file for file in torn[0] if file.label != torn[0][0].label)
        yield f"{len(torn)} images lie in several classes, e.g. {torn[0][0].name} = {other.name}"
