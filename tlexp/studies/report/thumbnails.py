"""Thumbnails of the test images that a report shows; they are kept, for the images may be gone the next time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tlexp.data import Images
from tlexp.data.thumbnails import thumbnail
from tlexp.errors import DataError
from tlexp.paths import is_regular, publish
from tlexp.studies.analysis.findings import Mistake

FOLDER = "thumbnails"
MOST = 12
"""Mistakes that are shown."""


def keep_thumbnails(report: Path, mistakes: Sequence[Mistake], images: Images | None) -> Mapping[int, bytes]:
    """Return JPEGs of the first mistakes by their place in the test split; images that cannot be had are left out.

    Args:
        report: Folder of the report.
        mistakes: The most confident first.
        images: Of the test split; without them those are taken that an earlier report has left.
    """
    folder, found = report / FOLDER, {}
    for mistake in mistakes[:MOST]:
        path = folder / f"{mistake.image}.jpg"
        jpeg = _kept(path) if images is None else _made(images, mistake.image)
        if jpeg is not None:
            found[mistake.image] = jpeg
    if images is not None and found:
        for path in folder.glob("*.jpg"):
            path.unlink()  # of other mistakes
        for place, jpeg in found.items():
            folder.mkdir(parents=True, exist_ok=True)
            publish(folder / f"{place}.jpg", jpeg)
    return found


def _kept(path: Path) -> bytes | None:
    return path.read_bytes() if is_regular(path) else None


def _made(images: Images, place: int) -> bytes | None:
    try:
        return thumbnail(images.read(place))
    except (DataError, OSError):  # it is gone, or another one than when the study began
        return None
