import importlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tlexp.jsonfile import to_json
from tlexp.tracking.blocks import Checkout
from tlexp.tracking.environment import checkout, environment, is_alive, process_identity

MODULE = importlib.import_module("tlexp.tracking.environment")  # the package has a function of the same name


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def package(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    return folder


def test_no_environment_variable_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-v4lue")
    text = json.dumps(to_json(environment("cpu")), allow_nan=False)
    assert "s3cr3t-v4lue" not in text
    assert "MY_TOKEN" not in text


def test_versions_and_device_are_there() -> None:
    found = environment("cuda (some device)")
    assert {"tlexp", "torch", "timm", "mlflow"} <= set(found.packages)
    assert found.device == "cuda (some device)"
    assert found.cpu_count >= 1


def test_commit_and_dirty_flag_of_a_checkout(tmp_path: Path) -> None:
    folder = package(tmp_path / "repo" / "tlexp")
    git(tmp_path / "repo", "init")
    git(tmp_path / "repo", "add", ".")
    git(tmp_path / "repo", "commit", "-m", "first")
    git(tmp_path / "repo", "tag", "-a", "v1", "-m", "v1")
    found = checkout(folder)
    assert found is not None
    assert (len(found.commit), found.dirty) == (40, False)
    (folder / "__init__.py").write_text("changed = True")
    assert checkout(folder) == Checkout(commit=found.commit, dirty=True)


def test_a_package_installed_inside_a_strangers_checkout_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("a stranger's project")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert checkout(package(tmp_path / ".venv" / "tlexp")) is None


def test_outside_a_checkout_and_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package(tmp_path / "tlexp")
    assert checkout(folder) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout(folder) is None


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    here = process_identity()
    assert is_alive(here) is True
    assert is_alive(here | {"started": here["started"] + 1}) is False
    assert is_alive(here | {"boot_id": "another boot"}) is False
    assert is_alive(here | {"host": "another host"}) is None
    assert is_alive(here | {"machine": "a namesake", "boot_id": "another boot"}) is None
    assert is_alive(here | {"pid_namespace": "another container"}) is None
    assert is_alive({name: value for name, value in here.items() if name != "pid"}) is None
    assert is_alive({}) is None


def test_a_dead_process_is_dead() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert is_alive(process_identity() | {"pid": gone.pid}) is False


def test_a_process_whose_parent_has_not_asked_for_it_yet_is_dead() -> None:
    gone = subprocess.Popen(["sleep", "300"])
    identity = process_identity() | {"pid": gone.pid, "started": MODULE._started(gone.pid)}
    assert is_alive(identity) is True
    gone.kill()
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{gone.pid}").exists()
    assert is_alive(identity) is False
    gone.wait()


def test_a_process_that_is_hidden_from_us_is_not_known_to_be_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    here = process_identity()
    seen = MODULE._stat
    monkeypatch.setattr(MODULE, "_stat", lambda pid: None if pid == os.getppid() else seen(pid))
    assert is_alive(here | {"pid": os.getppid()}) is None
    assert is_alive(here | {"pid": 2**31 + 1}) is False


@pytest.mark.parametrize("variable", ["config", "directory"])
def test_git_runs_nothing_that_variables_name(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    folder = package(tmp_path / "repo" / "tlexp")
    git(tmp_path / "repo", "init")
    git(tmp_path / "repo", "add", ".")
    git(tmp_path / "repo", "commit", "-m", "first")
    if variable == "config":
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {canary};")
    else:
        git(tmp_path, "init", "other")
        git(tmp_path / "other", "config", "core.fsmonitor", f"touch {canary};")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert checkout(folder) is not None
    git(tmp_path / "repo", "config", "core.fsmonitor", f"touch {canary};")
    assert checkout(folder) is not None
    assert not canary.exists()


@pytest.mark.parametrize("place", ["{}", "", "bin"])
def test_a_git_of_the_working_folder_is_not_run(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in (tmp_path / "git", tmp_path / "bin" / "git"):
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
        program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", place.format(tmp_path), prepend=os.pathsep)
    checkout()
    assert not (tmp_path / "canary").exists()
