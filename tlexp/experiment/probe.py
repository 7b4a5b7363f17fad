"""The linear probe that a head starts from (Kumar et al. 2022, arXiv 2202.10054), and many of them solved together."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tlexp.arrays import Positions
from tlexp.config import Config
from tlexp.config.augment import AugmentConfig
from tlexp.config.freeze import FreezeConfig, FreezePolicy
from tlexp.config.head import HeadInit, HeadKind
from tlexp.config.optim import Choice
from tlexp.config.train import ClassWeights
from tlexp.config.tune import TuneConfig
from tlexp.data import Source
from tlexp.errors import DataError
from tlexp.experiment.build import Network, build_classifier, build_setup
from tlexp.experiment.images import Budget, draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.learn.calibration import calibrate_logits
from tlexp.learn.learner import solved_candidates
from tlexp.learn.search import Search
from tlexp.learn.selection import Selection, rank, select
from tlexp.learn.solved import Part, SolvedLearner
from tlexp.learn.trained import Heads
from tlexp.models import Classifier
from tlexp.tracking.blocks import ProbeBlock
from tlexp.train import Listener


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A tuned linear probe.

    Attributes:
        selection: How its penalty was found.
        heads: The winner's heads: of the training part of each fold, and of the whole budget.
    """

    selection: Selection[Choice]
    heads: Heads

    def block(self) -> ProbeBlock:
        """Return it as the record tells it."""
        selection = self.selection.block(refit=True)
        return ProbeBlock(winner=selection.winner, trials=len(selection.trials), flags=selection.flags)


def probe_config(config: Config) -> Config:
    """Return the run whose solution a head starts from: the same backbone, wholly frozen, and logistic regression.

    Its penalty is compared although the run's own settings may not be.
    """
    return dataclasses.replace(
        config,
        freeze=FreezeConfig(policy=FreezePolicy.all),
        head=dataclasses.replace(config.head, kind=HeadKind.logreg, init=HeadInit.zero, dropout=0.0),
        augment=AugmentConfig(kind=config.augment.kind) if config.cache.views else AugmentConfig(),
        optim=dataclasses.replace(config.optim, lr=None, weight_decay=None),
        train=dataclasses.replace(config.train, label_smoothing=0.0, refit=True),
        tune=TuneConfig(),
    )


def build_probe(
    config: Config,
    network: Network,
    source: Source,
    budget: Budget,
    session: Session,
    *,
    device: torch.device,
    listener: Listener,
) -> Probe:
    """Return the tuned probe of a budget; the backbone has to be as it starts."""
    own, config = _solved_budget(config, source), probe_config(config)
    learner = _learner(config, network.frozen_as(config), source, own, session, device=device, listener=listener)
    default, solved = _candidates(config, own)
    search = Search(trials=0, lr=(1e-5, 1e-1), weight_decay=(1e-6, 1e-1), seed=config.seed)
    selection = select(
        learner,
        own.folds,
        default=default,
        search=search,
        candidates=solved,
        class_weights=config.train.class_weights,
    )
    for part in _refitted(own, budget):
        learner.train("probe", part, selection.winner)
    parts = [np.arange(len(budget.positions)), *(fold.train for fold in budget.folds)]
    heads = {part.tobytes(): learner.fits[part.tobytes(), selection.winner].head for part in parts}
    return Probe(selection=selection, heads=heads)


def solve_together(configs: Sequence[Config], session: Session, *, device: torch.device, listener: Listener) -> None:
    """Solve the heads of many runs at once, for each of them to find: all candidates, all folds, and the refits.

    The runs differ in label budget and seed alone; their head is one that is solved, or starts from one. Nothing is
    read of the test split.
    """
    first = _solved_config(configs[0])
    network, _ = session.network(first)
    source = session.images(first, network.expected, listener)
    budgets = [_solved_budget(config, source) for config in configs]
    refitted = [_refitted(own, draw_labels(config, source)) for config, own in zip(configs, budgets, strict=True)]
    union = np.unique(np.concatenate([budget.positions for budget in budgets]))
    whole = Budget(positions=union, labels=source.pool.labels[union], folds=())
    learner = _learner(first, network, source, whole, session, device=device, listener=listener)
    refits: dict[Choice, list[Part]] = defaultdict(list)
    groups: dict[tuple[Choice, ...], list[tuple[Budget, list[Part]]]] = defaultdict(list)
    for config, budget, wanted in zip(configs, budgets, refitted, strict=True):
        default, solved = _candidates(_solved_config(config), budget)
        places = np.searchsorted(union, budget.positions)
        again: list[Part] = [(places[part], None) for part in wanted]
        if budget.folds:
            groups[tuple(solved)].append((dataclasses.replace(budget, positions=places), again))
        else:
            refits[default] += again
    for choices, group in groups.items():
        parts = [(b.positions[fold.train], b.positions[fold.validation]) for b, _ in group for fold in b.folds]
        learner.enter(session.solutions, parts, choices)
        for budget, again in group:
            winner = _winner(learner, session, budget, choices, first.train.class_weights)
            refits[winner] += again
    for choice, again in refits.items():
        learner.enter(session.solutions, again, [choice])


def _solved_config(config: Config) -> Config:
    """Return the run whose head is solved: that of the probe, or itself."""
    return probe_config(config) if config.head.init is HeadInit.probe else config


def _solved_budget(config: Config, source: Source) -> Budget:
    """Return the label budget with the folds on which the head that is solved is selected.

    Raises:
        DataError: As of `draw_labels`; but a probe takes its default penalty where nothing could be compared, if the
            run is to compare nothing either.
    """
    solved = _solved_config(config)
    try:
        return draw_labels(solved, source)
    except DataError:
        if config.tune.validate:
            raise
        return draw_labels(dataclasses.replace(solved, tune=config.tune), source)


def _refitted(own: Budget, trained: Budget) -> list[Positions]:
    """Return what the chosen head is solved on besides its own folds: the whole, and folds of what starts from it."""
    known = {fold.train.tobytes() for fold in own.folds}
    folds = [fold.train for fold in trained.folds if fold.train.tobytes() not in known]
    return [*folds, np.arange(len(own.positions))]


def _winner(
    learner: SolvedLearner, session: Session, budget: Budget, choices: Sequence[Choice], class_weights: ClassWeights
) -> Choice:
    """Return the choice that `select` will take."""
    places = [(budget.positions[fold.train], budget.positions[fold.validation]) for fold in budget.folds]
    found = session.solutions.find([learner.identity(*part) for part in places], choices)
    assert found is not None
    labels = np.concatenate([budget.labels[fold.validation] for fold in budget.folds])
    ranks = []
    for choice, fits in zip(choices, zip(*found[0], strict=True), strict=True):
        logits = np.concatenate([fitted.logits.numpy() for fitted in fits if fitted.logits is not None])
        ranks.append(rank(choice, calibrate_logits(logits, labels, class_weights)))
    return choices[ranks.index(min(ranks))]


def _learner(
    config: Config,
    network: Network,
    source: Source,
    budget: Budget,
    session: Session,
    *,
    device: torch.device,
    listener: Listener,
) -> SolvedLearner:
    classes = len(source.classes)
    built = build_classifier(config, network, classes)
    frozen = Classifier(network.backbone, built.head, network.units, len(network.units)).to(device)
    setup = build_setup(config, network, device, images=len(budget.positions), classes=classes)
    [entry] = RunInputs(config, session, frozen, source, budget, setup, listener).entries
    known = session.solutions
    return SolvedLearner(frozen, config.head.kind, entry, listener=listener, setup=setup, solutions=known)


def _candidates(config: Config, budget: Budget) -> tuple[Choice, list[Choice]]:
    tune, stated = config.tune, config.optim.weight_decay
    return solved_candidates(config.head.kind, trials=tune.trials, weight_decay=stated, smallest=budget.smallest_fold)
