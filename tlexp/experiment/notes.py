"""What the readers of a run's record are told, one sentence each."""

from collections.abc import Iterator

from tlexp.config import Config
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EVERY_UNIT, EntryKind
from tlexp.config.freeze import FreezeNorm, FreezePolicy
from tlexp.data import Source
from tlexp.experiment.build import Network
from tlexp.experiment.images import Budget
from tlexp.experiment.inputs import RunInputs
from tlexp.models import Classifier, keeps_statistics


def start_notes(config: Config, network: Network, images: Source, budget: Budget) -> Iterator[str]:
    """Yield what is known before training: of the start, of what is frozen, of the images and of the protocol."""
    name, freeze = config.backbone.name, config.freeze
    if config.backbone.random_start:
        yield (
            f"backbone {name} starts from random weights"
            + (", calibrated on the label budget" if config.backbone.calibrate else "")
            + ("; its frozen part is not trained at all" if network.freezing.keeps(network.units) else "")
        )
    if network.freezing.adapted:
        yield (
            f"freeze=lora: adapters of rank {freeze.rank} train beside {len(network.freezing.adapted)} layers; "
            "model.safetensors holds the plain architecture, with them added to its weights"
        )
    if freeze.norm is not FreezeNorm.follow and not any(map(keeps_statistics, network.backbone.modules())):
        yield f"freeze.norm={freeze.norm} changes nothing: {name} has no norms with running statistics"
    yield from images.notes
    if images.skipped:
        yield f"unreadable images left out: {len(images.skipped)}; record.json names them"
    if 2 * len(budget.positions) > len(images.pool.labels):
        yield (
            f"labels={config.labels} is above half of the pool: the result is conditional on this pool, another might "
            "give a different one"
        )
    changed = [] if config.head.kind.solved else config.train.outside_protocol()  # a solution has no length
    if changed:
        yield f"outside protocol: {', '.join(changed)}"


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
