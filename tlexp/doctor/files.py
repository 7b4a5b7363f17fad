"""What a checkup leaves in its folder: a page, and tables for programs; typing the command again renews them."""

import os
from collections.abc import Sequence
from pathlib import Path

from tlexp.data import copies_csv
from tlexp.doctor.chapters import build_chapters
from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.features import BACKBONE
from tlexp.doctor.findings import Finding, list_findings
from tlexp.doctor.kinship import group_table
from tlexp.doctor.page import build_page
from tlexp.doctor.suspects import suspects_csv
from tlexp.doctor.table import as_json, title
from tlexp.errors import ConfigError
from tlexp.paths import publish, publish_json
from tlexp.terminal import short_path
from tlexp.tracking.names import BAD_IMAGES_FILE

PAGE, VALUES = "index.html", "doctor.json"
COPIES, GROUPS, SUSPECTS = "copies.csv", "groups.csv", "suspects.csv"


def require_own(folder: Path) -> None:
    """Refuse a folder with files that somebody else wrote and doctor would write over.

    Raises:
        ConfigError: It holds one, and not the values of an earlier look.
    """
    if (folder / VALUES).exists():
        return
    theirs = [name for name in (PAGE, GROUPS, COPIES, SUSPECTS, BAD_IMAGES_FILE) if os.path.lexists(folder / name)]
    if theirs:
        raise ConfigError(
            f"--folder={short_path(folder)} holds {', '.join(theirs)} and no {VALUES} of an earlier look: doctor would "
            "write over them; name another folder, as --folder=findings, or move those files"
        )


def findings_of(diagnosis: Diagnosis, folder: Path) -> list[Finding]:
    """Return what was looked for, with what to type where the folder holds the groups."""
    return list_findings(diagnosis, short_path(folder / GROUPS))


def write_files(folder: Path, diagnosis: Diagnosis, findings: Sequence[Finding]) -> list[Path]:
    """Write a diagnosis into a folder and return its files, the page first; equal diagnoses give equal bytes.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    gallery, skipped = diagnosis.gallery, diagnosis.source.skipped_lines
    content: dict[str, bytes | str] = {
        GROUPS: group_table(diagnosis.source, gallery, diagnosis.kinship),
        COPIES: copies_csv(diagnosis.source.copies),
        SUSPECTS: suspects_csv(diagnosis.suspects, gallery.names, gallery.classes),
    }
    if skipped:
        content[BAD_IMAGES_FILE] = "".join(f"{line}\n" for line in skipped)
    else:
        (folder / BAD_IMAGES_FILE).unlink(missing_ok=True)  # of an earlier look
    chapters = build_chapters(diagnosis, findings)
    facts = (title(diagnosis), f"Seen by {BACKBONE}, frozen, whatever backbone is studied.")
    content[PAGE] = build_page(f"Checkup of {diagnosis.name}", facts, chapters, gallery)
    files = [folder / name for name in (PAGE, *(name for name in content if name != PAGE), VALUES)]
    publish_json(folder / VALUES, as_json(diagnosis, findings, files))  # first: it tells whose folder this is
    for name, data in content.items():
        publish(folder / name, data)
    return files
