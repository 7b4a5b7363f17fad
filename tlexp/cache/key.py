"""The cut key: everything that decides a row of features besides the image itself.

Each field of the key names the settings that decide it. `IMAGE_SETTINGS` are part of the image's own digest instead,
and `IRRELEVANT_SETTINGS` cannot change a row. No setting may be missing.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tlexp.config import PROTOCOL, Config, Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.config.protocol import CHUNK
from tlexp.data.decode import decoder_name

if TYPE_CHECKING:
    import torch

POOLED = "pooled"
"""The cut behind the last unit: the features (D,) float32 that the head sees."""

_LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy")


def _decided_by(*settings: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field that some settings decide; the others are decided by the code or by its caller."""
    return {"settings": settings}


@dataclass(frozen=True, kw_only=True)
class CutKey:
    """What made a row, and what a row is; two rows of one image under equal keys are equal.

    To the bit they are so on the CPU, where images pass in chunks of one size. An accelerator takes chunks as they come
    and as they fit, and chooses its kernels by their size, so there they are equal but for rounding: a run that finds
    rows may differ in its last digits from one that computed them, with `train.deterministic` too.

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
        decoder: What names the policy by which files become pixels.
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
    weights: str = field(metadata=_decided_by("backbone.pretrained", "backbone.calibrate", "backbone.weights"))
    backbone: str = field(metadata=_decided_by("backbone.name"))
    global_pool: str | None = field(metadata=_decided_by("head.global_pool"))
    whole_map: bool = field(metadata=_decided_by("head.kind"))
    head_units: tuple[str, ...] = field(metadata=_decided_by("head.units"))
    image_size: int = field(metadata=_decided_by("preprocessing.image_size", "backbone.image_size"))
    interpolation: str = field(metadata=_decided_by("preprocessing.interpolation", "backbone.interpolation"))
    crop_pct: float = field(metadata=_decided_by("preprocessing.crop_pct", "backbone.crop_pct"))
    crop_mode: str = field(metadata=_decided_by("preprocessing.crop_mode"))
    mean: tuple[float, ...] = field(metadata=_decided_by("preprocessing.mean", "backbone.mean"))
    std: tuple[float, ...] = field(metadata=_decided_by("preprocessing.std", "backbone.std"))
    decoder: int | str = field(metadata=_decided_by("data.decoder"))
    protocol: int
    shape: tuple[int, ...]
    dtype: str
    autocast: str | None = field(metadata=_decided_by("train.precision"))
    device: str = field(metadata=_decided_by("train.device"))
    chunk: int | None
    channels_last: bool = field(metadata=_decided_by("train.channels_last"))
    deterministic: bool = field(metadata=_decided_by("train.deterministic"))
    libraries: tuple[str, ...]
    augment: str = field(metadata=_decided_by("augment.kind"))
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
    device: "torch.device",
    autocast: "torch.dtype | None",
    cut: str = POOLED,
    dtype: "torch.dtype | None" = None,
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
        dtype: Of the rows; float32 when None.
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
        decoder=decoder_name(config.data.decoder),
        protocol=PROTOCOL,
        shape=(width,),
        dtype="float32" if dtype is None else dtype_name(dtype),
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


def dtype_name(dtype: "torch.dtype") -> str:
    """Return torch's own name of a dtype, e.g. float32."""
    return str(dtype).removeprefix("torch.")


def device_kind(device: "torch.device") -> str:
    """Return the device's type and what its kernels are chosen by: a GPU's model, the CPU's vector instructions."""
    import torch  # lazy: `tlexp cache` makes no key

    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)} without TF32"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


@functools.cache
def library_versions() -> tuple[str, ...]:
    """Return name and version of the libraries that compute pixels and rows."""
    return tuple(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)


def key_settings() -> dict[str, str]:
    """Return the settings that are part of the key, each with the field that it decides."""
    fields = dataclasses.fields(CutKey)
    return {setting: entry.name for entry in fields for setting in entry.metadata.get("settings", ())}


IMAGE_SETTINGS = {
    "data.source": "each source digests what it decodes",
    "data.name": "each source digests what it decodes",
    "data.source_seed": "renders shapes; elsewhere it only splits",
    "data.bits": "part of the digests of those images that it changes",
    "data.size": "renders shapes",
    "data.noise": "renders shapes",
    "data.clutter": "renders shapes",
}
"""Setting -> how it gets into an image's own digest."""

_TRAINING = (
    "optim", "tune", "head.scale", "head.hidden", "head.activation", "head.dropout", "head.norm", "head.init",
    "train.steps", "train.epochs", "train.longer", "train.limit_steps", "train.batch_size", "train.label_smoothing",
    "train.class_weights", "train.refit", "train.checkpoint_seconds",
)  # fmt: skip
_CHOICE = (
    "labels", "data.columns", "data.split", "data.test_split", "data.classes", "data.seed", "data.evaluate",
    "data.on_bad", "data.group", "data.on_leak", "data.follow_links", "data.per_class", "data.test_per_class",
    "data.num_classes",
)  # fmt: skip
_PATHS = ("data.root", "data.train", "data.test", "data.neither", "data.shifted")
IRRELEVANT_SETTINGS = {
    **dict.fromkeys(_TRAINING, "shapes training, which comes behind the rows"),
    **dict.fromkeys(_CHOICE, "chooses images, never changes one"),
    **dict.fromkeys(_PATHS, "the bytes of a file count, not where it lies"),
    **dict.fromkeys(
        ("backbone.drop_rate", "backbone.drop_path_rate"), "frozen units are in eval, where nothing is dropped"
    ),
    **dict.fromkeys(("augment.mixup", "augment.cutmix"), "mixes a batch of images, which no stored row can be"),
    "cache": "says whether and where rows are kept; the number of a view is passed on its own",
    "freeze": "decides which cut is asked for, each with a key of its own, none where norms move",
    "tracking": "tells of the run",
    "study": "chooses runs",
    "seed": "random weights are in the weights' digest",
    "resume": "goes on with a run",
    "data.download": "says where images come from",
    "data.prior": "corrects predictions, which come behind the rows",
    "data.class_names": "names classes, of which no row knows",
    "data.max_pixels": "refuses images, never changes one",
    "data.memory_bytes": "says where pixels lie",
    "data.recheck": "reads files anew that have not changed",
    "train.compile": "rows come from the network itself, never from its compiled form",
    "train.save_weights": "writes what was trained",
    "train.progress": "shows the run",
}
"""Setting, or whole group of which nothing comes near the rows, -> why it cannot change a row."""
