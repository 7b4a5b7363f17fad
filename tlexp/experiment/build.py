"""From the configuration to the parts of a run: one function per part, each handing on plain values.

The only place where the configuration's fields meet the arguments of models, data and training.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tlexp.config import Config, Preprocessing
from tlexp.config.protocol import protocol_batch_size
from tlexp.data import Source, chunks
from tlexp.errors import ConfigError
from tlexp.experiment.images import Budget, decode
from tlexp.features.batches import FitSetup
from tlexp.models import (
    CALIBRATED,
    Classifier,
    Freezing,
    HeadOptions,
    ModelCard,
    Phase,
    Unit,
    WeightsOrigin,
    build_backbone,
    calibrate,
    find_units,
    freeze_phases,
    load_weights,
    phase_steps,
    preprocessing,
    resolve_freezing,
)
from tlexp.models.abstention import Abstention
from tlexp.models.digest import tensors_digest
from tlexp.models.export import LARGEST_IMAGE
from tlexp.models.lora import adapt
from tlexp.models.prior import PriorShift
from tlexp.paths import packaged_weights
from tlexp.tracking import resolve_weights
from tlexp.train import FitPhase, FitPlan, Listener, autocast_dtype, within_memory


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone cut into units, what of them trains in the end and in each phase, and what it expects of images."""

    backbone: nn.Module
    units: tuple[Unit, ...]
    freezing: Freezing
    phases: tuple[Phase, ...]
    expected: Preprocessing

    @property
    def depth(self) -> int:
        """How many leading units are wholly frozen."""
        return self.freezing.depth

    def frozen_as(self, config: Config) -> "Network":
        """Return the same backbone with what trains under the policy of a run.

        Raises:
            ConfigError: The backbone does not have what the policy names.
        """
        freezing = _freezing(config, self.backbone, self.units, self.expected)
        return dataclasses.replace(self, freezing=freezing, phases=_phases(config, self.units, freezing))


def build_network(config: Config, *, meta: bool = False) -> Network:
    """Return the backbone with random weights; with `meta` it has shapes alone.

    Raises:
        ConfigError: Unknown model, a size or pooling it does not take, a depth that is out of range.
    """
    backbone_config = config.backbone
    expected = preprocessing(
        backbone_config.name,
        image_size=backbone_config.image_size,
        mean=backbone_config.mean,
        std=backbone_config.std,
        interpolation=backbone_config.interpolation,
        crop_pct=backbone_config.crop_pct,
    )
    backbone = build_backbone(
        backbone_config.name,
        image_size=expected.image_size,
        global_pool=config.head.global_pool,
        head=config.head.kind,
        head_units=config.head.units,
        drop_rate=backbone_config.drop_rate,
        drop_path_rate=backbone_config.drop_path_rate,
        seed=config.seed,
        meta=meta,
    )
    units = find_units(backbone, image_size=expected.image_size)
    freezing = _freezing(config, backbone, units, expected)
    phases = _phases(config, units, freezing)
    return Network(backbone=backbone, units=units, freezing=freezing, phases=phases, expected=expected)


def _freezing(config: Config, backbone: nn.Module, units: Sequence[Unit], expected: Preprocessing) -> Freezing:
    freeze = config.freeze
    return resolve_freezing(
        freeze.simplest,
        backbone,
        units,
        name=config.backbone.name,
        image_size=expected.image_size,
        depth=freeze.depth,
        by=freeze.by,
        named=freeze.units,
    )


def _phases(config: Config, units: Sequence[Unit], freezing: Freezing) -> tuple[Phase, ...]:
    freeze = config.freeze
    return freeze_phases(
        freeze.simplest,
        depth=freezing.depth,
        units=len(units),
        probe_share=freeze.probe_share,
        phases=freeze.phases,
        backbone=config.backbone.name,
    )


def load_start(config: Config, network: Network) -> WeightsOrigin:
    """Give the backbone the weights it starts from, and return where they came from.

    Raises:
        WeightsError: They cannot be had, cannot be read or do not fit.
    """
    backbone = config.backbone
    origin = load_weights(
        network.backbone,
        name=backbone.name,
        pretrained=backbone.pretrained,
        weights=_stated_weights(config),
        seed=config.seed,
    )
    if backbone.packaged is None or backbone.random_start:
        return origin
    return dataclasses.replace(origin, source=str(backbone.weights))  # where the package lies is nobody's concern


def calibrate_start(
    config: Config,
    network: Network,
    origin: WeightsOrigin,
    source: Source,
    budget: Budget,
    device: torch.device,
    listener: Listener,
) -> WeightsOrigin:
    """Calibrate random weights on the label budget's images, on the device, and return what they are now.

    Raises:
        DataError: An image cannot be read any more.
        OutOfMemoryError: A chunk does not fit into the device's memory.
    """
    images = _spread_chunks(config, network.expected, source, budget, device, listener)
    # A run before this one may have laid the weights out otherwise, and kernels round by layout.
    backbone = network.backbone.to(device).to(memory_format=torch.contiguous_format)
    within_memory(
        lambda: calibrate(backbone, images),
        f"calibrating on {CALIBRATED} images at once: use a smaller backbone.image_size, or train.device=cpu",
    )
    return WeightsOrigin(source=f"{origin.source}, calibrated", digest=tensors_digest(network.backbone.state_dict()))


def _spread_chunks(
    config: Config,
    expected: Preprocessing,
    source: Source,
    budget: Budget,
    device: torch.device,
    listener: Listener,
) -> Iterator[torch.Tensor]:
    """Yield the budget's images, normalised, in chunks of nearly one size, each spread over all classes."""
    bank = decode(config, source.pool, budget.positions, expected, listener)
    count = -(-len(bank) // CALIBRATED)
    for first in range(count):
        places = np.arange(first, len(bank), count)  # the budget is sorted by class
        fed = chunks(bank, places, mean=expected.mean, std=expected.std, device=device, channels_last=False)
        yield from (images for images, _ in fed)


def _stated_weights(config: Config) -> Path | None:
    """Return the file or folder that `backbone.weights` names; None for the hub's or random ones."""
    backbone = config.backbone
    if backbone.weights is None or backbone.random_start:
        return None
    if backbone.packaged is not None:
        return packaged_weights()[backbone.packaged]
    return resolve_weights(backbone.weights, uri=config.tracking.uri)


def build_classifier(config: Config, network: Network, classes: int) -> Classifier:
    """Return the network with a new head for so many classes, and with adapters where the policy asks for them."""
    head = _head_options(config).build(network.backbone, classes, seed=config.seed)
    backbone, units, trainable = network.backbone, network.units, network.freezing.trainable
    if network.freezing.adapted:
        rank, alpha = config.freeze.rank, config.freeze.alpha
        assert rank is not None
        assert alpha is not None
        layers = network.freezing.adapted
        backbone, units, trainable = adapt(backbone, units, layers, rank=rank, alpha=alpha, seed=config.seed)
    return Classifier(backbone, head, units, network.depth, trainable=trainable, norm=config.freeze.norm)


def describe_model(
    config: Config,
    network: Network,
    origin: WeightsOrigin,
    classes: Sequence[str],
    prior: PriorShift | None = None,
    temperature: float | None = None,
    abstention: Abstention | None = None,
) -> ModelCard:
    """Return what has to be known to build the trained network again, and to predict as it did."""
    return ModelCard(
        backbone=config.backbone.name,
        preprocessing=network.expected,
        classes=tuple(classes),
        head=_head_options(config),
        global_pool=config.head.global_pool,
        head_units=tuple(config.head.units),
        drop_rate=config.backbone.drop_rate,
        drop_path_rate=config.backbone.drop_path_rate,
        origin=origin.source,
        prior=prior,
        temperature=1.0 if temperature is None else temperature,
        abstention=abstention,
        max_pixels=min(config.data.max_pixels, LARGEST_IMAGE),
        bits=config.data.bits,
        decoder=config.data.decoder,
    )


def _head_options(config: Config) -> HeadOptions:
    head = config.head
    return HeadOptions(
        kind=head.kind,
        hidden=tuple(head.hidden),
        activation=head.activation,
        dropout=head.dropout,
        norm=head.norm,
        init=head.init,
        scale=head.scale,
    )


def build_setup(config: Config, network: Network, device: torch.device, *, images: int, classes: int) -> FitSetup:
    """Return how a budget of so many images is trained on.

    Args:
        config: Of the run.
        network: What is trained, phase by phase.
        device: Where it is trained.
        images: Size of the label budget.
        classes: K.

    Raises:
        ConfigError: More phases than steps.
    """
    rates = config.default_rates
    steps = config.train.count_steps(images)
    plan = FitPlan(
        steps=steps,
        phases=_fit_phases(config, network.phases, steps),
        num_classes=classes,
        seed=config.seed,
        optimizer=config.optim.name,
        lr=rates.lr,
        weight_decay=rates.weight_decay,
        momentum=config.optim.momentum,
        layer_decay=config.optim.layer_decay,
        schedule=config.optim.schedule,
        warmup=config.optim.warmup,
        clip_norm=config.optim.clip_norm,
        label_smoothing=config.train.label_smoothing,
        mixup=config.augment.mixup,
        cutmix=config.augment.cutmix,
        autocast=autocast_dtype(config.train.precision, device),
        compile=config.train.compile,
        channels_last=config.train.channels_last,
    )
    batch_size = config.train.batch_size or protocol_batch_size(images)
    return FitSetup(
        plan=plan,
        batch_size=batch_size,
        augment=config.augment.kind,
        views=config.cache.views,
        view_seed=config.data.source_seed,
        expected=network.expected,
        device=device,
        class_weights=config.train.class_weights,
    )


def _fit_phases(config: Config, phases: Sequence[Phase], steps: int) -> tuple[FitPhase, ...]:
    """Return the phases of a fit; the first of several trains the head alone, at the rates of a linear probe."""
    freeze, parts = config.freeze, phase_steps(phases, steps)
    if min(parts) == 0:
        name = "probe_share" if freeze.phases is None else "phases"
        raise ConfigError(
            f"freeze.{name}={getattr(freeze, name)}: each phase needs a step, but of {steps} steps they would have "
            f"{', '.join(map(str, parts))}: use more steps (train.steps, train.limit_steps) or "
            + (f"freeze.phases={steps}" if freeze.phases else "freeze=all" if parts[0] else "freeze=none")
        )
    probe = config.probe_rates
    alone = {"lr": probe.lr, "weight_decay": probe.weight_decay}
    return tuple(
        FitPhase(steps=part, depth=phase.depth, **(alone if number == 0 and len(phases) > 1 else {}))
        for number, (phase, part) in enumerate(zip(phases, parts, strict=True))
    )
