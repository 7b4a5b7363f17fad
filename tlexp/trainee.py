"""One network that is trained again and again from the same start, on parts of one label budget.

logits (N, K) float32; labels (N,) int64; positions (N,) int64 into the budget.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.config.optim import Rates
from tlexp.data import Batches, Fold, ImageBank, build_augment, chunks
from tlexp.errors import Interrupted
from tlexp.models import Classifier
from tlexp.train import Checkpoint, FitPlan, FitReport, Listener, fit, predict

Positions = NDArray[np.int64]
Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Regime:
    """How the trainee is fed and trained; what a candidate changes is its learning rate and weight decay."""

    plan: FitPlan
    batch_size: int
    augment: AugmentKind
    expected: Preprocessing
    device: torch.device


class Trainee:
    """A classifier with its start remembered, and the images of the label budget.

    Args:
        classifier: On its device; frozen parts never change, so only the rest of the start is remembered.
        bank: The images of the budget, in the order of its positions.
        regime: How it is fed and trained.
        checkpoint: Where interrupted and finished fits are kept.
        listener: Hears of every fit.
    """

    def __init__(
        self, classifier: Classifier, bank: ImageBank, regime: Regime, *, checkpoint: Checkpoint, listener: Listener
    ) -> None:
        self.classifier, self.bank, self.regime = classifier, bank, regime
        self._checkpoint, self._listener = checkpoint, listener
        self._start = {name: tensor.detach().clone() for name, tensor in self._movable()}
        self._holds: tuple[bytes, Rates] | None = None

    def try_out(self, fit_id: str, fold: Fold, rates: Rates) -> tuple[FitReport, Logits, Labels]:
        """Train on the fold's training part; return what it took, and logits and labels of the validation part.

        A fit that an interrupted run had finished already is not repeated.
        """
        done = self._checkpoint.finished(fit_id)
        if done is not None:
            return _report(done.values), done.arrays["logits"], done.arrays["labels"]
        report = self.train(fit_id, fold.train, rates)
        logits, labels = self.predict(self.bank, fold.validation)
        self._checkpoint.finish(fit_id, arrays={"logits": logits, "labels": labels}, values=dataclasses.asdict(report))
        return report, logits, labels

    def train(self, fit_id: str, positions: Positions, rates: Rates) -> FitReport:
        """Train from the start on the positions of the budget, and return what it took."""
        self._reset()
        plan = dataclasses.replace(self.regime.plan, lr=rates.lr, weight_decay=rates.weight_decay)
        try:
            report = fit(
                self.classifier,
                self.batches(positions),
                plan,
                fit_id=fit_id,
                listener=self._listener,
                checkpoint=self._checkpoint,
            )
        finally:
            self._listener.ended()
        signal_number = self._listener.should_stop()
        if signal_number is not None:  # it came after the last step
            raise Interrupted(signal_number)
        self._holds = positions.tobytes(), rates
        return report

    def holds(self, positions: Positions, rates: Rates) -> bool:
        """Return whether the network is as `train` left it with these positions and rates."""
        return self._holds == (positions.tobytes(), rates)

    def predict(self, bank: ImageBank, positions: Positions) -> tuple[Logits, Labels]:
        """Return logits and labels of a bank's images, in order."""
        regime = self.regime
        images = chunks(
            bank,
            positions,
            mean=regime.expected.mean,
            std=regime.expected.std,
            device=regime.device,
            channels_last=regime.plan.channels_last,
            # Memory on the CPU is that of a training batch; accelerators are quicker with more.
            size=32 if regime.device.type == "cpu" else 256,
        )
        return predict(self.classifier, images, autocast=regime.plan.autocast)

    def batches(self, positions: Positions) -> Batches:
        """Return the stream of training batches over positions of the budget."""
        regime = self.regime
        return Batches(
            self.bank,
            positions,
            batch_size=regime.batch_size,
            seed=regime.plan.seed,
            augment=build_augment(regime.augment),
            mean=regime.expected.mean,
            std=regime.expected.std,
            device=regime.device,
            channels_last=regime.plan.channels_last,
        )

    def _movable(self) -> list[tuple[str, torch.Tensor]]:
        """Return what training can change: trainable parameters, and all buffers (frozen ones are equal anyway)."""
        return [*self.classifier.trainable_parameters(), *self.classifier.named_buffers()]

    @torch.no_grad()
    def _reset(self) -> None:
        self._holds = None
        for name, tensor in self._movable():
            tensor.copy_(self._start[name])


def _report(values: dict[str, Any]) -> FitReport:
    """Return the report of a finished fit from its JSON values."""
    curve = [(int(step), str(name), float(value)) for step, name, value in values["curve"]]
    return FitReport(**{**values, "curve": curve})
