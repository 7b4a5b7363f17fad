"""`conf/study`: sweeps that cross how much is frozen with how many labels there are, and end in a report.

Nothing here is part of a run's key: a replicate is the run that its own settings make it.
"""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.labels import parse_labels
from tlexp.config.setting import setting


class StudyKind(StrEnum):
    """What a study compares.

    `none` makes no study, `depths` freeze depths, `frozen` solved heads, `heads` all heads on the frozen backbone,
    `policies` ways, `backbones` pretrained networks.
    """

    none = "none"
    depths = "depths"
    frozen = "frozen"
    heads = "heads"
    policies = "policies"
    backbones = "backbones"


@dataclass
class StudyConfig:
    """A study: `python -m tlexp study=freeze_vs_labels`. Its columns run over all budgets and data seeds."""

    kind: StudyKind = setting(
        StudyKind.none, "none, depths, frozen, heads, policies or backbones; chosen by study=NAME.", key=False
    )
    name: str | None = setting(
        None,
        "Folder below multirun; null names it by the fixed settings, so that other settings start anew.",
        key=False,
    )
    labels: list[str] = setting(
        [], "Label budgets, e.g. [5,20,100,all]; those that the images do not allow are skipped and listed.", key=False
    )
    seeds: int | None = setting(
        None,
        "The most data seeds per budget, from `seed` on, in rounds of 3, 10 and so many; null takes 30.",
        key=False,
    )
    depths: list[str] = setting(
        [],
        "Freeze depths as in freeze.depth, e.g. [0,0.5,all]; empty takes none, all and those nearest to a quarter, "
        "half and three quarters of the backbone's operations.",
        key=False,
    )
    backbones: list[str] = setting(
        [],
        "Networks of study=backbones: a pool (small, standard, any) or a list of options of conf/backbone and timm "
        "names, with own weights behind an @, e.g. [tiny,lite0,resnet18@weights.pth]; empty takes any.",
        key=False,
    )
    controls: bool = setting(True, "Also from scratch, random frozen features and raw pixels.", key=False)
    scratch_labels: list[str] = setting(
        [],
        "Label budgets that are trained from scratch; empty takes all of study.labels.",
        key=False,
    )
    margin: float = setting(
        0.01, "A cheaper column is taken if it loses this at most, in balanced accuracy, (0, 1).", key=False
    )
    minutes: float | None = setting(
        None,
        "Time that the study may take; rounds, then rates, seeds, the dearest columns and budgets are dropped until it "
        "fits by estimate, and no further round begins that would not. 0 is no limit; null takes 60 on the CPU and no "
        "limit on a GPU.",
        key=False,
    )
    column: str | None = setting(None, "The column that a job runs; set by the study itself.", key=False)

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.kind is StudyKind.none:
            stated = [name for name, value in vars(self).items() if value != getattr(StudyConfig(), name)]
            found += [
                f"study.{name} needs a study: use study=freeze_vs_labels, quick, heads, policies, backbones or "
                "demonstration"
                for name in stated
            ]
        elif self.kind is not StudyKind.depths and self.depths:
            found.append(
                f"study.depths=[{','.join(self.depths)}]: study.kind={self.kind} compares no freeze depths; leave it "
                "out, or use study=freeze_vs_labels"
            )
        if self.backbones and self.kind not in (StudyKind.none, StudyKind.backbones):
            found.append(
                f"study.backbones=[{','.join(self.backbones)}]: study.kind={self.kind} is about one backbone; leave it "
                "out, or use study=backbones"
            )
        if self.kind in (StudyKind.frozen, StudyKind.heads, StudyKind.backbones) and self.scratch_labels:
            found.append(
                f"study.scratch_labels=[{','.join(self.scratch_labels)}]: study.kind={self.kind} trains nothing from "
                "scratch; leave it out, or use study=freeze_vs_labels or policies"
            )
        for key, values in (("labels", self.labels), ("scratch_labels", self.scratch_labels)):
            for text in values:
                try:
                    parse_labels(text)
                except ValueError as error:
                    found.append(f"study.{key}: {error}")
        if self.seeds is not None and self.seeds < 1:
            found.append(f"study.seeds={self.seeds}: must be at least 1")
        if not 0 < self.margin < 1:
            found.append(f"study.margin={self.margin}: must be between 0 and 1, e.g. 0.01")
        if self.minutes is not None and self.minutes < 0:
            found.append(f"study.minutes={self.minutes}: must be positive, or 0 for no limit")
        if self.name is not None and not self.name.strip():
            found.append("study.name is empty: name a folder below multirun, or null")
        return found
