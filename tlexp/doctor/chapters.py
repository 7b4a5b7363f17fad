"""What the page says, in its order. Text is plain and not yet escaped."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tlexp.data.copies import Copy
from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.findings import Finding, confusion_words, group_words, remainder_words, size_words, unsorted_words
from tlexp.doctor.kinship import Kin
from tlexp.doctor.suspects import SURE, Suspect

LINES = 200
"""So many files or copies are listed on the page; the tables beside it have all."""
SUSPECTS, PAIRS, GROUPS, OF_GROUP = 24, 8, 6, 4
"""So many are shown with thumbnails: suspects; pairs across splits, and across classes; groups, and images of each."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Images side by side, and what to say of them.

    Attributes:
        places: Of the images.
        lines: Below them.
    """

    places: tuple[int, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of the page.

    Attributes:
        title: Its heading.
        paragraphs: Before everything else.
        head: Of the columns of its table; none where it has no table.
        rows: Of the table.
        cards: Images.
        lines: A list, which is opened by a click where it is long.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    cards: tuple[Card, ...] = ()
    lines: tuple[str, ...] = ()


def build_chapters(diagnosis: Diagnosis, findings: Sequence[Finding]) -> tuple[Chapter, ...]:
    """Return what the page says: of what was found a chapter each, and of what was not a line in the first."""
    return (
        _summary(findings),
        _images(diagnosis),
        *_unreadable(diagnosis),
        *_copies(diagnosis),
        *_near_copies(diagnosis),
        *_suspects(diagnosis),
        *_confusions(diagnosis),
        _budgets(diagnosis),
    )


def _summary(findings: Sequence[Finding]) -> Chapter:
    """Return a row for each thing that was found, and all others in a line."""
    rows = tuple(
        (finding.title, f"{finding.count:,}", finding.of, finding.example, finding.advice)
        for finding in findings
        if finding.count
    )
    others = [f"{finding.title} ({finding.of})" for finding in findings if not finding.count]
    return Chapter(
        title="Found" if rows else "Nothing found",
        head=("", "found", "", "such as", "what to do") if rows else (),
        rows=rows,
        lines=(f"{'Not found' if rows else 'Looked for'}: {', '.join(others)}.",) if others else (),
    )


def _images(diagnosis: Diagnosis) -> Chapter:
    gallery, source = diagnosis.gallery, diagnosis.source
    sides = gallery.sizes.min(1)
    smallest, largest = int(sides.argmin()), int(gallery.sizes.prod(1).argmax())
    low, high = sides.min(), sides.max()
    sizes = (
        f"Short sides: {low:,} to {high:,} pixels, median {np.median(sides):,.0f}. Smallest: "
        f"{gallery.names[smallest]} ({_size(diagnosis, smallest)}); largest: {gallery.names[largest]} "
        f"({_size(diagnosis, largest)}). Widest shape: {_widest(diagnosis)}."
    )
    counts = diagnosis.counts
    return Chapter(
        title="Images, classes and sizes",
        paragraphs=(
            sizes,
            *_bytes(diagnosis),
            *(f"{note}." for note in (*source.notes, *unsorted_words(diagnosis))),
        ),
        head=("class", "to learn from", "to test"),
        rows=tuple((name, f"{counts['train'][name]:,}", f"{counts['test'][name]:,}") for name in gallery.classes),
    )


def _size(diagnosis: Diagnosis, place: int) -> str:
    width, height = diagnosis.gallery.sizes[place].tolist()
    return f"{width:,} x {height:,}"


def _widest(diagnosis: Diagnosis) -> str:
    gallery = diagnosis.gallery
    place = int((gallery.sizes.max(1) / gallery.sizes.min(1)).argmax())
    return f"{gallery.names[place]} ({_size(diagnosis, place)})"


def _bytes(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what the files take, where images lie in files."""
    gallery = diagnosis.gallery
    if gallery.file_bytes.any():
        small, large = int(gallery.file_bytes.argmin()), int(gallery.file_bytes.argmax())
        yield (
            f"Files: {gallery.file_bytes.sum():,} bytes in all; the smallest is {gallery.names[small]} "
            f"({gallery.file_bytes[small]:,} bytes), the largest {gallery.names[large]} "
            f"({gallery.file_bytes[large]:,} bytes)."
        )


def _unreadable(diagnosis: Diagnosis) -> Iterator[Chapter]:
    skipped = diagnosis.source.skipped_lines
    if skipped:
        files = f"{len(skipped):,} file{'' if len(skipped) == 1 else 's'}"
        out = "leaves them out, as data.on_bad=skip says"
        asked = out if diagnosis.skipping else "refuses such files, or leaves them out with data.on_bad=skip"
        told = f"{files} cannot be read. A run {asked}."
        yield Chapter(title="Unreadable files", paragraphs=(told,), lines=_cut(skipped, "bad-images.txt"))


def _cut(lines: Sequence[str], file: str) -> tuple[str, ...]:
    more = len(lines) - LINES
    return (*lines[:LINES], *([f"... and {more:,} more, in {file}"] if more > 0 else []))


def _copies(diagnosis: Diagnosis) -> Iterator[Chapter]:
    copies = diagnosis.source.copies
    told = "Files of the same content count as one image. Under two classes none of them is used: one label is wrong."
    if copies:
        yield Chapter(
            title="Exact copies",
            paragraphs=(f"{told} {len(copies):,} are left out.",),
            lines=_cut([_copy(copy) for copy in copies], "copies.csv"),
        )


def _copy(copy: Copy) -> str:
    return f"{copy.name} = {copy.same_as} ({copy.kind})"


def _near_copies(diagnosis: Diagnosis) -> Iterator[Chapter]:
    kinship, gallery = diagnosis.kinship, diagnosis.gallery
    leaked, held_out = kinship.leaked(gallery), int(gallery.held_out.sum())
    splits, torn, large = kinship.across_splits(gallery), kinship.torn(gallery), kinship.large
    if leaked:
        told = (
            f"{len(leaked):,} of {held_out:,} test images ({len(leaked) / held_out:.1%}) show what a training image "
            "shows: they test memory, and make every accuracy too high."
        )
        yield Chapter(title="Near copies across splits", paragraphs=(told,), cards=_pairs(diagnosis, splits))
    if torn:
        yield Chapter(
            title="Near copies across classes",
            paragraphs=(f"{len(torn):,} images show what an image of another class shows.",),
            cards=_pairs(diagnosis, kinship.across_classes(gallery)),
        )
    if not large:
        return
    told = f"{sum(map(len, large)):,} images make {group_words(len(large))}."
    if diagnosis.groupable:
        told += " data.group=groups.csv keeps each on one side of every split."
    cards = (
        Card(
            places=tuple(part[:OF_GROUP].tolist()),
            lines=(f"{len(part):,} images", *(gallery.names[place] for place in part[:OF_GROUP].tolist())),
        )
        for part in large[:GROUPS]
    )
    yield Chapter(title="Groups", paragraphs=(told,), cards=tuple(cards))


def _pairs(diagnosis: Diagnosis, pairs: Sequence[Kin]) -> tuple[Card, ...]:
    return tuple(
        Card(
            places=(pair.first, pair.second),
            lines=tuple(_placed(diagnosis, place) for place in (pair.first, pair.second)),
        )
        for pair in islice(pairs, PAIRS)
    )


def _placed(diagnosis: Diagnosis, place: int) -> str:
    gallery = diagnosis.gallery
    return f"{gallery.names[place]} ({gallery.label_of(place)}, {gallery.split_of(place)})"


def _suspects(diagnosis: Diagnosis) -> Iterator[Chapter]:
    if diagnosis.judgement is None:
        none = "They were not looked for: no class has two images that show different things."
        yield Chapter(title="Suspect labels", paragraphs=(none,))
        return
    suspects, sure = diagnosis.suspects, len(diagnosis.sure_suspects)
    told = (
        f"{len(suspects):,} images look like another class to a probe that did not learn from them, {sure:,} of them "
        f"with a confidence of {SURE:g} or more. All stand in suspects.csv; these are the first. Mistakes of the probe "
        "are among them: look before you mend."
        if suspects
        else "There are none."
    )
    skipped = (f"{diagnosis.unjudged:,} images could not be judged: nothing else has their label.",)
    if suspects or diagnosis.unjudged:
        yield Chapter(
            title="Suspect labels",
            paragraphs=(told, *(skipped if diagnosis.unjudged else ())),
            cards=tuple(_suspect(diagnosis, suspect) for suspect in suspects[:SUSPECTS]),
        )


def _suspect(diagnosis: Diagnosis, suspect: Suspect) -> Card:
    classes = diagnosis.gallery.classes
    confidence = math.floor(100 * suspect.confidence) / 100  # rounded up, 0.9499 would seem to be a sure one
    return Card(
        places=(suspect.place,),
        lines=(
            f"{classes[suspect.label]}? Looks like {classes[suspect.looks_like]} ({confidence:.2f})",
            diagnosis.gallery.names[suspect.place],
        ),
    )


def _confusions(diagnosis: Diagnosis) -> Iterator[Chapter]:
    told = tuple(confusion_words(diagnosis, pair) for pair in diagnosis.confusions)
    accuracy = diagnosis.accuracy
    known = (
        (f"Of the images that it did not learn from, the frozen probe names {accuracy:.1%} rightly.",)
        if accuracy
        else ()
    )
    if told:
        yield Chapter(title="Classes that are confused", paragraphs=known, lines=told)


def _budgets(diagnosis: Diagnosis) -> Chapter:
    told = (f"{remainder_words(diagnosis)}.", f"{size_words(diagnosis)}.")
    return Chapter(title="What budgets leave", lines=told)
