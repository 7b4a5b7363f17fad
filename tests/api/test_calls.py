import os
import signal
from pathlib import Path
from typing import Any

import pytest

import tlexp
from tests.api.conftest import SMALL
from tlexp import cli
from tlexp.cli.complaint import complain
from tlexp.config import Config
from tlexp.experiment.run import run
from tlexp.experiment.session import process_session
from tlexp.jobs.signals import Signals

WRONG: list[tuple[list[str], dict[str, Any]]] = [
    (["freeze=al"], {"optim.lr": "x"}),
    (["labels=5,20"], {}),
    (["data=folder", "data.root=nowhere"], {}),
    (["optim._target_=os.system"], {}),
    (["hydra.callbacks.x._target_=os.system"], {}),
    (["hydra.job.env_set.X=1"], {}),
    (["hydra/launcher=nowhere"], {}),
    (["data.root=${oc.decode:x}"], {}),
    (["resume=nowhere"], {}),
]
"""Words that the command refuses."""


@pytest.mark.parametrize(("words", "settings"), WRONG)
def test_what_the_command_refuses_a_call_refuses_with_the_same_text(
    words: list[str],
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tlexp", *words, *(f"{name}={value}" for name, value in settings.items())])
    with pytest.raises(SystemExit):
        cli.main()
    typed = capsys.readouterr().err
    with pytest.raises(tlexp.TlexpError) as raised:
        tlexp.run(*words, **settings)
    complain(raised.value, debug=False)
    assert capsys.readouterr().err == typed
    assert list(tmp_path.iterdir()) == []


def test_each_call_names_the_other_where_it_is_meant(tmp_path: Path) -> None:
    for call, told in (
        (lambda: tlexp.run("study=quick", folder=tmp_path), "take tlexp.study"),
        (lambda: tlexp.sweep("study=quick", "seed=0,1", folder=tmp_path), "take tlexp.study"),
        (lambda: tlexp.study("none", folder=tmp_path), "take tlexp.run"),
        (lambda: tlexp.study("heds", folder=tmp_path), "did you mean heads"),
    ):
        with pytest.raises(tlexp.ConfigError, match=told):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_a_table_and_goes_on_where_it_was_interrupted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def interrupted(config: Config, **more: Any) -> Any:
        begun.append(config.freeze.policy)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return run(config, **more)

    def swept() -> Any:
        return tlexp.sweep("backbone=tiny", "freeze=all,none", folder=place, tracking="off", labels=2, **SMALL)

    monkeypatch.setattr("tlexp.api.job.run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        swept()
    table = swept()
    assert begun == ["all", "none", "none"]
    assert list(table.columns[:5]) == ["freeze", "status", "reason", "folder", "key"]
    assert table["freeze"].tolist() == ["all", "none"]
    assert set(table["status"]) == {"finished"}
    assert table["test/accuracy"].notna().all()
    assert all(Path(folder).is_relative_to(place.absolute() / "multirun") for folder in table["folder"])


def test_an_interrupted_run_is_gone_on_with(
    result: tlexp.RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"labels": 10, "freeze": "none", **SMALL}
    questions = iter([None] * 3)
    with monkeypatch.context() as patch:
        patch.setattr(Signals, "received", property(lambda self: next(questions, signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            tlexp.run("backbone=tiny", folder=tmp_path, tracking="off", **words)
    [begun] = (tmp_path / "outputs").iterdir()
    assert f"interrupted; go on with tlexp.run('resume={begun}')" in capsys.readouterr().err
    whole = tlexp.run(folder=tmp_path, resume=begun)
    assert whole.record.config["freeze"]["policy"] == "none"
    assert tlexp.runs(tmp_path)["status"].tolist() == ["killed", "finished"]


def test_what_runs_shared_is_let_go_of_for_images_may_change_between_calls() -> None:
    before = process_session()
    with pytest.raises(tlexp.ConfigError):
        tlexp.run("freeze=al")
    assert process_session() is not before


def test_a_run_is_not_made_a_sweep() -> None:
    with pytest.raises(tlexp.ConfigError, match=r"hydra.mode=MULTIRUN: tlexp.run does one run; take tlexp.sweep"):
        tlexp.run("hydra.mode=MULTIRUN", "backbone=tiny")
