"""What a format is, and which there are. A new one is a module here with a `FORMAT`, and a line of `ExportFormat`."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError
from tlexp.models import Classifier, ModelCard

EXTRAS = {"onnx": ("onnx", "onnxscript", "onnxruntime")}
"""Extra of the package -> what it brings, for formats that need more than the package itself."""


class ExportFormat(StrEnum):
    """How an export is written; each is also the name of a module here, but for tlexp's own files."""

    tlexp = "tlexp"
    timm = "timm"
    onnx = "onnx"
    pt2 = "pt2"
    mlflow = "mlflow"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network that is to be written.

    Attributes:
        classifier: In eval mode, on the CPU.
        card: How it is built, its classes, temperature and prior.
        folder: Where it lies as model.json and model.safetensors.
    """

    classifier: Classifier
    card: ModelCard
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write a network.

    Attributes:
        write: Writes its files into an empty folder.
        snippet: Python that is run in the folder and defines `classes`, and `probabilities(images)`: Pillow's RGB
            images to an array (B, K). It needs no tlexp, and is what the card shows.
        about: What the files are, in Markdown, for the card.
        front: What the card begins with, for hubs; empty for nothing.
    """

    write: Callable[[Trained, Path], None]
    snippet: Callable[[ModelCard], str]
    about: Callable[[ModelCard], str]
    front: str = ""


def format_of(name: ExportFormat) -> Format:
    """Return the format of a name, tlexp's own left out.

    Raises:
        ConfigError: A package that it needs is not installed.
    """
    lacking = [package for package in EXTRAS.get(name, ()) if find_spec(package) is None]
    if lacking:
        raise ConfigError(
            f"--format {name} needs {', '.join(lacking)}, which is not installed: pip install 'tlexp[{name}]'"
        )
    found: Format = importlib.import_module(f"tlexp.formats.{name}").FORMAT
    return found


def formats_told(head: HeadKind | None = None) -> str:
    """Return the formats that take a head, or any head, for messages.

    >>> formats_told(HeadKind.knn)
    '--format tlexp, onnx, pt2 or mlflow'
    """
    names = [name for name in ExportFormat if head is None or name is not ExportFormat.timm]
    return f"--format {', '.join(names[:-1])} or {names[-1]}"
