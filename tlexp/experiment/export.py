"""`tlexp export`: a run's trained network in a folder of its own, checked, with a card that says where it comes from.

What is written lies beside the folder under a temporary name until it is whole and checked.
logits (B, K) float32.
"""

import contextlib
import copy
import shlex
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tlexp.errors import ConfigError, WeightsError
from tlexp.experiment.card import MADE_BY, CheckedExport, format_card, own_card
from tlexp.formats import ExportFormat, Format, Trained, compare, format_of
from tlexp.models import Classifier, ExportedModel, load_classifier, save_classifier
from tlexp.models.statefile import EXPORT
from tlexp.paths import open_regular, publish
from tlexp.tracking import Record, RunStatus, read_record

if TYPE_CHECKING:
    from tlexp.train import Listener

CARD = "README.md"
_WRITTEN = frozenset((
    *EXPORT, CARD, "config.json", "model.onnx", "model.onnx.data", "preprocessing.json", "model.pt2", "classes.json",
    "MLmodel", "artifacts", "code", "conda.yaml", "python_env.yaml", "python_model.py", "requirements.txt", "served.py",
))  # fmt: skip
"""What lies in exports of any format: a folder that holds anything else is more than an export."""
_PROBES = 64
_AGREEMENT = 0.95
"""Least share of random images whose class has to stay the same when weights are halved."""
_LARGEST_CARD = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        files: All of them, the card last.
        told: How they compare with the run's own network, for people; empty where they are that network.
    """

    files: tuple[Path, ...]
    told: str


def export(
    run: Path,
    folder: Path,
    *,
    kind: ExportFormat = ExportFormat.tlexp,
    half: bool = False,
    overwrite: bool = False,
    typed: Callable[[Sequence[str]], Sequence[str]] = tuple,
    listener: "Listener | None" = None,
) -> Exported:
    """Write the network of a finished run into a folder of its own.

    Args:
        run: The run's folder.
        folder: Where to; made if it is missing.
        kind: For whom.
        half: Write matrices and kernels in half precision, which halves tlexp's own file.
        overwrite: Replace an export that is there already.
        typed: Returns the words of the run's command, as people type them, from the overrides of its record.
        listener: Hears of images that are read for the check.

    Raises:
        ConfigError: The folder holds something already, or the format does not take the network or half precision.
        TrackingError: The run has no sound record.
        WeightsError: The run did not finish, its network is missing or damaged, or the export says something else.
        OSError: The disk is full or the folder cannot be written.
    """
    _require_free(folder, overwrite=overwrite)
    if half and kind is not ExportFormat.tlexp:
        raise ConfigError(f"--half belongs to --format {ExportFormat.tlexp}: leave it out for --format {kind}")
    written_by = None if kind is ExportFormat.tlexp else format_of(kind)
    record = _finished(run)
    classifier, described = load_classifier(run)
    trained = Trained(classifier=classifier, card=described.card, folder=run)
    command = typed(record.overrides)
    with _staged(folder) as staged:
        if written_by is None:
            told = _write_own(record, trained, described, staged, half=half, command=command)
        else:
            told = _write_for_others(record, trained, kind, written_by, staged, listener=listener, command=command)
    written = sorted(folder.iterdir(), key=lambda path: (path.name == CARD, path.name))
    return Exported(files=tuple(path for path in written if path.is_file()), told=told)


def _finished(run: Path) -> Record:
    record = read_record(run)
    if record.status is not RunStatus.finished:
        killed = record.status is RunStatus.killed
        mend = f"go on with {shlex.quote(f'resume={run}')}" if killed else "run it again"
        raise WeightsError(f"{run}: the run ended as {record.status}, so its network is not trained: {mend}")
    return record


def _write_own(
    record: Record, trained: Trained, described: ExportedModel, folder: Path, *, half: bool, command: Sequence[str]
) -> str:
    """Write the files that runs start from; return how halved weights compare with whole ones."""
    told = _halved(trained, described) if half else ""
    save_classifier(trained.classifier, folder, description=trained.card, half=half)
    again, read = load_classifier(folder)  # as the next run will see it
    publish(folder / CARD, own_card(record, again, read.card, folder / EXPORT[1], half=half, command=command))
    return told


def _write_for_others(
    record: Record,
    trained: Trained,
    kind: ExportFormat,
    format_: Format,
    folder: Path,
    *,
    listener: "Listener | None",
    command: Sequence[str],
) -> str:
    """Write what others load, once a process of its own has said what the run does; return how they compare."""
    from tlexp.experiment.reference import reference  # lazy: what reads images and applies a network, for a second

    format_.write(trained, folder)
    snippet = format_.snippet(trained.card)
    said, likeness = compare(folder, snippet, lambda: reference(record, trained, listener))
    checked = CheckedExport(format=format_, reference=said, likeness=likeness)
    if not checked.likeness.enough:
        raise WeightsError(f"{trained.folder} as {kind}, {checked.told()}: that is another network, and not published")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    card = format_card(record, trained.classifier, trained.card, files, checked, command=command)
    publish(folder / CARD, card)
    return checked.told()


def _halved(trained: Trained, described: ExportedModel) -> str:
    difference, agreement = _compare(trained.classifier, described)
    if agreement < _AGREEMENT:
        raise WeightsError(
            f"{trained.folder}: in half precision only {agreement:.0%} of random images keep their class: export "
            "without --half"
        )
    return f"on random images: logits differ by at most {difference:.2g}, {agreement:.0%} keep their class"


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


def _require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything; an export gives way where that was asked for.

    Raises:
        ConfigError: As said.
    """
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise ConfigError(f"{folder} is no folder: name one for the export")
        return
    taken = min((path.name for path in folder.iterdir()), default=None)
    if taken is None:
        return
    if not overwrite:
        raise ConfigError(
            f"{folder} holds {taken} already: name a folder of its own, or replace an export with --overwrite"
        )
    if not _is_export(folder):
        raise ConfigError(f"{folder} holds {taken} and no card of an export: --overwrite replaces exports alone")
    if stranger := min((path.name for path in folder.iterdir() if path.name not in _WRITTEN), default=None):
        raise ConfigError(f"{folder} holds {stranger}, which no export writes: move it, --overwrite would remove it")


def _is_export(folder: Path) -> bool:
    try:
        with open_regular(folder / CARD) as file:
            return MADE_BY.encode() in file.read(_LARGEST_CARD)
    except OSError:
        return False


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside the final one, whose place it takes when all went well; else it is removed."""
    final = folder.absolute()
    staged, old = (final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp") for _ in range(2))
    try:
        staged.mkdir(parents=True)
        yield staged
        if final.exists():
            final.replace(old)
        try:
            staged.replace(final)
        except OSError:
            if old.exists():
                old.replace(final)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if error.filename is not None:
            error.filename = str(error.filename).replace(staged.name, final.name)  # nobody knows the temporary one
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
