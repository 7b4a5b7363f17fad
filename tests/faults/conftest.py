"""The fixtures of the cache's own tests, and commands of their own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cache.conftest import store, told

__all__ = ["store", "told"]


def begin(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Begin a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tlexp", *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
