"""`conf/study`: sweeps that cross how much is frozen with how many labels there are, and end in a report.

Nothing here is part of a run's key: a replicate is the run that its own settings make it.
"""

import re
from dataclasses import dataclass

from tlexp.config.labels import parse_labels
from tlexp.config.setting import setting

ENTRANTS = "entrants"
"""What stands among the columns of a study that screens networks or input sizes."""


@dataclass
class StudyConfig:
    """A study: `python -m tlexp study=freeze_vs_labels`. Its columns run over all budgets and data seeds."""

    kind: str = setting("none", "What the study is called in the name of its folder; none is no study.", key=False)
    columns: list[str] = setting(
        [],
        "What is compared: each entry is a column, written as NAME (TITLE): OVERRIDES, with one head= among them, or "
        "one of depths, entrants, closed, scratch, scratch-long, random and pixels.",
        key=False,
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
        "half and three quarters of the backbone's operations. Of study=backbones and study=sizes empty takes all, "
        "half and none; all is always among them, for it screens, so that [all] trains no layers.",
        key=False,
    )
    backbones: list[str] = setting(
        [],
        "Networks of study=backbones: a pool (small, standard, any) or a list of options of conf/backbone and timm "
        "names, with own weights behind an @ and a pooling behind a +, e.g. [tiny,resnet18@weights.pth,vit_small+avg]; "
        "without one a vision transformer is read by its class token and by its patches, and the labels choose.",
        key=False,
    )
    sizes: list[int] = setting(
        [],
        "Sides of the square input in pixels, of study=sizes, 8..2048; with study=backbones each network at each of "
        "them.",
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
        "fits by estimate, and no further round begins that would not. Where networks or sizes are screened it ends "
        "the screen, and then rounds, rates, seeds and what is wanted least of what trains. 0 is no limit; null takes "
        "60 on the CPU and no limit on a GPU.",
        key=False,
    )
    column: str | None = setting(None, "The column that a job runs; set by the study itself.", key=False)

    @property
    def exists(self) -> bool:
        """Whether there is a study at all."""
        return self.kind != "none"

    @property
    def screens(self) -> str:
        """What a study of several entrants is about."""
        return "networks" if self.backbones else "sizes"

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if not self.exists:
            stated = [name for name, value in vars(self).items() if value != getattr(StudyConfig(), name)]
            found += [
                f"study.{name} needs a study: use study=freeze_vs_labels, quick, heads, policies, backbones, sizes or "
                "demonstration"
                for name in stated
            ]
        else:
            found += self._useless()
        if not re.fullmatch(r"[\w.-]{1,32}", self.kind):
            found.append(f"study.kind={self.kind}: use letters, digits and . _ -, up to 32")
        found += [f"study.sizes={size}: must be 8..2048 pixels" for size in self.sizes if not 8 <= size <= 2048]
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

    def _useless(self) -> list[str]:
        """Return what a study is told that none of its columns asks for, or lacks."""
        found = []
        for key, columns, what, way_out in (
            ("depths", {"depths", ENTRANTS}, "compares no freeze depths", "study=freeze_vs_labels"),
            ("backbones", {ENTRANTS}, "is about one backbone", "study=backbones"),
            ("sizes", {ENTRANTS}, "is about one input size", "study=sizes"),
            ("scratch_labels", {"scratch"}, "trains nothing from scratch", "study=freeze_vs_labels or policies"),
        ):
            values = getattr(self, key)
            if values and not columns & {*self.columns}:
                told = f"study.{key}=[{','.join(map(str, values))}]: study.kind={self.kind} {what}"
                found.append(f"{told}; leave it out, or use {way_out}")
        if not self.columns:
            found.append(f"study.columns is empty: say what study.kind={self.kind} compares, or use study=quick")
        if ENTRANTS in self.columns and not (self.backbones or self.sizes):
            found.append(
                "study.columns: entrants are networks or sizes: name them with study.backbones=[tiny,lite0] or "
                "study.sizes=[64,128]"
            )
        return found
