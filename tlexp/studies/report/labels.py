"""Label budgets in words."""

from tlexp.config.labels import parse_labels


def budget_name(labels: str) -> str:
    """Return a budget as an axis or a table names it.

    >>> budget_name("20"), budget_name("0.1"), budget_name("all")
    ('20', '10 %', 'all')
    """
    budget = parse_labels(labels)
    return labels if budget.fraction is None else f"{100 * budget.fraction:g} %"
