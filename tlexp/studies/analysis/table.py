"""What a study has measured: columns, label budgets and data seeds, read from its folder alone.

correct (n,) bool, whether each test image was told right by a replicate; labels (n,) int64. Test images are those of
the test split and, where the rest of the pool is tested on, all that any replicate was tested on there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.tracking import Record, RunStatus
from tlexp.tracking.blocks import SelectionBlock

SEEDS, ROUNDS, CONTROLS = "further data seeds", "further rounds", "further controls"
PROBES = "further data seeds of the screen"
"""What stands for them among what is left out of a study to fit its minutes."""
HURRIED = "to fit study.minutes="
"""How the reason begins why they, and columns and budgets, were left out."""
LONGER = 4
"""The second network from scratch trains for this multiple of the protocol's steps."""
BESIDE = {
    "ridge": "all frozen, ridge regression",
    "nearest_mean": "all frozen, nearest mean",
    "knn": "all frozen, nearest neighbours",
    "scratch": "from scratch",
    "scratch-long": f"from scratch, {LONGER} x the steps",
    "random": "random frozen features",
    "pixels": "raw pixels",
}
"""Titles of the columns that do not compete, by name: of one that was left out a study keeps the title alone."""
FEWER_SEEDS = frozenset({SEEDS, ROUNDS})


class Role(StrEnum):
    """What a column is for: depths compete; controls and extras are shown beside them."""

    depth = "depth"
    way = "way"
    """A way of transferring; ways compete in studies that do not compare depths."""
    scratch = "scratch"
    scratch_long = "scratch_long"
    random = "random"
    pixels = "pixels"
    closed = "closed"
    """Solved for free from the same features: ridge, nearest mean, nearest neighbours."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One (backbone, freeze, head) over all budgets and data seeds.

    Attributes:
        name: Short and fit for a file name: `freeze-3`, `scratch`, `ridge`.
        title: For people: `3 of 5 units frozen (to layer2)`.
        role: What it is for.
        depth: Frozen units, where the backbone has been pretrained; None for controls.
        words: Overrides that make a run one of this column.
        trainable: Trainable parameters, head included, for the ordering by cost; 0 where not known.
        solved: Whether its head is solved, which costs little: it does not wait for rounds.
        entrant: Name of the network or size whose column it is, where several are screened.
        optional: Whether it is left out, with the reason, where the backbone does not allow it.
    """

    name: str
    title: str
    role: Role
    depth: int | None
    words: tuple[str, ...] = ()
    trainable: int = 0
    solved: bool = False
    entrant: str = ""
    optional: bool = False

    @property
    def competes(self) -> bool:
        """Whether it may be recommended."""
        return self.role in (Role.depth, Role.way)

    @property
    def in_rounds(self) -> bool:
        """Whether its data seeds come in rounds; those of other columns come at once."""
        return self.competes and not self.solved

    @property
    def is_control(self) -> bool:
        """Whether it only shows what the others are worth."""
        return not self.competes and self.role is not Role.closed


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """One run of a cell.

    Attributes:
        seed: Data seed.
        status: None: not run yet.
        reason: Why it did not finish.
        correct: (n,) bool; None unless it finished.
        tested: (n,) bool, the images that it was tested on; None where they are all.
        metrics: The record's.
        selection: The record's `train.selection`; None where there is none.
        outside: The record's `train.outside_protocol`.
        folder: Of the attempt that counts.
        losses: (step, train/loss) of the final fit's curve, in the order of the steps; () where it has none.
    """

    seed: int
    status: RunStatus | None
    reason: str | None = None
    correct: NDArray[np.bool_] | None = None
    tested: NDArray[np.bool_] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    selection: SelectionBlock | None = None
    outside: tuple[str, ...] = ()
    folder: Path | None = None
    losses: tuple[tuple[int, float], ...] = ()

    @property
    def scores(self) -> NDArray[np.float64]:
        """(n,) 1 where an image was told right, 0 where not, nan where the replicate was not tested on it."""
        assert self.correct is not None
        scores = self.correct.astype(np.float64)
        return scores if self.tested is None else np.where(self.tested, scores, np.nan)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A column at one label budget.

    Attributes:
        column: Name of the column.
        labels: The budget.
        replicates: By data seed.
        operations: Multiplications that one image takes through the column's network; None where nobody says.
    """

    column: str
    labels: str
    replicates: tuple[Replicate, ...]
    operations: int | None = None

    @property
    def finished(self) -> tuple[Replicate, ...]:
        """The replicates that can be measured, by seed."""
        return tuple(each for each in self.replicates if each.correct is not None)


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """A study's measurements.

    Attributes:
        name: Of the study.
        about: study.json: what all runs share, and what was planned (see `tlexp.studies.planning.study_plan`).
        backbone: Its name.
        columns: In the order of the page: depths from 0 up, controls after them.
        budgets: Label budgets that were run, in growing order.
        per_class: Images per class of each budget, for the axis: k, or for fractions and `all` the mean per class.
        classes: Names of the classes.
        labels: Of the test images.
        groups: (n,) number of the group of each; None where each stands for itself.
        split: How many of them, the first ones, are of the test split; None where they all are.
        seeds: The data seeds that may be run.
        cells: (column name, budget) -> cell. A cell that was never planned (scratch at one budget) is missing.
        margin: `study.margin`.
        skipped: Budgets and columns that were left out -> why.
        record: One finished record, for protocol and environment; None where none finished.
        names: Of the test images, in their order; none where the study does not say.
    """

    name: str
    about: Mapping[str, Any]
    backbone: str
    columns: tuple[Column, ...]
    budgets: tuple[str, ...]
    per_class: Mapping[str, float]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    seeds: tuple[int, ...]
    cells: Mapping[tuple[str, str], Cell]
    margin: float
    skipped: Mapping[str, str]
    record: Record | None
    groups: NDArray[np.int64] | None = None
    split: int | None = None
    names: tuple[str, ...] = ()

    @property
    def conditional(self) -> frozenset[str]:
        """Budgets above half of the pool: what is said of them is said of this pool."""
        return frozenset(str(budget["labels"]) for budget in self._budgets if budget.get("conditional"))

    def shared_share(self, labels: str) -> float:
        """Return k / (N - k) of a budget of k of N images, the mean of its classes.

        0 where it is above half of the pool, or the pool's size is not known.
        """
        share = self.drawn_share(labels)
        if labels in self.conditional or not 0 < share < 1:
            return 0.0
        if not labels.isdigit():
            return share / (1 - share)
        drawn = int(labels)
        left = [max(1, images - drawn) for images in self._pool.values()]
        return sum(drawn / images for images in left) / len(left)

    def drawn_share(self, labels: str) -> float:
        """Return the share of the pool that a budget draws; 0 where the pool's size is not known."""
        pool = self._pool
        images = next((each.get("images") for each in self._budgets if str(each["labels"]) == labels), None)
        return min(1.0, images / sum(pool.values())) if pool and images else 0.0

    @property
    def _pool(self) -> Mapping[str, int]:
        """Images of each class in the pool; none where they are not known."""
        return (self.record.data.pool if self.record and self.record.data else None) or {}

    @property
    def looks(self) -> tuple[int, ...]:
        """Data seeds at each look; of a study that knew no rounds there is one, at all of them."""
        return tuple(self._study.get("looks") or (len(self.seeds),))

    @property
    def probed_seeds(self) -> tuple[int, ...]:
        """The data seeds that a screen sees; of an early study all."""
        return self.seeds[: self._study.get("probe_seeds")]

    @property
    def trained(self) -> tuple[int, ...]:
        """Networks, or sizes, that train on after each look but the last; none where all do, as in early studies."""
        return tuple(self._study.get("trained", ()))

    @property
    def screens(self) -> str:
        """What a study of several entrants is about: networks, or sizes of one."""
        return str(self._study.get("screens", "networks"))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Names of the networks or sizes that the minutes did not let the screen look at."""
        return tuple(map(str, self._study.get("unseen", ())))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the study said of the images and their size before it began."""
        return tuple(map(str, self._study.get("notes", ())))

    @property
    def stopped(self) -> int | None:
        """The round after which no other was begun because the minutes were up; None where they were not."""
        stopped: int | None = self._study.get("stopped")
        return stopped

    @property
    def hurried(self) -> bool:
        """Whether the minutes left data seeds out."""
        return self.stopped is not None or not FEWER_SEEDS.isdisjoint(self.skipped)

    def whole_seconds(self, seeds: int) -> float | None:
        """Return the seconds of all of the study by its bill, with so many data seeds; None where it says none."""
        bill = self._study.get("estimate", {})
        return bill["once"] + seeds * bill["seed"] if "seed" in bill else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the minutes left out: titles of columns, budgets, and what stands for rounds and the like."""
        return tuple(what for what, why in self.skipped.items() if why.startswith(HURRIED))

    @property
    def left_out_for(self) -> tuple[float, ...]:
        """The minutes that it was left out for, those of a default that nobody stated too."""
        begun = (re.match(r"\d[\d.e+]*", self.skipped[what].removeprefix(HURRIED)) for what in self.left_out)
        return tuple(float(minutes[0]) for minutes in begun if minutes)

    @property
    def left_out_columns(self) -> tuple[str, ...]:
        """Titles of the columns among them, controls too."""
        return tuple(what for what in self.left_out if not what.startswith(("further ", "labels=")))

    @property
    def left_out_cells(self) -> Mapping[str, Sequence[str]]:
        """Title of a column that is not among them -> budgets at which the minutes left it out."""
        found: dict[str, list[str]] = {}
        for what in self.left_out:
            budgets, _, title = what.removeprefix("labels=").partition(" of ")
            if what.startswith("labels=") and title and title not in self.left_out:
                found.setdefault(title, []).extend(budgets.split(","))
        return found

    @property
    def lacks_what_competes(self) -> bool:
        """Whether the minutes left out more than rounds, rates, seeds and controls."""
        budgets = any(what.startswith("labels=") and " of " not in what for what in self.left_out)
        compared = {*self.left_out_columns, *self.left_out_cells} - {*BESIDE.values()}
        return budgets or bool(compared) or bool(self.unseen)

    def lacks_columns(self, labels: str) -> bool:
        """Whether the minutes left out columns that compete, wholly or at this budget."""
        here = (title for title, budgets in self.left_out_cells.items() if labels in budgets)
        return not {*self.left_out_columns, *here} <= {*BESIDE.values()}

    @property
    def _study(self) -> Mapping[str, Any]:
        study: Mapping[str, Any] = self.about.get("study", {})
        return study

    @property
    def _budgets(self) -> Sequence[Mapping[str, Any]]:
        stated: Sequence[Mapping[str, Any]] = self._study.get("budgets", ())
        return stated
