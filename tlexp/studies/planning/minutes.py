"""What is left out of a study so that it fits the minutes that it is given."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tlexp.errors import ConfigError
from tlexp.studies.analysis.rounds import LOOKS
from tlexp.studies.analysis.screen import FINALISTS, by_prior
from tlexp.studies.analysis.table import CONTROLS, HURRIED, ROUNDS, SEEDS
from tlexp.studies.planning.costs import Estimate, training_cells
from tlexp.studies.planning.planned_column import PlannedColumn
from tlexp.studies.planning.rounds import ColumnTurn
from tlexp.studies.planning.study_plan import RATES, StudyPlan
from tlexp.terminal import duration
from tlexp.tracking.names import STUDY_FILE
from tlexp.train import choose_device

Step = Callable[[str], bool]
"""Leaves something out, given why, and returns whether there was anything."""
DEFAULT = 60.0
"""Minutes of a study on the CPU that states none: what runs for days should have been asked for."""


_SMALL, _FEW_LABELS = 64, 5
"""Pixels and labels per class below which nobody is told to take less."""


def allowed_minutes(plan: StudyPlan) -> float:
    """Return what `study.minutes` allows, or where it is null the default; infinity for no limit.

    Raises:
        ConfigError: This machine has not the device that the study names.
    """
    if plan.study.minutes is not None:
        return plan.study.minutes or math.inf
    device = choose_device(plan.columns[0].composed.config.train.device)
    return DEFAULT if device.type == "cpu" else math.inf


def leave_out_again(plan: StudyPlan, begun: Mapping[str, Any]) -> tuple[str, ...]:
    """Leave out what was left out when the study began, so that neither its progress nor a busy machine chooses.

    What was measured then for people to see is kept likewise.

    Args:
        plan: All that may be compared.
        begun: What study.json says of the study.

    Returns:
        What was left out to fit the minutes.

    Raises:
        ConfigError: study.json names nothing of what may be compared.
    """
    before, why = set(plan.skipped), begun["skipped"]
    plan.stopped = begun.get("stopped")
    plan.milliseconds = {
        each["name"]: known
        for each in begun.get("entrants", ())
        if (known := (each.get("facts") or {}).get("milliseconds"))
    }
    plan.whole = {name: known for name, known in begun.get("estimate", {}).items() if name in ("once", "seed")}
    if RATES in why:
        plan.drop_rates(why[RATES])
    most = (begun.get("looks") or [len(begun["seeds"])])[-1]  # early studies had one look
    if plan.waits and most < plan.looks[-1]:
        plan.drop_rounds(most, why.get(ROUNDS, ""))
    if len(begun["seeds"]) < len(plan.seeds):
        plan.drop_seeds(len(begun["seeds"]), why.get(SEEDS, ""))
    plan.probe_seeds = begun.get("probe_seeds", len(plan.seeds))  # early screens saw all
    plan.trained = tuple(begun.get("trained", ()))  # in early studies all trained on
    if not any(run.key in begun["replicates"] for _, run in plan.runs):
        path = plan.folder.path / STUDY_FILE
        raise ConfigError(f"{path} names no run of this study: remove it and type the command again")
    plan.keep(begun["replicates"])
    plan.skipped |= why
    return tuple(name for name in plan.skipped if name not in before)


def shorten(plan: StudyPlan, estimate: Estimate) -> None:
    """Leave out of the plan until it fits the minutes: controls, rounds, rates, seeds, columns, budgets, in this order.

    One round stays, and two rates, and three data seeds of what takes all at once. Of the columns the dearest goes
    first, whatever it is, until two compete; of the budgets the largest, until there are two. A screen sees fewer data
    seeds before it leaves an entrant out; what entrants train is left out when the finalists are known
    (`shorten_finals`).
    """
    names = [each.name for each in plan.entrants]

    def screen() -> float:
        return estimate.once + estimate.screening(plan) + kept_for_finals(plan, estimate, names)

    def column(why: str) -> bool:
        return _drop_dearest(plan, _dispensable(plan, estimate), estimate, why)

    def control(why: str) -> bool:
        return _drop_dearest(plan, [each for each in plan.columns if each.column.is_control], estimate, why)

    rounds, seeds, budgets = (partial(step, plan) for step in (_fewer_rounds, _fewer_seeds, _fewer_budgets))
    if names:
        _leave_out(plan, [partial(_fewer_probes, plan)], screen)
    steps = (seeds, budgets) if names else (control, rounds, plan.drop_rates, seeds, column, budgets)
    _leave_out(plan, steps, lambda: estimate.least(plan))


def shorten_finals(plan: StudyPlan, estimate: Estimate, finalists: Sequence[str], *, spent: float) -> bool:
    """Leave out of the finals until they fit what is left of the minutes: rounds, rates, seeds of probes, and cells.

    Args:
        plan: Of the study.
        estimate: With what has finished.
        finalists: Names of the entrants that have come into the finals, the least loss first; what the screen saw of
            them stays.
        spent: Seconds so far.

    Returns:
        Whether something was left out.
    """
    before, tried = dict(plan.skipped), plan.copy()
    _shorten_finals(tried, estimate, finalists, spent=spent, spares=True)
    spares = bool(training_cells(tried, finalists))  # else seeds would go for nothing
    _shorten_finals(plan, estimate, finalists, spent=spent, spares=spares)
    return plan.skipped != before


def _shorten_finals(
    plan: StudyPlan, estimate: Estimate, finalists: Sequence[str], *, spent: float, spares: bool
) -> None:
    """Leave out of the finals until they fit, seeds of probes before what trains if they are to spare."""

    def seconds() -> float:
        left = estimate.finals(plan, finalists)
        return spent + estimate.ends + left if left else 0.0  # what has been done is not undone

    def cells(why: str) -> bool:
        return _fewer_cells(plan, estimate, finalists, 60 * allowed_minutes(plan) - seconds(), why)

    def seeds(why: str) -> bool:
        later = {run.key for _, run in plan.runs if run.seed not in plan.seeds[: max(LOOKS[-1], plan.probe_seeds)]}
        least = max(LOOKS[-1], plan.probe_seeds)
        return later.isdisjoint(estimate.done) and _fewer_seeds(plan, why, least=least)

    last = (seeds, cells) if spares else (cells, seeds)
    _leave_out(plan, (partial(_fewer_rounds, plan), plan.drop_rates, *last), seconds)


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """What minutes would make of a study that screens, by estimate.

    Attributes:
        unseen: Names of entrants that the screen would not look at.
        screen: Seconds of the passes of the others.
        cells: How many of the cells that train would be run, if ImageNet's results ranked the entrants.
        of: How many there would be without a limit.
        first: Name of the network or size whose turn to train comes first, by all that is known before.
        cheapest: Seconds of the cheapest of its pairs, without which none would be.
    """

    unseen: tuple[str, ...]
    screen: float
    cells: int
    of: int
    first: str
    cheapest: float


def foresee(plan: StudyPlan, estimate: Estimate, *, spent: float) -> Foresight:
    """Return what the minutes would make of a study of several entrants.

    Args:
        plan: Of the study.
        estimate: With what has finished.
        spent: Seconds so far.
    """
    names, passes = [each.name for each in plan.entrants], 0.0
    looked: list[str] = []
    for probe in plan.probes:
        passing = estimate.passing(plan, probe)
        ahead = passing + estimate.ends + kept_for_finals(plan, estimate, names[: len(looked) + 1])
        if looked and not may_go_on(plan, spent=spent + passes, left=ahead):
            break
        looked.append(names[len(looked)])
        passes += passing
    networks = {each.network: each.name for each in by_prior(plan.entrants)[::-1] if each.name in looked}
    ranked = list(networks.values())[::-1][:FINALISTS]
    short, fewest = plan.copy(), plan.copy()
    shorten_finals(short, estimate, ranked, spent=spent + passes)
    fewest.drop_rates("")
    return Foresight(
        unseen=tuple(names[len(looked) :]),
        screen=passes,
        cells=len(training_cells(short, ranked)),
        of=len(training_cells(plan, ranked)),
        first=next(iter(ranked), ""),
        cheapest=estimate.cheapest_final(fewest, ranked[:1]),
    )


def _leave_out(plan: StudyPlan, steps: Sequence[Step], seconds: Callable[[], float]) -> None:
    """Take the first step that leaves something out, again and again, until the study fits its minutes."""
    minutes = allowed_minutes(plan)
    while (needed := seconds()) > 60 * minutes:
        why = f"{HURRIED}{minutes:g}; the study would take about {duration(needed)} with it"
        if not any(step(why) for step in steps):
            return


def _fewer_rounds(plan: StudyPlan, why: str) -> bool:
    shorter = [look for look in LOOKS if look < plan.looks[-1]]
    if not plan.waits or not shorter:
        return False
    plan.drop_rounds(shorter[-1], why)
    return True


def _fewer_probes(plan: StudyPlan, why: str) -> bool:
    if plan.probe_seeds <= LOOKS[0]:
        return False
    plan.drop_probe_seeds(LOOKS[0], why)
    return True


def _fewer_cells(plan: StudyPlan, estimate: Estimate, finalists: Sequence[str], room: float, why: str) -> bool:
    """Leave out what is wanted least of what trains, and controls before all.

    A column that does not fit at a budget has no smaller one: what is learnt of few labels says little without it.
    Where nothing of an entrant fits, nothing of those that are worse is trained: nobody would take it.

    Args:
        plan: Of the study.
        estimate: With what has finished.
        finalists: As of `shorten_finals`.
        room: Seconds that are left of the minutes if nothing is left out, below 0.
        why: It does not fit.
    """
    controls = [(each, list(each.runs)) for each in plan.columns if each.column.is_control]
    cells = [*training_cells(plan, finalists), *controls]
    room += sum(estimate.of(*cell) for cell in cells)
    ended, gone = set(), set()
    entrant, fits, over = None, True, False
    for column, runs in cells:
        own = column.column
        if not own.is_control and own.entrant != entrant:
            entrant, fits, over = own.entrant, False, over or not fits
        seconds = estimate.of(column, runs)
        if seconds and (own.name in ended or seconds > room or (over and not own.is_control)):
            ended.add(own.name)
            gone |= {(own.title, run.budget.labels) for run in runs}
        else:
            fits, room = True, room - seconds
    planned = _cells(plan)
    plan.keep(set().union(*(keys for cell, keys in planned.items() if cell not in gone)))
    plan.skipped |= dict.fromkeys(_name_cells(plan, planned), why)
    return bool(gone)


def _fewer_seeds(plan: StudyPlan, why: str, *, least: int = 0) -> bool:
    fewer = [look for look in LOOKS if least <= look < len(plan.seeds)]
    if fewer:
        plan.drop_seeds(fewer[-1], why)
    return bool(fewer)


def _fewer_budgets(plan: StudyPlan, why: str) -> bool:
    if len(plan.budgets) <= 2:
        return False
    plan.drop_budget(plan.budgets[-1], why)
    return True


def _drop_dearest(plan: StudyPlan, columns: Sequence[PlannedColumn], estimate: Estimate, why: str) -> bool:
    """Leave the dearest of some columns out, of equals the first; return whether there is one."""
    dearest = max(columns, key=estimate.of, default=None)
    if dearest is not None:
        plan.drop_column(dearest, why)
    return dearest is not None


def refuse_longer(plan: StudyPlan, estimate: Estimate) -> None:
    """Refuse a plan that takes longer than the minutes although all that may be left out has been.

    One of which nothing is left to do is never refused.

    Raises:
        ConfigError: The smallest study does not fit; the message says what it takes, and what would take less.
    """
    minutes, seconds = allowed_minutes(plan), estimate.least(plan)
    if seconds <= 60 * minutes or all(run.key in estimate.done for _, run in plan.runs):
        return
    wanted = math.ceil(seconds / 60)
    stated = "" if plan.study.minutes is not None else ", which the CPU has by default"
    cheaper = ["a smaller backbone.image_size"] if plan.network.expected.image_size > _SMALL else []
    cheaper += ["smaller budgets (study.labels=[2,5])"] if plan.budgets[-1].per_class > _FEW_LABELS else []
    offered = f", or take {' or '.join(cheaper)}" if cheaper else ""
    trained = any(not column.composed.config.head.kind.solved for column in plan.columns)
    first = "; study=quick trains no layers and is a first answer" if trained else ""
    raise ConfigError(
        f"study.minutes={minutes:g}{stated}: the smallest study takes about {duration(seconds)}; allow it with "
        f"study.minutes={wanted} (0 is no limit){offered}{first}"
    )


def may_go_on(plan: StudyPlan, *, spent: float, left: float) -> bool:
    """Return whether a further round fits into the minutes.

    Args:
        plan: Of the study.
        spent: Seconds so far.
        left: Seconds that the round takes, and what comes after it.
    """
    return spent + left <= 60 * allowed_minutes(plan)


def needed(plan: StudyPlan, estimate: Estimate) -> frozenset[str]:
    """Return the keys of what runs even when the minutes are up: without two columns at one budget there is no answer.

    They are the first data seeds of the two cheapest columns at the smallest budget.
    """
    competing = [each for each in plan.columns if each.column.competes]
    cheapest = sorted(competing, key=lambda each: sum(estimate.run(each, run) for run in plan.opening(each)))[:2]
    first, seeds = plan.budgets[0], plan.seeds[: LOOKS[0]]
    return frozenset(run.key for each in cheapest for run in each.runs if run.budget is first and run.seed in seeds)


def leave_out_late(plan: StudyPlan, late: Sequence[ColumnTurn], *, number: int) -> str:
    """Leave out what has had no end when the minutes were up, and return what that is, in words.

    Of a further round nothing counts; of the first one budgets of columns stay that have the data seeds of a look.

    Args:
        plan: Of the study.
        late: Replicates that had their turn in a round and have not ended.
        number: Of the round.
    """
    why = f"{HURRIED}{allowed_minutes(plan):g}, which were up before"
    controls = [run.key for turn in late if turn.column.column.is_control for run in turn.runs]
    told = []
    if controls:
        plan.keep({run.key for _, run in plan.runs}.difference(controls))
        count = f"{len(controls)} run{'' if len(controls) == 1 else 's'}"
        plan.skipped[CONTROLS] = f"{why} {count} ended"
        told.append(f"{count} of controls, on which no answer rests")
    late = [turn for turn in late if not turn.column.column.is_control]
    if late and number > 1:
        plan.stopped = number - 1
        told.append(f"what round {number} would have added")
    elif late:
        told += _leave_out_cells(plan, late, f"{why} it ended")
    return ", ".join(told)


def _leave_out_cells(plan: StudyPlan, late: Sequence[ColumnTurn], why: str) -> list[str]:
    """Leave out what the first round lacks; return its names.

    A budget of a column stays if it has the data seeds of a look, and a budget if it has two columns to compare.
    """
    lacking = {run.key for turn in late for run in turn.runs}
    opened = {run.key for each in plan.columns for run in plan.opening(each)} - lacking
    planned, compared = _cells(plan), _compared(plan)
    enough = [keys for keys in planned.values() if len(keys & opened) >= min(LOOKS[0], plan.looks[0])]
    plan.keep({key for keys in enough for key in keys - lacking})
    alone = {labels for labels, count in _compared(plan).items() if count < min(2, compared[labels])}
    if left := {run.key for _, run in plan.runs if run.budget.labels not in alone}:
        plan.keep(left)  # else there is but one column, which the page says
    told = _name_cells(plan, planned)
    told += [SEEDS] if any(planned[cell] & lacking for cell in _cells(plan)) else []
    plan.skipped |= dict.fromkeys(told, why)
    return told


def _name_cells(plan: StudyPlan, planned: Collection[tuple[str, str]]) -> list[str]:
    """Return what a plan lacks of cells that were planned: whole budgets, whole columns, and budgets of columns."""
    left = _cells(plan)
    columns, budgets = {title for title, _ in left}, {labels for _, labels in left}
    told: dict[str, None] = {}
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for title, labels in (cell for cell in planned if cell not in left):
        if labels in budgets and title in columns:
            parts[title].append(labels)
        else:
            told[title if labels in budgets else f"labels={labels}"] = None
    return [*told, *(f"labels={','.join(labels)} of {title}" for title, labels in parts.items())]


def _cells(plan: StudyPlan) -> dict[tuple[str, str], set[str]]:
    """Return (title of a column, budget) -> keys of its replicates."""
    cells: dict[tuple[str, str], set[str]] = {}
    for each, run in plan.runs:
        cells.setdefault((each.column.title, run.budget.labels), set()).add(run.key)
    return cells


def _compared(plan: StudyPlan) -> Counter[str]:
    """Return how many columns compete at each budget."""
    columns = [each for each in plan.columns if each.column.competes]
    return Counter(labels for each in columns for labels in {run.budget.labels for run in each.runs})


def kept_for_finals(plan: StudyPlan, estimate: Estimate, entrants: Collection[str]) -> float:
    """Return the seconds that a screen leaves to the finals: what they may take, a third of the minutes at most.

    Nothing before two networks are looked at, for the second: there would be no choice. Nor where no column that trains
    would fit into them.

    Args:
        plan: Of the study.
        estimate: With what has finished.
        entrants: Names of those that have been looked at, and of the one whose pass comes next.
    """
    readings = {each.name for each in plan.entrants if each.reads in entrants}
    if len({*entrants} - readings) <= 2:
        return 0.0
    kept = min(20 * allowed_minutes(plan), estimate.finals(plan, entrants))
    return kept if estimate.cheapest_final(plan, entrants) <= kept else 0.0


def _dispensable(plan: StudyPlan, estimate: Estimate) -> list[PlannedColumn]:
    """Return the columns that may go; the two cheapest that compete stay."""
    competing = sorted((each for each in plan.columns if each.column.competes), key=estimate.of)
    return [each for each in plan.columns if each not in competing[:2]]
