"""What a study's measurements say: the values that analysis hands to the report, which puts them into words.

Accuracy is balanced accuracy throughout, a fraction; intervals are 95 %.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tlexp.studies.analysis.forecast import Outlook
from tlexp.studies.analysis.screen import Screened
from tlexp.studies.analysis.table import StudyTable


class Sureness(StrEnum):
    """How sure it is which column to take at a budget."""

    nothing = "nothing"
    """No competing column has a finished replicate."""
    chance = "chance"
    """No column is distinguishably better than guessing: nothing is recommended."""
    alone = "alone"
    """A single column could be measured: there is nothing to compare."""
    one_seed = "one_seed"
    """One replicate of each column bounds nothing."""
    few_groups = "few_groups"
    """Test images of so few groups bound nothing."""
    open = "open"
    nearly = "nearly"
    """The bound of what may be lost is at most three margins."""
    decided = "decided"
    """It is at most the margin."""


OPEN = (Sureness.one_seed, Sureness.chance, Sureness.open, Sureness.nearly)
"""What more data seeds may decide."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its 95 % interval; low and high are None where one replicate, or few groups, give none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class CellFinding:
    """A column at one budget.

    Attributes:
        count: Replicates that finished.
        missing: Replicates that are planned and have not run.
        failed: Replicates that ran and did not finish.
        accuracy: Mean balanced accuracy over seeds.
        seed_sd: Standard deviation between seeds; None with one.
        image_sd: Standard error by the test images.
        plain: Mean plain accuracy.
        nll: Mean test/nll.
        seconds: Mean cost/seconds of a replicate.
        at_edge: Replicates whose best setting lies at the edge of its range.
        unselected: Replicates without any selection (one image per class).
        outside: Settings outside the protocol, each once.
    """

    column: str
    labels: str
    count: int
    missing: int
    failed: int
    accuracy: Interval | None
    seed_sd: float | None
    image_sd: float | None
    plain: float | None
    nll: float | None
    seconds: float | None
    at_edge: int
    unselected: int
    outside: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Balanced accuracy of `first` minus that of `second` at one budget, over the seeds that both have.

    Attributes:
        seeds: How many seeds were paired.
        family: Comparisons that the interval is simultaneous over.
        low, high: The simultaneous interval; None where fewer than two seeds were paired.
        alone_low, alone_high: The interval of this comparison by itself.
    """

    labels: str
    first: str
    second: str
    value: float
    seeds: int
    family: int
    low: float | None
    high: float | None
    alone_low: float | None
    alone_high: float | None

    @property
    def distinguishable(self) -> bool:
        """Whether the simultaneous interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def turned(self) -> "Difference":
        """Return the second minus the first."""
        low, high = _turned(self.low, self.high)
        alone_low, alone_high = _turned(self.alone_low, self.alone_high)
        return dataclasses.replace(
            self,
            first=self.second,
            second=self.first,
            value=-self.value,
            low=low,
            high=high,
            alone_low=alone_low,
            alone_high=alone_high,
        )


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where two columns may change places.

    Attributes:
        regions: Intervals of labels per class (low, high) in which the paired interval contains 0.
        left_out: Budgets that are conditional on the pool and were left out.
        changes: Whether the difference changes its sign within the budgets studied.
    """

    first: str
    second: str
    regions: tuple[tuple[float, float], ...]
    left_out: tuple[str, ...]
    changes: bool


@dataclass(frozen=True, kw_only=True)
class TransferGain:
    """A pretrained column against training from scratch.

    Attributes:
        column: The pretrained one (the best of its budget for `labels`).
        labels: Budget at which both are compared.
        accuracy: The transferred one's balanced accuracy.
        scratch: From scratch.
        scratch_long: From scratch with more steps; None where not run.
        scratch_labels: Labels per class at which training from scratch reaches what transfer has here, interpolated in
            log k; None where it does not within the budgets studied.
        steps: Steps after which the transferred network's training loss first came down to where training from
            scratch ended, a mean over replicates; None where a curve is missing, as for heads that are solved. Curves
            hold training losses only, so that this tells how fast training went and not how good it was.
        scratch_steps: All steps that the latter took.
    """

    column: str
    labels: str
    accuracy: float
    scratch: float
    scratch_long: float | None
    scratch_labels: float | None
    steps: float | None
    scratch_steps: float | None


@dataclass(frozen=True, kw_only=True)
class CandidateColumn:
    """A column that is compared with others at a budget.

    Attributes:
        column: Its name.
        mean: Mean balanced accuracy over shared data seeds; with few of them, by the difference to those with many.
        bound: The most it may lose against the best, all bounds of the budget at once; None where none is known.
        accuracy: Over its own seeds, with an interval that holds at once over all candidates.
        trained_share: Parameters it trains, a fraction of the network's; None where that is not known.
    """

    column: str
    mean: float
    bound: float | None
    accuracy: Interval
    trained_share: float | None


@dataclass(frozen=True, kw_only=True)
class Departure:
    """How a column left a budget.

    Attributes:
        round: After which it did.
        surely: Whether it is surely worse than the best by more than the margin; else others reached more when trained.
    """

    round: int
    surely: bool


@dataclass(frozen=True, kw_only=True)
class DecidingSize:
    """How large a study would be that decides, by the variances measured; None where no size within reach would.

    Attributes:
        seeds: Data seeds that would be enough with these test images.
        images: Test images that would be enough with these seeds.
        both: Data seeds and test images that would be enough together, where neither is by itself.
        least: The bound with these test images, however many data seeds.
        pool: Whether that is due to the pool, of which all seeds draw, and not to the test images.
    """

    seeds: int | None
    images: int | None
    both: tuple[int, int] | None
    least: float
    pool: bool


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do with so many labels.

    Attributes:
        labels: The budget.
        sureness: How sure it is.
        column: The one to take; None where nothing was measured or nothing is better than guessing.
        contenders: Columns of which none is surely better than the other, the highest mean first; the best is among
            them with 95 %.
        best: The column with the highest mean, of equals the cheapest.
        accuracy: Cross-fitted balanced accuracy of the column to take; None without one, or without a shared seed.
        candidates: What was compared, in the order of the columns.
        left_out: Columns with too few replicates for an interval.
        seeds: Data seeds shared by all candidates that have at least half as many as the best and what is taken.
        deciding: What would decide; None where it is decided or there is no bound.
        images: Test images that the shared seeds were tested on.
        round: The one after which this was said, from 1.
        dropped: Columns that left before -> how.
        leeway: How far the column to take may trail the best, as ImageNet's results favour its network: the standard
            error of their difference over the seeds; None where it is not taken for that.
    """

    labels: str
    sureness: Sureness
    column: str | None
    contenders: tuple[str, ...]
    best: str | None
    accuracy: Interval | None
    candidates: tuple[CandidateColumn, ...]
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    deciding: DecidingSize | None
    images: int = 0
    round: int = 1
    dropped: Mapping[str, Departure] = field(default_factory=dict)
    leeway: float | None = None

    @property
    def bound(self) -> float | None:
        """The most that the column to take may lose against the best; None where that is not known."""
        return None if self.column is None else self.candidate(self.column).bound

    def candidate(self, column: str) -> CandidateColumn:
        """Return what was compared of a column."""
        return next(candidate for candidate in self.candidates if candidate.column == column)


@dataclass(frozen=True, kw_only=True)
class Regret:
    """What one fixed rule loses against the best column of each budget.

    Attributes:
        rule: `recommended`, or the name of a column always taken; where that is a habit, `always probe (freeze-5)`.
        losses: Budget -> balanced accuracy lost, cross-fitted; None where the rule takes no column there.
        mean: Over the budgets that all columns have; None where the rule lacks one of them.
    """

    rule: str
    losses: Mapping[str, float | None]
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class ClassRecall:
    """What the recommended model tells of the test images of one class.

    Attributes:
        label: Of the class.
        images: How many there are.
        recall: The share that is told right, a mean over data seeds.
        taken_for: The class that they are most often taken for; None where for none.
        share: Of them that are taken for it, a mean over data seeds.
    """

    label: int
    images: int
    recall: float
    taken_for: int | None
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image that the recommended model tells wrong.

    Attributes:
        image: Its place in the test split.
        name: None where that is not known.
        label: Its class.
        predicted: What it is taken for.
        confidence: Mean probability of that over data seeds.
        wrong: Data seeds that tell it wrong.
    """

    image: int
    name: str | None
    label: int
    predicted: int
    confidence: float
    wrong: int


@dataclass(frozen=True, kw_only=True)
class ModelFinding:
    """What the recommended model tells wrong.

    Attributes:
        column: It.
        labels: The largest budget at which it is taken.
        seeds: Data seeds that are told of.
        recalls: Of each class, the worst first.
        mistakes: The most confident first; none where predictions are not on the disk.
    """

    column: str
    labels: str
    seeds: int
    recalls: tuple[ClassRecall, ...]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that a report shows."""

    table: StudyTable
    cells: Mapping[tuple[str, str], CellFinding]
    differences: tuple[Difference, ...]
    crossings: tuple[Crossing, ...]
    transfer: tuple[TransferGain, ...]
    recommendations: tuple[Recommendation, ...]
    regrets: tuple[Regret, ...]
    model: ModelFinding | None
    screened: tuple[Screened, ...] = ()
    outlook: Outlook | None = None

    @property
    def last_taken(self) -> Recommendation | None:
        """The recommendation of the largest budget at which a column is taken; None where at none."""
        return last_taken(self.table, self.recommendations)


def last_taken(table: StudyTable, recommendations: Sequence[Recommendation]) -> Recommendation | None:
    """Return the recommendation of the largest budget at which a column is taken; None where at none."""
    taken = (each for each in reversed(recommendations) if each.column is not None)
    return next((each for each in taken if not is_all_that_fits(table, each)), None)


def is_all_that_fits(table: StudyTable, recommendation: Recommendation) -> bool:
    """Return whether the minutes left out everything that a column would be compared with: then nothing is advised."""
    return recommendation.sureness is Sureness.alone and table.lacks_columns(recommendation.labels)


def _turned(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    return None if high is None else -high, None if low is None else -low
