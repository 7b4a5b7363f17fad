"""`conf/freeze`: how much of the backbone stays as it was pretrained."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.depth import parse_depth
from tlexp.config.setting import setting


class FreezePolicy(StrEnum):
    """none = full fine-tuning, all = linear probing, last = the last stage or block trains, depth = as stated."""

    none = "none"
    all = "all"
    last = "last"
    depth = "depth"


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

    policy: FreezePolicy = setting(FreezePolicy.all, "none, all, last (all but the last stage or block) or depth.")
    depth: str | None = setting(
        None,
        "With policy depth: leading units that are frozen, as a count, a decimal strictly between 0 and 1, "
        "all, or a unit's name (inclusive).",
    )
    norm: FreezeNorm = setting(
        FreezeNorm.follow,
        "BatchNorm statistics in training: follow (frozen units keep them, trainable ones move them), keep (all keep "
        "the pretrained ones) or update (all move them, frozen parameters stay).",
    )

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        if self.policy is not FreezePolicy.depth:
            if self.depth is not None:
                return [
                    f"freeze.depth={self.depth} needs freeze=depth, but freeze={self.policy}: "
                    f"use freeze=depth freeze.depth={self.depth}, or leave freeze.depth out"
                ]
            return []
        if self.depth is None:
            return ["freeze.depth is missing: freeze=depth needs it, e.g. freeze=depth freeze.depth=0.5"]
        try:
            parse_depth(self.depth)
        except ValueError as error:
            return [str(error)]
        return []
