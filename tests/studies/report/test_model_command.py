"""The command for the recommended model composes to what its column computes, with all labels."""

import dataclasses
import shlex

import pytest

from tests.composed import load
from tests.studies.conftest import DEPTHS, a_table
from tlexp.config import Config, config_key
from tlexp.config.tune import TuneConfig
from tlexp.studies.report.model_command import model_command

SOLVED = ("freeze=all", "head=logreg", "tune.trials=0")
TRAINED = ("freeze=depth", "freeze.depth=3", "head=linear", "head.init=probe", "freeze.norm=keep", "tune.trials=4")


def command(*words: str) -> str:
    column = dataclasses.replace(DEPTHS[3], words=words)
    found = model_command(a_table(seeds=1, budgets=("2",), columns=[column]), column.name)
    assert found is not None
    return found


def composed(words: list[str]) -> Config:
    return load(words).config


def comparable(config: Config) -> str:
    """Return what a configuration computes, but for how candidates lie where there are none."""
    tune = config.tune if config.tune.trials else dataclasses.replace(config.tune, search=TuneConfig().search)
    return config_key(dataclasses.replace(config, tune=tune, labels="all"))


@pytest.mark.parametrize("column", [SOLVED, TRAINED])
@pytest.mark.parametrize(
    "stated",
    [
        ("study=quick", "backbone=tiny", "study.labels=[2,5]", "study.name=s", "seed=3"),
        ("study=demonstration", "study.minutes=5"),
        ("study=demonstration", "backbone=lite0", "data.size=48"),
        ("experiment=more_labels_less_freezing", "study.seeds=10"),
        ("experiment=photos", "study=freeze_vs_labels", "data=folder", "data.root=photos"),
    ],
)
def test_the_command_makes_what_the_column_computes(stated: tuple[str, ...], column: tuple[str, ...]) -> None:
    words = shlex.split(command(*stated, *column))
    assert words[:3] == ["python", "-m", "tlexp"]
    made, studied = composed(words[3:]), composed([*stated, *column])
    assert not made.study.exists
    assert (made.labels, made.train.save_weights) == ("all", True)
    assert comparable(made) == comparable(studied)


def test_the_command_says_no_more_than_it_has_to() -> None:
    stated = ("study=quick", "data=folder", "data.root=my photos", "study.seeds=3")
    assert command(*stated, *SOLVED) == (
        "python -m tlexp data=folder 'data.root=my photos' freeze=all head=logreg labels=all"
    )
    assert command(*TRAINED) == f"python -m tlexp {' '.join(TRAINED)} labels=all"


def test_what_the_command_of_the_study_states_holds_where_its_columns_do_not_repeat_it() -> None:
    column = dataclasses.replace(DEPTHS[3], words=SOLVED)
    table = a_table(seeds=1, budgets=("2",), columns=[column])
    typed = "python -m tlexp study=quick data=folder 'data.root=my photos' study.seeds=3"
    table = dataclasses.replace(table, about={**table.about, "study": {**table.about["study"], "command": typed}})
    assert model_command(table, column.name) == (
        "python -m tlexp data=folder 'data.root=my photos' freeze=all head=logreg labels=all"
    )


def test_a_column_that_nobody_says_how_to_make_has_no_command() -> None:
    column = dataclasses.replace(DEPTHS[3], words=())
    assert model_command(a_table(seeds=1, budgets=("2",), columns=[column]), column.name) is None
