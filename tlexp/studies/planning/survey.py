"""What a study is about to do, as a table for people."""

import math
from collections.abc import Sequence

import numpy as np

from tlexp.experiment.images import describe_images, per_class
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.planning.costs import Estimate
from tlexp.studies.planning.minutes import Foresight, allowed_minutes, foresee
from tlexp.studies.planning.study_plan import StudyPlan
from tlexp.terminal import aligned, duration

_WIDTH = 110
_FEW = 3
"""With fewer data seeds an interval is more than three times as wide as with three."""
_WIDE = 0.1
"""Intervals that reach so far to either side tell few columns apart."""


def survey(plan: StudyPlan, found: Estimate, *, again: Sequence[str] = (), spent: float | None = None) -> str:
    """Return the bill: what will happen in which time, then what there is to do in all, then each part of it.

    Args:
        plan: What is computed.
        found: The estimate.
        again: What is left out because it was left out when the study began.
        spent: Seconds of the minutes that it took when it was typed before; None where it begins.
    """
    source = plan.source
    parts = {"test": source.held_out.labels, "rest": plan.rest}
    images = describe_images(source, {split: per_class(source.classes, labels) for split, labels in parts.items()})
    rows = [["column", "", "budgets", "runs", "there", "candidates", "about"]]
    first = {each.column.name: plan.opening(each) for each in plan.columns}
    for each in plan.columns:
        runs = first[each.column.name]
        budgets = dict.fromkeys(run.budget.labels for run in runs)
        there = sum(run.key in found.done for run in runs)
        config = each.composed.config
        candidates = "solved" if config.head.kind.solved else str(config.tune.trials)
        about = duration(found.of(each, runs))
        title = each.column.title if each.column.competes else f"control: {each.column.title}"
        rows.append([each.column.name, title, ",".join(budgets), str(len(runs)), str(there), candidates, about])
    details = [*_pool_lines(plan), *_fitted(rows)]
    if any(each.composed.config.head.kind.solved for each in plan.columns):
        details.append("solved: a head alone, computed on features that are kept; no layer is trained")
    left_out = {f'"{name}"' if ": " in name else name: why for name, why in plan.skipped.items() if name not in again}
    details += [f"left out: {name}: {why}" for name, why in left_out.items()]
    if again:
        details.append(f"left out when it began: {'; '.join(again)} (another study.minutes= plans anew)")
    opening = [run for runs in first.values() for run in runs]
    left = sum(run.key not in found.done for run in opening)
    minutes = allowed_minutes(plan)
    stops = _stops(plan, found, minutes, spent)
    unlimited = " without study.minutes" if stops else ""
    in_all = [
        f"study {plan.folder.path}: {_rounds_told(plan.looks)}, {len(opening)} runs, {left} to do, "
        f"about {duration(found.first(plan))}{unlimited or f', with {duration(found.once)} to start and to report'}"
    ]
    if len(plan.looks) > 1:
        total = f"about {duration(found.total(plan))} in all{unlimited}"
        in_all.append(f"further rounds: up to {len(plan.runs)} runs, {total}")
    limit = []
    if math.isfinite(minutes) and plan.study.minutes is None:
        limit = [f"limit: study.minutes={minutes:g}, the default on the CPU; study.minutes=0 is no limit"]
    # Where the minutes end it first, what there is to do in all is not what will happen.
    head = [*limit, *stops, *in_all] if stops else [*in_all, *limit]
    return "\n".join([images.told, *head, *details, *_warnings(plan)])


def _fitted(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned rows of which the second column is cut where they would be too wide."""
    room = max(map(len, aligned([[row[0], "", *row[2:]] for row in rows])))
    return aligned([[row[0], row[1][: max(0, _WIDTH - room)].rstrip(), *row[2:]] for row in rows])


def _stops(plan: StudyPlan, found: Estimate, minutes: float, spent: float | None) -> list[str]:
    """Return what the minutes end while a study runs, where it may take longer; first how long it takes.

    One that begins without a screen has been planned to fit, or is refused.
    """
    if spent is None and not plan.entrants:
        return []
    left = 60 * minutes - (spent or 0.0)
    if found.total(plan) <= left or all(run.key in found.done for _, run in plan.runs):
        return []
    more = " more" if spent else ""
    takes = [f"takes about {duration(left)}{more} at most, by study.minutes={minutes:g}"] if left > 0 else []
    return [*takes, *_ends(plan, found, minutes, spent)]


def _ends(plan: StudyPlan, found: Estimate, minutes: float, spent: float | None) -> list[str]:
    """Return how far a study comes that the minutes end."""
    left = 60 * minutes - (spent or 0.0)
    stated = f"study.minutes={minutes:g}{f', of which {duration(spent)} are over,' if spent else ''}"
    if any(run.key not in found.done for each in plan.probes for run in plan.probing(each)):
        return _foreseen(plan, foresee(plan, found, spent=found.starts + (spent or 0.0)), stated)
    if found.first(plan) <= left:
        return [f"{stated} ends it after the last round that fits by estimate"]
    return [
        f"{stated} ends it before: what has not begun by then is left out, the dearest columns at",
        "the largest budgets first, down to two columns at the smallest; the page names what was left out",
    ]


def _foreseen(plan: StudyPlan, foreseen: Foresight, stated: str) -> list[str]:
    """Return how far a screen comes in its minutes, and what they leave to its finals."""
    count, screens = len(plan.entrants), plan.study.screens
    every = "it" if count == 1 else f"all {count} {screens}"
    seen = f"{count - len(foreseen.unseen)} of {count} {screens}" if foreseen.unseen else every
    unseen = f", not at {', '.join(foreseen.unseen)}" if foreseen.unseen else ""
    lines = [f"{stated} lets the screen look at {seen}, in about {duration(foreseen.screen)}{unseen};"]
    if foreseen.cells:
        first = f"of the {screens[:-1]} with the least loss first, large budgets first"
        lines.append(
            f"of {foreseen.of} pairs of column and labels that train layers about {foreseen.cells} fit: {first}"
        )
    elif foreseen.of:
        least = duration(foreseen.cheapest)
        known = any(each.name == foreseen.first and each.prior is not None for each in plan.entrants)
        favoured = "which ImageNet favours and which would" if known else "which would"
        first = f"the cheapest of {foreseen.first}, {favoured} come first, takes {least}"
        lines.append(f"no column that trains layers fits, at any budget: {first}")
    left_out = foreseen.unseen or foreseen.cells < foreseen.of
    return [*lines, *(["the page names what was left out"] if left_out else [])]


def _pool_lines(plan: StudyPlan) -> list[str]:
    """Return what each network of a pool is and costs, the cheapest first by operations; nothing of one network."""
    if not plan.pool:
        return []
    rows = [["network", "parameters", "MB", "px", "ImageNet", "M operations", "ms per image", "licence"]]
    for each in plan.pool:
        milliseconds = plan.milliseconds.get(each.name)
        rows.append(
            [
                *(each.name, f"{each.parameters / 1e6:.1f} M", f"{each.megabytes:.0f}"),
                *(str(each.network.expected.image_size), "-" if each.prior is None else f"{each.prior:.1f} %"),
                *(f"{each.operations / 1e6:,.0f}", "-" if milliseconds is None else f"{milliseconds:.1f}"),
                each.licence or "not known",
            ]
        )
    return [*(line[:_WIDTH] for line in aligned(rows)), *_readings(plan)]


def _readings(plan: StudyPlan) -> list[str]:
    """Return which networks of a pool are looked at in two ways."""
    return [
        f"{each.reads} and {each.name} are one network, read by its class token and by the average of its patches: the "
        "labels choose"
        for each in plan.pool
        if each.reads
    ]


def _rounds_told(looks: Sequence[int]) -> str:
    """Return how many data seeds there are at first, and at most.

    >>> _rounds_told((3,)), _rounds_told((3, 10, 30))
    ('3 data seeds (draws of labels)', '3 data seeds (draws of labels), up to 30 while a budget is open')
    """
    more = f", up to {looks[-1]} while a budget is open" if len(looks) > 1 else ""
    return f"{_seeds_told(looks[0])} (draws of labels){more}"


def _seeds_told(count: int) -> str:
    """Return a number of data seeds in words.

    >>> _seeds_told(1), _seeds_told(3)
    ('1 data seed', '3 data seeds')
    """
    return f"{count} data seed{'' if count == 1 else 's'}"


def _warnings(plan: StudyPlan) -> list[str]:
    """Return what people should know before the study takes their time."""
    warnings = [f"note: {note}" for note in plan.notes]
    if len(plan.seeds) < _FEW:
        warnings.append(
            f"note: with {_seeds_told(len(plan.seeds))} hardly anything can be told apart, or from guessing; take "
            "study.seeds=5 or more"
        )
    images = TestImages(labels=np.concatenate([plan.source.held_out.labels, plan.rest]))
    half = 1.96 * 0.5 * math.sqrt(float(np.sum(1 / images.counts))) / len(images.counts)  # at an accuracy of 0.5
    if half > _WIDE:
        warnings.append(
            f"note: only {len(images.labels)} test images: intervals will be about +- {half:.2f}; more held-out images "
            "help most"
        )
    return warnings
