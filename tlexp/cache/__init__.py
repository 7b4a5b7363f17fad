"""The feature cache: the frozen layers' outputs by content, computed once for all runs."""

from tlexp.cache.cut import compute_rows, draw_view
from tlexp.cache.key import POOLED, CutKey, cut_key
from tlexp.cache.location import cache_folder
from tlexp.cache.rows import Rows, Use
from tlexp.cache.store import CutInfo, CutStore, Removed, Report, Store, stack_digests

__all__ = [
    "POOLED",
    "CutInfo",
    "CutKey",
    "CutStore",
    "Removed",
    "Report",
    "Rows",
    "Store",
    "Use",
    "cache_folder",
    "compute_rows",
    "cut_key",
    "draw_view",
    "stack_digests",
]
