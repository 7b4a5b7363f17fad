"""Images that were checked at the start, for their digests and to see that they decode."""

import functools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlexp.config.data import OnBad
from tlexp.data.budget import hold_out
from tlexp.data.classes import name_notes
from tlexp.data.copies import find_copies, require_classes
from tlexp.data.counts import Counts, count_listed
from tlexp.data.decode import Decoding, decoder_name, doubtful
from tlexp.data.files import Listing, UnreadImage, unused_files
from tlexp.data.groups import Grouper, Groups, joined_notes
from tlexp.data.images import Images, OnProgress, Source, describe, digest_lines, grouped_digest, subset, without
from tlexp.data.index import Index
from tlexp.data.splits import TRAIN
from tlexp.data.verdicts import check_files
from tlexp.errors import BadImagesError, DataError
from tlexp.terminal import list_item


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images are read.

    Attributes:
        on_bad: Whether unreadable images are an error or left out.
        follow_links: Follow links out of a folder.
        decoding: How files become pixels.
        progress: Called as images are read.
        grouper: Says which images belong together; each stands for itself when None.
        index: What earlier commands found in files.
    """

    on_bad: OnBad
    follow_links: bool
    decoding: Decoding
    progress: OnProgress
    grouper: Grouper | None = None
    index: Index = field(default_factory=lambda: Index(None))

    def more_groups(
        self, known: Groups | None, listing: Listing, classes: Sequence[str], *, where: str, prefix: str
    ) -> Groups | None:
        """Return the groups that are known with those of the images of one more folder.

        Raises:
            DataError: Images have no group, or a table names others.
        """
        if self.grouper is None or known is None:
            return None
        return known.more(self.grouper.name([listing], classes, where=where, prefix=prefix).of)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a source consists of before anything is opened.

    Attributes:
        where: The source for messages, e.g. "data.root=photos".
        classes: Printable class names, in the order of the labels.
        pool: What label budgets are drawn from.
        held_out: The test split; None where it has to be split off the pool.
        pool_from: Where the pool comes from, as people know it.
        held_out_from: The same for the test split.
        notes: Remarks for the user.
        meant: The folder below the one that was named which holds the classes by its looks; None where none does.
    """

    where: str
    classes: tuple[str, ...]
    pool: Listing
    held_out: Listing | None
    pool_from: str
    held_out_from: str | None = None
    notes: tuple[str, ...] = ()
    meant: Path | None = None

    @property
    def listings(self) -> list[Listing]:
        """What there is of either split."""
        return [self.pool, *([] if self.held_out is None else [self.held_out])]

    def groups(self, grouper: Grouper | None) -> Groups | None:
        """Return which images belong together.

        Raises:
            DataError: Images have no group, or a table names others.
        """
        return None if grouper is None else grouper.name(self.listings, self.classes, where=self.where)

    def counts(self, grouper: Grouper | None) -> Counts | None:
        """Return how many images each class has; None where listed ones are refused, which only reading can weigh.

        Raises:
            DataError: As `groups`; a class has a single image, or a single group, of which a fifth is to be held out.
        """
        return count_listed(self.classes, self.pool, self.held_out, self.groups(grouper))


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An image that decodes.

    Attributes:
        file: Where it is.
        digest: Of its content, 64 hexadecimal digits.
        conversions: What its decoding converted.
        short_side: In pixels.
    """

    file: UnreadImage
    digest: str
    conversions: tuple[str, ...]
    short_side: int


@dataclass(frozen=True, kw_only=True)
class CheckedImages:
    """Images of one split, decoded anew at every reading."""

    checked: tuple[Checked, ...]
    decoding: Decoding

    @functools.cached_property  # a study's replicate asks for it some twenty times
    def labels(self) -> NDArray[np.int64]:
        """Return the class index of every image, (N,) int64."""
        return np.fromiter((item.file.label for item in self.checked), np.int64, len(self.checked))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the printable name of every image."""
        return tuple(item.file.name for item in self.checked)

    def read(self, index: int) -> Image.Image:
        """Return one image as RGB, upright.

        Raises:
            DataError: It cannot be read any more, or its content is not that of the digest.
        """
        item = self.checked[index]
        try:
            digest, decoded = item.file.load(self.decoding)
        except DataError as error:
            raise DataError(f"{item.file.name} could be read when the run began, now not: {error}") from error
        if digest != item.digest:
            raise DataError(
                f"{item.file.name} was changed while the run used it; start again, with data.recheck=true if this "
                "comes again: the times of the file do not show the change then"
            )
        return decoded.image

    def digest(self, index: int) -> bytes:
        """Return the sha256 of one image's content, as it was when the source was opened."""
        return bytes.fromhex(self.checked[index].digest)


def check(found: Found, reading: Reading, *, source_seed: int) -> Source:
    """Read every image once and return the source.

    Args:
        found: What there is.
        reading: How it is read.
        source_seed: Splits off the held-out fifth where there is no test split.

    Raises:
        BadImagesError: Images cannot be read.
        DataError: A class is empty but for copies, or photographs of phones cannot be decoded here; images have no
            group, or groups lie on both sides, or hold all of a class.
    """
    listings, stated = found.listings, found.groups(reading.grouper)
    checked, skipped = read_all(listings, found.classes, reading, where=found.where)
    read: list[Images] = [CheckedImages(checked=items, decoding=reading.decoding) for items in checked]
    given = dict(zip((TRAIN, "test"), read, strict=False))
    copies = find_copies({split: describe(images) for split, images in given.items()})
    groups = None if stated is None else stated.joined(copies)
    splits = [without(images, copies) for images in read]
    labels = dict(zip(given, (images.labels for images in splits), strict=True))
    require_classes(found.classes, labels, copies, where=found.where)
    if found.held_out is None:
        codes = None if groups is None else groups.codes(splits[0].names)
        parts = hold_out(splits[0].labels, seed=source_seed, classes=found.classes, groups=codes)
        splits = [subset(splits[0], part) for part in parts]
    pool, held_out = splits
    source = Source(
        classes=found.classes,
        pool=pool,
        held_out=held_out,
        digest=grouped_digest(_digest(found.classes, pool, held_out, reading.decoding), groups, pool, held_out),
        skipped=skipped,
        copies=copies,
        groups=groups,
        notes=(
            *found.notes,
            *name_notes(found.classes),
            *joined_notes(stated, groups, copies),
            *_notes(listings, [item for items in checked for item in items]),
        ),
        pool_from=found.pool_from,
        held_out_from=found.held_out_from,
        short_sides=_short_sides([item.short_side for items in checked for item in items]),
        meant=found.meant,
    )
    return source if found.held_out is None else source.settled(held_out, split="test", where=found.where)


def _short_sides(sides: Sequence[int]) -> tuple[int, int, int]:
    """Return the smallest, the median and the largest.

    >>> _short_sides([3, 1, 2, 9])
    (1, 2, 9)
    """
    return min(sides), statistics.median_low(sides), max(sides)


def read_all(
    listings: Sequence[Listing], classes: Sequence[str], reading: Reading, *, where: str
) -> tuple[list[tuple[Checked, ...]], tuple[tuple[str, str], ...]]:
    """Read every listed image; return what can be used of each listing, and what cannot as (name, reason), sorted.

    Raises:
        BadImagesError: Something cannot be read and on_bad is refuse, or a class has nothing left in a listing.
    """
    files = [file for listing in listings for file in listing.files]
    bad = [pair for listing in listings for pair in listing.refused]
    if reading.on_bad is OnBad.refuse:
        _require_decoders(files, reading, where)
    checked: list[Checked] = []
    for result in _load_all(files, reading):
        checked.append(result) if isinstance(result, Checked) else bad.append(result)
    bad.sort()
    lines = tuple(f"{name}: {reason}" for name, reason in bad)
    if bad and reading.on_bad is OnBad.refuse:
        total = len(files) + sum(len(listing.refused) for listing in listings)
        raise BadImagesError(
            f"{where}: {len(lines)} of {total} images cannot be used:",
            lines,
            "Mend or remove them, or leave them out with data.on_bad=skip",
        )
    split_of = {file.name: i for i, listing in enumerate(listings) for file in listing.files}
    kept = [tuple(item for item in checked if split_of[item.file.name] == i) for i in range(len(listings))]
    for items in kept:
        missing = set(range(len(classes))) - {item.file.label for item in items}
        if missing:
            names = ", ".join(list_item(classes[label]) for label in sorted(missing))
            raise BadImagesError(
                f"{where}: no image that can be read is left in class {names}:",
                lines,
                "Mend some of them, or remove the class in every split",
            )
    return kept, tuple(bad)


def _require_decoders(files: Sequence[UnreadImage], reading: Reading, where: str) -> None:
    """Refuse photographs of phones where they cannot be decoded before all are read: they are many and large.

    Raises:
        DataError: The first of them does not decode. Its name alone says little: it may be a JPEG.
    """
    if not (those := [file for file in files if doubtful(file.name)]):
        return
    try:
        those[0].load(reading.decoding)
    except DataError as error:
        raise DataError(
            f"{where}: {len(those)} of {len(files)} images are HEIC or AVIF by their names, e.g. {those[0].name}: "
            f"{error}, or leave them out with data.on_bad=skip"
        ) from error


def _load_all(files: Sequence[UnreadImage], reading: Reading) -> Iterator[Checked | tuple[str, str]]:
    """Check images; yield in their order what was found, or (name, reason)."""
    verdicts = check_files(files, reading.decoding, index=reading.index, progress=reading.progress)
    for file, found in zip(files, verdicts, strict=True):
        if found.refusal is not None:
            yield file.name, found.refusal
        else:
            yield Checked(file=file, digest=found.digest, conversions=found.conversions, short_side=found.short_side)


def _digest(classes: Sequence[str], pool: Images, held_out: Images, decoding: Decoding) -> str:
    """Return the digest of images that were read, whoever read them.

    It says "folder" for tables and timm's datasets too: equal digests mean equal names, labels, splits and contents,
    and then the source is the same one, named in another way.
    """
    return digest_lines(
        [["folder", decoder_name(decoding.decoder), list(classes)], *describe(pool), ["held out"], *describe(held_out)],
    )


def _notes(listings: Sequence[Listing], checked: Sequence[Checked]) -> Iterator[str]:
    """Say what was passed over or converted."""
    if others := [name for listing in listings for name in listing.others]:
        yield unused_files(others)
    yield from conversions(checked)


def conversions(items: Sequence[Checked]) -> Iterator[str]:
    """Say what the decoding of images converted."""
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for item in items:
        for conversion in item.conversions:
            counts[conversion] += 1
            examples.setdefault(conversion, item.file.name)
    for conversion, count in sorted(counts.items()):
        yield f"{count} images {conversion}, e.g. {examples[conversion]}"
