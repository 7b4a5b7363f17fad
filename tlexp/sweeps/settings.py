"""Swept settings as people read them, and which of them change how long a run takes."""

import json
from collections.abc import Mapping, Sequence

from tlexp.compose.leaves import leaves
from tlexp.config import Config, key_values
from tlexp.terminal import short_number

_WITHOUT_COST = ("seed", "data.seed", "train.label_smoothing", "train.class_weights", "head.dropout", "head.scale")
"""Settings that leave a run as long as it was, as those of `optim` do."""


def cost_kind(config: Config) -> str:
    """Return what names the runs that take about as long: all settings but seeds, rates and the like."""
    stated = dict(leaves(key_values(config)))
    kept = {
        name: value for name, value in stated.items() if name not in _WITHOUT_COST and not name.startswith("optim.")
    }
    return json.dumps(kept, sort_keys=True, default=str)


def shortened(point: Mapping[str, str]) -> dict[str, str]:
    """Return settings with numbers of four digits: a search draws seventeen.

    >>> shortened({"optim.lr": "0.00012345678901234", "seed": "12345", "labels": "all", "freeze.depth": "2"})
    {'optim.lr': '0.0001235', 'seed': '12345', 'labels': 'all', 'freeze.depth': '2'}
    """
    return {name: short_number(text) for name, text in point.items()}


def legible(points: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return points with numbers of four digits, but for a setting of which values would become equal."""
    short = [shortened(point) for point in points]
    whole = {
        name
        for name in {name for point in points for name in point}
        if len({point[name] for point in points if name in point})
        > len({point[name] for point in short if name in point})
    }
    return [
        {name: point[name] if name in whole else cut[name] for name in point}
        for point, cut in zip(points, short, strict=True)
    ]
