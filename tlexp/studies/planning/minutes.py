"""What is left out of a study so that it fits the minutes that it is given."""

from tlexp.studies.analysis.table import Role
from tlexp.studies.planning.costs import Estimate
from tlexp.studies.planning.study_plan import PlannedColumn, StudyPlan
from tlexp.terminal import duration


def shorten(plan: StudyPlan, estimate: Estimate) -> None:
    """Leave columns, then budgets, out of the plan until it fits `study.minutes`.

    First the longer training from scratch, then the inner depths from the shallow end, which cost most, then training
    from scratch, then budgets from the largest; two budgets and the outer depths always stay.
    """
    minutes = plan.study.minutes
    if minutes is None:
        return
    while estimate.total(plan) > 60 * minutes:
        why = f"to fit study.minutes={minutes:g}; with it about {duration(estimate.total(plan))}"
        column = _dispensable(plan)
        if column is not None:
            plan.drop_column(column, why)
        elif len(plan.budgets) > 2:
            plan.drop_budget(plan.budgets[-1], why)
        else:
            return


def _dispensable(plan: StudyPlan) -> PlannedColumn | None:
    """Return the column that goes next."""
    depths = [each for each in plan.columns if each.column.role is Role.depth]
    order = [
        *(each for each in plan.columns if each.column.role is Role.scratch_long),
        *depths[1:-1],
        *(each for each in plan.columns if each.column.role is Role.scratch),
    ]
    return order[0] if order else None
