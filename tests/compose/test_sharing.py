"""What tests share is what Hydra composes: a command in a test composes as one that is typed."""

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import OmegaConf

from tests import composed
from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.load import ConfigSource, hydra_of
from tlexp.errors import ConfigError

RUN, SWEEP = RunMode.RUN, RunMode.MULTIRUN
WORDS: list[tuple[RunMode, list[str]]] = [
    (RUN, []),
    (RUN, ["labels=7", "backbone=tiny", "seed=3", "hydra.run.dir=a b", "head=logreg"]),
    (RUN, ["optim.lr=0.1", "head=mlp", "head.hidden=[3,4]", "hydra.sweep.subdir=runs/7", "tracking=off"]),
    (RUN, ["head=cosine", "freeze=lpft", "backbone=tiny", "data=folder", "tune=rates", "augment=light", "optim=sgd"]),
    (RUN, ["study=demonstration", "head=ridge", "data=digits", "cache=off", "labels=3"]),
    (RUN, ["study=heads", "head=ridge", "data=digits", "hydra/launcher=basic", "freeze=none"]),
    (SWEEP, ["study=quick", "study.column=a", "freeze=depth", "optim=adam", "tracking=off"]),
    (RUN, ["head=mlp", "labels=2", "head=knn"]),
    (SWEEP, ["head=mlp,linear", "freeze=depth", "data=csv", "train=quick"]),
    (RUN, ["experiment=frozen_base", "head=cosine"]),
    (RUN, ["experiment=frozen_base", "labels=4", "data.root=null", "data.name='a,b'"]),
    (RUN, ["study=quick", "study.labels=[2,3]", "hydra.mode=MULTIRUN", "data.prior={a:0.3,b:0.7}"]),
    (RUN, ["hydra.sweeper.name=s", "hydra/launcher=basic", "hydra.sweep.dir=multirun", "seed=1"]),
    (SWEEP, ["labels=2,4", "seed=1", "backbone=tiny", "hydra.mode=MULTIRUN"]),
    (SWEEP, ["freeze=all,none", "optim.lr=0.1,0.2", "labels=2,'02'", "hydra.mode=MULTIRUN"]),
    (SWEEP, ["hydra.mode=RUN,MULTIRUN"]),
    (RUN, ["labels=2,4"]),
    (RUN, ["+trial=3", "labels=4"]),
]


def loaded(loader: ConfigLoader, words: list[str], mode: RunMode) -> str:
    found = loader.load_configuration("config", words, mode)
    return str(OmegaConf.to_yaml(found))


@pytest.mark.parametrize(("mode", "words"), WORDS, ids=lambda each: " ".join(each) if isinstance(each, list) else "")
def test_words_compose_to_what_hydra_makes_of_them(
    mode: RunMode, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = hydra_of(ConfigSource()).config_loader
    alone = outcome(loader, words, mode)
    monkeypatch.setattr(CheckedLoader, "_load_configuration_impl", composed._shared)
    assert outcome(loader, words, mode) == alone
    assert outcome(loader, words, mode) == alone


def outcome(loader: ConfigLoader, words: list[str], mode: RunMode) -> str | list[str]:
    try:
        return loaded(loader, words, mode)
    except ConfigError as error:
        return error.problems


@pytest.mark.parametrize("words", [["labels=4", "hydra.run.dir=${oc.env:HOME}"], ["optim.lr=[fast]", "seed=1"]])
def test_what_is_refused_is_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    test_words_compose_to_what_hydra_makes_of_them(RUN, words, monkeypatch)
