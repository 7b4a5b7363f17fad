from collections.abc import Sequence
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from tlexp.compose.compositions import Compositions
from tlexp.compose.load import ConfigSource, hydra_of, load
from tlexp.errors import ConfigError


class Counting:
    """Hydra, which remembers what it was asked."""

    def __init__(self) -> None:
        self._loader = hydra_of(ConfigSource()).config_loader
        self.asked: list[Sequence[str]] = []

    def __call__(self, words: list[str]) -> DictConfig:
        self.asked.append(words)
        return self._loader.load_configuration("config", words, RunMode.RUN, from_shell=False)


@pytest.fixture
def hydra() -> Counting:
    return Counting()


@pytest.mark.parametrize(
    "words",
    [
        ["backbone=tiny", "labels=5", "head=mlp", "head.hidden=[8,4]", "seed=1"],
        ["labels=5", "experiment=shapes", "data.noise=0.1"],
        ["data=folder", "data.root='/tmp/b c'", "optim.lr=null", "data.seed=${seed}"],
        ["seed=3", "++data.noise=0.2", "data.noise=0.1"],
        ["freeze=depth", "freeze.depth=0.5", "freeze.depth=all"],
    ],
)
def test_words_compose_to_what_they_are_alone(words: list[str], hydra: Counting) -> None:
    made = Compositions(hydra)
    assert made.typed(words) == load(words)
    assert made.typed([*words, "labels=7"]) == load([*words, "labels=7"])
    assert made.typed(words) == load(words)


def test_settings_share_the_composition_of_their_options(hydra: Counting) -> None:
    made = Compositions(hydra)
    for words in (["labels=5", "freeze=none"], ["freeze=none", "seed=4"], ["freeze=none"]):
        made.typed(words)
    assert hydra.asked == [["freeze=none"]]
    made.typed(["freeze=all"])
    assert len(hydra.asked) == 2


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("labels=${oc.decode:1}", r"\$\{oc.decode:\.\.\.\} is no way to a value"),
        ("head.hidden={_target_: os.system}", "hidden"),
        ("+data.x={_target_: os.system}", "_target_"),
        ("optim.lr=x", "must be a finite number"),
        ('study.name="' + "${seed}" * 257 + '"', "too many values join several others"),
    ],
)
def test_settings_are_looked_at_as_everything_is(word: str, message: str, hydra: Counting) -> None:
    with pytest.raises(ConfigError, match=message):
        Compositions(hydra).typed([word])


def test_what_was_given_can_be_changed(hydra: Counting) -> None:
    made = Compositions(hydra)
    first: Any = made.typed(["head=mlp", "head.hidden=[8]"]).config
    first.head.hidden.append(4)
    assert made.typed(["head=mlp", "head.hidden=[8]"]).config.head.hidden == [8]
