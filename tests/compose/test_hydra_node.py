from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.config_files import ConfigSource
from tlexp.compose.hydra_node import REFUSED, hydras_own, reason
from tlexp.compose.load import load
from tlexp.errors import ConfigError


@dataclass
class Cluster:
    """As the launcher of a cluster states its settings."""

    _target_: str = "hydra_plugins.cluster.ClusterLauncher"
    submitit_folder: str = "${hydra.sweep.dir}/.jobs"
    timeout_min: int = 60
    partition: str | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def cluster() -> Iterator[None]:
    """A launcher that hands texts to a shell is installed."""
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="cluster", node=Cluster)
    yield
    del store.repo["hydra"]["launcher"]["cluster.yaml"]


def composed(folder: Path, hydra: dict[str, Any], *words: str, launcher: str = "basic") -> dict[str, Any]:
    """Return Hydra's node of a primary configuration that states something of it."""
    text = f"defaults: [config, override hydra/launcher: {launcher}, _self_]\n".replace("override", "{override", 1)
    text = text.replace(f": {launcher}", f": {launcher}}}") + yaml.safe_dump({"hydra": hydra})
    (folder / "own.yaml").write_text(text)
    source = ConfigSource(name="own", search=str(folder))
    load(words, source, partial=True)
    node = CheckedLoader(source).load_configuration("own", list(words), run_mode=1).hydra  # type: ignore[arg-type]
    return OmegaConf.to_container(node, resolve=False)  # type: ignore[return-value]


def refused(*arguments: Any, **named: Any) -> str:
    with pytest.raises(ConfigError) as error:
        composed(*arguments, **named)
    return str(error.value)


def test_what_a_file_may_say(tmp_path: Path) -> None:
    stated = {
        "mode": "MULTIRUN",
        "run": {"dir": "runs/${now:%Y-%m-%d}/${tlexp.stamp:}"},
        "sweep": {"dir": "sweeps/a"},
        "sweeper": {"name": "mine", "n_trials": 4, "direction": "maximize"},
    }
    node = composed(tmp_path, stated)
    assert node["run"]["dir"] == stated["run"]["dir"]  # type: ignore[index]
    assert (node["sweeper"]["name"], node["sweeper"]["n_trials"]) == ("mine", 4)


def test_a_folder_of_a_file_lies_below_the_working_one_and_a_typed_one_anywhere(tmp_path: Path) -> None:
    for path in ("/tmp/x", "../x", "a/../../x", "~/../x", "${oc.env:HOME}/x", "${seed}", "C:\\x", ""):
        assert refused(tmp_path, {"run": {"dir": path}}).startswith(f"hydra.run.dir={path}: a configuration may only")
    assert "may only name a folder below" in refused(tmp_path, {"run": {"dir": "${now:/x}"}})
    for path in ("/tmp/x", "../x", "'a b'", "5"):
        assert composed(tmp_path, {}, f"hydra.run.dir={path}")["run"]["dir"] == path.strip("'")


def test_a_launcher_takes_its_own_settings_by_their_types(tmp_path: Path, cluster: None) -> None:
    stated = {"launcher": {"timeout_min": 30, "partition": "gpu-long"}}
    assert composed(tmp_path, stated, launcher="cluster")["launcher"]["partition"] == "gpu-long"
    assert "timeout_min" in refused(tmp_path, {"launcher": {"timeout_min": "soon"}}, launcher="cluster")
    assert "no" in refused(tmp_path, {"launcher": {"new": 1}}, launcher="cluster")


SHELL = [
    {"setup": ["touch x"]},
    {"partition": "a\n touch x"},
    {"partition": "$(touch x)"},
    {"partition": "--wrap=x"},
    {"submitit_folder": "../x"},
    {"additional_parameters": {"wrap": "x"}},
]


@pytest.mark.parametrize("fields", SHELL)
def test_what_may_reach_a_shell_is_typed_and_never_filed(fields: dict[str, Any], tmp_path: Path, cluster: None) -> None:
    told = refused(tmp_path, {"launcher": fields}, launcher="cluster")
    assert told.startswith("hydra.launcher.")
    assert "may reach a shell; say it on the command line" in told
    words = ("hydra.launcher.setup=[touch x]", "+hydra.launcher.additional_parameters={wrap: x}")
    typed = composed(tmp_path, {}, *words, launcher="cluster")["launcher"]
    assert (typed["setup"], typed["additional_parameters"]) == (["touch x"], {"wrap": "x"})


def test_a_typed_mapping_does_not_vouch_for_what_a_file_adds_to_it(tmp_path: Path, cluster: None) -> None:
    word = "+hydra.launcher.additional_parameters={nodes: '1'}"
    told = refused(tmp_path, {"launcher": {"additional_parameters": {"wrap": "x"}}}, word, launcher="cluster")
    assert "hydra.launcher.additional_parameters.wrap=x" in told


def test_an_option_of_one_s_own_may_set_an_installed_launcher_up(tmp_path: Path, cluster: None) -> None:
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    mine = tmp_path / "hydra" / "launcher" / "mine.yaml"
    mine.write_text("defaults: [cluster]\npartition: long\n")
    assert composed(tmp_path, {}, "hydra/launcher=mine")["launcher"]["partition"] == "long"
    mine.write_text("_target_: hydra_plugins.cluster.ClusterLauncher\npartition: [a]\n")
    assert "partition" in refused(tmp_path, {}, "hydra/launcher=mine")
    mine.write_text("_target_: os.system\ncommand: touch x\n")
    assert "values, not Python objects" in refused(tmp_path, {}, "hydra/launcher=mine")


def test_a_refusal_names_key_value_rule_and_way_out() -> None:
    with pytest.raises(ConfigError) as error:
        load(["+hydra.job.env_set.PATH=/tmp", "hydra.mode=BOTH", "hydra/sweeper=basic"])
    assert error.value.problems == (
        "+hydra.job.env_set.PATH=/tmp: sets environment variables before tlexp runs and may not stand in a "
        "configuration; set them in the shell",
        "hydra.mode=BOTH: must be one of RUN, MULTIRUN; -m asks for a sweep",
        "hydra/sweeper=basic: one that is installed must stand here: tlexp",
    )


def test_reasons_go_by_the_longest_known_key() -> None:
    assert reason("hydra.job.env_set.A") == REFUSED["hydra.job.env_set"]
    assert reason("hydra.job.new") == REFUSED["hydra.job"]
    assert "docs/settings.md" in reason("hydra.new")


def test_hydra_s_own_node_is_what_it_states_itself() -> None:
    assert hydras_own()["output_subdir"] == ".hydra"
    assert hydras_own()["job_logging"]["root"] is None


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "parallel"), ("submitit_slurm", "slurm")])
def test_a_launcher_of_an_extra_names_the_extra(
    launcher: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{launcher}.yaml", raising=False)
    told = refused(tmp_path, {}, f"hydra/launcher={launcher}")
    assert told == f"hydra/launcher={launcher} needs a package that is not installed: pip install 'tlexp[{extra}]'"
