"""The images of a dataset that somebody else reads: one by one, or all in one pass."""

import contextlib
import hashlib
import io
import logging
import os
import re
import tempfile
import threading
import weakref
from dataclasses import dataclass
from typing import IO, Any

from PIL import Image

from tlexp.data.decode import UNREADABLE, Decoded, Decoding, decode, printable
from tlexp.data.rgb import to_rgb
from tlexp.errors import DataError
from tlexp.paths import open_regular


@dataclass(frozen=True, kw_only=True)
class ReaderImage:
    """An image of a dataset, not yet read."""

    images: "ReaderImages | StreamedImages"
    index: int
    name: str
    label: int

    @property
    def file_bytes(self) -> int:
        """Return 0: readers are asked by one thread at a time."""
        return 0

    def load(self, asked: Decoding) -> tuple[str, Decoded]:
        """Return the sha256 of the file's bytes, or of the pixels where there is no file, and the image.

        Raises:
            DataError: The reason why it cannot be read.
        """
        try:
            content = self.images.fetch(self.index)
        except UNREADABLE as error:
            raise DataError(f"{printable(str(error))} ({type(error).__name__})".lstrip()) from error
        if isinstance(content, bytes):
            decoded = decode(io.BytesIO(content), asked)
            return decoded.content(hashlib.sha256(content).hexdigest()), decoded
        if content.width * content.height > asked.max_pixels:
            raise DataError(f"{content.width} x {content.height} pixels exceed data.max_pixels={asked.max_pixels}")
        rgb = to_rgb(content, bits=asked.bits, two_bytes=False)
        image = rgb.image
        digest = hashlib.sha256(f"pixels {image.width} x {image.height} ".encode() + image.tobytes()).hexdigest()
        told = tuple(map(printable, rgb.conversions))
        return digest, Decoded(image=image, short_side=min(image.size), conversions=told)


class ReaderImages:
    """A dataset whose images are read one by one, by one thread at a time: tar files have one place of reading."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._reader = dataset, getattr(dataset, "reader", None)
        self._lock = threading.Lock()
        self.refused: tuple[tuple[str, str], ...] = ()
        if self._reader is None and hasattr(dataset, "loader"):
            dataset.loader = _file_bytes  # torchvision's own would leave images lying on their side

    @property
    def targets(self) -> list[Any]:
        """The label of every image; no image is read where the dataset has them apart."""
        holder = self._dataset if self._reader is None else self._reader
        if hasattr(holder, "iter_targets"):
            return list(holder.iter_targets())
        targets = getattr(holder, "targets", None)
        if targets is not None and len(targets) == len(holder) and not hasattr(targets[0], "__len__"):
            return list(targets)
        samples = getattr(holder, "samples", None)
        if isinstance(samples, list):
            return [target for _, target in samples]
        return [holder[index][1] for index in range(len(holder))]

    def fetch(self, index: int) -> bytes | Image.Image:
        """Return the bytes of an image file; the image where there is none."""
        with self._lock:
            if self._reader is None:
                content: bytes | Image.Image = self._dataset[index][0]
                return content
            # timm's own dataset would put another image in the place of one that cannot be read.
            with contextlib.closing(self._reader[index][0]) as file:
                return bytes(file.read())


class StreamedImages:
    """A dataset that is read in one pass: its pixels are kept in a nameless temporary file."""

    def __init__(self, dataset: Any, where: str) -> None:
        self.targets: list[Any] = []
        self._places: list[tuple[int, tuple[int, int]]] = []
        folder = tempfile.gettempdir()
        lost = _Lost()
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the images
            weakref.finalize(self, self._file.close)
            with lost:
                for image, target in dataset:
                    self._keep(image, target)
            self._file.flush()
        except OSError as error:
            raise DataError(
                f"{where} cannot be kept in {folder}: {error.strerror or error}; point TMPDIR to a larger disk"
            ) from error
        self.refused = tuple((f"lost {number}", reason) for number, reason in enumerate(lost.reasons))

    def fetch(self, index: int) -> Image.Image:
        """Return an image."""
        start, (width, height) = self._places[index]
        return Image.frombytes("RGB", (width, height), os.pread(self._file.fileno(), width * height * 3, start))

    def _keep(self, image: Image.Image, target: Any) -> None:
        self._places.append((self._file.tell(), image.size))
        self.targets.append(target)
        self._file.write(image.convert("RGB").tobytes())


class _Lost(logging.Handler):
    """Hears of the images that a reader passes over; it only logs them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []
        self._logger = logging.getLogger("timm.data.readers")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a reason, without the addresses in memory that would differ each time."""
        self.reasons.append(printable(re.sub(r" object at 0x[0-9a-f]+", "", record.getMessage())))

    def __enter__(self) -> None:
        self._logger.addHandler(self)

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)


def _file_bytes(path: str) -> bytes:
    with open_regular(path) as file:
        return file.read()
