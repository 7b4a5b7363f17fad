"""A head that is solved at once on features, for parts of one label budget.

logits (N, K) float32; labels (N,) int64; positions (N,) int64 into the budget.
"""

import time
from collections.abc import Sequence

from tlexp.arrays import Labels, Logits, Positions
from tlexp.config.head import HeadKind
from tlexp.config.optim import Choice
from tlexp.config.train import ClassWeights
from tlexp.data import Fold
from tlexp.errors import Interrupted
from tlexp.features.batches import FitSetup, LabelledSet
from tlexp.features.entry import Entry
from tlexp.learn.reference import find_reference
from tlexp.models import Classifier, feature_shape
from tlexp.models.typicality import Distances, ReferenceRows
from tlexp.train import (
    FitReport,
    Fitted,
    FoldFit,
    Listener,
    Problem,
    map_features,
    peak_bytes,
    predict,
    predict_beside,
    solve,
    within_memory,
)

Part = tuple[Positions, Positions | None]
"""Positions to solve on, and those to predict."""


class Solutions:
    """Heads that were solved beforehand, many problems together, found again by what they were solved on."""

    def __init__(self) -> None:
        self._found: dict[tuple[bytes, Choice], tuple[Fitted, float]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def enter(self, problem: bytes, choice: Choice, fitted: Fitted, *, seconds: float) -> None:
        """Keep a solution and its share of the time that all took."""
        self._found[problem, choice] = fitted, seconds

    def find(self, problems: Sequence[bytes], choices: Sequence[Choice]) -> tuple[list[list[Fitted]], float] | None:
        """Return the solutions of all problems and the time they took; None if one is missing."""
        found = [[self._found.get((problem, choice)) for choice in choices] for problem in problems]
        known = [[each for each in row if each is not None] for row in found]
        if not found or any(len(row) < len(choices) for row in known):
            return None
        return [[fitted for fitted, _ in row] for row in known], sum(each for row in known for _, each in row)


class SolvedLearner:
    """A head without steps; it does what a `TrainedLearner` does.

    Args:
        classifier: The whole network, all units frozen.
        kind: Of the head.
        entry: At the features, with those of the label budget.
        listener: Hears of every solution.
        setup: Of its loss, where it has one.
        solutions: Those that are known already.

    Attributes:
        fits: Every head that was solved, by the positions it was solved on and what it chose.
        beforehand: Seconds that known solutions had taken.
    """

    many = fixed = True

    def __init__(
        self,
        classifier: Classifier,
        kind: HeadKind,
        entry: Entry,
        *,
        listener: Listener,
        setup: FitSetup,
        solutions: Solutions | None = None,
    ) -> None:
        assert entry.rows is not None
        self._width = feature_shape(classifier.backbone)[-1]
        self.classifier, self.budget = entry.network(classifier), entry.rows
        self.fits: dict[tuple[bytes, Choice], Fitted] = {}
        self.beforehand = 0.0
        self._solutions = Solutions() if solutions is None else solutions
        self._kind, self._listener, self._setup = kind, listener, setup
        self._fitted_on: tuple[bytes, Choice] | None = None

    def fit_fold(self, fit_id: str, fold: Fold, choice: Choice) -> FoldFit:
        """Return one candidate's solution on a fold."""
        [tried] = self.fit_folds([fold], [choice])
        return tried[0]

    def fit_folds(self, folds: Sequence[Fold], choices: Sequence[Choice]) -> list[list[FoldFit]]:
        """Return each candidate's solutions on all folds, solved together."""
        parts = [(fold.train, fold.validation) for fold in folds]
        found, seconds = self._solve("select", parts, choices)
        share = seconds / (len(folds) * len(choices))
        tried = []
        for fits in zip(*found, strict=True):
            outcomes = []
            for fold, fitted in zip(folds, fits, strict=True):
                assert fitted.logits is not None
                report = self._report(fitted, len(fold.train), share)
                outcomes.append((report, fitted.logits.numpy(), self.budget.labels[fold.validation]))
            tried.append(outcomes)
        return tried

    def train(self, fit_id: str, positions: Positions, choice: Choice) -> FitReport:
        """Solve on the positions of the budget, put the solution into the head, and return what it took."""
        [[fitted]], seconds = self._solve(fit_id, [(positions, None)], [choice])
        self.classifier.head.load_state_dict(fitted.head.state_dict())
        self._fitted_on = positions.tobytes(), choice
        return self._report(fitted, len(positions), seconds)

    def is_fitted_on(self, positions: Positions, choice: Choice) -> bool:
        """Return whether the head is as `train` left it with these positions and this choice."""
        return self._fitted_on == (positions.tobytes(), choice)

    def predict(self, images: LabelledSet, positions: Positions) -> tuple[Logits, Labels]:
        """Return logits and labels of images, in order."""
        return predict(self.classifier, images.chunks(positions), autocast=None)

    def reference(self, positions: Positions) -> ReferenceRows:
        """Return features of those positions of the budget that others are compared with."""
        return find_reference(self.classifier, self.budget, positions, self._setup, width=self._width)

    def compare(
        self, images: LabelledSet, positions: Positions, reference: ReferenceRows
    ) -> tuple[Logits, Distances, Labels]:
        """Return logits, distances from a reference and labels of images, in order."""
        return predict_beside(self.classifier, images.chunks(positions), reference.distances, autocast=None)

    def fold_distances(self, fold: Fold, choice: Choice) -> Distances:
        """Return how far the validation part lies from the training part: features are the same for all heads."""
        chunks, distances = self.budget.chunks(fold.validation), self.reference(fold.train).distances
        return map_features(self.classifier, chunks, distances, autocast=None)

    def identity(self, train: Positions, validation: Positions | None) -> bytes:
        """Return what names a problem, in other runs as well."""
        weights = self._setup.class_weights
        named = f"{self._kind}" if weights is ClassWeights.none else f"{self._kind} {weights}"
        parts = [named.encode(), self.budget.identity(train)]
        return b" ".join(parts if validation is None else [*parts, self.budget.identity(validation)])

    def enter(self, solutions: Solutions, parts: Sequence[Part], choices: Sequence[Choice]) -> None:
        """Solve many problems together, for others to find."""
        found, seconds = self._solve(f"{len(parts)} problems at once", parts, choices)
        share = seconds / max(1, len(parts) * len(choices))
        for (train, validation), fits in zip(parts, found, strict=True):
            for choice, fitted in zip(choices, fits, strict=True):
                solutions.enter(self.identity(train, validation), choice, fitted, seconds=share)

    def _solve(self, title: str, parts: Sequence[Part], choices: Sequence[Choice]) -> tuple[list[list[Fitted]], float]:
        known = (
            self._solutions.find([self.identity(*part) for part in parts], choices) if len(self._solutions) else None
        )
        if known is not None:
            self.beforehand += known[1]
        found, seconds = known or self._solve_now(title, parts, choices)
        for (train, _), fits in zip(parts, found, strict=True):
            self.fits |= {(train.tobytes(), choice): fitted for choice, fitted in zip(choices, fits, strict=True)}
        return found, seconds

    def _solve_now(
        self, title: str, parts: Sequence[Part], choices: Sequence[Choice]
    ) -> tuple[list[list[Fitted]], float]:
        problems = [
            Problem(
                train=self.budget.varied(train),
                validation=None if validation is None else self.budget.clean(validation),
                class_weights=self._setup.weights_of(self.budget.labels[train]),
            )
            for train, validation in parts
        ]
        self._heed()
        began = time.perf_counter()
        self._listener.phase(title, 1)
        try:
            found = within_memory(
                lambda: solve(
                    str(self._kind),
                    self.budget,
                    self.budget.row_labels,
                    problems,
                    num_classes=self._setup.plan.num_classes,
                    candidates=[choice.strength for choice in choices],
                    heed=self._heed,
                ),
                f"{len(choices) * len(problems)} heads: use fewer tune.trials, or train.device=cpu",
            )
        finally:
            self._listener.ended()
        self._heed()  # a signal that came meanwhile
        self._tell_unsolved(found, choices)
        return found, time.perf_counter() - began

    def _tell_unsolved(self, found: Sequence[Sequence[Fitted]], choices: Sequence[Choice]) -> None:
        """Say which heads are not the solution that they stand for."""
        unsolved = [
            f"{choice.strength:.3g}"
            for choice, fits in zip(choices, zip(*found, strict=True), strict=True)
            if not all(fitted.converged for fitted in fits)
        ]
        if unsolved:
            self._listener.message(
                f"head={self._kind} did not converge for weight_decay={', '.join(unsolved)}: taken as it stood; use a "
                "larger optim.weight_decay"
            )

    def _heed(self) -> None:
        signal_number = self._listener.should_stop()
        if signal_number is not None:
            raise Interrupted(signal_number)

    def _report(self, fitted: Fitted, images: int, seconds: float) -> FitReport:
        steps = max(1, fitted.iterations)
        return FitReport(
            steps=steps,
            seconds=seconds,
            images_per_second=steps * images / max(seconds, 1e-9),
            flops=None,
            peak_bytes=peak_bytes(self.budget.device),
            curve=[],
            converged=fitted.converged,
        )
