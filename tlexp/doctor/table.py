"""A diagnosis on one screen, and the same as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.findings import Finding, confusion_words, remainder_words, size_words, unsorted_words
from tlexp.terminal import aligned, list_item, short_path

SCHEMA = 1
"""Of the keys."""
_CLASSES = 4
"""So many classes are named there."""


def diagnosis_table(diagnosis: Diagnosis, findings: Sequence[Finding], files: Sequence[Path]) -> str:
    """Return what was found for people: a line for each thing that was looked for, and what to type next.

    Args:
        diagnosis: Of a source.
        findings: Of `list_findings`.
        files: What was written, the page first.
    """
    rows: list[tuple[str, ...]] = [("", "found", "", "what to do")]
    rows += [_row(finding) for finding in findings]
    page, *others = files
    lines = [
        *(f"class     {words}" for words in unsorted_words(diagnosis)),
        *(f"confused  {confusion_words(diagnosis, pair)}" for pair in diagnosis.confusions[:1]),
        f"labels    {remainder_words(diagnosis)}",
        f"test      {size_words(diagnosis)}",
        f"page      {short_path(page)}   ({', '.join(path.name for path in others)} beside it)",
    ]
    return "\n".join([title(diagnosis), "", *aligned(rows, right=(1,)), "", *lines])


def title(diagnosis: Diagnosis) -> str:
    """Return what was looked at, in a line."""
    gallery, source = diagnosis.gallery, diagnosis.source
    learned, tested = int(gallery.learned.sum()), int(gallery.tested.sum())
    per_class = [(name, sum(split[name] for split in diagnosis.counts.values())) for name in gallery.classes]
    named = ", ".join(f"{list_item(name)} {count:,}" for name, count in per_class[:_CLASSES])
    more = ", ..." if len(per_class) > _CLASSES else ""
    held = "a fifth, split off" if source.held_out_from is None else source.held_out_from
    return (
        f"{diagnosis.name}: {len(per_class)} classes ({named}{more}); {learned:,} images to learn from, "
        f"{tested:,} to test ({held})"
    )


def _row(finding: Finding) -> tuple[str, ...]:
    found = f"{finding.count:,}" if finding.count else "-"
    return finding.title, found, finding.of, finding.advice if finding.count else ""


def as_json(diagnosis: Diagnosis, findings: Sequence[Finding], files: Sequence[Path]) -> dict[str, Any]:
    """Return a diagnosis as plain values.

    Args:
        diagnosis: Of a source.
        findings: Of `list_findings`.
        files: What was written, the page first.
    """
    gallery, source = diagnosis.gallery, diagnosis.source
    classes = gallery.classes
    return {
        "schema": SCHEMA,
        "name": diagnosis.name,
        "classes": list(classes),
        "counts": diagnosis.counts,
        "test_from": source.held_out_from,
        "notes": [*source.notes, *unsorted_words(diagnosis)],
        "findings": [
            {
                "key": finding.key,
                "count": finding.count,
                "counts": finding.counts,
                "example": finding.example,
                "advice": finding.advice,
            }
            for finding in findings
        ],
        "unreadable": list(source.skipped_lines),
        "accuracy": diagnosis.accuracy,
        "unjudged": diagnosis.unjudged,
        "confused": [
            {
                "classes": [classes[place] for place in pair.classes],
                "mistaken": list(pair.mistaken),
                "images": list(pair.images),
            }
            for pair in diagnosis.confusions
        ],
        "budgets": [
            {
                "labels": remainder.labels,
                "class": classes[remainder.label],
                "images": remainder.images,
                "groups": remainder.groups,
                "left": remainder.left,
            }
            for remainder in diagnosis.remainders
        ],
        "test": {
            "images": diagnosis.split_size.images,
            "groups": diagnosis.split_size.groups,
            "accuracy": diagnosis.split_size.accuracy,
            "half_width": diagnosis.split_size.half_width,
            "grouped_half_width": diagnosis.split_size.grouped_half_width,
        },
        "files": [str(path) for path in files],
    }
