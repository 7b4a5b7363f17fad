"""What survives an interruption: the state of the fit in progress, and the outcomes of finished fits.

    <folder>/checkpoint.json            schema and the run's key
    <folder>/<fit>.state.safetensors    trainable parameters, buffers, optimiser; progress as JSON in the header
    <folder>/<fit>.done.safetensors     arrays of a finished fit; values as JSON in the header

One fit is one file, so that tensors and progress can never be of different moments.
"""

import json
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tlexp.errors import ConfigError, TrainingError
from tlexp.jsonfile import from_json, parse_json, read_json
from tlexp.models.classifier import Classifier
from tlexp.paths import publish, publish_copy, publish_json, refusal, remove_abandoned, require_regular

_SCHEMA = "1"
_BEGIN_ANEW = "delete the file to repeat this fit, or start anew without resume"


@dataclass(kw_only=True)
class FitProgress:
    """How far a fit has come.

    Attributes:
        step: Finished steps.
        images: Images trained on, repetitions counted.
        seconds: Seconds of training, without those for checkpoints.
        first_seconds: Those of the steps that also warm up: the first of each phase counts operations, and where the
            network is compiled, the next one does that.
        warm_steps: How many those are.
        flops: Floating-point operations of all steps of the phases begun, or None where they cannot be counted.
        curve: Points (step, name, value).
        phases: Of each phase begun, what the report will say of it; empty where the plan has none.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0
    warm_steps: int = 0
    flops: int | None = 0
    curve: list[tuple[int, str, float]] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FinishedFit:
    """What a finished fit left: named arrays and JSON values."""

    arrays: dict[str, NDArray[Any]]
    values: dict[str, Any]


class Checkpoint:
    """The checkpoint folder of one run.

    Args:
        folder: Made if need be.
        key: The run's key; a folder belongs to the first key that uses it.
        seconds: Seconds between states that `due` asks for; 0 = never.

    Raises:
        ConfigError: The folder belongs to a run with other settings.
        TrainingError: The folder cannot be read or written.
    """

    def __init__(self, folder: Path, *, key: str, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self._saved = time.monotonic()
        self._claim(key)

    def due(self) -> bool:
        """Return whether the last state is older than the stated seconds."""
        return 0 < self.seconds <= time.monotonic() - self._saved

    def finished(self, fit_id: str) -> FinishedFit | None:
        """Return the outcome of a finished fit, or None.

        Raises:
            TrainingError: Its file is damaged or foreign.
        """
        path = self._path(fit_id, "done")
        if not path.is_file():
            return None
        tensors, values = _read(path, fit_id)
        return FinishedFit(arrays={name: tensor.numpy() for name, tensor in tensors.items()}, values=values)

    def finish(self, fit_id: str, *, arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> None:
        """Store the outcome of a fit and drop its state.

        Raises:
            TrainingError: The file cannot be written.
        """
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        _write(self._path(fit_id, "done"), fit_id, tensors, values)
        self._path(fit_id, "state").unlink(missing_ok=True)

    def save_state(
        self, fit_id: str, classifier: Classifier, optimizer: torch.optim.Optimizer, progress: FitProgress
    ) -> None:
        """Store the fit in progress. Frozen weights are not stored: they come back from their source.

        Raises:
            TrainingError: The file cannot be written.
        """
        tensors = _network_tensors(classifier) | _optimizer_tensors(optimizer)
        values = {"progress": asdict(progress), "frozen_digest": classifier.frozen_digest()}
        _write(self._path(fit_id, "state"), fit_id, tensors, values)
        self._saved = time.monotonic()

    def progress(self, fit_id: str) -> FitProgress | None:
        """Return how far the stored state of a fit is, or None: what is frozen in it has to be known to load it.

        Raises:
            TrainingError: The file is damaged or foreign.
        """
        path = self._path(fit_id, "state")
        if not path.is_file():
            return None
        return _progress(_read(path, fit_id)[1])

    def load_state(self, fit_id: str, classifier: Classifier, optimizer: torch.optim.Optimizer) -> FitProgress | None:
        """Bring classifier and optimiser back to the stored state in place and return how far it was, or None.

        Raises:
            TrainingError: The file is damaged, foreign, or of a network with other frozen weights.
        """
        path = self._path(fit_id, "state")
        if not path.is_file():
            return None
        tensors, values = _read(path, fit_id)
        if values.get("frozen_digest") != classifier.frozen_digest():
            raise TrainingError(
                f"{path} was trained on other frozen weights than those loaded now: bring the former weights back "
                f"(backbone.weights), or {_BEGIN_ANEW}"
            )
        network = _network_tensors(classifier)
        shapes = {name: tensors[name].shape if name in tensors else None for name in network}
        if shapes != {name: tensor.shape for name, tensor in network.items()}:
            raise TrainingError(f"{path} holds the state of another network: {_BEGIN_ANEW}")
        with torch.no_grad():
            for name, tensor in network.items():
                tensor.copy_(tensors[name])
        _restore_optimizer(optimizer, tensors)
        return _progress(values)

    def _claim(self, key: str) -> None:
        """Mark a fresh folder with the run's key, or check the mark."""
        path = self.folder / "checkpoint.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                publish_json(path, {"schema": _SCHEMA, "key": key}, indent=None)
            mark = read_json(path)
            owner = mark["key"] if mark["schema"] == _SCHEMA else None
        except OSError as error:
            raise TrainingError(f"{refusal(error)}: free the disk or move the folder") from error
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} is not a checkpoint's mark ({error}): start anew without resume") from error
        if owner != key:
            raise ConfigError(
                f"resume={self.folder}: its checkpoint belongs to other settings, images, start weights or another "
                f"kind of device ({owner}, not {key}): bring them back, or start anew without resume"
            )

    def _path(self, fit_id: str, kind: str) -> Path:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", fit_id), fit_id
        return self.folder / f"{fit_id}.{kind}.safetensors"


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Write the checkpoint of an interrupted run into the folder of one that goes on with it, each file whole.

    Args:
        source: The interrupted run's; what its process left half-written there is removed.
        folder: Made.

    Raises:
        OSError: The disk is full or a file cannot be read.
    """
    remove_abandoned(source)
    folder.mkdir()
    for path in sorted(source.glob("[!.]*")):
        if path.is_file():
            publish_copy(folder / path.name, path)


def _progress(values: dict[str, Any]) -> FitProgress:
    return from_json(FitProgress, values["progress"], "progress")


def _network_tensors(classifier: Classifier) -> dict[str, torch.Tensor]:
    """Return the classifier's own trainable parameters and all its buffers by name."""
    return {
        **{f"parameter.{name}": parameter for name, parameter in classifier.trainable_parameters()},
        **{f"buffer.{name}": buffer for name, buffer in classifier.named_buffers()},
    }


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimiser's state (momentum, second moments, step counts) by parameter index and name."""
    return {
        f"optimizer.{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Load the optimiser's state; rates are left alone, because the schedule sets them at every step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, quantity = name.split(".", 2)
            state.setdefault(int(index), {})[quantity] = _laid_out_like(parameters[int(index)], tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out_like(parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy with the parameter's strides: another layout sums in another order, and bits would differ."""
    if tensor.shape != parameter.shape:
        return tensor.clone()
    return torch.empty_like(parameter, device="cpu", dtype=tensor.dtype).copy_(tensor)


def _write(path: Path, fit_id: str, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
    """Publish one file of tensors and JSON."""
    content = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    header = {"schema": _SCHEMA, "fit": fit_id, "values": json.dumps(values)}
    try:
        publish(path, save(content, metadata=header))
    except OSError as error:
        raise TrainingError(f"{refusal(error)}: free the disk and resume, or use train.checkpoint_seconds=0") from error


def _read(path: Path, fit_id: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return tensors and values of one file."""
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if (header["schema"], header["fit"]) != (_SCHEMA, fit_id):
            raise ValueError("of another schema or fit")
        values = parse_json(header["values"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is not a whole checkpoint of this program ({error}): {_BEGIN_ANEW}") from error
    return tensors, values
