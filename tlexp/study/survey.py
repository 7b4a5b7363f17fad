"""What a study is about to do, as a table for people."""

from tlexp.study.costs import Estimate
from tlexp.study.plan import StudyPlan

_WIDTH = 110


def survey(plan: StudyPlan, found: Estimate) -> str:
    """Return cells, replicates, candidates and the time that they will take by estimate."""
    rows = [["column", "", "budgets", "runs", "there", "candidates", "about"]]
    for each in plan.columns:
        budgets = dict.fromkeys(run.budget.labels for run in each.runs)
        there = sum(run.key in found.done for run in each.runs)
        config = each.composed.config
        candidates = "solved" if config.head.kind.solved else str(config.tune.trials)
        about = duration(found.of(each))
        rows.append(
            [each.column.name, each.column.title, ",".join(budgets), str(len(each.runs)), str(there), candidates, about]
        )
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()[:_WIDTH] for row in rows
    ]
    cells = sum(len({run.budget.labels for run in each.runs}) for each in plan.columns)
    seeds = f"{len(plan.seeds)} data seeds" if len(plan.seeds) > 1 else "1 data seed"
    lines += [f"left out: {name}: {why}" for name, why in plan.skipped.items()]
    left = sum(run.key not in found.done for _, run in plan.runs)
    lines.append(
        f"study {plan.folder.path}: {cells} cells, {seeds}, {len(plan.runs)} runs, {left} to do, "
        f"about {duration(found.total(plan))}"
    )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a length of time for people.

    >>> duration(4), duration(200), duration(10000)
    ('4 s', '3 min', '2.8 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
