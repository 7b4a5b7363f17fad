import pickle
from pathlib import Path

import pytest
from hydra.types import RunMode

from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.config_files import ConfigSource
from tlexp.errors import ConfigError

SET = "++hydra.job.env_set.A=b"


def test_the_runs_of_a_sweep_are_looked_at_in_worker_processes_too() -> None:
    loader = CheckedLoader(ConfigSource())
    master = loader.load_configuration("config", ["hydra.sweep.dir=s"], RunMode.MULTIRUN)
    there = pickle.loads(pickle.dumps(loader))
    words = ["seed=1", "hydra.sweep.subdir='runs/a'"]
    assert there.load_sweep_config(master, words).hydra.sweep.subdir == "runs/a"
    with pytest.raises(ConfigError, match=r"sets environment variables"):
        there.load_sweep_config(master, [*words, SET])


def test_a_file_that_changes_after_the_look_is_looked_at_again(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("defaults: [config, _self_]\n")
    loader = CheckedLoader(ConfigSource(name="own", search=str(tmp_path)))
    loader.load_configuration("own", [], RunMode.RUN)
    own.write_text("defaults: [config, _self_]\nhydra: {job: {env_copy: [HOME]}}\n")
    with pytest.raises(ConfigError, match=r"hydra\.job\.env_copy\.0=HOME: sets environment"):
        loader.load_configuration("own", [], RunMode.RUN)


@pytest.mark.parametrize("word", ["hydra.searchpath=[pkg://antigravity]", SET, "~hydra.run.dir"])
def test_pages_and_completion_pass_as_well(word: str) -> None:
    loader = CheckedLoader(ConfigSource())
    with pytest.raises(ConfigError):
        loader.compute_defaults_list("config", [word], RunMode.RUN)
    with pytest.raises(ConfigError):
        loader.get_group_options("data", config_name="config", overrides=[word])


def test_lists_that_a_file_hands_to_hydra_do_not_become_words(tmp_path: Path) -> None:
    text = "defaults: [config, _self_]\nhydra: {overrides: {hydra: ['hydra.job.chdir=true'], task: [seed=1]}}\n"
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"hydra\.overrides\.hydra\.0=hydra\.job\.chdir=true: is what Hydra writes"):
        CheckedLoader(ConfigSource(name="own", search=str(tmp_path))).load_configuration("own", [], RunMode.RUN)


CHAIN = ("data.root", "data.train", "data.test", "data.neither", "data.shifted")


def test_words_that_multiply_each_other_are_refused_before_they_are_read() -> None:
    words = [f"{key}='{f'${{{CHAIN[number + 1]}}}' * 5}'" for number, key in enumerate(CHAIN[:-1])]
    with pytest.raises(ConfigError, match="too many values join several others"):
        CheckedLoader(ConfigSource()).load_configuration("config", words, RunMode.RUN)


def test_words_and_files_multiply_each_other(tmp_path: Path) -> None:
    lines = [
        f"{key.removeprefix('data.')}: '{f'${{{CHAIN[number + 1]}}}' * 5}'" for number, key in enumerate(CHAIN[:3])
    ]
    (tmp_path / "own.yaml").write_text("defaults: [config, _self_]\ndata:\n  " + "\n  ".join(lines))
    loader = CheckedLoader(ConfigSource(name="own", search=str(tmp_path)))
    loader.load_configuration("own", [], RunMode.RUN)
    with pytest.raises(ConfigError, match="too many values join several others"):
        loader.load_configuration("own", [f"data.neither='{'${data.shifted}' * 5}'"], RunMode.RUN)


def test_a_primary_file_of_ones_own_says_nothing_of_hydra(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("defaults: [_schema, _self_]\nlabels: '5'\n")
    composed = CheckedLoader(ConfigSource(path=str(tmp_path))).load_configuration("config", [], RunMode.RUN)
    assert composed.labels == "5"
    assert composed.hydra.sweeper._target_.startswith("hydra_plugins.tlexp_sweeper")
