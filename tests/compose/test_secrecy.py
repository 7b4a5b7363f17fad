from pathlib import Path

import pytest
from hydra.core import utils
from omegaconf import OmegaConf

from tlexp.compose.load import ConfigSource, load, resumed_overrides
from tlexp.compose.secrecy import seen_problems, without_secrets
from tlexp.errors import ConfigError
from tlexp.secrets import keep_secret, masked


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:PLACE}",
        "${oc.select:data.none,${oc.env:PLACE}}",
        "${oc.env:${oc.env:OTHER}}",
        "${data[neither]}",
        "${data.neither}/x",
    ],
)
def test_a_variable_stays_a_reference_in_whatever_way_it_comes(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/mnt/patients")
    monkeypatch.setenv("OTHER", "PLACE")
    loaded = load([f'backbone.weights="{value}"', "data.neither=${oc.env:PLACE}"])
    assert str(loaded.config.backbone.weights).startswith("/mnt/patients")
    assert loaded.shown["backbone"]["weights"] == value
    assert "patients" not in str(loaded.shown)
    assert masked("no folder /mnt/patients/x") == "no folder ${oc.env:PLACE}/x"


def test_numbers_short_values_and_lists_stay_references_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "0.0123")
    monkeypatch.setenv("SHORT", "7")
    loaded = load(["optim.lr=${oc.env:RATE}", "seed=${oc.env:SHORT}", "head.units=[stem,'${oc.env:SHORT}']"])
    assert (loaded.config.optim.lr, loaded.config.seed, loaded.config.head.units) == (0.0123, 7, ["stem", "7"])
    assert loaded.references == {
        "optim.lr": "${oc.env:RATE}",
        "seed": "${oc.env:SHORT}",
        "head.units.1": "${oc.env:SHORT}",
    }
    assert masked("seed 7") == "seed 7"


def test_a_store_is_named_by_its_reference_however_short_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "abcde")
    shown = load(['tracking.uri="http://me:hunter2@host:5000/${oc.env:SHORT}/x"']).shown["tracking"]["uri"]
    assert shown == "http://me:***@host:5000/${oc.env:SHORT}/x"
    assert masked("store http://host:5000/abcde/x is away") == "store http://host:5000/${oc.env:SHORT}/x is away"
    assert masked("abcde") == "abcde"


def test_the_default_of_a_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    loaded = load(["data.neither=${oc.env:NOWHERE,everyday}"])
    assert loaded.shown["data"]["neither"] == "everyday"
    assert masked("everyday") == "everyday"


def test_names_that_everybody_sees_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "my-patients")
    with pytest.raises(ConfigError, match=r"tracking\.experiment=\$\{oc\.env:NAME\}-x: everybody sees this name"):
        load(["tracking.experiment=${oc.env:NAME}-x"])
    monkeypatch.setenv("NAME", "me")
    for _ in range(2):  # a job composes what the command has composed
        assert load(["tracking.experiment=${oc.env:NAME}-photos"]).config.tracking.experiment == "me-photos"
    assert seen_problems("study.name", "mine") == []


def test_what_hydra_writes_holds_no_secret(tmp_path: Path) -> None:
    load([])
    keep_secret("known-before")
    config = {"uri": "http://me:hunter2@host/${oc.env:X}", "token": "abc", "list": ["known-before", 1]}
    utils._save_config(OmegaConf.create(config), "config.yaml", tmp_path / ".hydra")
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / ".hydra" / "config.yaml")) == {
        "uri": "http://me:***@host/${oc.env:X}",
        "token": "***",
        "list": ["***", 1],
    }


def test_a_secret_that_was_not_kept_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    words = ["labels=5", "+tracking.uri=http://me:***@host"]
    with pytest.raises(ConfigError, match=r"held a secret, .* give tracking\.uri again, or set MLFLOW_TRACKING_URI"):
        without_secrets(words, ["seed=1"], Path("outputs/RUN"))
    assert without_secrets(words, ["tracking.uri=null"], Path("outputs/RUN")) == ["labels=5"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:again@host")
    assert without_secrets(words, [], Path("outputs/RUN")) == ["labels=5"]


def test_resume_keeps_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/mnt/patients")
    (tmp_path / ".hydra").mkdir()
    words = ["data.neither=${oc.env:PLACE}"]
    OmegaConf.save(OmegaConf.create(words), tmp_path / ".hydra" / "overrides.yaml")
    assert resumed_overrides(tmp_path, [f"resume={tmp_path}"], ConfigSource()) == words
