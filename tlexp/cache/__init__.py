"""The feature cache: the frozen layers' outputs by content, computed once for all runs.

What computes with torch is imported when it is first asked for (PEP 562): the folder is listed without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tlexp.cache.folder import CacheReport, CutInfo, Removed
from tlexp.cache.key import POOLED, CutKey, cut_key
from tlexp.cache.location import cache_folder

if TYPE_CHECKING:
    from tlexp.cache.compute import compute_rows, draw_view
    from tlexp.cache.cut_rows import CutRows, stack_digests
    from tlexp.cache.rows import Rows, Use
    from tlexp.cache.store import Store
    from tlexp.cache.together import fill_together

__all__ = [
    "POOLED",
    "CacheReport",
    "CutInfo",
    "CutKey",
    "CutRows",
    "Removed",
    "Rows",
    "Store",
    "Use",
    "cache_folder",
    "compute_rows",
    "cut_key",
    "draw_view",
    "fill_together",
    "stack_digests",
]

_LATE = ("compute", "cut_rows", "rows", "store", "together")
"""The modules that compute."""

if not TYPE_CHECKING:  # else any name would pass as one of ours

    def __getattr__(name: str) -> Any:
        """Return what one of the late modules defines."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (importlib.import_module(f"{__name__}.{late}") for late in _LATE)
        return next(vars(module)[name] for module in modules if name in vars(module))
