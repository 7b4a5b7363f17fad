"""tlexp: which pretrained backbone, and how much of it to freeze, answered by experiment on your own images."""

from tlexp.paths import VERSION

__version__ = VERSION
__all__ = ["__version__"]
