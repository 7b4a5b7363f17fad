"""What people see in the terminal: progress while a run goes on, and a table at its end."""

import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Never

from tqdm import tqdm

from tlexp.cli.signals import Signals
from tlexp.compose.words import unquoted_values
from tlexp.config.backbone import PACKAGED, PIXELS
from tlexp.experiment.run import Outcome
from tlexp.secrets import MASK
from tlexp.terminal import aligned, one_line, short_path
from tlexp.tracking import Record, names
from tlexp.tracking.blocks import FreezeBlock
from tlexp.tracking.store import serve_command
from tlexp.train import Listener

_SAME = ("backbone", "data")
"""Groups that choose the network and the images."""
_OWN = ("head.units", "data.seed", "resume")
"""What holds for one network, or for one run."""
_TINY = f"{PACKAGED}tiny"
_SELECTING = re.compile(r"select-(\d+)-fold(\d+)")


class Console(Listener):
    """Progress bars with rate and time left on a terminal; off it, messages alone.

    Args:
        signals: Asked before every step.
        progress: Whether bars are wanted.
        told: The messages that were printed before and are not repeated; filled in.
    """

    def __init__(self, signals: Signals, *, progress: bool, told: set[str]) -> None:
        self._signals, self._told = signals, told
        self._bars = progress and sys.stderr.isatty()
        self._bar: tqdm[Never] | None = None

    def phase(self, title: str, steps: int) -> None:
        """Begin the bar of a fit."""
        self._signals.waits = True
        self._open(_title(title), steps, "step")

    def step(self, step: int, values: dict[str, float]) -> None:
        """Move the bar of a fit."""
        self._move(step, f"loss {values['loss']:.3f}")

    def ended(self) -> None:
        """End the bar of a fit; from here on a signal ends the run at once."""
        self._signals.waits = False
        self._close()

    def closing(self) -> None:
        """Let a first signal wait while the record is written."""
        self._signals.waits = True

    def images(self, done: int, count: int) -> None:
        """Move the bar of images that are read."""
        if self._bar is None:
            self._open("images", count, "image")
        self._move(done)
        if done == count:
            self._close()

    def message(self, text: str) -> None:
        """Print one line."""
        if text in self._told:
            return
        self._told.add(text)
        tqdm.write(one_line(f"note: {text}"), file=sys.stderr)

    def should_stop(self) -> int | None:
        """Return the signal that was received, or None."""
        return self._signals.received

    def _open(self, title: str, total: int, unit: str) -> None:
        self._close()
        if self._bars:
            self._bar = tqdm(total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True, mininterval=0.2)

    def _move(self, done: int, text: str = "") -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _title(fit_id: str) -> str:
    """Return a fit's name for people.

    >>> _title("select-003-fold1"), _title("final")
    ('candidate 4, fold 2', 'final fit')
    """
    match = _SELECTING.fullmatch(fit_id)
    return f"candidate {int(match[1]) + 1}, fold {int(match[2]) + 1}" if match else f"{fit_id} fit"


def summary(outcome: Outcome, folder: Path, *, own_files: bool = True) -> str:
    """Return the end of a run for people: what it was, its scores with intervals, its cost and where it lies.

    Args:
        outcome: Of the run.
        folder: Its own.
        own_files: Whether its overrides are all that one has to type, as no configuration files of others are read.
    """
    record = outcome.record
    config = record.config
    title = (
        f"{_network(config['backbone']['name'], record.freeze)}, head={config['head']['kind']}, "
        f"data={config['data']['source']}, labels={config['labels']}, seed={config['seed']}"
    )
    rows: list[tuple[str, ...]] = [("", "images", "accuracy", "95 % interval", "balanced", "macro F1", "nll", "ece")]
    for split, found in outcome.splits.items():
        scores, (low, high) = found.metrics, found.accuracy_interval
        rows.append(
            (
                split,
                f"{found.count:,}",
                f"{scores['accuracy']:.3f}",
                f"{low:.3f} .. {high:.3f}",
                *(f"{scores[name]:.3f}" for name in ("balanced_accuracy", "macro_f1", "nll", "ece")),
            )
        )
    table = aligned(rows, right=range(len(rows[0])))
    assert record.train.weights is not None  # these two are known before training
    assert record.data is not None
    start = [f"weights {record.train.weights.source}", f"images  {record.data.told}"]
    end = [*_cost(record.metrics), *_places(outcome, folder), "", *_next(record, folder, own_files=own_files)]
    return "\n".join(map(one_line, ["", title, *start, "", *table, "", *end]))


def _network(name: str, freeze: FreezeBlock) -> str:
    """Return a backbone and how much of it is frozen.

    >>> surgical, none = FreezeBlock(policy="surgical", units=("stem", "layer4")), FreezeBlock(policy="none", units=())
    >>> _network("tiny", surgical), _network("tiny", none), _network("pixels", none)
    ('tiny, freeze=surgical (2 units frozen)', 'tiny, freeze=none', 'raw pixels')
    """
    if name == PIXELS:
        return "raw pixels"
    phases, frozen = len(freeze.phases or ()), len(freeze.units or ())
    units = f" ({frozen} unit{'' if frozen == 1 else 's'} frozen)" if frozen else ""
    return f"{name}, freeze={freeze.policy}" + (f" ({phases} phases)" if phases else units)


def _cost(metrics: dict[str, float]) -> list[str]:
    cost = {name: metrics.get(names.cost_metric(name)) for name in names.COSTS}
    trainable, total = cost["trainable_parameters"] or 0, cost["total_parameters"] or 1
    speed = cost["images_per_second"]
    parts = [
        f"{cost['seconds'] or 0:.1f} s in all",
        *([] if speed is None else [f"{speed:,.0f} training images per second"]),
        f"{trainable:,.0f} of {total:,.0f} parameters trained",
    ]
    return [", ".join(parts)]


def _next(record: Record, folder: Path, *, own_files: bool) -> list[str]:
    """Return what to type next: a better network, the same one in a study, and the trained network for others."""
    # Complete settings may hold what fits their network alone, or what a study chooses by itself.
    complete = not own_files or any(_of(word, ("experiment",)) for word in record.overrides)
    detailed = any(word.startswith("freeze.") for word in record.overrides)  # an option such as surgical needs them
    own = (*_OWN, "freeze") if detailed else _OWN
    words = [word for word in record.overrides if not _of(word, own) and MASK not in word]
    lines = []
    if not complete and record.train.weights is not None and record.train.weights.source == _TINY:
        larger = [word for word in words if not _of(word, ("backbone",))]
        lines.append((_typed("backbone=lite0", *larger), "a network of ImageNet; this one is small"))
    if not complete and record.config["backbone"]["name"] != PIXELS:
        same = [word for word in words if _of(word, _SAME)]
        lines.append((_typed("study=quick", *same), "heads and labels compared, in about one forward pass"))
    if (folder / names.MODEL_WEIGHTS_FILE).is_file():
        lines.append(
            (f"python -m tlexp export {shlex.quote(short_path(folder))} FOLDER", "the trained network, for others")
        )
    return [f"next    {line}" for line in aligned(lines)] if lines else []


def _of(word: str, names: Iterable[str]) -> bool:
    """Return whether an override states one of the groups or settings, or a setting of one of the groups.

    >>> _of("freeze.depth=layer2", ["freeze"]), _of("freeze=depth", ["freeze"]), _of("data.size=32", ["data.seed"])
    (True, True, False)
    """
    key = word.lstrip("+~").partition("=")[0].partition("@")[0]
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _typed(*words: str) -> str:
    return shlex.join(["python", "-m", "tlexp", *unquoted_values(words)])


def _places(outcome: Outcome, folder: Path) -> list[str]:
    lines = [f"record  {short_path(folder / names.RECORD_FILE)}"]
    if outcome.tracked is not None:
        lines.append(f"MLflow  {outcome.tracked.link}{_served_by(outcome.tracked.uri)}")
        lines.append(f"compare {outcome.tracked.comparison}")
    return lines


def _served_by(uri: str) -> str:
    """Return the command that shows a store that is no server."""
    command = serve_command(uri)
    return f"   (after `{command}`{' in this folder' if command == 'mlflow ui' else ''})" if command else ""
