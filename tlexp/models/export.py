"""A classifier on disk: model.safetensors (backbone.*, head.*) and model.json, enough to rebuild it without network.

Where images can be compared with those that it learned from, model.safetensors has typicality.* as well, and where
it is known which it has seen, familiarity.images.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tlexp.config import Preprocessing
from tlexp.config.backbone import BackboneConfig
from tlexp.config.data import DataConfig, Decoder
from tlexp.config.head import Activation, HeadConfig, HeadInit, HeadKind, HeadNorm
from tlexp.errors import ConfigError, WeightsError
from tlexp.jsonfile import abridged, from_json
from tlexp.models.abstention import Abstention
from tlexp.models.backbone import build_backbone, feature_shape
from tlexp.models.classifier import Classifier
from tlexp.models.digest import tensors_digest
from tlexp.models.familiarity import Familiarity, state_problem
from tlexp.models.head import Head, build_head
from tlexp.models.lora import merged_state
from tlexp.models.prior import PriorShift
from tlexp.models.statefile import EXPORT, SCHEMA, no_description, read_description, read_export
from tlexp.models.typicality import Typicality, state_problems
from tlexp.models.units import find_units
from tlexp.paths import publish
from tlexp.secrets import masked

LARGEST_IMAGE = 1_000_000_000
"""Pixels that a card may ask for at most: more would fill the memory of those who trust it."""
_COLDEST = 1e-30
"""Least temperature: logits that are divided by less leave float32."""
_TYPICALITY = "typicality"
"""Begins the names of its tensors."""
_FAMILIARITY = "familiarity.images"
"""The name of its tensor."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """The arguments of `build_head` besides what backbone, classes and seed say."""

    kind: HeadKind = HeadKind.linear
    hidden: tuple[int, ...] = ()
    activation: Activation = Activation.relu
    dropout: float = 0.0
    norm: HeadNorm = HeadNorm.none
    init: HeadInit = HeadInit.zero
    scale: float | None = None

    def stated(self) -> dict[str, Any]:
        """Return them as settings of a head."""
        return vars(self) | {"hidden": list(self.hidden)}

    def build(self, backbone: nn.Module, num_classes: int, *, seed: int) -> Head:
        """Return a head for the features of a built backbone.

        Args:
            backbone: Of `build_backbone`.
            num_classes: K.
            seed: Draws the weights.
        """
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        shape = feature_shape(backbone)
        tokens = shape[0] if len(shape) > 1 else 1
        return build_head(in_features=math.prod(shape), num_classes=num_classes, tokens=tokens, seed=seed, **options)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """How a classifier is built and what it tells apart.

    Attributes:
        backbone: timm model name.
        preprocessing: What it expects of images.
        classes: Class names in the order of the logits.
        head: The head's options.
        global_pool: timm's pooling; None is the model's own.
        head_units: Units whose features the head sees side by side; none for the last one's.
        drop_rate: Dropout in front of the head.
        drop_path_rate: Stochastic depth; None is the architecture's own.
        origin: Where the weights came from before training.
        prior: By which class frequencies its predictions are to be corrected; None where they are as trained. The
            weights are those that were trained, without it.
        temperature: What its logits are to be divided by before they become probabilities, ahead of any correction.
        abstention: How sure it has to be for which accuracy of its answers; None where nothing tells.
        max_pixels: Largest image that is decoded for it.
        bits: How many the values of 16-bit grey images use; None where nobody said.
        decoder: How JPEGs become pixels.
    """

    backbone: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    head: HeadOptions = HeadOptions()
    global_pool: str | None = None
    head_units: tuple[str, ...] = ()
    drop_rate: float = 0.0
    drop_path_rate: float | None = None
    origin: str = ""
    prior: PriorShift | None = None
    temperature: float = 1.0
    abstention: Abstention | None = None
    max_pixels: int = DataConfig().max_pixels
    bits: int | None = None
    decoder: Decoder = Decoder.exact

    def problems(self) -> list[str]:
        """Return every broken rule: a card may be anybody's."""
        layers = HeadConfig(units=list(self.head_units), global_pool=self.global_pool, **self.head.stated())
        network = BackboneConfig(name=self.backbone, drop_rate=self.drop_rate, drop_path_rate=self.drop_path_rate)
        found = [*self.preprocessing.problems(), *layers.problems(), *network.problems()]
        if not _COLDEST <= self.temperature <= 1 / _COLDEST:
            found.append(f"temperature={abridged(self.temperature)}: must be in [{_COLDEST:g}, {1 / _COLDEST:g}]")
        if not all(self.classes) or len(set(self.classes)) < len(self.classes) or not self.classes:
            found.append(f"classes={abridged(self.classes)}: must be names, each once")
        if not 1 <= self.max_pixels <= LARGEST_IMAGE:
            found.append(f"max_pixels={abridged(self.max_pixels)}: must be 1..{LARGEST_IMAGE}")
        if self.bits is not None and not 8 <= self.bits <= 16:
            found.append(f"bits={abridged(self.bits)}: must be 8..16")
        if self.prior is not None:
            found += self.prior.problems(len(self.classes))
        return found if self.abstention is None else found + self.abstention.problems()


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """What stands in model.json: the card, the freeze depth it was trained at, and the digest of its weights."""

    card: ModelCard
    depth: int
    digest: str


def save_classifier(classifier: Classifier, folder: Path, *, description: ModelCard, half: bool = False) -> list[Path]:
    """Write a classifier into a folder, each file whole or not at all, and return the files.

    model.json goes last, so that a folder that has it is complete. Adapters are added to the weights beside which they
    were trained, so what is written is always the plain architecture.

    Args:
        classifier: What to write.
        folder: Where to; made if it is missing.
        description: How it is built again.
        half: Write matrices and kernels in half precision. Normalisation stays float32: variances may be too small.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    merged = {"backbone": merged_state(classifier.backbone), "head": classifier.head.state_dict()}
    if classifier.typicality is not None:
        merged[_TYPICALITY] = classifier.typicality.state()
    state = {f"{part}.{name}": tensor.cpu().contiguous() for part in merged for name, tensor in merged[part].items()}
    if classifier.familiarity is not None:
        state[_FAMILIARITY] = classifier.familiarity.state()
    if half:
        state = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in state.items()}
    # The rest of the card has to be as it is, or the network could not be built again; no class is called as a secret.
    card = dataclasses.replace(description, origin=masked(description.origin))
    exported = ExportedModel(card=card, depth=classifier.depth, digest=tensors_digest(state))
    content = {"schema": SCHEMA, **dataclasses.asdict(exported)}
    for name in ("prior", "temperature", "abstention", "max_pixels", "bits", "decoder"):
        if getattr(card, name) == getattr(ModelCard, name):
            del content["card"][name]  # a card without one is read by earlier versions too
    paths = [folder / name for name in EXPORT]
    publish(paths[1], save(state))
    publish(paths[0], (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return paths


def load_classifier(folder: Path) -> tuple[Classifier, ExportedModel]:
    """Rebuild a classifier from a folder, in eval mode and without network.

    Raises:
        WeightsError: Files are missing, damaged or do not belong together.
    """
    card, weights = (folder / name for name in EXPORT)
    exported = read_card(card)
    state = read_export(folder)
    seen = state.pop(_FAMILIARITY, None)
    own = {name for name in state if name.startswith(f"{_TYPICALITY}.")}
    _require_room(exported.card, card, sum(tensor.numel() for name, tensor in state.items() if name not in own))
    classifier = _build(exported, card)
    if own:
        known = {name.partition(".")[2]: state[name] for name in own}
        classifier.typicality = _typicality(known, feature_shape(classifier.backbone)[-1], weights)
    classifier.familiarity = None if seen is None else _familiarity(seen, weights)
    try:
        classifier.load_state_dict({name: tensor for name, tensor in state.items() if name not in own})
    except RuntimeError as error:
        raise WeightsError(f"{weights} does not fit the model that {card} describes: {error}") from error
    return classifier.eval(), exported


def _typicality(state: Mapping[str, Tensor], width: int, path: Path) -> Typicality:
    if problems := state_problems(state, width):
        raise WeightsError(f"{path}: {'; '.join(problems)}: no run wrote that, so restore the file or export again")
    return Typicality.of_state(state)


def _familiarity(state: Tensor, path: Path) -> Familiarity:
    if problem := state_problem(state):
        raise WeightsError(f"{path}: familiarity.{problem}: no run wrote that, so restore the file or export again")
    return Familiarity.of_state(state)


def read_card(path: Path) -> ExportedModel:
    """Return what a model.json says.

    Raises:
        WeightsError: It is missing, damaged, of another version, or describes no network that a run could have made.
    """
    content = read_description(path)
    try:
        exported = from_json(ExportedModel, content, "it", strict=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_description(path, error) from error
    if problems := exported.card.problems():
        raise WeightsError(f"{path}: {'; '.join(problems)}: no run wrote that, so restore the file or export again")
    return exported


def _require_room(card: ModelCard, path: Path, held: int) -> None:
    """Refuse a network of more numbers than its weights hold, before memory is taken for one of any size."""
    backbone = _backbone(card, path, meta=True)
    with torch.device("meta"):
        head = card.head.build(backbone, len(card.classes), seed=0)
    described = sum(each.numel() for part in (backbone, head) for each in part.state_dict().values())
    if described > held:
        raise WeightsError(
            f"{path}: the network it describes has {described:,} numbers, and the weights beside it are {held:,}: "
            "no run wrote that, so restore both files or export again"
        )


def _backbone(card: ModelCard, path: Path, *, meta: bool = False) -> nn.Module:
    try:
        return build_backbone(
            card.backbone,
            image_size=card.preprocessing.image_size,
            global_pool=card.global_pool,
            head=card.head.kind,
            head_units=card.head_units,
            drop_rate=card.drop_rate,
            drop_path_rate=card.drop_path_rate,
            meta=meta,
        )
    except ConfigError as error:
        raise WeightsError(f"{path}: the model it describes cannot be built: {error}") from error


def _build(exported: ExportedModel, path: Path) -> Classifier:
    card = exported.card
    backbone = _backbone(card, path)
    head = card.head.build(backbone, len(card.classes), seed=0)
    units = find_units(backbone, image_size=card.preprocessing.image_size)
    if not 0 <= exported.depth <= len(units):
        raise WeightsError(f"{path}: depth={exported.depth}: {card.backbone} has 0..{len(units)} units: export again")
    return Classifier(backbone, head, units, exported.depth)
