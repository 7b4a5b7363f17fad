"""Label budgets in words."""

from collections.abc import Sequence

from tlexp.config.labels import parse_labels


def budget_name(labels: str) -> str:
    """Return a budget as an axis or a table names it.

    >>> budget_name("20"), budget_name("0.1"), budget_name("all")
    ('20', '10 %', 'all')
    """
    budget = parse_labels(labels)
    return labels if budget.fraction is None else f"{100 * budget.fraction:g} %"


def with_labels(*labels: str) -> str:
    """Return the start of a sentence about budgets, in their order.

    >>> with_labels("20"), with_labels("0.1"), with_labels("all")
    ('With 20 labels per class', 'With 10 % of the labels', 'With all labels')
    >>> with_labels("1"), with_labels("2", "5", "20"), with_labels("5", "0.1", "0.5", "all")
    ('With 1 label per class', 'With 2, 5 and 20 labels per class', 'With 5 labels per class, 10 %, 50 % and all')
    >>> with_labels("2", "0.1", "20")
    'With 2 labels per class, 10 % and 20 labels per class'
    """
    counts = [each for each in labels if parse_labels(each).per_class is not None]
    others = [budget_name(each) for each in labels if each not in counts]
    if counts and counts != [*labels[: len(counts)]]:
        per_class = {each: f"{each} label{'' if each == '1' else 's'} per class" for each in counts}
        return f"With {listed([per_class.get(each, budget_name(each)) for each in labels])}"
    if not counts:
        return f"With {listed(others)} {'labels' if others == ['all'] else 'of the labels'}"
    counted = f"With {listed(counts)} label{'' if counts == ['1'] else 's'} per class"
    return f"{counted}{', ' if others else ''}{listed(others)}"


def listed(texts: Sequence[str]) -> str:
    """Return texts in a row.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))
