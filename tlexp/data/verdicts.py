"""Files checked one after another: what is known of them is taken as it is, the others are read once, in threads."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tlexp.data.decode import Decoding, pillow_guard
from tlexp.data.files import ImageFile, UnreadImage
from tlexp.data.images import OnProgress
from tlexp.data.index import Index, Stamp, Verdict, settled, stamp_of
from tlexp.errors import DataError

_CHUNK = 16
"""Files a thread takes at once: large enough for small images, small enough to stop soon."""
_SMALL_BYTES = 8 << 10


def check_files(
    files: Sequence[UnreadImage], asked: Decoding, *, index: Index, progress: OnProgress
) -> Iterator[Verdict]:
    """Yield what the check of each file finds, in their order.

    Args:
        files: Of any source; those that are an `ImageFile` may be known.
        asked: How they are decoded.
        index: What is known.
        progress: Called as files are done.
    """
    known = index.find((file.path for file in files if isinstance(file, ImageFile)), asked)
    unread = [file for file in files if _path(file) not in known]
    progress(len(known), len(files))
    with index.keeping(asked) as keep:
        read = _read(unread, asked)
        done = len(known)
        for file in files:
            path = _path(file)
            if path in known:
                yield known[path]
                continue
            verdict, stamp = next(read)
            if stamp is not None:
                keep(path, stamp, verdict)
            yield verdict
            done += 1
            if done % _CHUNK == 0 or done == len(files):
                progress(done, len(files))


def _path(file: UnreadImage) -> str:
    """Return where a file lies; nothing for what is part of another one."""
    return file.path if isinstance(file, ImageFile) else ""


def _read(files: Sequence[UnreadImage], asked: Decoding) -> Iterator[tuple[Verdict, Stamp | None]]:
    """Read files in threads; yield in their order what was found, and the stamp of each of which that may be kept."""
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    with pillow_guard, ThreadPoolExecutor(_threads(files)) as pool:
        for results in pool.map(lambda chunk: [_check(file, asked) for file in chunk], chunks):
            yield from results


def _check(file: UnreadImage, asked: Decoding) -> tuple[Verdict, Stamp | None]:
    before = stamp_of(file.path) if isinstance(file, ImageFile) else None
    if before is not None and not settled(before):
        before = None
    verdict, lasts = _judge(file, asked)
    return verdict, before if lasts and before is not None and stamp_of(_path(file)) == before else None


def _judge(file: UnreadImage, asked: Decoding) -> tuple[Verdict, bool]:
    """Read a file; return what that found, and whether it will find the same as long as the file stays as it is."""
    try:
        digest, decoded = file.load(asked)
    except DataError as error:
        return Verdict(refusal=str(error)), _lasts(error.__cause__)
    return Verdict(digest=digest, short_side=decoded.short_side, conversions=decoded.conversions), True


def _lasts(cause: BaseException | None) -> bool:
    """Return whether a file is refused for what it holds: errors of the system have a number, Pillow's own none."""
    if isinstance(cause, OSError):
        return cause.errno is None
    return not isinstance(cause, MemoryError | RuntimeError)


def _threads(files: Sequence[UnreadImage]) -> int:
    """Return how many threads read: small images spend their time in Python, where threads only hinder each other."""
    sizes = [0, *(file.file_bytes for file in files[:: max(1, len(files) // 100)])]
    return 1 if sum(sizes) < _SMALL_BYTES * len(sizes) else min(8, os.cpu_count() or 1)
