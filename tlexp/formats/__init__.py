"""Trained networks as files that other programs load: one module per format, each with a snippet that loads them."""

from tlexp.formats.format import EXTRAS, ExportFormat, Format, Trained, format_of, formats_told
from tlexp.formats.likeness import Likeness, Reference, compare

__all__ = [
    "EXTRAS",
    "ExportFormat",
    "Format",
    "Likeness",
    "Reference",
    "Trained",
    "compare",
    "format_of",
    "formats_told",
]
