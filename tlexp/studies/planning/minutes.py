"""What is left out of a study so that it fits the minutes that it is given."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from tlexp.errors import ConfigError
from tlexp.studies.analysis.rounds import LOOKS
from tlexp.studies.analysis.table import CONTROLS, HURRIED, ROUNDS, SEEDS
from tlexp.studies.planning.costs import Estimate
from tlexp.studies.planning.rounds import ColumnTurn
from tlexp.studies.planning.study_plan import RATES, PlannedColumn, StudyPlan
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
    if RATES in why:
        plan.drop_rates(why[RATES])
    most = (begun.get("looks") or [len(begun["seeds"])])[-1]  # early studies had one look
    if plan.waits and most < plan.looks[-1]:
        plan.drop_rounds(most, why.get(ROUNDS, ""))
    if len(begun["seeds"]) < len(plan.seeds):
        plan.drop_seeds(len(begun["seeds"]), why.get(SEEDS, ""))
    if not any(run.key in begun["replicates"] for _, run in plan.runs):
        path = plan.folder.path / STUDY_FILE
        raise ConfigError(f"{path} names no replicate of this study: remove it and type the command again")
    plan.keep(begun["replicates"])
    plan.skipped |= why
    return tuple(name for name in plan.skipped if name not in before)


def shorten(plan: StudyPlan, estimate: Estimate) -> None:
    """Leave out of the plan until it fits the minutes: controls, rounds, rates, seeds, columns, budgets, in this order.

    One round stays, and two rates, and three data seeds of what takes all at once. Of the columns the dearest goes
    first, whatever it is, until two compete; of the budgets the largest, until there are two. What entrants train is
    left out when the finalists are known (`shorten_finals`).
    """

    def column(why: str) -> bool:
        return _drop_dearest(plan, _dispensable(plan, estimate), estimate, why)

    def control(why: str) -> bool:
        return _drop_dearest(plan, [each for each in plan.columns if each.column.is_control], estimate, why)

    rounds, seeds, budgets = (partial(step, plan) for step in (_fewer_rounds, _fewer_seeds, _fewer_budgets))
    steps = (seeds, budgets) if plan.entrants else (control, rounds, plan.drop_rates, seeds, column, budgets)
    _leave_out(plan, steps, lambda: estimate.least(plan))


def shorten_finals(plan: StudyPlan, estimate: Estimate, finalists: Collection[str], *, spent: float) -> bool:
    """Leave rounds, rates and columns of the finals out until they fit what is left of the minutes.

    Args:
        plan: Of the study.
        estimate: With what has finished.
        finalists: Names of the entrants that have come into the finals; what screened them stays.
        spent: Seconds so far.

    Returns:
        Whether something was left out.
    """
    before = dict(plan.skipped)

    def column(why: str) -> bool:
        return _drop_dearest(plan, estimate.finalists(plan, finalists), estimate, why)

    steps = (partial(_fewer_rounds, plan), plan.drop_rates, column)
    _leave_out(plan, steps, lambda: spent + estimate.ends + estimate.finals(plan, finalists))
    return plan.skipped != before


def _leave_out(plan: StudyPlan, steps: Sequence[Step], seconds: Callable[[], float]) -> None:
    """Take the first step that leaves something out, again and again, until the study fits its minutes."""
    minutes = allowed_minutes(plan)
    while (needed := seconds()) > 60 * minutes:
        why = f"{HURRIED}{minutes:g}; with it about {duration(needed)}"
        if not any(step(why) for step in steps):
            return


def _fewer_rounds(plan: StudyPlan, why: str) -> bool:
    shorter = [look for look in LOOKS if look < plan.looks[-1]]
    if not plan.waits or not shorter:
        return False
    plan.drop_rounds(shorter[-1], why)
    return True


def _fewer_seeds(plan: StudyPlan, why: str) -> bool:
    fewer = [look for look in LOOKS if look < len(plan.seeds)]
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
        count = f"{len(controls)} replicate{'' if len(controls) == 1 else 's'}"
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
    plan.keep({run.key for _, run in plan.runs if run.budget.labels not in alone})
    left = _cells(plan)
    columns, budgets = {title for title, _ in left}, {labels for _, labels in left}
    gone = [cell for cell in planned if cell not in left]
    told = [
        f"labels={labels}" if labels not in budgets else f"labels={labels} of {title}" if title in columns else title
        for title, labels in gone
    ]
    told += [SEEDS] if any(planned[cell] & lacking for cell in left) else []
    plan.skipped |= dict.fromkeys(told, why)
    return list(dict.fromkeys(told))


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
