"""The feature cache: the frozen layers' outputs by content, computed once for all runs."""

from tlexp.cache.compute import compute_rows, draw_view
from tlexp.cache.cut_rows import CutRows, stack_digests
from tlexp.cache.folder import CacheReport, CutInfo, Removed
from tlexp.cache.key import POOLED, CutKey, cut_key
from tlexp.cache.location import cache_folder
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
