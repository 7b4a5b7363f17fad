"""An entry: rows and the digests of their images, as one immutable file whose name is the sha256 of its bytes.

The file is safetensors: `rows` (n, *shape) as they came out, `images` (n, 32) uint8, and as metadata the cut key, the
sha256 of `images`, and the seconds that computing took. The digests are checked when the file is opened, all its bytes
before the first row is read. Nothing in it can run code or name a file.
"""

import contextlib
import hashlib
import json
import math
import mmap
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from tlexp.cache.key import CutKey, dtype_name
from tlexp.paths import is_own, open_regular

Digests = NDArray[np.uint8]
"""sha256 digests of images, (n, 32) uint8."""
Raw = NDArray[np.uint8]
"""Rows as bytes, (n, bytes per row) uint8."""

ENTRY_NAME = re.compile(r"([0-9a-f]{64})\.safetensors")
_DIGEST_BYTES = 32
_HEADER_BYTES = 64 << 10
"""A header of an entry is far smaller; a larger one is not read."""
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""safetensors' name -> dtype of rows."""


class BadEntryError(Exception):
    """An entry cannot be used; the reason in words. Never leaves the package."""


@dataclass(eq=False, kw_only=True)
class CacheEntry:
    """Rows that can be read, from a file or from memory.

    Attributes:
        images: Digests of the images, in the order of the rows.
        rows: As bytes.
        row_seconds: What computing one row took.
        path: None if the rows are in memory alone.
        verified: Whether the bytes are known to be those that were written.
    """

    images: Digests
    rows: Raw
    row_seconds: float
    path: Path | None = None
    verified: bool = True
    _map: mmap.mmap | None = None

    def verify(self) -> None:
        """Compare the file's bytes with its name; does nothing the second time.

        Raises:
            BadEntryError: They differ.
        """
        if self.verified:
            return
        assert self.path is not None
        assert self._map is not None
        if hashlib.sha256(self._map).hexdigest() != self.path.name.partition(".")[0]:
            raise BadEntryError("its checksum differs")
        self.verified = True
        self.release()

    def release(self) -> None:
        """Take the pages that were read off the process's resident memory; they stay in the system's."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def entry_content(key: CutKey, images: Digests, rows: Tensor, seconds: float) -> bytes:
    """Return the bytes of an entry's file.

    Args:
        key: Under which the rows were made.
        images: Digests, (n, 32).
        rows: (n, *key.shape) of key.dtype, on the CPU.
        seconds: What computing them took.
    """
    metadata = {"cut": key.digest, "images": hashlib.sha256(images.tobytes()).hexdigest(), "seconds": f"{seconds:.6g}"}
    tensors = {"rows": rows.contiguous(), "images": torch.from_numpy(np.array(images))}
    return bytes(save(tensors, metadata))


def memory_entry(images: Digests, rows: Tensor, seconds: float) -> CacheEntry:
    """Return an entry without a file."""
    raw = rows.contiguous().reshape(len(rows), -1).view(torch.uint8).numpy()
    return CacheEntry(images=np.array(images), rows=raw, row_seconds=seconds / max(1, len(rows)))


def open_entry(path: Path, cut: str, key: CutKey | None = None) -> CacheEntry:
    """Map an entry's file; its rows are not verified yet.

    Args:
        path: Its last part is an ENTRY_NAME.
        cut: The digest of the key that it has to belong to.
        key: Says what rows look like; None lets any shape and dtype pass.

    Raises:
        BadEntryError: It is not an entry, or one of another cut.
        OSError: It is gone or cannot be read.
    """
    mapped = _map(path)
    form = _form(mapped)
    if form.cut != cut:
        raise BadEntryError("it belongs to another cut")
    if key is not None and (form.shape, form.dtype) != (key.shape, key.dtype):
        raise BadEntryError(f"its rows are {form.dtype}{list(form.shape)}, not {key.dtype}{list(key.shape)}")
    images = np.frombuffer(mapped[form.images], np.uint8).reshape(form.count, _DIGEST_BYTES)
    if hashlib.sha256(images.tobytes()).hexdigest() != form.checksum:
        raise BadEntryError("the checksum of its images differs")
    rows = np.frombuffer(mapped, np.uint8, form.rows.stop - form.rows.start, form.rows.start).reshape(form.count, -1)
    entry = CacheEntry(
        images=images, rows=rows, row_seconds=form.seconds / form.count, path=path, verified=False, _map=mapped
    )
    entry.release()
    return entry


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What the header of an entry says; `rows` and `images` are places in the file."""

    cut: str
    count: int
    shape: tuple[int, ...]
    dtype: str
    seconds: float
    checksum: str
    rows: slice
    images: slice


def _map(path: Path) -> mmap.mmap:
    # A link or a pipe may have taken the file's place since it was listed; neither is followed or waited for.
    with open_regular(path, follow_links=False) as file:
        found = os.fstat(file.fileno())
        if not is_own(found):
            raise BadEntryError("it belongs to another user")
        if found.st_size < 8:
            raise BadEntryError("it is cut short")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _form(mapped: mmap.mmap) -> _Form:
    """Return what the header says.

    Raises:
        BadEntryError: It is not an entry's, or does not fit the file.
    """
    start, header = _header(mapped)
    try:
        metadata, rows, images = (header[name] for name in ("__metadata__", "rows", "images"))
        count, *shape = (int(length) for length in rows["shape"])
        dtype = _DTYPES[rows["dtype"]]
        seconds = float(metadata["seconds"])
        sizes = [count * math.prod(shape) * dtype.itemsize, count * _DIGEST_BYTES]
        spans = [[int(place) for place in tensor["data_offsets"]] for tensor in (rows, images)]
        fits = (
            min([count, *shape]) >= 1
            and 0 <= seconds < math.inf
            and (images["dtype"], images["shape"]) == ("U8", [count, _DIGEST_BYTES])
            and [stop - begin for begin, stop in spans] == sizes
            # The two follow each other in either order, and fill the file.
            and sorted(spans) in [[[0, size], [size, sum(sizes)]] for size in sizes]
            and start + sum(sizes) == len(mapped)
        )
        cut, checksum = metadata["cut"], metadata["images"]
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise BadEntryError("its header is not that of an entry") from error
    if not fits:
        raise BadEntryError("its header does not fit its size")
    places = [slice(start + begin, start + stop) for begin, stop in spans]
    return _Form(
        cut=cut,
        count=count,
        shape=tuple(shape),
        dtype=dtype_name(dtype),
        seconds=seconds,
        checksum=checksum,
        rows=places[0],
        images=places[1],
    )


def _header(mapped: mmap.mmap) -> tuple[int, dict[str, Any]]:
    """Return where the data begins, and the header.

    Raises:
        BadEntryError: There is none, or it is far too long for an entry's.
    """
    length = int.from_bytes(mapped[:8], "little")
    if not 2 <= length <= min(_HEADER_BYTES, len(mapped) - 8):
        raise BadEntryError("it has no header")
    header: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        header = json.loads(mapped[8 : 8 + length])
    if not isinstance(header, dict) or header.keys() != {"__metadata__", "rows", "images"}:
        raise BadEntryError("its header is not that of an entry")
    return 8 + length, header
