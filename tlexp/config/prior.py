"""Class frequencies as they are stated, and the classes that there are."""

from collections.abc import Mapping, Sequence

from tlexp.config.casting import nearest
from tlexp.errors import ConfigError

_SHOWN = 10


def prior_shares(prior: Mapping[str, float], classes: Sequence[str]) -> tuple[float, ...]:
    """Return the share of each class, in the order of the labels.

    >>> prior_shares({"dog": 0.1, "cat": 0.9}, ["cat", "dog"])
    (0.9, 0.1)

    Raises:
        ConfigError: A class has none, or there is no such class.
    """
    strange = [
        f"data.prior names {name}, and there is no such class{_alike(name, classes)}: the classes are "
        f"{', '.join(classes[:_SHOWN])}{' ...' if len(classes) > _SHOWN else ''}"
        for name in prior
        if name not in classes
    ]
    missing = [name for name in classes if name not in prior]
    if missing:
        strange.append(
            f"data.prior gives no share to {', '.join(missing[:_SHOWN])}{' ...' if len(missing) > _SHOWN else ''}: "
            "give each class one, all of them adding up to 1"
        )
    if strange:
        raise ConfigError(strange)
    return tuple(prior[name] for name in classes)


def _alike(name: str, classes: Sequence[str]) -> str:
    """Return a question that offers the classes that are the same number, written so that they stay as they are."""
    same = [f'"{each}"' for each in classes if _number(each) == _number(name) is not None]
    if same:
        return f" (did you mean {' or '.join(same)}, in quotes, without which it is read as a number?)"
    return nearest(name, classes)


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
