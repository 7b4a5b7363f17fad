"""What the readers of a run's record are told, one sentence each."""

from collections.abc import Iterator

from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EVERY_UNIT, EntryKind
from tlexp.config.freeze import FreezeNorm, FreezePolicy
from tlexp.config.train import Precision
from tlexp.data import Source
from tlexp.experiment.build import Network
from tlexp.experiment.image_notes import image_notes
from tlexp.experiment.images import Budget
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.sizes import size_notes
from tlexp.models import Classifier, frozen_told, keeps_statistics
from tlexp.train import Evaluation, choose_device, computes_bf16

_MANY_IMAGES = 2000
"""Fewer pass the frozen network in about a minute, whatever it computes in."""


def start_notes(config: Config, network: Network, images: Source, budget: Budget) -> Iterator[str]:
    """Yield what is known before training: of the start, of what is frozen, of the images and of the protocol."""
    name, freeze = config.backbone.name, config.freeze
    if config.backbone.random_start:
        yield (
            f"backbone {name} starts from random weights"
            + (", calibrated on the label budget" if config.backbone.calibrate else "")
            + ("; its frozen part is not trained at all" if network.freezing.keeps(network.units) else "")
        )
    if freeze.asked is not None:
        parameters, operations = network.freezing.shares(network.units)
        told = frozen_told(network.depth, len(network.units), parameters=parameters, operations=operations)
        yield f"{freeze.asked} freezes {told}"
    if network.freezing.adapted:
        yield (
            f"freeze=lora: adapters of rank {freeze.rank} train beside {len(network.freezing.adapted)} layers; "
            "model.safetensors holds the plain architecture, with them added to its weights"
        )
    if freeze.norm is not FreezeNorm.follow and not any(map(keeps_statistics, network.backbone.modules())):
        yield f"freeze.norm={freeze.norm} changes nothing: {name} has no norms with running statistics"
    yield from size_notes(config, network.expected, images)
    yield from image_notes(images)
    if 2 * len(budget.positions) > len(images.pool.labels):
        yield (
            f"labels={config.labels} takes more than half of the images to learn from: what is reached is told for "
            "these images alone, others may give something else"
        )
    yield from precision_note(config, len(budget.positions) + len(images.held_out.labels))
    changed = [] if config.head.kind.solved else config.train.outside_protocol()  # a solution has no length
    if changed:
        yield f"outside protocol: {', '.join(changed)}"


def precision_note(config: Config, images: int) -> Iterator[str]:
    """Yield what half precision would save a CPU that has instructions for it, where images pass once and are many."""
    alone, frozen = config.study.column is None, config.entry_rule.kind is EntryKind.features
    if not alone or not frozen or config.train.precision is not Precision.auto or images < _MANY_IMAGES:
        return
    device = choose_device(config.train.device)
    if device.type == "cpu" and computes_bf16(device):
        yield (
            f"{images:,} images pass the frozen network: train.precision=bf16, for which this processor has "
            "instructions, may take two thirds of the time; it rounds features more coarsely"
        )


def guess_note(config: Config, test: Evaluation) -> Iterator[str]:
    """Yield a warning where the test says no more than the most frequent class does by itself."""
    if config.study.column is not None:  # a study has columns that are meant to
        return
    most = max(test.support) / test.count
    if test.accuracy_interval[0] <= most:
        yield (
            f"test accuracy {test.metrics['accuracy']:.3f} is not surely above guessing: always naming the most "
            f"frequent class gives {most:.3f}; are these the classes, and are the labels right?"
        )


def collapse_note(config: Config, train: Evaluation) -> Iterator[str]:
    """Yield a warning where training has come to say the same of every image, of those that it learned from too."""
    reached, guessed = train.metrics["balanced_accuracy"], 1 / len(train.support)
    if not config.head.kind.solved and reached <= guessed + 1e-9:  # rounding
        yield (
            f"training came to nothing: on the images that it learned from its balanced accuracy is {reached:.3f}, and "
            f"always naming one class gives {guessed:.3f}; use a smaller optim.lr, more steps, or more tune.trials to "
            "choose from"
        )


def cache_notes(config: Config, classifier: Classifier, inputs: RunInputs) -> Iterator[str]:
    """Yield why what frozen layers make is not kept, where it could be expected to be."""
    if inputs.uncut is not None and config.cache.mode is not CacheMode.off:
        where = "" if inputs.use is None else " in every phase"
        yield f"what the frozen layers make is not kept{where}: {config.backbone.name} {inputs.uncut}"
    if inputs.use is not None or config.study.column is not None:  # a study compares what would be advised against
        return
    rule = config.entry_rule
    if rule.kind is EntryKind.images and config.cache.mode is not CacheMode.off:
        if config.freeze.freezes_prefix and (classifier.depth > 0 or len(inputs.entries) > 1):
            yield f"features are not kept: {rule.reason}"
    elif config.freeze.simplest is FreezePolicy.depth and classifier.depth == len(classifier.units):
        yield f"freeze.depth={config.freeze.depth} freezes {EVERY_UNIT}"
