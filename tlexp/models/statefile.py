"""Weights as they lie on disk: a file or a folder -> tensors by name. Nothing that is read can run code."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tlexp.config.backbone import missing_weights
from tlexp.errors import WeightsError
from tlexp.jsonfile import read_json
from tlexp.models.digest import tensors_digest
from tlexp.paths import open_regular, require_regular

PICKLED = (".pth", ".pt", ".bin")
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training programs keep the weights in a checkpoint, timm's preference first."""
EXPORT = ("model.json", "model.safetensors")
SCHEMA = 1
"""Of model.json."""
_FOLDER_FILES = (
    "model.safetensors",
    "pytorch_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """Named tensors and where they came from."""

    tensors: dict[str, Tensor]
    source: str


def read_weights(path: Path) -> StateFile:
    """Return the backbone's tensors of a weights file, a folder with one, or the export of an earlier run.

    Raises:
        WeightsError: There is no such file, or it is empty, damaged, of another kind or holds more than tensors.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise WeightsError(missing_weights(path))
    return StateFile(tensors=read_state(path), source=f"file {path}")


def _read_folder(folder: Path) -> StateFile:
    if (folder / EXPORT[0]).is_file():
        state = read_export(folder)
        backbone = {
            name.removeprefix("backbone."): tensor for name, tensor in state.items() if name.startswith("backbone.")
        }
        return StateFile(tensors=backbone, source=f"run {folder}")
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return StateFile(tensors=read_state(folder / name), source=f"file {folder / name}")
    raise WeightsError(f"backbone.weights={folder}: the folder holds none of {', '.join(_FOLDER_FILES)}")


def read_export(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a run's export, which are those that its model.json vouches for.

    Raises:
        WeightsError: Files are missing, damaged, of another version or do not belong together.
    """
    card, weights = (folder / name for name in EXPORT)
    vouched = str(read_description(card).get("digest"))
    state = read_state(weights) if weights.is_file() else None
    if state is None or tensors_digest(state) != vouched:
        raise WeightsError(
            f"{weights} is missing or is not the file that {card} describes (its digest differs): restore both from "
            "one run, or export again"
        )
    return state


def read_description(card: Path) -> dict[str, Any]:
    """Return the values of a model.json of this version.

    Raises:
        WeightsError: It is missing, damaged, or of another version.
    """
    try:
        content = read_json(card)
        schema = content.pop("schema")
    except (OSError, ValueError, KeyError) as error:
        raise no_description(card, error) from error
    if schema != SCHEMA:
        raise WeightsError(f"{card}: schema {schema} is not {SCHEMA}; export again with this version")
    return content


def no_description(card: Path, error: Exception) -> WeightsError:
    """Return the refusal of a file that is no model.json."""
    return WeightsError(
        f"{card}: cannot be read as the description of a model ({type(error).__name__}: {error}); export again"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of one file.

    Raises:
        WeightsError: The file cannot be read as tensors; the message names it and the way out.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in PICKLED:
        raise WeightsError(f"weights file {path}: must end in .safetensors, {', '.join(PICKLED)}")
    return _named_tensors(_read_pickled(path), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        require_regular(path)
        return dict(load_file(path, device="cpu"))
    except Exception as error:  # its own error derives from Exception alone
        raise _damaged(path, error) from error


def _read_pickled(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise WeightsError(
            f"weights file {path}: holds more than tensors ({reason}) and is not loaded, because what else it holds "
            "could run code; save the weights alone, with safetensors or "
            "torch.save(model.state_dict(), FILE), and name that file with backbone.weights=FILE"
        ) from error
    except Exception as error:  # empty, text and truncated files each raise something else
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    size = path.stat().st_size
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return WeightsError(
        f"weights file {path}: cannot be read as weights ({size} bytes; {reason}); it is empty, cut short or of "
        "another kind: fetch it again and name it with backbone.weights=FILE"
    )


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, from under the key where training programs keep them."""
    for _ in WRAPPERS:  # a file may hold itself
        inner = next((content[key] for key in WRAPPERS if isinstance(content, Mapping) and _wraps(content, key)), None)
        content = content if inner is None else inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(
            f"weights file {path}: holds no named tensors but {type(content).__name__}; save model.state_dict() and "
            "name that file with backbone.weights=FILE"
        )
    return tensors


def _wraps(content: Mapping[Any, Any], key: str) -> bool:
    return isinstance(content.get(key), Mapping)
