"""One network that is trained again and again from the same start, on parts of one label budget.

logits (N, K) float32; labels (N,) int64; positions (N,) int64 into the budget.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from tlexp.arrays import Labels, Logits, Positions
from tlexp.config.optim import Rates
from tlexp.data import Fold
from tlexp.errors import DivergedError, Interrupted
from tlexp.features.batches import FeatureSet, FitSetup, LabelledSet
from tlexp.features.entry import Entry
from tlexp.learn.calibration import calibrate_logits
from tlexp.learn.reference import find_reference
from tlexp.models import Classifier, feature_shape
from tlexp.models.head import Head
from tlexp.models.typicality import Distances, ReferenceRows
from tlexp.train import (
    Checkpoint,
    FinishedFit,
    FitReport,
    FoldFit,
    Listener,
    Problem,
    Watch,
    fit,
    map_features,
    on_curve,
    predict,
    predict_beside,
    supports,
    train_many,
    within_memory,
)

Heads = Mapping[bytes, Head]
"""What a head starts from, by the positions (bytes of int64) that it is trained on."""
_ALL = "select-all"
"""The outcome of candidates that are tried at once, among the fits of a checkpoint."""


class TrainedLearner:
    """A network that is trained, with its start remembered, and the images of the label budget.

    Args:
        classifier: The whole network on its device, frozen as in the last phase; what is frozen then never changes, so
            only the rest of the start is remembered.
        entries: Where each phase enters it, with the label budget.
        setup: How it is trained.
        checkpoint: Where interrupted and finished fits are kept.
        listener: Hears of every fit.
        heads: Linear heads to start from; None for the classifier's own.
    """

    beforehand = 0.0

    def __init__(
        self,
        classifier: Classifier,
        entries: Sequence[Entry],
        setup: FitSetup,
        *,
        checkpoint: Checkpoint,
        listener: Listener,
        heads: Heads | None = None,
    ) -> None:
        assert len(entries) == 1 or not entries[-1].keeps_rows  # else an earlier phase began behind the last one's cut
        self._width = feature_shape(classifier.backbone)[-1]
        self._entries, self._setup = entries, setup
        self.classifier, self.budget = entries[-1].network(classifier), entries[-1].budget
        self._checkpoint, self._listener, self._heads = checkpoint, listener, heads
        # What training can change: all that trains in some phase, and all buffers (frozen ones are equal anyway).
        moving = {name for name, _ in (*self.classifier.trainable_parameters(), *self.classifier.named_buffers())}
        self._start = {
            name: each.detach().clone() for name, each in _tensors(self.classifier).items() if name in moving
        }
        self._fitted_on: tuple[bytes, Rates] | None = None
        self._distances: dict[tuple[bytes, Rates], Distances] = {}

    @property
    def fixed(self) -> bool:
        """Whether a head alone is trained, on features."""
        entry = self._entries[-1]
        return entry.rows is not None and entry.prefix is None

    @property
    def many(self) -> bool:
        """Whether all candidates can be tried at once: a head alone is trained, on features."""
        head = self.classifier.head
        alike = self._heads is None  # heads at once all start from one
        return alike and self.fixed and isinstance(head, Head) and supports(head, self._setup.plan)

    def fit_fold(self, fit_id: str, fold: Fold, rates: Rates) -> FoldFit:
        """Train on the fold's training part; return what it took, and logits and labels of the validation part.

        A fit that an interrupted run had finished already is not repeated.
        """
        done = self._checkpoint.finished(fit_id)
        if done is not None:
            if "distances" in done.arrays:
                self._distances[fold.train.tobytes(), rates] = done.arrays["distances"]
            return _report(done.values), done.arrays["logits"], done.arrays["labels"]
        watch = self._watch(fit_id, fold.validation)
        report = self.train(fit_id, fold.train, rates, watch=watch)
        arrays: dict[str, NDArray[Any]] = {}
        if self.fixed:
            logits, labels = self.predict(self.budget, fold.validation)
        else:
            logits, distances, labels = self.compare(self.budget, fold.validation, self.reference(fold.train))
            arrays["distances"] = self._distances[fold.train.tobytes(), rates] = distances
        if watch is not None:
            self._tell(fit_id, self._setup.plan.steps, logits, labels)
        arrays |= {"logits": logits, "labels": labels}
        self._checkpoint.finish(fit_id, arrays=arrays, values=dataclasses.asdict(report))
        return report, logits, labels

    def fit_folds(self, folds: Sequence[Fold], candidates: Sequence[Rates]) -> list[list[FoldFit] | None]:
        """Train all candidates on all folds at once; return each one's fits, None where it diverged.

        What an interrupted run had found already stands: a winner found anew might be another.
        """
        done = self._checkpoint.finished(_ALL)
        if done is not None:
            return _unpacked(done)
        tried = self._fit_folds(folds, candidates)
        arrays, values = _packed(tried)
        self._checkpoint.finish(_ALL, arrays=arrays, values=values)
        return tried

    def _fit_folds(self, folds: Sequence[Fold], candidates: Sequence[Rates]) -> list[list[FoldFit] | None]:
        rows, head, steps = self._entries[-1].rows, self.classifier.head, self._setup.plan.steps
        assert rows is not None
        assert isinstance(head, Head)
        began = time.perf_counter()
        self._reset()
        self._listener.phase(f"select, {len(candidates)} candidates at once", steps)
        try:
            found = within_memory(
                lambda: train_many(
                    head,
                    rows,
                    rows.row_labels,
                    [self._problem(rows, fold) for fold in folds],
                    streams=[rows.batches(fold.train).rows for fold in folds],
                    candidates=candidates,
                    plan=self._setup.plan,
                    heed=self._heed,
                ),
                f"{len(candidates)} heads at once on {len(folds)} folds: use fewer tune.trials, or train.device=cpu",
            )
        finally:
            self._listener.ended()
        seconds = (time.perf_counter() - began) / (len(folds) * len(candidates))
        images = steps * min(self._setup.batch_size, *(len(fold.train) for fold in folds))
        tried: list[list[FoldFit] | None] = []
        for fits in zip(*found, strict=True):
            parts: list[FoldFit] = []
            for fold, fitted in zip(folds, fits, strict=True):
                if fitted.logits is None:
                    break
                losses = [] if fitted.losses is None else fitted.losses.tolist()
                report = FitReport(
                    steps=steps,
                    seconds=seconds,
                    images_per_second=images / seconds,
                    flops=None,
                    peak_bytes=None,
                    curve=[(at, "loss", loss) for at, loss in enumerate(losses, start=1) if on_curve(at, steps)],
                )
                parts.append((report, fitted.logits.numpy(), rows.labels[fold.validation]))
            tried.append(parts if len(parts) == len(folds) else None)
        return tried

    def train(self, fit_id: str, positions: Positions, rates: Rates, *, watch: Watch | None = None) -> FitReport:
        """Train from the start on the positions of the budget, and return what it took."""
        self._reset()
        self._adopt_head(positions)
        weights = self._setup.weights_of(self.budget.labels[positions])
        plan = dataclasses.replace(
            self._setup.plan, lr=rates.lr, weight_decay=rates.weight_decay, class_weights=weights
        )
        try:
            report = fit(
                self.classifier,
                self.budget.batches(positions),
                plan,
                fit_id=fit_id,
                listener=self._listener,
                checkpoint=self._checkpoint,
                enter=lambda phase: self._entries[phase].begin(self.classifier, positions),
                watch=watch,
            )
        finally:
            self._listener.ended()
        self._heed()  # a signal that came after the last step
        self._fitted_on = positions.tobytes(), rates
        return report

    def is_fitted_on(self, positions: Positions, rates: Rates) -> bool:
        """Return whether the network is as `train` left it with these positions and rates."""
        return self._fitted_on == (positions.tobytes(), rates)

    def predict(self, images: LabelledSet, positions: Positions) -> tuple[Logits, Labels]:
        """Return logits and labels of images, as the last phase takes them, in order."""
        return predict(self.classifier, images.chunks(positions), autocast=self._setup.plan.autocast)

    def reference(self, positions: Positions) -> ReferenceRows:
        """Return features of those positions of the budget that others are compared with, as the network is now."""
        return find_reference(self.classifier, self.budget, positions, self._setup, width=self._width)

    def compare(
        self, images: LabelledSet, positions: Positions, reference: ReferenceRows
    ) -> tuple[Logits, Distances, Labels]:
        """Return logits, distances from a reference and labels of images, as the last phase takes them, in order."""
        chunks, autocast = images.chunks(positions), self._setup.plan.autocast
        return predict_beside(self.classifier, chunks, reference.distances, autocast=autocast)

    def fold_distances(self, fold: Fold, rates: Rates) -> Distances | None:
        """Return how far the validation part lies from the training part, or lay when the rates were fitted to it."""
        if self.fixed:
            chunks, distances = self.budget.chunks(fold.validation), self.reference(fold.train).distances
            return map_features(self.classifier, chunks, distances, autocast=self._setup.plan.autocast)
        return self._distances.get((fold.train.tobytes(), rates))

    def _watch(self, fit_id: str, validation: Positions) -> Watch | None:
        """Return what looks at a fit in between; None where nobody wants to."""
        steps = self._listener.looks(self._setup.plan.steps, len(validation))
        return Watch(steps=steps, look=partial(self._look, fit_id, validation)) if steps else None

    def _look(self, fit_id: str, validation: Positions, step: int) -> None:
        if step == self._setup.plan.steps:
            return  # `fit_fold` sees the same
        try:
            logits, labels = self.predict(self.budget, validation)
        except DivergedError:
            return  # the fit goes on as without a look
        self._tell(fit_id, step, logits, labels)

    def _tell(self, fit_id: str, step: int, logits: Logits, labels: Labels) -> None:
        loss = calibrate_logits(logits, labels, self._setup.class_weights).loss
        self._listener.validated(fit_id, step, self._setup.plan.steps, loss)

    def _problem(self, rows: FeatureSet, fold: Fold) -> Problem:
        return Problem(
            train=rows.varied(fold.train),
            validation=rows.clean(fold.validation),
            class_weights=self._setup.weights_of(rows.labels[fold.train]),
        )

    def _heed(self, step: int = 0) -> None:
        signal_number = self._listener.should_stop()
        if signal_number is not None:
            raise Interrupted(signal_number)

    @torch.no_grad()
    def _reset(self) -> None:
        self._fitted_on = None
        tensors = _tensors(self.classifier)
        for name, start in self._start.items():
            tensors[name].copy_(start)

    @torch.no_grad()
    def _adopt_head(self, positions: Positions) -> None:
        """Start from the head that belongs to these positions: one that saw more would know the validation images."""
        if self._heads is None:
            return
        own, given = (_last_layer(head) for head in (self.classifier.head, self._heads[positions.tobytes()]))
        own.weight.copy_(given.weight)
        own.bias.copy_(given.bias)


def _tensors(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {**dict(classifier.named_parameters()), **dict(classifier.named_buffers())}


def _last_layer(head: nn.Module) -> nn.Linear:
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]


def _packed(tried: Sequence[Sequence[FoldFit] | None]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and JSON values of what candidates gave."""
    arrays: dict[str, NDArray[Any]] = {}
    reports: list[list[dict[str, Any]] | None] = []
    for number, fits in enumerate(tried):
        reports.append(None if fits is None else [dataclasses.asdict(report) for report, _, _ in fits])
        for fold, (_, logits, labels) in enumerate(fits or ()):
            arrays |= {f"{number}.{fold}.logits": logits, f"{number}.{fold}.labels": labels}
    return arrays, {"reports": reports}


def _unpacked(done: FinishedFit) -> list[list[FoldFit] | None]:
    """Return what candidates gave."""
    arrays = done.arrays
    return [
        None
        if reports is None
        else [
            (_report(values), arrays[f"{number}.{fold}.logits"], arrays[f"{number}.{fold}.labels"])
            for fold, values in enumerate(reports)
        ]
        for number, reports in enumerate(done.values["reports"])
    ]


def _report(values: dict[str, Any]) -> FitReport:
    """Return the report of a finished fit from its JSON values."""
    curve = [(int(step), str(name), float(value)) for step, name, value in values["curve"]]
    return FitReport(**{**values, "curve": curve})
