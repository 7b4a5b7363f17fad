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

    Two go through phases, of which each freezes less than the one before: lpft = linear probing, then full fine-tuning
    (Kumar et al. 2022, arXiv 2202.10054); gradual = unfrozen from the top, a share of the units at a time (Howard and
    Ruder 2018, arXiv 1801.06146, section 3.3).
    """

    none = "none"
    all = "all"
    last = "last"
    depth = "depth"
    lpft = "lpft"
    gradual = "gradual"
    surgical = "surgical"
    norm = "norm"
    bias = "bias"
    lora = "lora"

    @property
    def phased(self) -> bool:
        """Whether its fits begin with the head alone and end with everything."""
        return self in (FreezePolicy.lpft, FreezePolicy.gradual)

    @property
    def rates_as(self) -> "FreezePolicy":
        """The policy whose default rates it has: itself, or one under which about as much trains."""
        return _RATES_AS.get(self, self)


_RATES_AS = {
    # Phases end in full fine-tuning; one that trains the head alone has the rates of `all`.
    FreezePolicy.lpft: FreezePolicy.none,
    FreezePolicy.gradual: FreezePolicy.none,
    # A part of the network trains (Lee et al. search 1e-3 .. 1e-5 with Adam).
    FreezePolicy.surgical: FreezePolicy.depth,
    FreezePolicy.bias: FreezePolicy.norm,
    FreezePolicy.lora: FreezePolicy.norm,
}


class FreezeNorm(StrEnum):
    """What the running statistics of BatchNorm layers do in training.

    follow = as the layer: moving where all its parameters train, kept elsewhere, so kept with the policies bias and
    lora and moving with norm; keep = kept everywhere in the backbone; update = moving everywhere, while frozen
    parameters stay.
    """

    follow = "follow"
    keep = "keep"
    update = "update"


class FreezeBy(StrEnum):
    """What a decimal freeze depth is a fraction of: the units, their parameters, or the operations of a forward pass.

    Late stages hold most parameters, early ones take most operations: they tell of memory and of time.
    """

    units = "units"
    parameters = "parameters"
    operations = "operations"


@dataclass
class FreezeConfig:
    """The freeze policy. Frozen layers keep parameters and evaluation mode, and statistics unless norm is update."""

    policy: FreezePolicy = setting(
        FreezePolicy.all,
        "none, all, last (all but the last stage or block), depth, lpft, gradual, or what trains: surgical (named "
        "units), norm (scale and shift of norms), bias (every bias) or lora (low-rank adapters).",
    )
    depth: str | None = setting(
        None,
        "With policy depth: leading units that are frozen, as a count, a decimal strictly between 0 and 1, "
        "all, or a unit's name (inclusive).",
    )
    by: FreezeBy = setting(
        FreezeBy.units,
        "What a decimal depth is a fraction of: units (rounded), or parameters or operations (multiply-adds) of the "
        "backbone (the nearest depth that freezes at least one unit, and not all).",
    )
    probe_share: float | None = setting(
        None,
        "With policy lpft: share of the steps that train the head alone, [0, 1]; 0 is freeze=none, 1 is freeze=all. "
        "These are steps of training at default rates, where head.init=probe solves a tuned head and spends none.",
    )
    phases: int | None = setting(
        None,
        "With policy gradual: phases of equal steps, from 1 (freeze=none) to units + 1; the first trains the head "
        "alone, each one after it more units from the top, the last all.",
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

    @property
    def simplest(self) -> FreezePolicy:
        """The policy by the simplest of its names: what freezes all or nothing throughout is `all` or `none`."""
        if self.policy is FreezePolicy.depth:
            return {"0": FreezePolicy.none, "all": FreezePolicy.all}.get(str(self.depth), self.policy)
        if self.policy is FreezePolicy.lpft:
            ends: dict[float | None, FreezePolicy] = {0: FreezePolicy.none, 1: FreezePolicy.all}
            return ends.get(self.probe_share, self.policy)
        return FreezePolicy.none if self.policy is FreezePolicy.gradual and self.phases == 1 else self.policy

    @property
    def asked(self) -> str | None:
        """How people say which leading units are frozen, where that is another depth for another backbone; else None.

        >>> FreezeConfig(policy=FreezePolicy.depth, depth="0.5").asked
        'freeze.depth=0.5'
        """
        if self.policy is FreezePolicy.depth:
            measured = "" if self.by is FreezeBy.units else f" freeze.by={self.by}"
            return f"freeze.depth={self.depth}{measured}"
        return "freeze=last" if self.policy is FreezePolicy.last else None

    @property
    def carries_over(self) -> bool:
        """Whether it means as much for another backbone, whose units have other names and are more or fewer.

        >>> FreezeConfig(policy=FreezePolicy.depth, depth="0.5").carries_over
        True
        >>> FreezeConfig(policy=FreezePolicy.depth, depth="3").carries_over
        False
        """
        if self.simplest is not FreezePolicy.depth:
            return self.policy is not FreezePolicy.surgical
        try:
            return isinstance(parse_depth(str(self.depth)), float)
        except ValueError:
            return False

    @property
    def freezes_prefix(self) -> bool:
        """Whether leading units are frozen from the first step on, to the last one or for a phase."""
        kept = (FreezePolicy.all, FreezePolicy.last, FreezePolicy.depth, FreezePolicy.surgical)
        return self.simplest in kept or self.simplest.phased

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        for key, policy, example in OWN_SETTINGS:
            value, chosen = getattr(self, key), self.policy is policy
            if value in (None, []) and chosen:
                found.append(f"freeze.{key} is missing: freeze={policy} needs it, e.g. {example}")
            elif value not in (None, []) and not chosen:
                found.append(
                    f"freeze.{key}={_spelt(value)} needs freeze={policy}, but freeze={self.policy}: "
                    f"use freeze={policy} freeze.{key}={_spelt(value)}, or leave freeze.{key} out"
                )
        if self.by is not FreezeBy.units and self.policy is not FreezePolicy.depth:
            found.append(
                f"freeze.by={self.by} needs freeze=depth, but freeze={self.policy}: use freeze=depth "
                f"freeze.by={self.by} freeze.depth=0.5, or leave freeze.by out"
            )
        return found or self._values()

    def _values(self) -> list[str]:
        """Return what is wrong with the values that the policy has."""
        found = []
        if self.depth is not None:
            try:
                decimal = isinstance(parse_depth(self.depth), float)
                if self.by is not FreezeBy.units and not decimal:
                    found.append(
                        f"freeze.by={self.by} measures a decimal, and freeze.depth={self.depth} is none: use "
                        f"freeze.by={self.by} freeze.depth=0.5, or leave freeze.by out"
                    )
            except ValueError as error:
                found.append(str(error))
        if self.probe_share is not None and not 0 <= self.probe_share <= 1:
            found.append(f"freeze.probe_share={self.probe_share}: must be in [0, 1], e.g. 0.5 for half of the steps")
        if self.phases is not None and self.phases < 1:
            found.append(f"freeze.phases={self.phases}: must be at least 1, e.g. 4")
        if len(set(self.units)) < len(self.units):
            found.append(f"freeze.units={_spelt(self.units)}: names a unit twice, name each once")
        if self.rank is not None and self.rank < 1:
            found.append(f"freeze.rank={self.rank}: must be at least 1, e.g. 8")
        if self.alpha is not None and not 0 < self.alpha < float("inf"):
            found.append(f"freeze.alpha={self.alpha}: must be positive and finite, e.g. twice freeze.rank")
        return found


OWN_SETTINGS = (
    ("depth", FreezePolicy.depth, "freeze=depth freeze.depth=0.5"),
    ("probe_share", FreezePolicy.lpft, "freeze=lpft freeze.probe_share=0.5"),
    ("phases", FreezePolicy.gradual, "freeze=gradual freeze.phases=4"),
    ("units", FreezePolicy.surgical, "freeze=surgical 'freeze.units=[layer2]'; `python -m tlexp plan` lists the units"),
    ("rank", FreezePolicy.lora, "freeze=lora freeze.rank=8"),
    ("alpha", FreezePolicy.lora, "freeze=lora freeze.alpha=16"),
)
"""Setting, the one policy that has it, and how it is typed."""


def _spelt(value: object) -> str:
    """Return a value as it is typed: lists without quotation marks."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
