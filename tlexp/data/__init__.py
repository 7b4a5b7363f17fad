"""The images: sources, label budgets, transforms and batches.

What needs torch or scikit-learn is imported when it is first asked for (PEP 562): a folder is listed without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tlexp.data.budget import Fold, budget_counts, draw_budget, draw_rest, fold_count, selection_folds
from tlexp.data.checked import Reading
from tlexp.data.class_names import ClassNames, name_classes, read_class_names
from tlexp.data.copies import copies_csv, copy_notes
from tlexp.data.counts import Counts
from tlexp.data.csv_source import TableFile
from tlexp.data.decode import Decoding
from tlexp.data.folder import Folder
from tlexp.data.group_table import read_group_table
from tlexp.data.groups import Grouper
from tlexp.data.images import Images, OnProgress, Source
from tlexp.data.index import Index
from tlexp.data.leaks import leaks_csv
from tlexp.data.neither import add_neither
from tlexp.data.origin import Origin
from tlexp.data.partition import groups_per_class
from tlexp.data.shapes import Shapes
from tlexp.data.shifted import add_shifted

if TYPE_CHECKING:
    from tlexp.data.in_memory import IN_MEMORY
    from tlexp.data.loaders import ImageBank, ImageBatches, Order, Views, chunks, load_bank, view_batch
    from tlexp.data.timm_source import TimmSet
    from tlexp.data.transforms import Augment, build_augment, fit_image, normalise

__all__ = [
    "IN_MEMORY",
    "Augment",
    "ClassNames",
    "Counts",
    "Decoding",
    "Fold",
    "Folder",
    "Grouper",
    "ImageBank",
    "ImageBatches",
    "Images",
    "Index",
    "OnProgress",
    "Order",
    "Origin",
    "Reading",
    "Shapes",
    "Source",
    "TableFile",
    "TimmSet",
    "Views",
    "add_neither",
    "add_shifted",
    "budget_counts",
    "build_augment",
    "chunks",
    "copies_csv",
    "copy_notes",
    "draw_budget",
    "draw_rest",
    "fit_image",
    "fold_count",
    "groups_per_class",
    "leaks_csv",
    "load_bank",
    "name_classes",
    "normalise",
    "read_class_names",
    "read_group_table",
    "selection_folds",
    "view_batch",
]

_LATE = ("in_memory", "loaders", "timm_source", "transforms")
"""The modules that take seconds to import."""

if not TYPE_CHECKING:  # else any name would pass as one of ours

    def __getattr__(name: str) -> Any:
        """Return what one of the late modules defines."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (importlib.import_module(f"{__name__}.{late}") for late in _LATE)
        return next(vars(module)[name] for module in modules if name in vars(module))
