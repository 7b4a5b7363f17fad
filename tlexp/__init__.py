"""tlexp: which pretrained backbone, and how much of it to freeze, answered by experiment on your own images."""

__version__ = "0.1.0"
__all__ = ["__version__"]
