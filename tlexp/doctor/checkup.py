"""A checkup of the images of a source, top to bottom: opened, seen by a frozen network, compared, judged, written.

What it leaves in its folder is a page, and tables for programs; typing the command again renews them.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tlexp.config import Config
from tlexp.config.data import DataConfig, Decoder, OnBad
from tlexp.config.group import OnLeak
from tlexp.data import copies_csv
from tlexp.data.leaks import LISTED
from tlexp.doctor.chapters import build_chapters
from tlexp.doctor.diagnosis import Diagnosis, diagnose
from tlexp.doctor.features import BACKBONE, expected_by, extract_features, seen_by_lite0
from tlexp.doctor.findings import Finding, list_findings
from tlexp.doctor.gallery import visit
from tlexp.doctor.kinship import find_kinship, group_table
from tlexp.doctor.page import build_page
from tlexp.doctor.suspects import suspects_csv
from tlexp.doctor.table import as_json, diagnosis_table, title
from tlexp.errors import ConfigError
from tlexp.experiment.images import open_images
from tlexp.experiment.session import Session
from tlexp.paths import publish, publish_json, remove_abandoned
from tlexp.secrets import masked
from tlexp.terminal import short_path
from tlexp.tracking.names import BAD_IMAGES_FILE
from tlexp.train import Listener

PAGE, VALUES = "index.html", "doctor.json"
COPIES, GROUPS, SUSPECTS = "copies.csv", "groups.csv", "suspects.csv"

_DIGITS: Final = 6
"""Of a path's digest, where a folder's name needs them."""


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What came of it.

    Attributes:
        diagnosis: Of the source.
        findings: What was looked for.
        files: What was written, the page first.
    """

    diagnosis: Diagnosis
    findings: list[Finding]
    files: list[Path]

    @property
    def well(self) -> bool:
        """Whether nothing was found that counts."""
        return not any(finding.counts for finding in self.findings)

    def told(self) -> str:
        """Return it for people."""
        return diagnosis_table(self.diagnosis, self.findings, self.files)

    def values(self) -> dict[str, Any]:
        """Return it as plain values."""
        return as_json(self.diagnosis, self.findings, self.files)


def examine(config: Config, listener: Listener) -> Diagnosis:
    """Return what is found out about the images that a run would take; nothing is written but the feature cache.

    Args:
        config: Of the run; its backbone is not asked.
        listener: Hears of images that are read, and of what was noted.

    Raises:
        DataError: The images do not allow a run, unreadable ones left out.
        ConfigError: The name of a class is a secret.
        WeightsError: The package with the weights is damaged.
        OutOfMemoryError: A chunk does not fit into the device's memory.
    """
    session = Session()
    if config.backbone.name != BACKBONE:
        listener.message(
            f"doctor looks with {BACKBONE}, not with {config.backbone.name}: its findings are of the images"
        )
    moves, skipping = config.data.on_leak is OnLeak.move, config.data.on_bad is OnBad.skip
    config = seen_by_lite0(dataclasses.replace(config, data=_lenient(config.data)))
    source = open_images(config, expected_by(config), listener)
    source = dataclasses.replace(source, notes=tuple(note for note in source.notes if not note.endswith(LISTED)))
    for note in source.notes:
        listener.message(note)
    classes = len(source.classes)
    gallery = visit(
        source,
        lambda images: extract_features(config, images, session, listener, classes=classes),
        listener,
        leaving={leak.name for leak in source.leaks} if moves else frozenset(),
    )
    return diagnose(
        source_name(config.data),
        source,
        gallery,
        find_kinship(gallery, listener),
        groupable=config.data.source.example is not None,
        skipping=skipping,
    )


def _lenient(data: DataConfig) -> DataConfig:
    """Return settings with which all images are looked at, and all of them: nothing is refused, moved or left out."""
    on_leak = OnLeak.refuse if data.group is None else OnLeak.list
    return dataclasses.replace(data, on_bad=OnBad.skip, on_leak=on_leak, decoder=Decoder.exact)


def check_up(config: Config, folder: Path, listener: Listener) -> Checkup:
    """Examine images, write what was found into a folder, and return it.

    Raises:
        ConfigError: The folder holds files of somebody else, under names that are written here.
        DataError: As `examine`.
        OSError: The folder cannot be written; nothing has been read then.
    """
    require_own(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    diagnosis = examine(config, listener)
    findings = list_findings(diagnosis, short_path(folder / GROUPS))
    return Checkup(diagnosis=diagnosis, findings=findings, files=write_files(folder, diagnosis, findings))


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


def source_name(data: DataConfig) -> str:
    """Return how people call a source: its dataset, its folder, its table, else its kind."""
    place = _place(data)
    if data.name or place is None:
        return data.name or str(data.source)
    return masked(place.name) or str(data.source)


def default_folder(data: DataConfig) -> Path:
    """Return where the findings of a source lie, the same each time, and another one for each place.

    What lies in the working folder under a plain name has that name alone; others end in digits of their whole path.
    """
    place = _place(data)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source_name(data)).strip("-.") or str(data.source)
    if place is not None and place != Path.cwd().resolve() / name:
        name += f"-{hashlib.sha256(os.fsencode(place)).hexdigest()[:_DIGITS]}"
    return Path("outputs") / f"doctor-{name}"


def _place(data: DataConfig) -> Path | None:
    """Return the folder or table that holds the images, whole; None where they lie nowhere that is told."""
    place = data.root or data.train
    return Path(place).expanduser().resolve() if place else None
