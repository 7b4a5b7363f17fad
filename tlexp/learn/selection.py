"""Selection inside the label budget: candidate settings are compared on it, and the held-out images are never seen.

logits (V, K) float32; labels (V,) int64.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from tlexp.arrays import Labels, Logits, Positions
from tlexp.config.optim import Choice, Rates
from tlexp.config.train import ClassWeights
from tlexp.data import Fold
from tlexp.errors import DivergedError
from tlexp.features.batches import LabelledSet
from tlexp.learn.calibration import Calibrated, calibrate_logits, kept_temperature
from tlexp.learn.search import C, Listed, Offered, Search, Trial, edge_flags, offered_by
from tlexp.models.typicality import Distances, ReferenceRows, Typicality
from tlexp.tracking.blocks import SelectionBlock, TrialBlock
from tlexp.train import FitReport, FoldFit

C_in = TypeVar("C_in", Rates, Choice, contravariant=True)

FINAL = "final"
"""Names the fit of the winner on the whole budget."""
_TOLD_APART = 9
"""Decimals of a loss: candidates that differ by their scale alone are calibrated to the same one, but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Selection(Generic[C]):
    """How the settings of the final fit were found.

    Attributes:
        kind: split (80/20), folds (pooled out-of-fold) or none (one image per class, or not wanted).
        trials: Every candidate in order.
        winner: The settings that the final fit uses.
        reports: The winner's fits, one per fold.
        logits: The winner's pooled validation logits, in the order of the folds; None where there are none.
        labels: Their labels.
        temperature: Of the winner, by which its logits are divided; None where no validation logits tell.
        flags: What readers should know, one sentence each.
        unsolved: Numbers of the candidates whose solver did not converge on every fold.
    """

    kind: str
    trials: tuple[Trial[C], ...]
    winner: C
    reports: tuple[FitReport, ...]
    logits: Logits | None
    labels: Labels | None
    flags: tuple[str, ...]
    unsolved: tuple[int, ...] = ()
    temperature: float | None = None

    def block(self, *, refit: bool) -> SelectionBlock:
        """Return the selection as the record tells it."""
        return SelectionBlock(
            kind=self.kind,
            folds=len(self.reports),
            winner=_values(self.winner),
            trials=tuple(
                TrialBlock(number=trial.number, rates=_values(trial.rates), loss=trial.loss) for trial in self.trials
            ),
            flags=self.flags,
            unsolved=self.unsolved,
            refit=refit,
        )


class Learner(Protocol[C_in]):
    """What candidates are compared with: a network that is trained, or a head that is solved."""

    @property
    def budget(self) -> LabelledSet:
        """The label budget."""
        ...

    @property
    def beforehand(self) -> float:
        """Seconds that were spent on its results before the run."""
        ...

    @property
    def many(self) -> bool:
        """Whether all candidates can be tried at once."""
        ...

    @property
    def fixed(self) -> bool:
        """Whether features are the same whatever is fitted."""
        ...

    def fit_fold(self, fit_id: str, fold: Fold, candidate: C_in, /) -> FoldFit:
        """Train one candidate on a fold; return what it took, and logits and labels of the validation part."""
        ...

    def fit_folds(self, folds: Sequence[Fold], candidates: Sequence[C_in], /) -> Sequence[Sequence[FoldFit] | None]:
        """Train all candidates on all folds at once; None for one that diverged."""
        ...

    def train(self, fit_id: str, positions: Positions, candidate: C_in, /) -> FitReport:
        """Train one candidate from the start on positions of the budget, and return what it took."""
        ...

    def is_fitted_on(self, positions: Positions, candidate: C_in, /) -> bool:
        """Return whether the learner is as `train` left it with these positions and this candidate."""
        ...

    def predict(self, images: LabelledSet, positions: Positions) -> tuple[Logits, Labels]:
        """Return logits and labels of images, in order."""
        ...

    def reference(self, positions: Positions) -> ReferenceRows:
        """Return features of those positions of the budget that others are compared with, as the network is now."""
        ...

    def compare(
        self, images: LabelledSet, positions: Positions, reference: ReferenceRows
    ) -> tuple[Logits, Distances, Labels]:
        """Return what `predict` returns and, in the middle, distances from a reference, (N,), in the same pass."""
        ...

    def fold_distances(self, fold: Fold, candidate: C_in, /) -> Distances | None:
        """Return how far the validation part lies from the training part, (V,).

        Where features are not fixed, `fit_fold` has fitted the candidate to that fold: None if a checkpoint of an
        earlier version knew it.
        """
        ...


def select(
    learner: Learner[C],
    folds: Sequence[Fold],
    *,
    default: C,
    search: Search,
    candidates: Sequence[C] = (),
    class_weights: ClassWeights = ClassWeights.none,
) -> Selection[C]:
    """Return the best candidate by calibrated log loss inside the budget; a tie goes to the smaller learning rate.

    A single candidate is measured all the same, so that every run has validation figures.

    Args:
        learner: What is tried out.
        folds: Parts of the budget to train and to compare on.
        default: The candidate where there is nothing to compare, and the first one of a search.
        search: Where candidates are looked for, one after another.
        candidates: In place of a search: these, at once where the learner can do that.
        class_weights: Whether each class counts the same in what they are compared by.

    Raises:
        DivergedError: Every candidate diverged.
    """
    if not folds:
        flags = (
            "nothing to select on, so no val/* figures and no temperature: one image per class, or tune.validate=false",
        )
        return Selection(kind="none", trials=(), winner=default, reports=(), logits=None, labels=None, flags=flags)
    trials: list[Trial[C]] = []
    unsolved: list[int] = []
    best: tuple[Trial[C], Calibrated, _Pooled] | None = None
    if candidates and learner.many:
        results = _all_at_once(learner, folds, candidates, class_weights)
    else:
        offered = Listed(candidates) if candidates else offered_by(search, default)
        results = _one_by_one(learner, folds, offered, class_weights, alone=max(search.trials, len(candidates)) < 2)
    for trial, pooled in results:
        trials.append(trial)
        if pooled is None or trial.calibrated is None:
            continue
        if not all(report.converged for report in pooled.reports):
            unsolved.append(trial.number)
        if best is None or rank(trial.rates, trial.calibrated) < rank(best[0].rates, best[1]):
            best = trial, trial.calibrated, pooled
    if best is None:
        raise DivergedError(f"all {len(trials)} candidates diverged: lower the range, e.g. tune.lr=[1e-6,1e-3]")
    winner, _, pooled = best
    return Selection(
        kind="split" if len(folds) == 1 else "folds",
        trials=tuple(trials),
        winner=winner.rates,
        reports=pooled.reports,
        logits=pooled.logits,
        labels=pooled.labels,
        flags=edge_flags(winner, trials, search),
        unsolved=tuple(unsolved),
        temperature=kept_temperature(pooled.logits, pooled.labels, class_weights),
    )


def refit(
    learner: Learner[C], selection: Selection[C], folds: Sequence[Fold], *, anew: bool
) -> tuple[FitReport, Positions]:
    """Train the winner from the same start on the whole budget, or keep it as it was selected on a single fold.

    Returns what it took and the positions of the budget that it learned from.
    """
    positions = np.arange(len(learner.budget.labels))
    if not anew and folds:
        positions = folds[0].train
        if learner.is_fitted_on(positions, selection.winner):
            return selection.reports[0], positions
    return learner.train(FINAL, positions, selection.winner), positions


def find_typicality(
    learner: Learner[C], selection: Selection[C], folds: Sequence[Fold], trained: Positions
) -> Typicality | None:
    """Return what tells how typical an image is of those that the final network learned from; None without folds.

    Distances of validation parts, each from its own training part, stand for those of new images.

    Args:
        learner: As the final fit left it.
        selection: How its settings were found.
        folds: Any of the budget where features are fixed, else those that it was selected on.
        trained: Positions of the budget that it learned from.
    """
    found = [learner.fold_distances(fold, selection.winner) for fold in folds]
    known = [distances for distances in found if distances is not None]
    if not known or len(known) < len(found):
        return None
    return Typicality.of(learner.reference(trained), np.concatenate(known))


def rank(candidate: Rates | Choice, calibrated: Calibrated) -> tuple[float, float]:
    """Order by loss, then the smaller learning rate, or the simpler solution."""
    simplicity = candidate.lr if isinstance(candidate, Rates) else -candidate.strength
    return round(calibrated.loss, _TOLD_APART), simplicity


@dataclass(frozen=True, kw_only=True)
class _Pooled:
    """One candidate's fits and pooled validation outputs."""

    reports: tuple[FitReport, ...]
    logits: Logits
    labels: Labels

    @classmethod
    def of(cls, fits: Sequence[FoldFit]) -> "_Pooled":
        reports, logits, labels = zip(*fits, strict=True)
        return cls(reports=reports, logits=np.concatenate(logits), labels=np.concatenate(labels))


def _all_at_once(
    learner: Learner[C], folds: Sequence[Fold], candidates: Sequence[C], class_weights: ClassWeights
) -> Iterator[tuple[Trial[C], _Pooled | None]]:
    for number, fits in enumerate(learner.fit_folds(folds, candidates)):
        pooled = None if fits is None else _Pooled.of(fits)
        yield _tried(number, candidates[number], pooled, class_weights), pooled


def _one_by_one(
    learner: Learner[C], folds: Sequence[Fold], offered: Offered[C], class_weights: ClassWeights, *, alone: bool
) -> Iterator[tuple[Trial[C], _Pooled | None]]:
    for number, candidate in enumerate(offered):
        pooled = _fit(learner, folds, candidate, number=number, alone=alone)
        trial = _tried(number, candidate, pooled, class_weights)
        offered.tell(trial)
        yield trial, pooled


def _tried(number: int, candidate: C, pooled: _Pooled | None, class_weights: ClassWeights) -> Trial[C]:
    calibrated = None if pooled is None else calibrate_logits(pooled.logits, pooled.labels, class_weights)
    return Trial(number=number, rates=candidate, calibrated=calibrated)


def _fit(learner: Learner[C], folds: Sequence[Fold], candidate: C, *, number: int, alone: bool) -> _Pooled | None:
    """Return a candidate's fits over all folds, or None where it diverged and others are there to win."""
    try:
        return _Pooled.of(
            [learner.fit_fold(f"select-{number:03d}-fold{index}", fold, candidate) for index, fold in enumerate(folds)]
        )
    except DivergedError:
        if alone:
            raise
        return None


def _values(candidate: Rates | Choice) -> dict[str, float | None]:
    """Return what a candidate chooses."""
    return {name: value for name, value in dataclasses.asdict(candidate).items() if value is not None}
