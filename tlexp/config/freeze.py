"""`conf/freeze`: how much of the backbone stays as it was pretrained."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.depth import parse_depth
from tlexp.config.setting import setting


class FreezePolicy(StrEnum):
    """none = full fine-tuning, all = linear probing, last = the last stage or block trains, depth = as stated.

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


class FreezeNorm(StrEnum):
    """What the running statistics of BatchNorm layers do in training.

    follow = as the unit: kept where it is frozen, moving where it trains; keep = kept everywhere in the backbone;
    update = moving everywhere, while frozen parameters stay.
    """

    follow = "follow"
    keep = "keep"
    update = "update"


@dataclass
class FreezeConfig:
    """The freeze policy. Frozen units keep parameters and evaluation mode, and statistics unless norm is update."""

    policy: FreezePolicy = setting(
        FreezePolicy.all, "none, all, last (all but the last stage or block), depth, lpft or gradual."
    )
    depth: str | None = setting(
        None,
        "With policy depth: leading units that are frozen, as a count, a decimal strictly between 0 and 1, "
        "all, or a unit's name (inclusive).",
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
    norm: FreezeNorm = setting(
        FreezeNorm.follow,
        "BatchNorm statistics in training: follow (frozen units keep them, trainable ones move them), keep (all keep "
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

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        for key, policy, example in _BELONGS:
            value, chosen = getattr(self, key), self.policy is policy
            if value is None and chosen:
                found.append(
                    f"freeze.{key} is missing: freeze={policy} needs it, e.g. freeze={policy} freeze.{key}={example}"
                )
            elif value is not None and not chosen:
                found.append(
                    f"freeze.{key}={value} needs freeze={policy}, but freeze={self.policy}: "
                    f"use freeze={policy} freeze.{key}={value}, or leave freeze.{key} out"
                )
        return found or self._values()

    def _values(self) -> list[str]:
        """Return what is wrong with the value that the policy has."""
        if self.depth is not None:
            try:
                parse_depth(self.depth)
            except ValueError as error:
                return [str(error)]
        if self.probe_share is not None and not 0 <= self.probe_share <= 1:
            return [f"freeze.probe_share={self.probe_share}: must be in [0, 1], e.g. 0.5 for half of the steps"]
        if self.phases is not None and self.phases < 1:
            return [f"freeze.phases={self.phases}: must be at least 1, e.g. 4"]
        return []


_BELONGS = (
    ("depth", FreezePolicy.depth, "0.5"),
    ("probe_share", FreezePolicy.lpft, "0.5"),
    ("phases", FreezePolicy.gradual, "4"),
)
"""Setting, the one policy that has it, and an example of its value."""
