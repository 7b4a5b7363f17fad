"""The C library's allocator, told to keep for the next forward pass what one has freed.

By itself glibc gives every tensor above 32 MiB back to the system when it is freed, so that each batch asks for the
same pages again, and the system fills them with zeros before it hands them over.
"""

import ctypes
import functools
import os
import platform

from tlexp.errors import ConfigError

VARIABLE = "TLEXP_MALLOC"
"""Of the environment: `default` leaves the allocator as it is."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), as malloc.h numbers them."""
_NEVER_TRIMMED = (1 << 31) - 1
_LARGEST = (1 << 30, 1 << 25)
"""Bytes below which a block comes from the heap; before version 2.35 glibc refuses more than the second."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, where its C library is glibc; return whether it does.

    The first call of a process decides; called before its first large tensor.

    Raises:
        ConfigError: The environment asks for something else than `default`.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "default"):
        raise ConfigError(f"{VARIABLE}={asked}: must be default, which leaves the allocator as it comes, or not be set")
    if asked or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Without the first the second would be a loss: one of them fixed, glibc no longer adapts the other.
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST) and bool(mallopt(_TRIM_THRESHOLD, _NEVER_TRIMMED))


def give_back_freed_memory() -> None:
    """Give the system what this process keeps of what it freed: for tensors of other sizes the gaps may not do."""
    if keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)
