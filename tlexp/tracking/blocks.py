"""The blocks of a run's record, typed.

What is not known when a run ends is None. A field with the default None is left out of the JSON then, since no run that
ended so early, or had no such part, ever wrote its key; every other one stands as null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tlexp.terminal import list_item

Settings = dict[str, float | None]
"""What a candidate chooses, by name: lr, weight_decay, neighbours."""
_CLASSES_SHOWN = 8
_LEARNED = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What the run drew from: its own seed, and that of its label budget."""

    seed: int
    data: int


@dataclass(frozen=True, kw_only=True)
class PhaseBlock:
    """One phase of a fit that unfreezes in steps; the digests are those of what it froze."""

    steps: int
    depth: int
    lr: float
    weight_decay: float
    digest_before: str
    digest_after: str | None


@dataclass(frozen=True, kw_only=True)
class FreezeBlock:
    """What was frozen.

    Attributes:
        policy: `freeze.policy`.
        norm: `freeze.norm`; None in records from before there was a choice.
        depth: Leading units that are frozen.
        units: Names of the frozen units.
        digest_before: Of the frozen parameters and buffers, before training.
        phases: Of a fit in phases.
        digest_after: As `digest_before`, and the same, after training.
    """

    policy: str
    norm: str | None = None
    depth: int | None = None
    units: tuple[str, ...] | None = None
    digest_before: str | None = None
    phases: tuple[PhaseBlock, ...] | None = None
    digest_after: str | None = None


@dataclass(frozen=True, kw_only=True)
class GroupsBlock:
    """Images that belong together: how that was stated, and how many groups pool, label budget and test split have.

    Attributes:
        leaked: How many are in the pool and in a held-out split that was given as well, which data.on_leak=list allows.
    """

    stated: str
    pool: int
    budget: int | None = None
    held_out: int
    leaked: int = 0


@dataclass(frozen=True, kw_only=True)
class DataBlock:
    """The images of a run.

    Attributes:
        digest: Of all images and their labels.
        classes: Their names.
        counts: Images of each class in train, val, test and, where there are such, rest and shifted.
        pool: Images of each class that label budgets are drawn from.
        pool_from: Where they lie, in words.
        held_out_from: Where the test images lie, in words; None where they were split off.
        short_sides: Smallest, median and largest short side of the images as they lie, in pixels.
        groups: Of the images; None where each stands for itself.
        skipped: Files that could not be read.
    """

    digest: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    pool: dict[str, int] | None = None
    pool_from: str | None = None
    held_out_from: str | None = None
    short_sides: tuple[int, int, int] | None = None
    groups: GroupsBlock | None = None
    skipped: tuple[str, ...]

    @property
    def told(self) -> str:
        """How the images were understood, for people; records from before this was kept say less."""
        counts = self.pool or {}
        parts = [_listed(self.classes, counts)]
        if self.pool_from:
            parts.append(f"{sum(counts.values()):,} to learn from, {self.pool_from}")
        where = "" if self.pool is None else f", {self.held_out_from or 'a fifth that was split off'}"
        rest = sum(self.counts.get("rest", {}).values())
        beside = f", and {rest:,} of the others, drawn anew by each data seed" if rest else ""
        parts.append(f"tested on {sum(self.counts['test'].values()):,}{where}{beside}")
        if self.short_sides is not None:
            low, median, high = self.short_sides
            parts.append(f"short sides {low:,} to {high:,} px, half at most {median:,}")
        if self.groups is not None:
            parts.append(f"{self.groups.pool:,} groups to learn from, {self.groups.held_out:,} to test on")
        return "; ".join(parts)

    def learned(self, *, refit: bool) -> str:
        """Return how many images were learned from, of how many that there were, and how many are tested on.

        Args:
            refit: Whether the network was trained again on all labels once settings were chosen.
        """
        sums = {split: sum(counts.values()) for split, counts in self.counts.items()}
        train, val = (sums.get(split, 0) for split in _LEARNED)
        among = "" if self.pool is None else f" of {sum(self.pool.values()):,}"
        aside = "of them only once settings had been chosen" if refit else "more only held out, to choose settings"
        chosen = f" ({val:,} {aside} on them)" if val else ""
        tested = ", ".join(f"{count:,} in {split}" for split, count in sums.items() if split not in _LEARNED and count)
        return f"{train + val if refit else train:,}{among} images learned from{chosen}; tested on {tested}"


@dataclass(frozen=True, kw_only=True)
class ProbeBlock:
    """The tuned linear probe that a head started from: its penalty, of how many, and what readers should know."""

    winner: Settings
    trials: int
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WeightsBlock:
    """The weights that the backbone started from."""

    source: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class TrialBlock:
    """One candidate and its calibrated log loss over the pooled validation parts; None where it diverged."""

    number: int
    rates: Settings
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class SelectionBlock:
    """How the settings of the final fit were found.

    Attributes:
        kind: split, folds or none.
        folds: How many.
        winner: What the final fit uses.
        trials: Every candidate in order.
        flags: What readers should know, one sentence each.
        unsolved: Numbers of the candidates whose solver did not converge on every fold.
        refit: Whether the winner was trained again on the whole budget.
    """

    kind: str
    folds: int
    winner: Settings
    trials: tuple[TrialBlock, ...]
    flags: tuple[str, ...]
    unsolved: tuple[int, ...] = ()
    refit: bool


@dataclass(frozen=True, kw_only=True)
class CacheBlock:
    """What the cache did; see `tlexp.cache.rows.Use`."""

    mode: str
    hits: int
    misses: int
    read_bytes: int
    written_bytes: int
    seconds: float
    saved_seconds: float


@dataclass(frozen=True, kw_only=True)
class PriorBlock:
    """Share of each class where the network will be used, and among what its loss saw: predictions are corrected."""

    wanted: dict[str, float]
    trained: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PrunedBlock:
    """Where a run was ended because others of its search were better.

    Attributes:
        look: Number of the look at the validation loss at which that was seen, from 1.
        step: Of the fit on a part of the budget.
        steps: That this fit would have had.
        loss: Calibrated log loss of the validation part there.
    """

    look: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class TrainBlock:
    """How a run was trained, as far as it came.

    Attributes:
        probe: What its head started from.
        steps: Of the final fit; 0 where the head is solved.
        weights: What its backbone started from.
        image_size: Side in pixels of the images as the network sees them.
        outside_protocol: Settings that change the protocol, as key=value.
        selection: How the settings of the final fit were found.
        cache: What the cache did; None where no feature could be kept.
        class_weights: What an image of each class counted in the loss of the final fit; None where all are the same.
        prior: What predictions of held-out images were corrected by; None where they are as trained.
        temperature: What all logits were divided by before they became probabilities; None where nothing told it, and
            in records from before there was one: by 1.
        false_alarms: Share of the test images that are no more typical than each level, by which images are marked as
            none of the classes; None where no level can be told.
        pruned: Where it was ended for the sake of others; None where it was not.
    """

    probe: ProbeBlock | None = None
    steps: int | None = None
    weights: WeightsBlock | None = None
    image_size: int | None = None
    outside_protocol: tuple[str, ...] | None = None
    selection: SelectionBlock | None = None
    cache: CacheBlock | None = None
    class_weights: dict[str, float] | None = None
    prior: PriorBlock | None = None
    temperature: float | None = None
    false_alarms: dict[str, float] | None = None
    pruned: PrunedBlock | None = None


@dataclass(frozen=True, kw_only=True)
class TrackingBlock:
    """Where the tracking store shows the run; without an id it never heard of it."""

    uri: str
    run_id: str | None


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The commit that a process ran, and whether its files had changes besides."""

    commit: str
    dirty: bool


@dataclass(frozen=True, kw_only=True)
class Process:
    """What names a process among all that ever ran; None: the system does not tell, or the record is older."""

    host: str
    machine: str | None
    boot_id: str | None
    pid_namespace: str | None
    pid: int
    started: int | None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run took place.

    Attributes:
        python: Its version.
        platform: The operating system.
        packages: Name -> version, tlexp's among them.
        device: In words.
        cpu_count: Cores; None where the system does not tell.
        git: The checkout that the package ran from; None outside one.
        user: Login name; None for a number without one.
        process: The run's own.
    """

    python: str
    platform: str
    packages: dict[str, str]
    device: str
    cpu_count: int | None
    git: Checkout | None
    user: str | None
    process: Process


def _listed(classes: Sequence[str], counts: Mapping[str, int]) -> str:
    """Return how many classes there are, and the first ones with their images.

    >>> _listed(["ant", "bee, wild"], {"ant": 3, "bee, wild": 4})
    '2 classes (ant 3, "bee, wild" 4)'
    """
    named = [(name, list_item(name)) for name in classes[:_CLASSES_SHOWN]]
    first = [f"{told} {counts[name]:,}" if name in counts else told for name, told in named]
    more = [f"{len(classes) - _CLASSES_SHOWN:,} more"] if len(classes) > _CLASSES_SHOWN else []
    return f"{len(classes):,} classes ({', '.join([*first, *more])})"
