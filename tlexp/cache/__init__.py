"""The feature cache: the frozen layers' outputs by content, computed once for all runs."""

from tlexp.cache.cut import compute_rows, draw_view
from tlexp.cache.cutstore import CutStore, stack_digests
from tlexp.cache.folder import CutInfo, Removed, Report
from tlexp.cache.key import POOLED, CutKey, cut_key
from tlexp.cache.location import cache_folder
from tlexp.cache.rows import Rows, Use
from tlexp.cache.store import Store
from tlexp.cache.together import fill_together

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
    "fill_together",
    "stack_digests",
]
