"""What a run will take, from a few measured steps or a solved head: unit costs, and how often a run pays them."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tlexp.arrays import Labels, Positions
from tlexp.config import Config
from tlexp.config.head import HeadKind
from tlexp.config.protocol import CHUNK
from tlexp.data import ImageBank, Images
from tlexp.experiment.build import Network, build_classifier, build_setup
from tlexp.experiment.session import Session
from tlexp.features.batches import ImageSet
from tlexp.features.entry import Entry, open_entries
from tlexp.learn.learner import solved_candidates
from tlexp.models import Classifier, feature_width
from tlexp.train import FitPlan, Listener, Problem, choose_device, fit, predict, solve
from tlexp.train.loop import BatchStream

_STEPS = 3
_SLOW_SECONDS = 0.5
"""What takes longer than this is measured once: more would not tell more than it costs."""
_SLOW_PASS_SECONDS = 5.0
"""The same of a pass of a chunk, whose first one pays for kernels and memory: a second or more of a large network's."""
_CALIBRATING = 5
"""Passes that an image costs from which norms take their statistics: four and a half of lite0 at 224 px on a CPU."""
_OVERHEAD_SECONDS = 0.2
"""Of a run besides its training: record, tracking, predictions."""
_SOLVED_NUMBERS, _SOLVED_TOGETHER = 1 << 24, 16
"""Rows x coordinates x classes that heads are solved on to see what they cost, and at most so many heads at once, as a
study does it; more would not tell more."""
_BESIDE_PRODUCTS = 60
"""Coordinates that cost as much as what is done to each logit besides the products, as measured with 242 classes."""
_TRIED_ROWS, _LEAST_ROWS, _TRIED_SECONDS = 600, 64, 5.0
"""Images of the study that logistic regression is solved on to see what it costs: fewer where they pass slowly."""
_TRIED_PER_CLASS = 4
"""Images of each class among them before there are more of any."""
_HARDER_BY_CLASSES, _HARDER_BY_ROWS = 0.4, 0.3
"""Powers of the classes, and of the rows of each, by which iterations grow (24 to 242, 1 to 160)."""


@dataclass(frozen=True, kw_only=True)
class UnitCosts:
    """Seconds of one image's forward pass, and of one optimiser step on a batch of the protocol's size.

    Steps behind frozen units are made without them, where a run would make them so. Where a fit has phases, the step is
    the mean over them by their share of the steps.
    """

    step: float
    image: float


@dataclass(frozen=True, kw_only=True)
class SolvingCost:
    """What it takes to solve a head with all its candidates at once.

    Attributes:
        unit: Seconds for each row and coordinate; rows that are fewer than features span as few coordinates.
        width: D.
        validates: Whether candidates are compared.
        rows: That it was measured on.
        harder: Power of the rows, up to D, by which the iterations grow; 0 where there are none.
    """

    unit: float
    width: int
    validates: bool
    rows: float = 1.0
    harder: float = 0.0

    def seconds(self, images: int, folds: int) -> float:
        """Return what a run takes whose label budget has so many images and folds.

        The refit with one candidate is cheap beside folds with all of them.
        """
        if not self.validates or not folds:
            return self._once(images)
        return self._once(images - images // folds) * folds

    def _once(self, rows: int) -> float:
        longer: float = (min(rows, self.width) / min(self.rows, self.width)) ** self.harder
        return self.unit * _spanned(rows, self.width) * longer


def measure_solving(
    config: Config, session: Session, pool: Images, *, images: int, classes: int, image: float
) -> SolvingCost:
    """Return what solving the head takes, by doing it.

    Closed forms take as long on noise. How often logistic regression iterates depends on the features, by a factor of
    five between photographs and characters, so that it is solved on some of the pool's own.

    Args:
        config: Of a run whose head is solved.
        session: What runs have in common.
        pool: The images that budgets are drawn from.
        images: Size of its label budget.
        classes: K.
        image: Seconds that an image takes in its network.
    """
    network, _ = session.network(config)
    device = choose_device(config.train.device)
    width, rows = feature_width(network.backbone), max(images, 1)
    harder = _HARDER_BY_ROWS if config.head.kind is HeadKind.logreg else 0.0
    if harder:
        most = min(rows, _TRIED_ROWS, max(_LEAST_ROWS, int(_TRIED_SECONDS / max(image, 1e-9))))
        while most > _LEAST_ROWS and _spanned(most, width) * min(classes, most // _TRIED_PER_CLASS) > _SOLVED_NUMBERS:
            most -= most // 10
        chosen = _spread(pool.labels, most, per_class=-(-images // classes))
        labels, tried = _labels_of(pool.labels[chosen])
        features = _features(config, network, session, pool, chosen, device)
    else:
        while rows > 2 * classes and _spanned(rows, width) * classes > _SOLVED_NUMBERS:
            rows //= 2
        labels, tried = torch.arange(rows) % classes, classes
        features = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    rows = len(labels)
    tune, stated, kind = config.tune, config.optim.weight_decay, config.head.kind
    _, choices = solved_candidates(kind, trials=tune.trials, weight_decay=stated, smallest=rows)
    strengths = [choice.strength for choice in choices]
    spanned = _spanned(rows, width)
    together = max(1, min(_SOLVED_TOGETHER, _SOLVED_NUMBERS // (4 * spanned * tried)))
    problems = [Problem(train=np.arange(rows), validation=None)] * together
    args = features.to(device), labels.to(device), problems
    seconds = _seconds(lambda: solve(str(kind), *args, num_classes=tried, candidates=strengths), device)
    more = classes / tried
    return SolvingCost(
        unit=seconds / (together * spanned) * more ** (1 + _HARDER_BY_CLASSES if harder else 1),
        width=width,
        validates=config.compares,
        rows=rows * more,
        harder=harder,
    )


def _spread(labels: Labels, most: int, *, per_class: int) -> Positions:
    """Return positions of some images: a few of each class, class after class, before there are more of any.

    Classes come in any order, for those that lie beside each other are often alike.

    >>> sorted(_spread(np.array([0, 0, 0, 1, 1, 1]), 5, per_class=2).tolist())
    [0, 1, 3, 4]
    """
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    order, ordered, place = (values[place < per_class] for values in (order, ordered, place))
    turn = np.random.default_rng(0).permutation(labels.max() + 1)[ordered]
    return order[np.lexsort((place, turn, place // _TRIED_PER_CLASS))][:most]


def _labels_of(labels: Labels) -> tuple[Tensor, int]:
    """Return labels from 0 on, and how many there are; two at least."""
    names, found = np.unique(labels, return_inverse=True)
    return torch.from_numpy(found), max(2, len(names))


def _features(
    config: Config, network: Network, session: Session, pool: Images, chosen: Positions, device: torch.device
) -> Tensor:
    """Return features (n, D) of some images."""
    whole = len(network.units)
    classifier = Classifier(network.backbone, nn.Identity(), network.units, whole, norm=config.freeze.norm).to(device)
    setup = build_setup(config, network, device, images=len(chosen), classes=int(pool.labels.max()) + 1)
    bank = session.decode(config, pool, chosen, network.expected, Listener())
    chunks = ImageSet(bank, setup).chunks(np.arange(len(chosen)))
    return torch.from_numpy(predict(classifier, chunks, autocast=setup.plan.autocast)[0])


def _spanned(rows: int, width: int) -> int:
    return rows * (min(rows, width) + _BESIDE_PRODUCTS)


def measure_costs(config: Config, session: Session, *, images: int, classes: int, tested: int = 0) -> UnitCosts:
    """Return what a step and an image cost, by doing a few on noise; a head that is solved has no steps.

    Args:
        config: Of a run.
        session: What runs have in common.
        images: Size of its label budget.
        classes: K.
        tested: Images that its network is evaluated on.
    """
    # What a step costs does not depend on how many there are, which may be fewer than the phases.
    config = dataclasses.replace(
        config, train=dataclasses.replace(config.train, steps=None, epochs=None, limit_steps=None)
    )
    device = choose_device(config.train.device)
    network, _ = session.network(config)
    classifier = build_classifier(config, network, classes).to(device)
    setup = build_setup(config, network, device, images=images, classes=classes)
    side, batch = network.expected.image_size, min(images, setup.batch_size)
    pixels = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    noise = ImageSet(ImageBank(pixels=pixels, labels=torch.arange(batch) % classes), setup)
    positions = np.arange(batch)
    whole = np.arange(-(-batch // CHUNK) * CHUNK) % batch  # a last chunk that is filled with zeros takes as long
    passed = _seconds(
        lambda: predict(classifier, noise.chunks(whole), autocast=setup.plan.autocast), device, slow=_SLOW_PASS_SECONDS
    )
    image = passed / len(whole)
    if config.head.kind.solved:
        return UnitCosts(step=0.0, image=image)
    entries = open_entries(
        config.entry_rule,
        classifier,
        setup,
        lambda: session.room(config, Listener().message),
        images=images,
        tested=tested,
    )
    batches, step = noise.batches(positions), 0.0
    for phase, entry in zip(setup.plan.phases, entries, strict=True):
        share = phase.steps / setup.plan.steps
        step += share * _step_seconds(
            entry.network(classifier), _crossed(entry, classifier, batches), setup.plan, batch
        )
    return UnitCosts(step=step, image=image)


def run_seconds(config: Config, costs: UnitCosts, *, images: int, folds: int, tested: int) -> float:
    """Return what a run takes.

    Args:
        config: Of the run.
        costs: Of its network.
        images: Size of its label budget.
        folds: Parts to select on, where it does; 0 for none.
        tested: Images of the test split.
    """
    if config.head.kind.solved:
        passing = _CALIBRATING * images + -(-images // CHUNK) * CHUNK + tested if config.backbone.calibrate else 0
        return _OVERHEAD_SECONDS + costs.image * passing
    folds = folds if config.tune.validate else 0
    fits = folds * max(1, config.tune.trials) + 1
    passes = 0 if config.moving is None else images + tested + images * max(1, config.tune.trials) * (folds > 0)
    return _OVERHEAD_SECONDS + fits * config.train.count_steps(images) * costs.step + passes * costs.image


@dataclass(frozen=True)
class _Same:
    """The same batch at every step."""

    rows: Tensor
    labels: Tensor

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return rows (B, D) and labels (B,)."""
        return self.rows, self.labels


def _crossed(entry: Entry, classifier: Classifier, images: BatchStream) -> BatchStream:
    """Return what an entry's steps are given: images, drawn anew at each step, or rows of a batch of them."""
    if not entry.keeps_rows:
        return images
    batch, labels = images.batch(0)
    return _Same(entry.cross(classifier, batch), labels)


def _step_seconds(classifier: Classifier, batches: BatchStream, plan: FitPlan, batch: int) -> float:
    """Return the seconds of a step with what the classifier freezes; what warms up is left out where it is not slow.

    Args:
        classifier: What trains.
        batches: What it is given.
        plan: How it trains.
        batch: Images of a batch.
    """
    device = next(classifier.parameters()).device

    def seconds(steps: int) -> float:
        short = dataclasses.replace(plan, steps=steps, phases=())
        began, at_work = time.perf_counter(), time.thread_time()
        report = fit(classifier, batches, short, fit_id="estimate", listener=Listener(), checkpoint=None)
        return batch / report.images_per_second * _share_at_work(began, at_work, device)

    return seconds(1 if seconds(1) > _SLOW_SECONDS else 1 + _STEPS)


def _seconds(work: Callable[[], object], device: torch.device, *, slow: float = _SLOW_SECONDS) -> float:
    """Return how long something takes once it has warmed up, which is left out where it takes longer than `slow`."""
    for _ in range(2):
        began, at_work = time.perf_counter(), time.thread_time()
        work()
        if device.type == "cuda":  # else what was only asked for would seem done
            torch.cuda.synchronize(device)
        passed = time.perf_counter() - began
        if passed > slow:
            break
    return passed * _share_at_work(began, at_work, device)


def _share_at_work(began: float, at_work: float, device: torch.device) -> float:
    """Return the share of the time since then in which this thread ran.

    On a CPU the rest went to other programs, so that a plan does not depend on what else runs for a moment.
    """
    if device.type != "cpu":
        return 1.0
    return min(1.0, (time.thread_time() - at_work) / max(time.perf_counter() - began, 1e-9))
