"""`conf/freeze`: how much of the backbone stays as it was pretrained."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.depth import parse_depth
from tlexp.config.setting import setting


class FreezePolicy(StrEnum):
    """What of the backbone trains; the head always does.

    none = all of it (full fine-tuning), all = nothing (linear probing), last = the last stage or block and what runs
    behind it, depth = what stands behind the stated depth, surgical = the named units (Lee et al. 2022, arXiv
    2210.11466), norm = scale and shift of normalisation layers (Frankle et al. 2020, arXiv 2003.00152), bias = every
    bias (BitFit: Ben Zaken et al. 2021, arXiv 2106.10199), lora = low-rank adapters beside frozen weights (Hu et al.
    2021, arXiv 2106.09685).
    """

    none = "none"
    all = "all"
    last = "last"
    depth = "depth"
    surgical = "surgical"
    norm = "norm"
    bias = "bias"
    lora = "lora"


class FreezeNorm(StrEnum):
    """What the running statistics of BatchNorm layers do in training.

    follow = as the layer: moving where all its parameters train, kept elsewhere, so kept with the policies bias and
    lora and moving with norm; keep = kept everywhere in the backbone; update = moving everywhere, while frozen
    parameters stay.
    """

    follow = "follow"
    keep = "keep"
    update = "update"


@dataclass
class FreezeConfig:
    """The freeze policy. Frozen layers keep parameters and evaluation mode, and statistics unless norm is update."""

    policy: FreezePolicy = setting(
        FreezePolicy.all,
        "none, all, last (all but the last stage or block), depth, or what trains: surgical (named units), norm (scale "
        "and shift of norms), bias (every bias) or lora (low-rank adapters).",
    )
    depth: str | None = setting(
        None,
        "With policy depth: leading units that are frozen, as a count, a decimal strictly between 0 and 1, "
        "all, or a unit's name (inclusive).",
    )
    units: list[str] = setting(
        [], "With policy surgical: names of the units that train, e.g. [layer2]; `tlexp plan` lists them."
    )
    rank: int | None = setting(None, "With policy lora: rank of each adapter, at least 1; the option has 8.")
    alpha: float | None = setting(
        None, "With policy lora: adapters count alpha / rank times, (0, inf); the option has 16."
    )
    norm: FreezeNorm = setting(
        FreezeNorm.follow,
        "BatchNorm statistics in training: follow (frozen layers keep them, trainable ones move them), keep (all keep "
        "the pretrained ones) or update (all move them, frozen parameters stay).",
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        own = _OWN.get(self.policy, ())
        found = [
            f"freeze.{name}={_spelt(value)} needs freeze={policy}, but freeze={self.policy}: "
            f"use freeze={policy} freeze.{name}={_spelt(value)}, or leave freeze.{name} out"
            for policy, names in _OWN.items()
            for name in names
            if name not in own and (value := getattr(self, name)) not in (None, [])
        ]
        found += [
            f"freeze.{name} is missing: freeze={self.policy} needs it, e.g. {_EXAMPLES[name]}"
            for name in own
            if getattr(self, name) in (None, [])
        ]
        return [*found, *self._value_problems()]

    def _value_problems(self) -> list[str]:
        """Return the broken rules of values that belong to the policy."""
        found = []
        if self.policy is FreezePolicy.depth and self.depth is not None:
            try:
                parse_depth(self.depth)
            except ValueError as error:
                found.append(str(error))
        if len(set(self.units)) < len(self.units):
            found.append(f"freeze.units={_spelt(self.units)}: names a unit twice, name each once")
        if self.rank is not None and self.rank < 1:
            found.append(f"freeze.rank={self.rank}: must be at least 1, e.g. 8")
        if self.alpha is not None and not 0 < self.alpha < float("inf"):
            found.append(f"freeze.alpha={self.alpha}: must be positive and finite, e.g. twice freeze.rank")
        return found


_OWN = {
    FreezePolicy.depth: ("depth",),
    FreezePolicy.surgical: ("units",),
    FreezePolicy.lora: ("rank", "alpha"),
}
"""The settings that belong to a policy, each of which it needs."""
_EXAMPLES = {
    "depth": "freeze=depth freeze.depth=0.5",
    "units": "freeze=surgical 'freeze.units=[layer2]'; `python -m tlexp plan` lists the units",
    "rank": "freeze.rank=8",
    "alpha": "freeze.alpha=16",
}


def _spelt(value: object) -> str:
    """Return a value as it is typed: lists without quotation marks."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
