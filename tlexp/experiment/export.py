"""`tlexp export`: a run's trained network in a folder of its own, checked, with a card that says where it comes from.

logits (B, K) float32.
"""

import copy
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tlexp.config.backbone import PIXELS
from tlexp.errors import ConfigError, WeightsError
from tlexp.models import Classifier, ExportedModel, load_classifier, save_classifier
from tlexp.models.digest import tensors_digest
from tlexp.models.prior import PriorShift, told_shares
from tlexp.models.statefile import EXPORT
from tlexp.paths import publish
from tlexp.terminal import one_line
from tlexp.tracking import Record, RunStatus, read_record
from tlexp.tracking.blocks import DataBlock, Environment

CARD = "README.md"
_PROBES = 64
_AGREEMENT = 0.95
"""Least share of random images whose class has to stay the same when weights are halved."""


_TEMPERATURE = "{:.4g}: for probabilities divide the logits by it (model.json has all its digits) before the softmax"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        files: model.safetensors, model.json and the card.
        difference: Largest difference of a logit to the run's own network, on random images.
        agreement: Share of the random images that both give the same class.
    """

    files: tuple[Path, ...]
    difference: float
    agreement: float


def export(run: Path, folder: Path, *, half: bool) -> Exported:
    """Write the network of a finished run into a folder that has none yet.

    Args:
        run: The run's folder.
        folder: Where to; made if it is missing.
        half: Write matrices and kernels in half precision, which halves the file.

    Raises:
        ConfigError: The folder holds an export already.
        TrackingError: The run has no sound record.
        WeightsError: The run did not finish, its network is missing or damaged, or halving changes what it says.
        OSError: The disk is full or the folder cannot be written.
    """
    taken = next((name for name in (*EXPORT, CARD) if (folder / name).exists()), None)
    if taken is not None:
        raise ConfigError(f"{folder} holds {taken} already: an export is never overwritten, name a folder of its own")
    record = read_record(run)
    if record.status is not RunStatus.finished:
        killed = record.status is RunStatus.killed
        mend = f"go on with {shlex.quote(f'resume={run}')}" if killed else "run it again"
        raise WeightsError(f"{run}: the run ended as {record.status}, so its network is not trained: {mend}")
    classifier, described = load_classifier(run)
    difference, agreement = _compare(classifier, described) if half else (0.0, 1.0)
    if agreement < _AGREEMENT:
        raise WeightsError(
            f"{run}: in half precision only {agreement:.0%} of random images keep their class: export without --half"
        )
    files = save_classifier(classifier, folder, description=described.card, half=half)
    card = folder / CARD
    again, described = load_classifier(folder)  # as the next run will see it
    publish(card, _card(record, again, described, folder / EXPORT[1], half=half))
    return Exported(files=(*files, card), difference=difference, agreement=agreement)


@torch.no_grad()
def _compare(classifier: Classifier, described: ExportedModel) -> tuple[float, float]:
    """Return the largest difference of the halved network's logits, and the share of equal classes."""
    halved = copy.deepcopy(classifier)
    for parameter in halved.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half())
    side = described.card.preprocessing.image_size
    images = torch.randn(_PROBES, 3, side, side, generator=torch.Generator().manual_seed(0))
    ours, theirs = classifier(images), halved(images)
    return (ours - theirs).abs().max().item(), (ours.argmax(1) == theirs.argmax(1)).float().mean().item()


def _card(record: Record, classifier: Classifier, described: ExportedModel, weights: Path, *, half: bool) -> str:
    """Return the model card, in Markdown."""
    expected = described.card.preprocessing
    kind = "float16, normalisation float32" if half else "float32"
    parameters = sum(parameter.numel() for parameter in classifier.backbone.parameters())
    name, shift, temperature = described.card.backbone, described.card.prior, described.card.temperature
    architecture = "raw pixels" if name == PIXELS else f"timm's {name}"
    facts = {
        "architecture": f"{architecture}, {parameters:,} parameters without the head",
        "input": f"{expected.image_size} px, mean {list(expected.mean)}, std {list(expected.std)}, "
        f"{expected.interpolation}, crop {expected.crop_pct:g}",
        "classes": f"{len(described.card.classes)}, listed in model.json",
        "file": f"{weights.name}, {weights.stat().st_size:,} bytes, {kind}",
        "digest": f"{tensors_digest(classifier.backbone.state_dict())} in the records of runs that start from it",
        **({} if temperature == 1 else {"temperature": _TEMPERATURE.format(temperature)}),
        **({} if shift is None else {"class frequencies": _frequencies(described.card.classes, shift)}),
        "started from": described.card.origin,
        "images": "unknown" if record.data is None else _images(record.data),
        "command": f"`{shlex.join(['python', '-m', 'tlexp', *record.overrides])}`",
        "code": _code(record.environment),
        "seeds": ", ".join(f"{name} {value}" for name, value in vars(record.seeds).items()),
        "steps": f"{record.train.steps:,}",
        "time": f"{record.metrics.get('cost/seconds', 0.0) / 60:.1f} minutes, ended {record.ended}",
        "device": f"{record.environment.device}, {record.environment.cpu_count} CPU cores",
        "packages": ", ".join(f"{name} {found}" for name, found in record.environment.packages.items()),
        "test": ", ".join(
            f"{name.removeprefix('test/')} {value:.4f}"
            for name, value in record.metrics.items()
            if name.startswith("test/")
        ),
    }
    rows = "\n".join(f"| {name} | {one_line(text)} |" for name, text in facts.items())
    return (
        f"# {described.card.backbone}, trained on {len(described.card.classes)} classes\n\n"
        f"Made by tlexp; use it with `backbone.weights=FOLDER`.\n\n| | |\n|---|---|\n{rows}\n"
    )


def _frequencies(classes: Sequence[str], shift: PriorShift) -> str:
    """Return how predictions are corrected, which the weights do not know."""
    return (
        f"the weights learned {told_shares(classes, shift.trained)}; the test's predictions are corrected to "
        f"{told_shares(classes, shift.wanted)}: add log(wanted / trained) of model.json's prior to the divided logits"
    )


def _images(data: DataBlock) -> str:
    """Return how many images of each split there were, and their digest."""
    counts = {split: sum(classes.values()) for split, classes in data.counts.items()}
    told = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
    return f"{told}; digest {data.digest}"


def _code(environment: Environment) -> str:
    """Return version and commit of the program that trained the network."""
    version, git = environment.packages.get("tlexp", "of an unknown version"), environment.git
    if git is None:
        return f"tlexp {version}"
    return f"tlexp {version}, commit {git.commit}{' with changes' if git.dirty else ''}"
