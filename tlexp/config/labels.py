"""The label budget as written by people: `20` per class, `0.1` of the pool, or `all`."""

import re
from dataclasses import dataclass

_RULE = (
    "labels must be a whole number from 1 (images per class), a decimal strictly between 0 and 1 "
    "(fraction of the training pool) or all, e.g. labels=20, labels=0.1, labels=all"
)


@dataclass(frozen=True, kw_only=True)
class LabelBudget:
    """A parsed label budget: exactly one of `per_class` and `fraction` is set, or neither for all labels."""

    per_class: int | None = None
    fraction: float | None = None

    def __str__(self) -> str:
        if self.per_class is not None:
            return str(self.per_class)
        return "all" if self.fraction is None else repr(self.fraction)


def parse_labels(text: str) -> LabelBudget:
    """Return the budget that the text names.

    >>> str(parse_labels("020")), str(parse_labels(".10")), str(parse_labels("all"))
    ('20', '0.1', 'all')

    Raises:
        ValueError: The text is no budget; the message states the rule.
    """
    text = text.strip()
    if text == "all":
        return LabelBudget()
    if re.fullmatch(r"\d+", text, re.ASCII) and int(text) >= 1:
        return LabelBudget(per_class=int(text))
    if re.fullmatch(r"\d*\.\d+([eE]-?\d+)?|\d+[eE]-\d+", text, re.ASCII) and 0 < float(text) < 1:
        return LabelBudget(fraction=float(text))
    raise ValueError(f"labels={text}: {_RULE}")
