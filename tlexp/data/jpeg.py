"""JPEG files of which all data are there.

libjpeg fills what is missing with grey, or leaves it blurred, and decodes on: a file that was cut and ends in an end
marker is a whole picture to it. So the decoder is fed the data without that marker: it finishes, or waits for the next
one, only if it has all that it wants. What follows instead are ones, which are the padding of the last byte and never a
code.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
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
_AHEAD = 8
"""So many ones, in bytes, are what libjpeg reads ahead at most: 57 bits. Of a block that is missing they make two."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64
_SHORT = "image file is truncated: its data end before the picture does"


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The size of a picture in pixels, and how finely each of its components is sampled across and down."""

    kind: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)

    def units(self, parts: tuple[int, ...]) -> int:
        """Return how many units a scan of these components has (ITU T.81, A.2): restarts stand between them."""
        finest = [max(each[axis] for each in self.sampling.values()) for axis in (0, 1)]
        own = self.sampling.get(parts[0], (1, 1)) if len(parts) == 1 else (1, 1)
        sides = zip((self.width, self.height), own, finest, strict=True)
        return math.prod(math.ceil(side * fine / (8 * most)) for side, fine, most in sides)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One pass over the picture.

    Attributes:
        parts: Numbers of its components.
        first: Its first coefficient.
        last: Its last one.
        left_out: How many low bits it leaves out.
        end: Where its data end in the file.
        lost: How many restart markers it should have and has not.
    """

    parts: tuple[int, ...]
    first: int
    last: int
    left_out: int
    end: int
    lost: int


@dataclass(frozen=True, kw_only=True)
class JpegData:
    """What a file's markers say.

    Attributes:
        frame: The kind of its frame, 0xC0 is baseline.
        components: Numbers of its components.
        scans: All scans in their order, one at least.
    """

    frame: int
    components: tuple[int, ...]
    scans: tuple[Scan, ...]

    @property
    def refines_all(self) -> bool:
        """Whether the scans give every bit of every coefficient of every component."""
        missing = {(part, place) for part in self.components for place in range(_COEFFICIENTS)}
        for scan in self.scans:
            if scan.left_out == 0:
                missing -= {(part, place) for part in scan.parts for place in range(scan.first, scan.last + 1)}
        return not missing

    @property
    def one_scan(self) -> bool:
        """Whether the decoder finishes with the last row rather than with the end marker."""
        return self.frame != _PROGRESSIVE and len(self.scans) == 1 and self.scans[0].parts == self.components


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
    if any(scan.lost > 0 for scan in data.scans):
        raise DataError("broken data stream: restart markers are missing, and the part of the picture before them")
    codec, extents, _, options = image.tile[0]
    image.load_prepare()
    decoder = Image._getdecoder(image.mode, codec, options, image.decoderconfig)
    decoder.setimage(image.im, extents)
    try:
        _feed(decoder, content, data)
    finally:
        decoder.cleanup()
    image.tile = []


def _feed(decoder: Any, content: bytes, data: JpegData) -> None:
    """Decode the data, then ask for the end.

    Raises:
        DataError: The decoder wants more, or cannot decode them.
    """
    feed, begin = _Feed(decoder), 0
    for scan in data.scans:
        feed.give(content[begin : scan.end])
        for _ in range(_AHEAD):
            feed.give(_ONES)
        if not data.one_scan:
            _require_end(feed)
        begin = scan.end
    if data.one_scan and not feed.finished:
        raise DataError(_SHORT)
    feed.give(bytes([0xFF, _END]))


def _require_end(feed: "_Feed") -> None:
    """Refuse a scan whose data go on: inside it ones stay until they make a block, behind it none does."""
    for _ in range(_AHEAD):
        feed.give(_ONES)
        if feed.rest:
            raise DataError(_SHORT)


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
    frame, interval = _Frame(), 0
    scans: list[Scan] = []
    for kind, body, after in _segments(content):
        if kind == _SCAN:
            found = _NEXT.search(content, after)
            # A download that stopped may have left zeros where the rest belongs.
            end = found.start() if found else max(after, len(content.rstrip(b"\x00")))
            scans.append(_scan(frame, body, interval, end, len(_RESTART.findall(content, after, end))))
        elif kind == _RESTARTS:
            interval = int.from_bytes(body[:2], "big")
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            frame = _frame(kind, body)
        if frame.kind not in (0, _PROGRESSIVE) and scans and scans[-1].parts == tuple(frame.sampling):
            break  # whatever follows, the picture ends here
    return JpegData(frame=frame.kind, components=tuple(frame.sampling), scans=tuple(scans)) if scans else None


def _frame(kind: int, body: bytes) -> _Frame:
    sampling = {part: (fine >> 4, fine & 15) for part, fine in zip(body[6::3], body[7::3], strict=False)}
    height, width = (int.from_bytes(body[place : place + 2], "big") for place in (1, 3))
    return _Frame(kind=kind, width=width, height=height, sampling=sampling)


def _scan(frame: _Frame, body: bytes, interval: int, end: int, restarts: int) -> Scan:
    first, last, bits = (*body[-3:], 0, 0, 0)[:3]
    parts = tuple(body[1 : len(body) - 3 : 2])
    sampled = bool(frame.sampling) and all(map(all, frame.sampling.values()))
    wanted = -(-frame.units(parts) // interval) - 1 if interval and parts and sampled else 0
    return Scan(parts=parts, first=first, last=last, left_out=bits & 15, end=end, lost=max(0, wanted - restarts))


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
