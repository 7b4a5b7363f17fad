"""The cut key: everything that decides a row of features besides the image itself.

`ROLES` says of every setting whether it is part of the key, of the image's own identity, or cannot matter and why.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from tlexp.config import PROTOCOL, Config, Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.data.decode import DECODER
from tlexp.models.classifier import CHUNK

POOLED = "pooled"
"""The cut behind the last unit: the features (D,) float32 that the head sees."""

_LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, kw_only=True)
class CutKey:
    """What made a row, and what a row is; two rows of one image under equal keys are equal.

    Attributes:
        cut: Where the backbone is cut: POOLED, or the unit in front and what crosses behind it, in order.
        weights: sha256 of the parameters and buffers in front of the cut.
        backbone: timm model name.
        global_pool: timm's pooling; None is the model's own.
        whole_map: Whether a row is the whole last map, or all tokens, instead of what is pooled.
        head_units: Units whose pooled features make up a row; none for those of the last one.
        image_size: Side of the input in pixels.
        interpolation: Resampling of the image's resizing.
        crop_pct: Side of the crop as a fraction of the resized side.
        crop_mode: How the crop is taken.
        mean: Mean of the normalisation.
        std: Standard deviation of the normalisation.
        decoder: Number of the policy by which files become pixels.
        protocol: Number of what this package makes of the pixels, augmentation included.
        shape: Of one row, e.g. (512,).
        dtype: Of the rows as they are stored, torch's name without "torch.".
        autocast: dtype that the backbone computes in, likewise; None is plain float32.
        device: Kind of the device with what decides its arithmetic, see `device_kind`.
        chunk: Images in one forward pass, on which a row's bits depend; None where batches are taken as they come.
        channels_last: Memory format of the images.
        deterministic: Whether only deterministic kernels were allowed.
        libraries: Name and version of what computes pixels and rows.
        augment: How the image was varied; none for the clean view.
        view: Number of the varied view, from 0; None for the clean view.
        view_seed: Draws the views; None for the clean view.
    """

    cut: str
    weights: str
    backbone: str
    global_pool: str | None
    whole_map: bool
    head_units: tuple[str, ...]
    image_size: int
    interpolation: str
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decoder: int
    protocol: int
    shape: tuple[int, ...]
    dtype: str
    autocast: str | None
    device: str
    chunk: int | None
    channels_last: bool
    deterministic: bool
    libraries: tuple[str, ...]
    augment: str
    view: int | None
    view_seed: int | None

    def values(self) -> dict[str, Any]:
        """Return the key as JSON values, for people who want to know what made an entry."""
        return dataclasses.asdict(self)

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 of all values, 64 hexadecimal digits."""
        text = json.dumps(self.values(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def cut_key(
    config: Config,
    expected: Preprocessing,
    *,
    weights: str,
    width: int,
    device: torch.device,
    autocast: torch.dtype | None,
    cut: str = POOLED,
    dtype: torch.dtype = torch.float32,
    view: int | None = None,
    view_seed: int = 0,
) -> CutKey:
    """Return the key of what crosses a cut, or of the features behind the last unit.

    Args:
        config: Of the run.
        expected: What the backbone expects of images.
        weights: Digest of all that stands in front of the cut.
        width: D, values in a row.
        device: Where they are computed.
        autocast: What the backbone computes in, None for float32.
        cut: Name of the cut.
        dtype: Of the rows.
        view: Number of the augmented view, None for the clean image.
        view_seed: Draws the augmented views.
    """
    return CutKey(
        cut=cut,
        weights=weights,
        backbone=config.backbone.name,
        global_pool=config.head.global_pool,
        whole_map=config.head.kind.sees_map,
        head_units=tuple(sorted(config.head.units)),  # a row has them in forward order
        image_size=expected.image_size,
        interpolation=expected.interpolation,
        crop_pct=float(expected.crop_pct),
        crop_mode=expected.crop_mode,
        mean=tuple(map(float, expected.mean)),
        std=tuple(map(float, expected.std)),
        decoder=DECODER,
        protocol=PROTOCOL,
        shape=(width,),
        dtype=dtype_name(dtype),
        autocast=None if autocast is None else dtype_name(autocast),
        device=device_kind(device),
        chunk=CHUNK if device.type == "cpu" else None,
        channels_last=config.train.channels_last,
        deterministic=config.train.deterministic,
        libraries=library_versions(),
        augment=str(AugmentKind.none if view is None else config.augment.kind),
        view=view,
        view_seed=None if view is None else view_seed,
    )


def dtype_name(dtype: torch.dtype) -> str:
    """Return torch's own name of a dtype, e.g. float32."""
    return str(dtype).removeprefix("torch.")


def device_kind(device: torch.device) -> str:
    """Return the device's type and what its kernels are chosen by: a GPU's model, the CPU's vector instructions."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


@functools.cache
def library_versions() -> tuple[str, ...]:
    """Return name and version of the libraries that compute pixels and rows."""
    return tuple(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)


class Role(Enum):
    """What a setting has to do with a row of features."""

    key = "part of the cut key"
    image = "part of the image's own digest"
    irrelevant = "cannot change a row"


_CHOOSES = "chooses images, never changes one"
_BATCHES = "shapes training, which comes behind the rows"

ROLES: dict[str, tuple[Role, str]] = {
    # A whole group, where nothing of it comes near the rows.
    "cache": (Role.irrelevant, "says whether and where rows are kept; the number of a view is passed on its own"),
    "freeze": (Role.irrelevant, "decides which cut is asked for, each with a key of its own, none where norms move"),
    "optim": (Role.irrelevant, _BATCHES),
    "tune": (Role.irrelevant, _BATCHES),
    "tracking": (Role.irrelevant, "tells of the run"),
    "study": (Role.irrelevant, "chooses runs"),
    "labels": (Role.irrelevant, _CHOOSES),
    "seed": (Role.irrelevant, "random weights are in the weights' digest"),
    "resume": (Role.irrelevant, "goes on with a run"),
    "preprocessing.image_size": (Role.key, "image_size"),
    "preprocessing.mean": (Role.key, "mean"),
    "preprocessing.std": (Role.key, "std"),
    "preprocessing.interpolation": (Role.key, "interpolation"),
    "preprocessing.crop_pct": (Role.key, "crop_pct"),
    "preprocessing.crop_mode": (Role.key, "crop_mode"),
    "backbone.name": (Role.key, "backbone"),
    "backbone.pretrained": (Role.key, "weights"),
    "backbone.calibrate": (Role.key, "weights"),
    "backbone.weights": (Role.key, "weights"),
    "backbone.image_size": (Role.key, "image_size"),
    "backbone.mean": (Role.key, "mean"),
    "backbone.std": (Role.key, "std"),
    "backbone.interpolation": (Role.key, "interpolation"),
    "backbone.crop_pct": (Role.key, "crop_pct"),
    "backbone.drop_rate": (Role.irrelevant, "frozen units are in eval, where nothing is dropped"),
    "backbone.drop_path_rate": (Role.irrelevant, "frozen units are in eval, where nothing is dropped"),
    "head.global_pool": (Role.key, "global_pool"),
    "head.kind": (Role.key, "whole_map"),
    "head.units": (Role.key, "head_units"),
    "head.scale": (Role.irrelevant, _BATCHES),
    "head.hidden": (Role.irrelevant, _BATCHES),
    "head.activation": (Role.irrelevant, _BATCHES),
    "head.dropout": (Role.irrelevant, _BATCHES),
    "head.norm": (Role.irrelevant, _BATCHES),
    "head.init": (Role.irrelevant, _BATCHES),
    "data.source": (Role.image, "each source digests what it decodes"),
    "data.source_seed": (Role.image, "renders shapes; elsewhere it only splits"),
    "data.size": (Role.image, "renders shapes"),
    "data.noise": (Role.image, "renders shapes"),
    "data.clutter": (Role.image, "renders shapes"),
    "data.root": (Role.irrelevant, "the bytes of a file count, not where it lies"),
    "data.columns": (Role.irrelevant, _CHOOSES),
    "data.name": (Role.image, "each source digests what it decodes"),
    "data.split": (Role.irrelevant, _CHOOSES),
    "data.test_split": (Role.irrelevant, _CHOOSES),
    "data.download": (Role.irrelevant, "says where images come from"),
    "data.classes": (Role.irrelevant, _CHOOSES),
    "data.neither": (Role.irrelevant, "the bytes of a file count, not where it lies"),
    "data.shifted": (Role.irrelevant, "the bytes of a file count, not where it lies"),
    "data.seed": (Role.irrelevant, _CHOOSES),
    "data.on_bad": (Role.irrelevant, _CHOOSES),
    "data.follow_links": (Role.irrelevant, _CHOOSES),
    "data.max_pixels": (Role.irrelevant, "refuses images, never changes one"),
    "data.memory_bytes": (Role.irrelevant, "says where pixels lie"),
    "data.per_class": (Role.irrelevant, _CHOOSES),
    "data.test_per_class": (Role.irrelevant, _CHOOSES),
    "data.num_classes": (Role.irrelevant, _CHOOSES),
    "augment.kind": (Role.key, "augment"),
    "augment.mixup": (Role.irrelevant, "mixes a batch of images, which no stored row can be"),
    "augment.cutmix": (Role.irrelevant, "mixes a batch of images, which no stored row can be"),
    "train.precision": (Role.key, "autocast"),
    "train.device": (Role.key, "device"),
    "train.channels_last": (Role.key, "channels_last"),
    "train.deterministic": (Role.key, "deterministic"),
    "train.compile": (Role.irrelevant, "rows come from the network itself, never from its compiled form"),
    "train.steps": (Role.irrelevant, _BATCHES),
    "train.epochs": (Role.irrelevant, _BATCHES),
    "train.longer": (Role.irrelevant, _BATCHES),
    "train.limit_steps": (Role.irrelevant, _BATCHES),
    "train.batch_size": (Role.irrelevant, _BATCHES),
    "train.label_smoothing": (Role.irrelevant, _BATCHES),
    "train.refit": (Role.irrelevant, _BATCHES),
    "train.checkpoint_seconds": (Role.irrelevant, _BATCHES),
    "train.save_weights": (Role.irrelevant, "writes what was trained"),
    "train.progress": (Role.irrelevant, "shows the run"),
}
"""Setting, or whole group, -> its role, and the field of the key or the reason. No setting may be missing."""
