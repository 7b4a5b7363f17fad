import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.types import RunMode

from tlexp.compose.compositions import Compositions
from tlexp.compose.load import ConfigSource, hydra_of, load, resumed_overrides
from tlexp.compose.places import typed_again
from tlexp.config import Config
from tlexp.errors import ConfigError

FAR = [
    "http://host/r/${oc.env:MY_API_TOKEN}",
    "http://host",
    "file:///tmp/x",
    "databricks",
    "/tmp/x",
    "sqlite:////tmp/x.db",
    "sqlite:///../x.db",
    "sqlite:///~/x.db",
    "sqlite:///a/%2e%2e/x.db",
    "sqlite:///file:/tmp/x.db?uri=true",
    "sqlite+pysqlite:///x.db",
    "sqlite:///${oc.env:MY_API_TOKEN}.db",
    "${backbone.name}",
]
NEAR = ["sqlite:///mlflow.db", "sqlite:///stores/mine.db", None]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "tok-1234567")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def source(folder: Path, **stated: Any) -> ConfigSource:
    """Return a configuration of somebody's that states something besides the defaults."""
    (folder / "own.yaml").write_text("defaults: [config, _self_]\n" + yaml.safe_dump(stated))
    return ConfigSource(name="own", search=str(folder))


def kept(folder: Path, *words: str) -> Path:
    """Return the folder of a run that the words led to."""
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
    return folder


@pytest.mark.parametrize("uri", FAR)
def test_a_file_sends_runs_nowhere_else(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([], source(tmp_path, tracking={"uri": uri}))
    [problem] = caught.value.problems
    assert problem.startswith(f"tracking.uri={uri}: a file or a run's folder may only name a store below the working")
    assert problem.endswith("say tracking.uri= on the command line, or set MLFLOW_TRACKING_URI to it")


@pytest.mark.parametrize("uri", FAR)
def test_the_words_of_a_run_send_it_nowhere_else(uri: str, tmp_path: Path) -> None:
    word = f'++tracking.uri="{uri}"'
    with pytest.raises(ConfigError, match=r"overrides\.yaml: tracking\.uri=.* may only name a store below"):
        resumed_overrides(kept(tmp_path, "labels=5", word), [], ConfigSource())
    assert resumed_overrides(tmp_path, ["tracking.uri=null"], ConfigSource()) == ["labels=5", word]


@pytest.mark.parametrize("word", ["tracking={uri: 'http://host'}", "tracking.uri=a,b", "cache.dir=/tmp/x"])
def test_there_is_no_other_way_to_say_it_in_a_run_s_folder(word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides\.yaml: .* may only name"):
        resumed_overrides(kept(tmp_path, word), [], ConfigSource())


@pytest.mark.parametrize("uri", NEAR)
def test_a_store_below_the_working_folder_may_be_chosen(uri: str | None, tmp_path: Path) -> None:
    assert load([], source(tmp_path, tracking={"uri": uri})).config.tracking.uri == uri


def test_what_is_typed_or_set_goes_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = source(tmp_path, tracking={"uri": "http://team"})
    assert load(["tracking.uri=http://mine"], theirs).config.tracking.uri == "http://mine"
    run = kept(tmp_path, "tracking.uri=http://team")
    assert resumed_overrides(run, ["tracking.uri=http://team"], ConfigSource()) == ["tracking.uri=http://team"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team")
    assert load([], theirs).config.tracking.uri == "http://team"
    assert resumed_overrides(run, [], ConfigSource()) == ["tracking.uri=http://team"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    with pytest.raises(ConfigError, match=r"^tracking\.uri=http://team"):
        load([], theirs)


def test_what_is_typed_counts_in_jobs_that_share_a_composition(tmp_path: Path) -> None:
    theirs = source(tmp_path, tracking={"uri": "http://team"})
    loader = hydra_of(theirs).config_loader
    jobs = Compositions(lambda words: loader.load_configuration(theirs.name, words, RunMode.RUN))
    assert jobs.typed(["seed=1", "tracking.uri=http://mine"]).config.tracking.uri == "http://mine"
    with pytest.raises(ConfigError, match="may only name a store"):
        jobs.typed(["seed=1"])


@pytest.mark.parametrize("path", ["/tmp/x", "../x", "~/x", "${oc.env:HOME}/x"])
def test_a_file_puts_the_cache_nowhere_else(path: str, tmp_path: Path) -> None:
    theirs = source(tmp_path, cache={"dir": path})
    with pytest.raises(ConfigError) as caught:
        load([], theirs)
    assert str(caught.value).startswith(f"cache.dir={path}: a file or a run's folder may only name a folder below")
    assert load([f"cache.dir='{path}'"], theirs).config.cache.dir is not None
    assert load([], source(tmp_path, cache={"dir": "kept/here"})).config.cache.dir == "kept/here"


def test_what_a_run_needs_typed_again_is_taken_as_it_is_told(tmp_path: Path) -> None:
    config = Config()
    config.tracking.uri, config.cache.dir = "http://host/?a=b c", "/tmp/it's"
    shown = {"tracking": {"uri": config.tracking.uri}, "cache": {"dir": config.cache.dir}}
    loaded = load(shlex.split(" ".join(typed_again(shown)))).config
    assert (loaded.tracking.uri, loaded.cache.dir) == (config.tracking.uri, config.cache.dir)
    assert typed_again({"tracking": {"uri": None}, "cache": {"dir": "kept"}}) == []


@pytest.mark.parametrize(
    ("stated", "typed"),
    [
        ("postgresql://team@host/db", "postgresql://team@host/db"),
        ("postgresql://team:${oc.env:MY_API_TOKEN}@host/db", "postgresql://team:tok-1234567@host/db"),
        ("postgresql://team:tok-7654321@host/db", "postgresql://team@host/db"),  # PGPASSWORD has it
        ("postgresql://team:${oc.env:NOWHERE,hunter2}@host/db", "postgresql://team@host/db"),
        ("http://me:tok-7654321@host", "http://host"),
        ("http://me:it's tok-7654321@host", "http://host"),
    ],
)
def test_the_way_to_a_store_is_typed_again_without_its_password(stated: str, typed: str) -> None:
    [word] = typed_again({"tracking": {"uri": stated}})
    assert "tok-" not in word
    assert load(shlex.split(word)).config.tracking.uri == typed
