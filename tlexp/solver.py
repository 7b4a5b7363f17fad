"""A head that is solved at once on features, for parts of one label budget.

logits (N, K) float32; labels (N,) int64; positions (N,) int64 into the budget.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tlexp.config.head import HeadKind
from tlexp.config.optim import Choice
from tlexp.data import Fold
from tlexp.errors import Interrupted
from tlexp.feeds import FeatureFeed, Feed, Labels, Positions
from tlexp.models import Classifier
from tlexp.train import FitReport, Fitted, Listener, Problem, peak_bytes, predict, solve, within_memory

Logits = NDArray[np.float32]
Tried = tuple[FitReport, Logits, Labels]


class Solver:
    """A head without steps; it does what a `Trainee` does.

    Args:
        classifier: The head alone, taking features.
        kind: Of the head.
        feed: The label budget.
        listener: Hears of every solution.
        num_classes: K.
    """

    many = True

    def __init__(
        self, classifier: Classifier, kind: HeadKind, feed: FeatureFeed, *, listener: Listener, num_classes: int
    ) -> None:
        self.classifier, self.feed = classifier, feed
        self._kind, self._listener, self._classes = kind, listener, num_classes
        self._holds: tuple[bytes, Choice] | None = None

    def try_out(self, fit_id: str, fold: Fold, choice: Choice) -> Tried:
        """Return one candidate's solution on a fold."""
        [tried] = self.try_all([fold], [choice])
        return tried[0]

    def try_all(self, folds: Sequence[Fold], choices: Sequence[Choice]) -> list[list[Tried]]:
        """Return each candidate's solutions on all folds, solved together."""
        problems = [self._problem(fold.train, fold.validation) for fold in folds]
        found, seconds = self._solve("select", problems, choices)
        share = seconds / (len(folds) * len(choices))
        tried = []
        for fits in zip(*found, strict=True):
            parts = []
            for fold, fitted in zip(folds, fits, strict=True):
                assert fitted.logits is not None
                report = self._report(fitted, len(fold.train), share)
                parts.append((report, fitted.logits.numpy(), self.feed.labels[fold.validation]))
            tried.append(parts)
        return tried

    def train(self, fit_id: str, positions: Positions, choice: Choice) -> FitReport:
        """Solve on the positions of the budget, put the solution into the head, and return what it took."""
        [[fitted]], seconds = self._solve(fit_id, [self._problem(positions, None)], [choice])
        self.classifier.head.load_state_dict(fitted.head.state_dict())
        self._holds = positions.tobytes(), choice
        return self._report(fitted, len(positions), seconds)

    def holds(self, positions: Positions, choice: Choice) -> bool:
        """Return whether the head is as `train` left it with these positions and this choice."""
        return self._holds == (positions.tobytes(), choice)

    def predict(self, feed: Feed, positions: Positions) -> tuple[Logits, Labels]:
        """Return logits and labels of a feed's images, in order."""
        return predict(self.classifier, feed.chunks(positions), autocast=None)

    def _problem(self, train: Positions, validation: Positions | None) -> Problem:
        clean = None if validation is None else self.feed.clean(validation)
        return Problem(train=self.feed.varied(train), validation=clean)

    def _solve(
        self, title: str, problems: Sequence[Problem], choices: Sequence[Choice]
    ) -> tuple[list[list[Fitted]], float]:
        self._heed()
        began = time.perf_counter()
        self._listener.phase(title, 1)
        try:
            found = within_memory(
                lambda: solve(
                    str(self._kind),
                    self.feed,
                    self.feed.row_labels,
                    problems,
                    num_classes=self._classes,
                    candidates=[choice.weight_decay or choice.neighbours or 0 for choice in choices],
                ),
                f"{len(choices)} heads on {len(problems[0].train)} rows: use fewer tune.trials, or train.device=cpu",
            )
        finally:
            self._listener.ended()
        self._heed()  # a signal that came meanwhile
        return found, time.perf_counter() - began

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
            peak_bytes=peak_bytes(self.feed.device),
            curve=[],
        )
