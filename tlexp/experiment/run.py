"""One run, told top to bottom: network, images, budget, selection inside it, final fit, one look at the test split.

Read this page first. The parts it calls stand below it in the layers and know nothing of each other.
"""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.config import Config, config_key
from tlexp.config.cache import CacheMode
from tlexp.config.freeze import FreezeNorm, FreezePolicy
from tlexp.config.head import HeadInit
from tlexp.config.optim import Rates
from tlexp.config.tune import SearchKind
from tlexp.data import Source
from tlexp.errors import ConfigError
from tlexp.experiment.artifacts import draw_figures, write_candidates, write_evaluation, write_predictions
from tlexp.experiment.build import Network, build_classifier, build_setup, calibrate_start, count_steps, describe_model
from tlexp.experiment.images import Budget, draw_labels
from tlexp.experiment.inputs import EVERY_UNIT, RunInputs
from tlexp.experiment.live import FINAL, Live
from tlexp.experiment.probe import build_probe
from tlexp.experiment.recorder import RunRecorder
from tlexp.experiment.session import Session
from tlexp.features.batches import LabelledSet
from tlexp.learn.learner import build_learner, candidates
from tlexp.learn.selection import Candidate, Learner, Search, Selection, candidates_around, select, spread_candidates
from tlexp.models import Classifier, ModelCard, WeightsOrigin, keeps_statistics, save_classifier
from tlexp.tracking import Record, TrackedRun, dataset_of, names, read_points
from tlexp.train import (
    Checkpoint,
    Evaluation,
    FitReport,
    Listener,
    choose_device,
    deterministic,
    evaluate,
    to_probabilities,
)

CHECKPOINT = "checkpoint"
Tests = dict[str, tuple[LabelledSet, NDArray[np.float32]]]
"""Held-out split -> its images and their logits (N, K)."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run ends with: its record, the measures of each split, and where the tracking store shows it."""

    record: Record
    splits: dict[str, Evaluation]
    tracked: TrackedRun | None


def run(
    config: Config,
    *,
    folder: Path,
    listener: Listener,
    shown: dict[str, Any] | None = None,
    overrides: Sequence[str] = (),
    study: str | None = None,
    session: Session | None = None,
) -> Outcome:
    """Do one run; its record is published in the folder however it ends.

    Args:
        config: What to do.
        folder: The run's own folder, which exists.
        listener: Hears of progress and may ask to stop.
        shown: The configuration as it may be logged; its own values when None.
        overrides: The words of the command line.
        study: The name of the sweep that the run is one of.
        session: What it has in common with other runs of this process; nothing when None.

    Raises:
        TlexpError: The settings, images or weights do not allow the run, or training could not go on.
        Interrupted: A signal asked to stop; a checkpoint lies in the folder for `resume=`.
    """
    recorder = RunRecorder(config, folder, listener=listener, shown=shown, overrides=overrides, study=study)
    with recorder, deterministic(config.train.deterministic):
        splits = _do(config, recorder, session or Session())
    assert recorder.record is not None
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    return Outcome(
        record=recorder.record,
        splits=splits,
        tracked=recorder.tracked,
    )


def _do(config: Config, recorder: RunRecorder, session: Session) -> dict[str, Evaluation]:
    """Do the run, enter into the recorder what becomes known, and return the measures of each split."""
    began = time.perf_counter()
    device = choose_device(config.train.device)
    recorder.environment["device"] = str(device)
    network, origin = session.network(config)  # before any image is read: a wrong model or depth is refused at once
    source = session.source(config, network.expected, recorder.listener)
    budget = draw_labels(config, source)
    if config.backbone.calibrate:
        origin = calibrate_start(config, network, origin, source, budget, device, recorder.listener)
    heads = None
    if config.head.init is HeadInit.probe:
        probe = build_probe(config, network, source, budget, session, device=device, listener=recorder.listener)
        heads, recorder.train["probe"] = probe.heads, probe.summary()
    classifier = build_classifier(config, network, len(source.classes)).to(device)
    _describe(recorder, config, network, origin, source, budget)
    recorder.freeze["digest_before"] = classifier.frozen_digest(session.digest)
    recorder.start_tracking(dataset_of(recorder.shown, recorder.data))

    live = Live(recorder.listener, recorder.point)
    checkpoint = _checkpoint(
        config, recorder.folder, f"{config_key(config)}-{source.digest}-{origin.digest}-{device.type}"
    )
    setup = build_setup(
        config,
        network.expected,
        device,
        images=len(budget.positions),
        classes=len(source.classes),
        phases=network.phases,
    )
    feeds = RunInputs(config, session, classifier, source, budget, setup, live)
    learner = build_learner(
        config,
        classifier,
        feeds.budget,
        setup,
        checkpoint=checkpoint,
        listener=live,
        solutions=session.solutions,
        heads=heads,
        entries=feeds.entries,
    )
    selection = _select(config, learner, budget, recorder)
    report, trained = _final_fit(config, learner, budget, selection)
    recorder.curve(report, phase="final", fold=None, shown=live.steps)
    if report.phases:
        recorder.freeze["phases"] = report.phases
    recorder.freeze["digest_after"] = classifier.frozen_digest(session.digest)
    if recorder.freeze["digest_after"] != recorder.freeze["digest_before"]:
        raise AssertionError("frozen parameters or buffers changed during training")

    # All choices are made. The held-out splits are read here, once.
    tests = {split: (feed, learner.predict(feed, np.arange(len(feed.labels)))[0]) for split, feed in feeds.held_out()}
    _tell_cache(config, recorder, classifier, feeds)
    splits = _evaluate(config, learner, trained, selection, tests)
    seconds = time.perf_counter() - began + learner.beforehand
    recorder.metrics.update(_metrics(splits, report, classifier, seconds=seconds))
    card = describe_model(config, network, origin, source.classes)
    if config.train.save_weights:
        save_classifier(classifier, recorder.folder, description=card)
    _write(config, recorder, learner, trained, card, splits, selection, tests)
    return splits


def _checkpoint(config: Config, folder: Path, key: str) -> Checkpoint | None:
    """Return the run's checkpoint, begun with that of the run to go on with; a head that is solved keeps no fit."""
    if config.resume is not None:
        interrupted = Path(config.resume) / CHECKPOINT
        if not interrupted.is_dir():
            raise ConfigError(
                f"resume={config.resume}: {interrupted} is missing; a finished run has none, and one that was killed "
                "before its first checkpoint has to start anew without resume"
            )
        shutil.copytree(interrupted, folder / CHECKPOINT)
    elif config.head.kind.solved:
        return None
    return Checkpoint(folder / CHECKPOINT, key=key, seconds=config.train.checkpoint_seconds)


def _select(config: Config, learner: Learner, budget: Budget, recorder: RunRecorder) -> Selection:
    search = Search(
        trials=config.tune.trials,
        lr=(config.tune.lr[0], config.tune.lr[1]),
        weight_decay=(config.tune.weight_decay[0], config.tune.weight_decay[1]),
        seed=config.seed,
        around=config.tune.search is SearchKind.around,
    )
    smallest = min((len(fold.train) for fold in budget.folds), default=len(budget.positions))
    default, solved = candidates(config, smallest=smallest)
    listed: list[Candidate] = [*solved]
    if isinstance(default, Rates) and search.trials > 1:
        if search.around:
            listed = [*candidates_around(default, search.trials)]
        elif learner.many:
            listed = [*spread_candidates(search, default)]
    selection = select(learner, budget.folds, default=default, search=search, candidates=listed)
    for fold, report in enumerate(selection.reports):
        recorder.curve(report, phase="select", fold=fold)
    for flag in selection.flags:
        recorder.note(flag)
    recorder.train["selection"] = {**selection.summary(), "refit": config.train.refit}
    return selection


def _final_fit(
    config: Config, learner: Learner, budget: Budget, selection: Selection
) -> tuple[FitReport, NDArray[np.int64]]:
    """Train the winner from the same start on the whole budget, or keep it as it was selected.

    Returns what it took and the positions of the budget that it learned from.
    """
    positions = np.arange(len(budget.positions))
    if not config.train.refit and budget.folds:
        positions = budget.folds[0].train
        if learner.is_fitted_on(positions, selection.winner):
            return selection.reports[0], positions
    return learner.train(FINAL, positions, selection.winner), positions


def _evaluate(
    config: Config,
    learner: Learner,
    trained: NDArray[np.int64],
    selection: Selection,
    tests: Tests,
) -> dict[str, Evaluation]:
    smoothing = config.train.label_smoothing
    measured = {split: (logits, feed.labels) for split, (feed, logits) in tests.items()}
    measured["train"] = learner.predict(learner.feed, trained)
    if selection.logits is not None and selection.labels is not None:
        measured["val"] = selection.logits, selection.labels
    return {
        split: evaluate(to_probabilities(measured[split][0]), measured[split][1], label_smoothing=smoothing)
        for split in names.SPLITS
        if split in measured
    }


def _metrics(
    splits: dict[str, Evaluation], report: FitReport, classifier: Classifier, *, seconds: float
) -> dict[str, float]:
    """Return the flat metrics: every score of every split, and the cost block."""
    costs = {
        "seconds": seconds,
        "images_per_second": report.images_per_second,
        "peak_bytes": report.peak_bytes,
        "flops": report.flops,
        "trainable_parameters": sum(parameter.numel() for _, parameter in classifier.trainable_parameters()),
        "total_parameters": sum(parameter.numel() for parameter in classifier.parameters()),
    }
    scores = {
        names.split_metric(split, score): value
        for split, found in splits.items()
        for score, value in found.metrics.items()
    }
    return scores | {names.cost_metric(name): float(value) for name, value in costs.items() if value is not None}


def _describe(
    recorder: RunRecorder, config: Config, network: Network, origin: WeightsOrigin, source: Source, budget: Budget
) -> None:
    """Enter what is known before training: units, weights, images, and what readers should be told."""
    frozen = network.freezing.frozen_units(network.units)
    recorder.freeze |= {"depth": network.depth, "units": frozen}
    recorder.train |= {
        "steps": 0 if config.head.kind.solved else count_steps(config, len(budget.positions)),
        "weights": {"source": origin.source, "digest": origin.digest},
        "outside_protocol": _outside_protocol(config),
    }
    recorder.data |= {
        "digest": source.digest,
        "classes": list(source.classes),
        "counts": _counts(source, budget),
        "skipped": list(source.skipped),
    }
    if config.backbone.random_start:
        recorder.note(
            f"backbone {config.backbone.name} starts from random weights"
            + (", calibrated on the label budget" if config.backbone.calibrate else "")
            + ("; its frozen part is not trained at all" if network.freezing.keeps(network.units) else "")
        )
    if network.freezing.adapted:
        recorder.note(
            f"freeze=lora: adapters of rank {config.freeze.rank} train beside {len(network.freezing.adapted)} layers; "
            "model.safetensors holds the plain architecture, with them added to its weights"
        )
    norm = config.freeze.norm
    if norm is not FreezeNorm.follow and not any(map(keeps_statistics, network.backbone.modules())):
        recorder.note(
            f"freeze.norm={norm} changes nothing: {config.backbone.name} has no norms with running statistics"
        )
    for text in source.notes:
        recorder.note(text)
    if source.skipped:
        recorder.note(f"unreadable images left out: {len(source.skipped)}; record.json names them")
    if 2 * len(budget.positions) > len(source.pool.labels):
        recorder.note(
            f"labels={config.labels} is above half of the pool: the result is conditional on this pool, another might "
            "give a different one"
        )
    if recorder.train["outside_protocol"]:
        recorder.note(f"outside protocol: {', '.join(recorder.train['outside_protocol'])}")


def _outside_protocol(config: Config) -> list[str]:
    """Return the settings that change the protocol's training length or batch; a head that is solved has none."""
    if config.head.kind.solved:
        return []
    protocol = {"steps": None, "epochs": None, "longer": 1, "limit_steps": None, "batch_size": None}
    stated = {key: getattr(config.train, key) for key in protocol}
    return [f"train.{key}={value}" for key, value in stated.items() if value != protocol[key]]


def _counts(source: Source, budget: Budget) -> dict[str, dict[str, int]]:
    """Return the images of each class in train, val (that of a single split), test and, where there is one, shifted."""
    validation = budget.folds[0].validation if len(budget.folds) == 1 else np.zeros(0, np.int64)
    parts = {
        "train": np.delete(budget.labels, validation),
        "val": budget.labels[validation],
        "test": source.held_out.labels,
        **({} if source.shifted is None else {"shifted": source.shifted.labels}),
    }
    return {
        split: dict(zip(source.classes, np.bincount(labels, minlength=len(source.classes)).tolist(), strict=True))
        for split, labels in parts.items()
    }


def _tell_cache(config: Config, recorder: RunRecorder, classifier: Classifier, feeds: RunInputs) -> None:
    """Say what the cache did, or why features could not be kept."""
    use = feeds.use
    if feeds.refusal is not None and config.cache.mode is not CacheMode.off:
        where = "" if use is None else " in every phase"
        recorder.note(f"what the frozen layers make is not kept{where}: {feeds.refusal}")
    if use is None:
        told = config.study.column is None  # a study compares what would be advised against
        frozen = config.freezes_prefix and (recorder.freeze["depth"] > 0 or "phases" in recorder.freeze)
        reason = config.moving if config.freeze.simplest is FreezePolicy.all else config.varying
        if told and frozen and reason is not None and config.cache.mode is not CacheMode.off:
            recorder.note(f"features are not kept: {reason}")
        elif told and frozen and recorder.freeze["depth"] == len(classifier.units):
            recorder.note(f"freeze.depth={config.freeze.depth} freezes {EVERY_UNIT}")
        return
    recorder.train["cache"] = {"mode": str(config.cache.mode), **dataclasses.asdict(use)}
    if recorder.alone:
        recorder.listener.message(f"cache {config.cache.mode}: {use}")


def _write(
    config: Config,
    recorder: RunRecorder,
    learner: Learner,
    trained: NDArray[np.int64],
    card: ModelCard,
    splits: dict[str, Evaluation],
    selection: Selection,
    tests: Tests,
) -> None:
    """Write the run's files: predictions, evaluation, candidates, figures."""
    for split, (feed, logits) in tests.items():
        write_predictions(recorder.folder, to_probabilities(logits), feed.labels, split=split)
    write_evaluation(recorder.folder, splits, card.classes)
    if len(selection.trials) > 1:
        write_candidates(recorder.folder, selection.summary())
    if config.tracking.figures is not False:
        batches, (feed, logits) = learner.feed.batches(trained), tests["test"]
        draw_figures(
            recorder.folder,
            points=read_points(recorder.folder / names.CURVES_FILE),
            test=splits["test"],
            probabilities=to_probabilities(logits),
            labels=feed.labels,
            pixels=feed.pixels,
            batch=(batches.raw(0).cpu().numpy(), learner.feed.labels[trained[batches.positions(0)]]),
            classes=card.classes,
            selection=selection.summary(),
        )
