"""`conf/train`: how long, on what, how precisely."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.protocol import protocol_batch_size, protocol_steps
from tlexp.config.setting import setting


class Precision(StrEnum):
    """auto = bf16 autocast where the device has it, else fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class ClassWeights(StrEnum):
    """none = every image counts the same, balanced = every class counts the same (n / (K n_k), as scikit-learn's)."""

    none = "none"
    balanced = "balanced"


def device_problem(name: object, key: str) -> str | None:
    """Return what is wrong with the name of a device; None where nothing is.

    >>> device_problem("gpu", "train.device")
    'train.device=gpu: must be auto, cpu, mps, cuda or cuda:<n>'
    """
    known = re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", str(name))
    return None if known else f"{key}={name}: must be auto, cpu, mps, cuda or cuda:<n>"


@dataclass
class TrainConfig:
    """The training loop. Length and batch follow the protocol unless they are stated here."""

    steps: int | None = setting(None, "Optimiser steps; null takes the protocol's; marks the run as outside protocol.")
    epochs: int | None = setting(None, "Passes over the budget instead of steps; marks the run as outside protocol.")
    longer: int = setting(1, "Factor on the protocol's steps, from 1; above 1 marks the run as outside protocol.")
    limit_steps: int | None = setting(None, "Cap on the steps of every phase, for a quick try; outside protocol.")
    batch_size: int | None = setting(None, "Images per step, from 2; null takes the protocol's min(32, budget).")
    label_smoothing: float = setting(0.0, "Label smoothing of the training loss, [0, 1).")
    class_weights: ClassWeights = setting(
        ClassWeights.none,
        "none, or balanced: in the loss an image counts n / (K n_k) (n images that are trained on, n_k of its class, K "
        "classes), so that rare classes count as much as others. Candidates are then compared by a log loss in which "
        "each class counts the same, for balanced accuracy is what is judged.",
    )
    refit: bool = setting(True, "Train the winner again on the whole budget; false tests the winner of the selection.")
    precision: Precision = setting(Precision.auto, "auto, fp32 or bf16; head and loss are float32 always.")
    device: str = setting("auto", "auto (cuda, else mps, else cpu), cpu, mps, cuda or cuda:<n>.")
    channels_last: bool = setting(True, "Lay images out channels-last, which is faster on most devices.")
    compile: bool = setting(False, "Compile the network with torch.compile; pays on long runs.")
    deterministic: bool = setting(False, "Only deterministic kernels; slower on GPUs.")
    checkpoint_seconds: float = setting(60.0, "Seconds between checkpoints; 0 = only when asked to stop.", key=False)
    save_weights: bool = setting(True, "Write the trained network as safetensors into the run's folder.", key=False)
    progress: bool = setting(True, "Progress bars where there is a terminal.", key=False)

    def count_steps(self, images: int) -> int:
        """Return the optimiser steps of every fit: the protocol's for so many images, a multiple, or as stated."""
        batch_size = min(self.batch_size or protocol_batch_size(images), images)
        steps = self.steps or self.longer * protocol_steps(images)
        if self.epochs is not None:
            steps = self.epochs * -(-images // batch_size)
        return min(steps, self.limit_steps or steps)

    def outside_protocol(self) -> list[str]:
        """Return the settings that change the protocol's training length or batch."""
        protocol = {"steps": None, "epochs": None, "longer": 1, "limit_steps": None, "batch_size": None}
        stated = {key: getattr(self, key) for key in protocol}
        return [f"train.{key}={value}" for key, value in stated.items() if value != protocol[key]]

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.longer < 1:
            found.append(f"train.longer={self.longer}: must be at least 1")
        stated = "steps" if self.steps is not None else "epochs"
        if self.longer > 1 and getattr(self, stated) is not None:
            found.append(
                f"train.longer={self.longer} multiplies the protocol's steps, but train.{stated}="
                f"{getattr(self, stated)} states a length: leave one of them out"
            )
        # BatchNorm cannot train on a batch of one image.
        for name, least in (("steps", 1), ("epochs", 1), ("limit_steps", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                found.append(f"train.{name}={value}: must be at least {least}, or null")
        if self.steps is not None and self.epochs is not None:
            found.append(f"train.steps={self.steps} and train.epochs={self.epochs}: state one of them")
        if not 0 <= self.label_smoothing < 1:
            found.append(f"train.label_smoothing={self.label_smoothing}: must be in [0, 1)")
        if problem := device_problem(self.device, "train.device"):
            found.append(problem)
        if not self.checkpoint_seconds >= 0:
            found.append(f"train.checkpoint_seconds={self.checkpoint_seconds}: must be at least 0 seconds")
        return found
