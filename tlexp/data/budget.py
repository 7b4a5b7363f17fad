"""Which images a run may learn from: stratified, nested draws, and the splits made inside them.

Each class is permuted by a generator of its own, made of (seed, class index), and a budget takes the beginning of the
permutation. So a smaller budget lies inside a larger one, and a class's draw does not depend on the other classes.
Where images belong to groups, the permutation takes one of each group in turn, and no split parts a group.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.config.labels import LabelBudget
from tlexp.data.classes import leaving_out
from tlexp.data.partition import deal_groups, first_names, groups_per_class, most_classes, spread
from tlexp.errors import DataError
from tlexp.terminal import list_item

_BUDGET, _HELD_OUT, _FOLDS, _GROUPS_HELD_OUT, _GROUP_FOLDS = 1, 2, 3, 4, 5
"""Streams: draws for different ends are independent although they share a seed."""
_POOL, _TEST = 0, 1


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Positions in the budget, sorted: (T,) and (V,) int64, disjoint, together the whole budget."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def draw_budget(
    labels: NDArray[np.int64],
    budget: LabelBudget,
    *,
    seed: int,
    classes: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return the positions of the label budget in the pool, sorted by class, then in the order of the draw.

    Args:
        labels: Class index of every image of the pool, (N,) int64.
        budget: k per class exactly, or a fraction of each class (rounded, at least one), or all.
        seed: Data seed, from 0. Budgets of one seed are nested.
        classes: Class names, for messages.
        groups: Number of the group of every image, (N,) int64; None where each stands for itself.

    Raises:
        DataError: A class has no image, or fewer than k.
    """
    members = [np.flatnonzero(labels == label) for label in range(len(classes))]
    require_budget(budget, [len(own) for own in members], classes=classes)
    wanted = budget_counts(budget, [len(own) for own in members])
    if groups is None:
        orders = [_permutation(len(own), _BUDGET, seed, label) for label, own in enumerate(members)]
    else:
        orders = [spread(groups[own], _generator(_BUDGET, seed, label)) for label, own in enumerate(members)]
    return np.concatenate([own[order[:count]] for own, order, count in zip(members, orders, wanted, strict=True)])


def draw_rest(
    labels: NDArray[np.int64], budget: LabelBudget, *, seed: int, classes: int, most: int
) -> NDArray[np.int64]:
    """Return the positions in the pool, sorted, on which networks of a data seed can be tested as well.

    They are of the later half of each class's permutation, so that they are the same for all budgets up to half of the
    pool, and no image of these; a larger budget leaves none.

    Args:
        labels: Class index of every image of the pool, (N,) int64.
        budget: What is learned from.
        seed: Data seed.
        classes: K.
        most: Images in all, as many of each class.
    """
    members = [np.flatnonzero(labels == label) for label in range(classes)]
    available = [len(own) for own in members]
    if any(2 * count > have for count, have in zip(budget_counts(budget, available), available, strict=True)):
        return np.empty(0, np.int64)
    orders = (_permutation(len(own), _BUDGET, seed, label) for label, own in enumerate(members))
    later = [
        own[order[-(-len(own) // 2) :][: max(1, most // classes)]] for own, order in zip(members, orders, strict=True)
    ]
    return np.sort(np.concatenate(later))


def budget_counts(budget: LabelBudget, available: Sequence[int]) -> list[int]:
    """Return how many images of each class the budget takes; more than are available where a class is too small."""
    return [_share(budget, have) for have in available]


def require_budget(
    budget: LabelBudget, available: Sequence[int], *, classes: Sequence[str], held_out: Sequence[int] | None = None
) -> None:
    """Refuse a budget that a class cannot fill.

    Args:
        budget: What is asked for.
        available: Images of each class in the pool.
        classes: Class names, for the message.
        held_out: Images of each class that were split off them, where that is to be told.

    Raises:
        DataError: A class has no image, or fewer than k.
    """
    wanted = budget_counts(budget, available)
    short = [label for label, (have, want) in enumerate(zip(available, wanted, strict=True)) if have < want]
    if not short:
        return
    told = [f"{list_item(classes[label])} ({available[label]})" for label in short]
    needs = f"each class needs {max(wanted) if budget.per_class else 1} images in the training pool"
    if held_out is None:
        why = f"{needs}, but these have fewer: {first_names(told)}"
    else:
        have, given = available[short[0]], available[short[0]] + held_out[short[0]]
        why = (
            f"{classes[short[0]]} has {given} images, of which a fifth is held out for testing: {have} "
            f"{'is' if have == 1 else 'are'} left, but {needs}"
        )
        why += f"; so it is with {first_names(told[1:])}" if told[1:] else ""
    least = min(available)
    fewer = f"labels={least}{' or less' if least > 1 else ''}, " if least else ""
    without = "leave them out with data.classes, " if len(short) <= len(classes) - 2 else ""
    raise DataError(f"labels={budget}: {why}; use {fewer}labels=all, {without}or more images")


def hold_out(
    labels: NDArray[np.int64],
    *,
    seed: int,
    classes: Sequence[str],
    share: float = 0.2,
    groups: NDArray[np.int64] | None = None,
    settled: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], ...]:
    """Split off a stratified share, a fifth: return the sorted positions of the pool and of the held-out part.

    Args:
        labels: Class index of every image, (N,) int64.
        seed: Draws what is split off.
        classes: Class names, for messages.
        share: Of each class.
        groups: Number of the group of every image, (N,) int64, which no split parts; None where each stands for itself.
        settled: Of images whose group is on one side already: 0 in the pool, 1 held out, else -1; (N,) int64.

    Raises:
        DataError: A class has a single image, or a single group, which cannot be on both sides.
    """
    if groups is not None:
        parts_of_groups = deal_groups(
            labels,
            groups,
            shares=(1 - share, share),
            generator=_generator(_GROUPS_HELD_OUT, seed),
            classes=classes,
            purpose=_TESTED,
            settled=settled,
        )
        return np.flatnonzero(parts_of_groups == _POOL), np.flatnonzero(parts_of_groups == _TEST)
    members = [np.flatnonzero(labels == label) for label in range(len(classes))]
    _, parts = split_counts([len(own) for own in members], classes=classes, share=share)
    held = [
        own[_permutation(len(own), _HELD_OUT, seed, label)[:part]]
        for label, (own, part) in enumerate(zip(members, parts, strict=True))
    ]
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


_TESTED = (
    "none can be held out as a test; give data.group smaller groups (those that share an exact copy are one), add "
    "images of other groups, leave the class out with data.classes, or give a test folder of your own beside a train "
    "folder"
)


def split_counts(
    counts: Sequence[int], *, classes: Sequence[str], share: float = 0.2
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how many images of each class stay in the pool, and how many `hold_out` splits off.

    >>> split_counts([10, 7], classes=["a", "b"])
    ((8, 6), (2, 1))

    Raises:
        DataError: A class has a single image, which cannot be on both sides.
    """
    lonely = [name for name, count in zip(classes, counts, strict=True) if count < 2]
    if lonely:
        without = f"leave it out, {leaving_out(lonely)}, " if len(lonely) <= len(counts) - 2 else ""
        raise DataError(
            f"{first_names(lonely)}: fewer than 2 images (exact copies count as one), so none can be held out as a "
            f"test; {without}add images, or give a test folder of your own beside a train folder"
        )
    held = tuple(_part(count, share) for count in counts)
    return tuple(count - part for count, part in zip(counts, held, strict=True)), held


def selection_folds(
    labels: NDArray[np.int64],
    *,
    per_class: int,
    seed: int,
    pooled: bool = False,
    groups: NDArray[np.int64] | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Fold, ...]:
    """Return the splits that choose hyper-parameters inside a budget.

    Nothing for one image per class; min(5, k) stratified folds whose validation sets partition the budget for
    k = 2..9; from k = 10 five of them where fits are cheap, else one stratified 80/20 split. Groups are never parted,
    and there are no more folds than groups of a class, but where groups that span classes leave too few sides.

    Args:
        labels: Class index of every image of the budget, (B,) int64.
        per_class: k, the size of the smallest class in the budget.
        seed: Data seed.
        pooled: Whether folds are pooled at every k.
        groups: Number of the group of every image of the budget, (B,) int64; None where each stands for itself.
        classes: Class names, for messages; their numbers when None.

    Raises:
        DataError: A class has a single group.
    """
    if per_class < 2:
        return ()
    if groups is not None:
        names = [str(label) for label in range(int(labels.max()) + 1)] if classes is None else classes
        return _group_folds(labels, groups, per_class=per_class, seed=seed, pooled=pooled, classes=names)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shuffled = [own[_permutation(len(own), _FOLDS, seed, int(labels[own[0]]))] for own in members]
    if per_class >= 10 and not pooled:
        return (_fold(len(labels), np.concatenate([own[: _part(len(own), 0.2)] for own in shuffled])),)
    # Dealt like cards, class after class: folds differ by at most one image of a class and by one image in all.
    dealt = np.concatenate(shuffled)
    count = min(5, per_class)
    return tuple(_fold(len(labels), dealt[start::count]) for start in range(count))


def fold_count(per_class: int, groups: int | None = None, *, pooled: bool = False) -> int:
    """Return on how many splits a budget is selected: of k images, and so many groups, of its smallest class.

    Groups that span classes may change it, see `selection_folds`.

    >>> [fold_count(k) for k in (1, 2, 7, 10)], [fold_count(7, groups) for groups in (7, 3, 1)]
    ([0, 2, 5, 1], [5, 3, 0])
    >>> fold_count(10, pooled=True), fold_count(10, 3, pooled=True)
    (5, 3)
    """
    if per_class < 2 or groups == 1:
        return 0
    return 1 if per_class >= 10 and not pooled else min(5, per_class, groups or per_class)


def _group_folds(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    per_class: int,
    seed: int,
    pooled: bool,
    classes: Sequence[str],
) -> tuple[Fold, ...]:
    """Return folds that part no group, and leave each class in the training images of each.

    Two parts that both have each class may not exist where groups span classes: then there are more parts, and one of
    several lacks classes. A part of which groups leave nothing is no fold.
    """
    count = fold_count(per_class, min(groups_per_class(labels, groups, classes=len(classes))), pooled=pooled)
    shares = _one_aside if count <= 1 else _alike
    fewest = max(2, count)
    parts = deal_groups(
        labels,
        groups,
        shares=shares(fewest),
        generator=_generator(_GROUP_FOLDS, seed),
        classes=classes,
        purpose=_COMPARED,
        otherwise=map(shares, range(fewest + 1, most_classes(labels, groups) + 2)),
    )
    used = np.unique(parts).tolist()
    validated = [part for part in used if part > 0][:1] if count <= 1 else used
    return tuple(_fold(len(labels), np.flatnonzero(parts == part)) for part in validated)


def _alike(parts: int) -> tuple[float, ...]:
    return (1 / parts,) * parts


def _one_aside(parts: int) -> tuple[float, ...]:
    """Return shares of which all but the first are a fifth each, or less where there are more than five."""
    aside = min(0.2, 1 / parts)
    return (1 - (parts - 1) * aside, *(aside,) * (parts - 1))


_COMPARED = (
    "nothing is left in the label budget to compare settings on; use more labels where the class has more groups, give "
    "data.group smaller groups, or take the default settings with tune.validate=false"
)


def _fold(size: int, validation: NDArray[np.int64]) -> Fold:
    validation = np.sort(validation)
    return Fold(train=np.setdiff1d(np.arange(size), validation), validation=validation)


def _share(budget: LabelBudget, available: int) -> int:
    """Return how many images of a class with `available` images the budget takes."""
    if budget.per_class is not None:
        return budget.per_class
    if budget.fraction is not None:
        return max(1, math.floor(budget.fraction * available + 0.5))
    return max(1, available)


def _part(count: int, share: float) -> int:
    """Return a share of a class, rounded, at least one image and at most all but one.

    >>> [_part(count, 0.2) for count in (2, 7, 8, 10, 13)]
    [1, 1, 2, 2, 3]
    """
    return max(1, min(count - 1, math.floor(count * share + 0.5)))


def _permutation(count: int, stream: int, seed: int, label: int) -> NDArray[np.int64]:
    return _generator(stream, seed, label).permutation(count)


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(list(entropy))
