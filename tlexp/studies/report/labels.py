"""Label budgets in words."""

from tlexp.config.labels import parse_labels


def budget_name(labels: str) -> str:
    """Return a budget as an axis or a table names it.

    >>> budget_name("20"), budget_name("0.1"), budget_name("all")
    ('20', '10 %', 'all')
    """
    budget = parse_labels(labels)
    return labels if budget.fraction is None else f"{100 * budget.fraction:g} %"


def with_labels(labels: str) -> str:
    """Return the start of a sentence about a budget.

    >>> with_labels("20"), with_labels("0.1"), with_labels("all")
    ('With 20 labels per class', 'With 10 % of the labels', 'With all labels')
    """
    budget = parse_labels(labels)
    if budget.per_class is not None:
        return f"With {budget.per_class} label{'' if budget.per_class == 1 else 's'} per class"
    return "With all labels" if budget.fraction is None else f"With {100 * budget.fraction:g} % of the labels"
