"""One run, told top to bottom: network, images, budget, selection inside it, final fit, one look at the test split.

Read this page first. The parts it calls stand below it in the layers and know nothing of each other.
"""

import functools
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlexp.arrays import Labels
from tlexp.compose.preflight import require_checkpoint
from tlexp.config import Config, config_key
from tlexp.config.head import HeadInit
from tlexp.config.train import ClassWeights
from tlexp.config.tune import SearchKind
from tlexp.data import Source, copies_csv, leaks_csv
from tlexp.experiment.artifacts import Predictions, write_artifacts
from tlexp.experiment.build import build_classifier, build_setup, calibrate_start, describe_model
from tlexp.experiment.images import Budget, draw_labels, listing_bad_images, pooled_folds
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.notes import cache_notes, collapse_note, guess_note, start_notes
from tlexp.experiment.probe import build_probe
from tlexp.experiment.recorder import RunRecorder
from tlexp.experiment.session import Session
from tlexp.experiment.sizes import size_notes
from tlexp.learn.learner import build_learner, solved_candidates, trained_candidates
from tlexp.learn.search import Search
from tlexp.learn.selection import Learner, Selection, find_typicality, refit, select
from tlexp.models import save_classifier
from tlexp.models.familiarity import Familiarity
from tlexp.models.prior import PriorShift
from tlexp.paths import publish
from tlexp.tracking import Record, TrackedRun, names
from tlexp.train import Checkpoint, Evaluation, Listener, choose_device, copy_checkpoint, deterministic, reset_peak


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run ends with: its record, the measures of each split, and where the tracking store shows it.

    That is not known yet where the end of the run is still to be written there.

    Attributes:
        meant: The folder below the root that holds the classes by its looks; None where none does.
    """

    record: Record
    splits: dict[str, Evaluation]
    tracked: TrackedRun | None
    meant: Path | None = None


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
        overrides: The overrides of the command line.
        study: The name of the sweep that the run is one of.
        session: What it has in common with other runs of this process; nothing when None.

    Raises:
        TlexpError: The settings, images or weights do not allow the run, or training could not go on.
        Interrupted: A signal asked to stop; a checkpoint lies in the folder for `resume=`.
    """
    backlog = None if session is None else session.backlog
    recorder = RunRecorder(
        config, folder, listener=listener, shown=shown, overrides=overrides, study=study, backlog=backlog
    )
    with recorder, deterministic(config.train.deterministic):
        splits = _run(config, recorder, session or Session())
    assert recorder.record is not None
    shutil.rmtree(folder / names.CHECKPOINT_FOLDER, ignore_errors=True)
    return Outcome(record=recorder.record, splits=splits, tracked=recorder.tracked, meant=recorder.meant)


def _run(config: Config, recorder: RunRecorder, session: Session) -> dict[str, Evaluation]:
    """Do the run, let the recorder know what becomes known, and return the measures of each split."""
    began, listener = time.perf_counter(), recorder.listener
    device = choose_device(config.train.device)
    recorder.took_place_on(str(device))
    reset_peak(device)  # here alone: what the run takes is what its extraction, solver, folds and fit take
    network, origin = session.network(config)  # a wrong model or depth is refused before an image is read
    with listing_bad_images(recorder.folder):
        images = session.images(config, network.expected, listener)
    budget = draw_labels(config, images)
    if config.backbone.calibrate:
        origin = calibrate_start(config, network, origin, images, budget, device, listener)
    heads = None
    if config.head.init is HeadInit.probe:
        probe = build_probe(config, network, images, budget, session, device=device, listener=listener)
        recorder.probed(probe.block())
        heads = probe.heads
    classifier = build_classifier(config, network, len(images.classes)).to(device)
    told = recorder.describe(network, origin, images, budget).told
    if config.study.column is None:  # a study has said it
        listener.message(told)
    sizes = () if config.study.column is None else (*size_notes(config, network.expected, images),)
    recorder.note(start_notes(config, network, images, budget), known=sizes)  # the bill of a study has said them
    if images.copies and config.study.column is None:  # a study lists them once
        publish(recorder.folder / names.COPIES_FILE, copies_csv(images.copies))
    if images.leaks and config.study.column is None:
        publish(recorder.folder / names.LEAKS_FILE, leaks_csv(images.leaks))
    recorder.begin(classifier.frozen_digest(session.digest))

    checkpoint = _checkpoint(config, recorder.folder, f"{images.digest}-{origin.digest}-{device.type}")
    setup = build_setup(config, network, device, images=len(budget.positions), classes=len(images.classes))
    inputs = RunInputs(config, session, classifier, images, budget, setup, listener)  # one entry per phase
    learner = build_learner(
        classifier,
        inputs.entries,
        setup,
        config.head.kind,
        checkpoint=checkpoint,
        listener=listener,
        solutions=session.solutions,
        heads=heads,
    )
    selection = _select(config, learner, budget)
    recorder.selected(selection)
    report, trained = refit(learner, selection, budget.folds, anew=config.train.refit)
    recorder.trained(report, classifier.frozen_digest(session.digest_after))
    recorder.weighed(images.classes, setup.weights_of(budget.labels[trained]))

    # All choices are made. The held-out splits are read here, once.
    shift = _prior_shift(config, images, budget.labels[trained])
    recorder.shifted(images.classes, shift)
    folds = pooled_folds(config, images, budget) if learner.fixed else budget.folds
    classifier.typicality = find_typicality(learner, selection, folds, trained)
    predictions = Predictions.of(
        learner,
        selection,
        trained,
        inputs.held_out(),
        shift,
        typicality=classifier.typicality,
        groups=_fold_groups(images, budget),
    )
    splits = predictions.evaluate(
        label_smoothing=config.train.label_smoothing, class_weights=config.train.class_weights
    )
    recorder.alarmed(predictions.false_alarms)
    recorder.note(guess_note(config, splits["test"]))
    recorder.note(collapse_note(config, splits["train"]))
    recorder.note(cache_notes(config, classifier, inputs))
    recorder.cached(inputs.use)
    seconds = time.perf_counter() - began + learner.beforehand
    recorder.measured(splits, report, classifier, head_alone=inputs.head_alone, seconds=seconds)
    card = describe_model(config, network, origin, images.classes, shift, selection.temperature, predictions.abstention)
    if config.train.save_weights:
        classifier.familiarity = Familiarity.of(images.pool.digest(place) for place in budget.positions.tolist())
        save_classifier(classifier, recorder.folder, description=card)
    groups = {split: images.group_codes(tested) for split, tested in images.evaluated()}
    drawn = config.tracking.figures is not False
    named = {split: tested.names for split, tested in images.evaluated()} if recorder.alone else {}
    if recorder.alone and len(budget.rest):
        named["rest"] = [images.pool.names[place] for place in budget.rest.tolist()]
    write_artifacts(
        recorder.folder,
        predictions,
        splits,
        card.classes,
        groups=groups,
        rest=budget.rest,
        image_names=named,
        drawn=drawn,
    )
    return splits


def _prior_shift(config: Config, images: Source, labels: Labels) -> PriorShift | None:
    """Return from which class frequencies predictions are corrected, and to which; None where nobody states them.

    Args:
        config: Of the run.
        images: With the frequencies that are wanted.
        labels: Of the images that it learned from, (n,).
    """
    if not images.prior:
        return None
    head, weights = config.head.kind, config.train.class_weights
    return PriorShift.of(images.prior, labels, alike=weights is ClassWeights.balanced or not head.counts_classes)


def _fold_groups(images: Source, budget: Budget) -> NDArray[np.int64] | None:
    """Return the number of the group of each image that the settings are chosen on, in the order of the folds."""
    codes = images.group_codes(images.pool)
    if codes is None or not budget.folds:
        return None
    found: NDArray[np.int64] = codes[budget.positions[np.concatenate([fold.validation for fold in budget.folds])]]
    return found


def _checkpoint(config: Config, folder: Path, start: str) -> Checkpoint | None:
    """Return the run's checkpoint, begun with that of the run to go on with; a head that is solved keeps no fit.

    Args:
        config: Of the run.
        folder: Of the run.
        start: What the run starts from besides its settings: images, weights, kind of device.
    """
    interrupted = require_checkpoint(config)
    if interrupted is not None:
        copy_checkpoint(interrupted, folder / names.CHECKPOINT_FOLDER)
    elif config.head.kind.solved:
        return None
    key = f"{config_key(config)}-{start}"
    return Checkpoint(folder / names.CHECKPOINT_FOLDER, key=key, seconds=config.train.checkpoint_seconds)


def _select(config: Config, learner: Learner[Any], budget: Budget) -> Selection[Any]:
    """Compare the candidates of the configuration inside the label budget."""
    tune, optim = config.tune, config.optim
    search = Search(
        trials=tune.trials,
        lr=(tune.lr[0], tune.lr[1]),
        weight_decay=(tune.weight_decay[0], tune.weight_decay[1]),
        seed=config.seed,
        around=tune.search is SearchKind.around,
    )
    choose = functools.partial(select, class_weights=config.train.class_weights)
    if config.head.kind.solved:
        default, choices = solved_candidates(
            config.head.kind, trials=tune.trials, weight_decay=optim.weight_decay, smallest=budget.smallest_fold
        )
        return choose(learner, budget.folds, default=default, search=search, candidates=choices)
    rates = trained_candidates(search, config.default_rates, many=learner.many)
    return choose(learner, budget.folds, default=config.default_rates, search=search, candidates=rates)
