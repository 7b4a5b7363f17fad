"""The command line of a study: what it may say, what it leaves to the study, and the words of a column's job."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser

from tlexp.compose.overrides import several_values
from tlexp.compose.words import unquoted_values
from tlexp.config import Config
from tlexp.config.backbone import PIXELS
from tlexp.config.data import DataSource, Evaluate
from tlexp.data import Source
from tlexp.errors import ConfigError
from tlexp.jobs.runner import HydraContext

TRIALS = 4
"""Candidates of a trained column, where nobody says how many."""
_OWN = ("freeze", "head", "labels", "resume")
"""What a study chooses by itself."""


@dataclass(frozen=True, kw_only=True)
class StudyCommand:
    """The command line of a study, and what it leaves to the study.

    Attributes:
        stated: Its overrides.
        own: Those of the study, where the command line does not state them.
        trials: How many candidates a trained column tries, as an override.
    """

    stated: tuple[str, ...]
    own: tuple[str, ...] = ()
    trials: str = ""

    def overrides(self, column: Sequence[str]) -> tuple[str, ...]:
        """Return the overrides of a job: the column's, behind those that say nothing else than it."""
        said = {override.partition("=")[0] for override in column}
        kept = [
            override
            for override in (*self.stated, *self.own)
            if (key := override.partition("=")[0]) not in said
            and not (f"backbone={PIXELS}" in column and key.startswith(("backbone.", "head.global_pool")))
        ]
        return (*kept, *column)

    @property
    def typed(self) -> str:
        """What was typed."""
        return shlex.join(["python", "-m", "tlexp", *unquoted_values(self.stated)])

    @property
    def validates(self) -> bool:
        """Whether it says itself if a single candidate is measured."""
        return any(override.startswith("tune.validate=") for override in self.stated)

    def completed(self, config: Config, side: int) -> "StudyCommand":
        """Return the command line with what the study adds.

        Args:
            config: What it composes to without that.
            side: Of the largest input, in pixels.
        """
        rendered = config.data.source is DataSource.shapes and config.data.size is None
        own = (f"data.size={side}",) if rendered else ()  # the same images for every column
        return dataclasses.replace(self, own=own, trials=f"tune.trials={config.tune.trials or TRIALS}")

    def testing(self, config: Config, source: Source) -> "StudyCommand":
        """Return the command line with the rest of the pool as test images, where nobody says what those are."""
        split_off = source.held_out_from is None and source.groups is None
        rest = config.data.evaluate is Evaluate.auto and split_off
        return dataclasses.replace(self, own=(*self.own, "data.evaluate=rest")) if rest else self


def check_overrides(overrides: Sequence[str], context: HydraContext) -> None:
    """Refuse what a study chooses by itself, and overrides with several values."""
    parsed = OverridesParser.create(config_loader=context.hydra.config_loader).parse_overrides(list(overrides))
    problems = []
    for override in parsed:
        key = override.key_or_group
        if override.is_sweep_override():
            problems.append(several_values(override, study=True))
        elif key.partition(".")[0] in _OWN and key != "head.global_pool":
            hint = "use study.labels=[5,20,100]" if key == "labels" else "leave it out"
            if key.partition(".")[0] == "freeze":
                hint += "; study=freeze_vs_labels takes study.depths=[0,0.5,all]"
            problems.append(f"{override.input_line}: a study chooses this by itself: {hint}")
        elif key == "data.seed":
            problems.append(
                f"{override.input_line}: the data seeds of a study begin at seed; use seed={override.value()}"
            )
    if problems:
        raise ConfigError(problems)


def own_words(command: str) -> list[str]:
    """Return what a command says of the study itself, but for its name.

    >>> own_words("python -m tlexp study=quick 'study.labels=[2,5]' study.name=mine backbone=tiny")
    ['study.labels=[2,5]', 'study=quick']
    """
    words = (word for word in shlex.split(command) if word.startswith(("study=", "study.")))
    return sorted(word for word in words if not word.startswith("study.name="))
