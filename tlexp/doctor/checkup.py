"""A checkup of the images of a source, top to bottom: opened, seen by a frozen network, compared, judged, written."""

import dataclasses
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tlexp.config import Config
from tlexp.config.data import DataConfig, OnBad
from tlexp.config.group import OnLeak
from tlexp.data.leaks import LISTED
from tlexp.doctor.diagnosis import Diagnosis, diagnose
from tlexp.doctor.features import BACKBONE, expected_by, extract_features, seen_by_lite0
from tlexp.doctor.files import findings_of, require_own, write_files
from tlexp.doctor.findings import Finding
from tlexp.doctor.gallery import visit
from tlexp.doctor.kinship import find_kinship
from tlexp.doctor.table import as_json, diagnosis_table
from tlexp.experiment.images import open_images
from tlexp.experiment.session import Session
from tlexp.paths import remove_abandoned
from tlexp.secrets import masked
from tlexp.train import Listener

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
    moves = config.data.on_leak is OnLeak.move
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
    groupable = config.data.source.example is not None
    return diagnose(source_name(config.data), source, gallery, find_kinship(gallery, listener), groupable=groupable)


def _lenient(data: DataConfig) -> DataConfig:
    """Return settings with which all images are looked at: unreadable ones are noted, and no group moves an image."""
    return dataclasses.replace(data, on_bad=OnBad.skip, on_leak=OnLeak.refuse if data.group is None else OnLeak.list)


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
    findings = findings_of(diagnosis, folder)
    return Checkup(diagnosis=diagnosis, findings=findings, files=write_files(folder, diagnosis, findings))


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
