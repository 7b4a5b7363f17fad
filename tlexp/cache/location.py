"""Where the cache lies."""

import os
from pathlib import Path

import platformdirs

VARIABLE = "TLEXP_CACHE_DIR"


def cache_folder(stated: str | None = None) -> Path:
    """Return the folder of the cache: as stated, else as TLEXP_CACHE_DIR says, else in the user's cache directory."""
    named = stated or os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("tlexp")
