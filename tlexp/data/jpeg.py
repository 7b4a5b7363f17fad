"""JPEG files of which all data are there.

libjpeg fills what is missing with grey, or leaves it blurred, and decodes on: a file that was cut and ends in an end
marker is a whole picture to it. So the decoder is fed the data without that marker: it finishes, or waits for the next
one, only if it has all that it wants. What follows instead are ones, which are the padding of the last byte and never a
code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFile

from tlexp.errors import DataError

_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that ends the data of a scan: neither a stuffed byte nor a restart."""
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
"""Coded by Huffman, as practically all are; of other frames libjpeg wants the whole file at once."""
_SCAN, _END, _RESTARTS = 0xDA, 0xD9, 0xDD
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_ONES = b"\xff\x00"
_AHEAD = 16
"""So many ones, in bytes, finish the last block with what libjpeg reads ahead; of blocks that are missing, a few."""
_COEFFICIENTS = 64
_SHORT = "image file is truncated: its data end before the picture does"


Scan = tuple[tuple[int, ...], int, int, int]
"""Its components, first and last coefficient, and how many low bits it leaves out."""


@dataclass(frozen=True, kw_only=True)
class JpegData:
    """What a file's markers say.

    Attributes:
        frame: The kind of its frame, 0xC0 is baseline.
        components: Numbers of its components.
        scans: All scans in their order.
        restarts: Whether there are restart markers.
        end: Where the data of the last scan end.
    """

    frame: int
    components: tuple[int, ...]
    scans: tuple[Scan, ...]
    restarts: bool
    end: int

    @property
    def refines_all(self) -> bool:
        """Whether the scans give every bit of every coefficient of every component."""
        missing = {(part, place) for part in self.components for place in range(_COEFFICIENTS)}
        for parts, first, last, left_out in self.scans:
            if left_out == 0:
                missing -= {(part, place) for part in parts for place in range(first, last + 1)}
        return not missing

    @property
    def one_scan(self) -> bool:
        """Whether the decoder finishes with the last row rather than with the end marker."""
        return self.frame != _PROGRESSIVE and len(self.scans) == 1 and self.scans[0][0] == self.components


def load_jpeg(image: ImageFile.ImageFile, content: bytes) -> None:
    """Decode an image of one JPEG, which is whole.

    Args:
        image: The opened file.
        content: Its bytes.

    Raises:
        DataError: Data are missing.
    """
    data = read_markers(content)
    if data is None or data.frame not in _FRAMES or len(image.tile) != 1:
        image.load()
        return
    if not data.one_scan and not data.refines_all:
        raise DataError(_SHORT)
    codec, extents, _, options = image.tile[0]
    image.load_prepare()
    decoder = Image._getdecoder(image.mode, codec, options, image.decoderconfig)
    decoder.setimage(image.im, extents)
    try:
        _feed(decoder, content[: data.end], data)
    finally:
        decoder.cleanup()
    image.tile = []


def _feed(decoder: Any, content: bytes, data: JpegData) -> None:
    """Decode the data, then ask for the end.

    Raises:
        DataError: The decoder wants more, or cannot decode them.
    """
    feed = _Feed(decoder)
    feed.give(content)
    for _ in range(_AHEAD):
        feed.give(_ONES)
    if data.one_scan:
        if not feed.finished:
            raise DataError(_SHORT)
        return
    # Between scans every byte is passed over at once; inside one, ones stay until they make a block.
    for restart in range(8 if data.restarts else 1):
        feed.give(bytes([0xFF, 0xD0 + restart]) if data.restarts else b"")
        for _ in range(_AHEAD):
            feed.give(_ONES)
            if feed.rest:
                raise DataError(_SHORT)
    feed.give(bytes([0xFF, _END]))


class _Feed:
    """Gives a decoder bytes, and keeps what it does not take."""

    def __init__(self, decoder: Any) -> None:
        self._decoder, self.rest, self.finished = decoder, b"", False

    def give(self, content: bytes) -> None:
        if self.finished:
            return
        self.rest += content
        taken, error = self._decoder.decode(self.rest)
        if error < 0:
            raise DataError("broken data stream")
        self.finished = taken < 0
        self.rest = b"" if self.finished else self.rest[taken:]


def read_markers(content: bytes) -> JpegData | None:
    """Return what the markers say; None where there is no frame or no scan."""
    frame, end, restarts = 0, 0, False
    components: tuple[int, ...] = ()
    scans: list[Scan] = []
    for kind, body, after in _segments(content):
        if kind == _SCAN:
            scans.append(_scan(body))
            found = _NEXT.search(content, after)
            # A download that stopped may have left zeros where the rest belongs.
            end = found.start() if found else max(after, len(content.rstrip(b"\x00")))
        elif kind == _RESTARTS:
            restarts = restarts or any(body)
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            frame, components = kind, tuple(body[6::3])
        if frame and frame != _PROGRESSIVE and scans and scans[-1][0] == components:
            break  # whatever follows, the picture ends here
    return JpegData(frame=frame, components=components, scans=tuple(scans), restarts=restarts, end=end) if end else None


def _scan(body: bytes) -> Scan:
    first, last, bits = (*body[-3:], 0, 0, 0)[:3]
    return tuple(body[1 : len(body) - 3 : 2]), first, last, bits & 15


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield kind, body and end of every segment up to the end marker; the data of scans are passed over."""
    place = 2
    while (found := _NEXT.search(content, place)) is not None:
        kind, place = content[found.end() - 1], found.end()
        if kind == _END:
            return
        if kind in _BARE:
            continue
        length = int.from_bytes(content[place : place + 2], "big")
        body, place = content[place + 2 : place + length], place + length
        yield kind, body, place
