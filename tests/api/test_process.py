"""A call leaves the process as it was found: also where it fails, within an application of Hydra's, and in a thread."""

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra.core import utils
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from omegaconf import OmegaConf

import tlexp
from tests.api.conftest import SMALL
from tlexp.api.process import borrowed
from tlexp.errors import Interrupted
from tlexp.jobs.signals import handlers, listen
from tlexp.tracking.library import load_mlflow, mlflow_guard

Call = Callable[..., tlexp.RunResult]


def state() -> dict[str, Any]:
    """Return what a call could change in this process."""
    import matplotlib

    root = logging.getLogger()
    return {
        "handlers of signals": handlers(),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "logs": (root.handlers[:], root.level, logging.getLogRecordFactory()),
        "warnings": warnings.filters[:],
        "folder, arguments, path": (Path.cwd(), sys.argv[:], sys.path[:], os.environ.get("PYTHONSAFEPATH")),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "determinism": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
        "random": (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        "figures": matplotlib.rcParams._get("backend"),
        "hydra": (VersionBase.instance().getbase(), utils.JobRuntime.instance().get("name"), utils._save_config),
        "job": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "resolvers": _resolvers(),
        "environment": dict(os.environ),
        "levels of logs": {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "urllib3")},
    }


def _resolvers() -> list[str]:
    from omegaconf.basecontainer import BaseContainer

    return [f"{name} {id(function)}" for name, function in BaseContainer._resolvers.items()]


@pytest.fixture
def call(result: tlexp.RunResult, tmp_path: Path) -> Call:
    """Do a run as before, so that libraries are loaded, with more words."""

    def called(*words: str, **settings: Any) -> tlexp.RunResult:
        return tlexp.run("backbone=tiny", *words, folder=tmp_path, tracking="off", **SMALL, **{"labels": 2, **settings})

    return called


def test_nothing_is_left_behind_a_run(call: Call) -> None:
    before = state()
    call("tracking.figures=true")
    assert state() == before


@pytest.mark.parametrize("wrong", [{"labels": 300}, {"optim.lr": "x"}, {"freeze": "al"}])
def test_nothing_is_left_behind_a_failure(call: Call, wrong: dict[str, Any]) -> None:
    before = state()
    with pytest.raises(tlexp.TlexpError):
        call(**wrong)
    assert state() == before


def test_settings_of_mlflow_are_lent_to_the_last_who_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    logging.getLogger("mlflow").setLevel(logging.DEBUG)
    before = state()
    with mlflow_guard:
        with borrowed([]):
            load_mlflow()
            assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
        assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false", "another call goes on"
        assert logging.getLogger("mlflow").level == logging.WARNING
    assert state() == before


def test_loading_a_network_leaves_no_settings_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    seen: list[bool] = []

    def load(where: str, **more: Any) -> None:
        load_mlflow()
        seen.append("MLFLOW_HTTP_REQUEST_TIMEOUT" in os.environ)

    monkeypatch.setattr(tlexp.Predictor, "load", load)
    tlexp.load("models:/pets/1")
    assert seen == [True]
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_an_application_of_hydra_s_finds_its_own_again(call: Call, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("a: ${mine:}\nhydra:\n  job:\n    name: theirs\n")
    OmegaConf.register_new_resolver("mine", lambda: 7, replace=True)
    try:
        with hydra.initialize_config_dir(str(tmp_path), version_base="1.2", job_name="theirs"):
            config = hydra.compose("theirs", return_hydra_config=True)
            HydraConfig.instance().set_config(config)
            before = state()
            call()
            assert state() == before
            assert HydraConfig.get().job.name == "theirs"
            assert hydra.compose("theirs").a == 7
    finally:
        HydraConfig.instance().cfg = None
        OmegaConf.clear_resolver("mine")


def test_another_thread_runs_as_well(call: Call) -> None:
    before, results = state(), []
    threads = [threading.Thread(target=lambda seed=seed: results.append(call(seed=seed))) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.record.seeds.seed for each in results} == {0, 1}
    assert state() == before


def test_ctrl_c_is_raised_to_the_caller_and_another_signal_does_what_it_did_before() -> None:
    before, received = handlers(), []
    try:
        listen({signal.SIGTERM: lambda number, frame: received.append(number)})
        with pytest.raises(KeyboardInterrupt), borrowed([]):
            raise Interrupted(signal.SIGINT)
        assert received == []
        with pytest.raises(KeyboardInterrupt), borrowed([]):
            raise Interrupted(signal.SIGTERM)
        assert received == [signal.SIGTERM]
    finally:
        listen(before)


def test_secrets_in_words_are_masked_while_the_call_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with borrowed(["tracking.uri=http://me:hidden-password@host"]):
        print("hidden-password \x1b[31m")
    assert capsys.readouterr().out == "*** \\x1b[31m\n"
