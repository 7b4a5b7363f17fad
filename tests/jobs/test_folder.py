import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tlexp.config import Config, config_values
from tlexp.errors import ConfigError
from tlexp.jobs.folder import Attempt, SweepFolder
from tlexp.paths import publish
from tlexp.tracking import Record, RunStatus, environment, publish_record
from tlexp.tracking.blocks import FreezeBlock, Seeds, TrainBlock
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import CHECKPOINT_FOLDER, PROCESS_FILE

KEY = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "multirun" / "mine")


def begin(folder: SweepFolder, earlier: list[Attempt] | None = None, key: str = KEY) -> Attempt:
    return folder.begin(key, {"seed": "0"}, 0, earlier or [])


def run(attempt: Attempt, status: RunStatus | None, key: str = KEY) -> None:
    """Leave what a run leaves: its process, and its record unless it was killed outright."""
    process = process_identity() | {"pid": 1, "started": 0}
    publish(attempt.folder / PROCESS_FILE, json.dumps(process).encode())
    if status is not None:
        record = Record(
            key=key, status=status, reason=None, overrides=[], config=config_values(Config()),
            seeds=Seeds(seed=0, data=0), freeze=FreezeBlock(policy="none"),
            data=None, train=TrainBlock(), metrics={}, tracking=None,
            environment=environment("cpu"), started="", ended="",
        )  # fmt: skip
        publish_record(attempt.folder, record)


def checkpoint(attempt: Attempt) -> None:
    (attempt.folder / CHECKPOINT_FOLDER).mkdir()
    (attempt.folder / CHECKPOINT_FOLDER / "final.state.safetensors").write_bytes(b"state")


def test_sixty_four_attempts_in_one_moment_have_folders_of_their_own(folder: SweepFolder) -> None:
    with ThreadPoolExecutor(64) as pool:
        made = list(pool.map(lambda _: begin(folder), range(64)))
    assert len({attempt.folder for attempt in made}) == 64


def test_attempts_are_found_again(folder: SweepFolder) -> None:
    first, other = begin(folder), begin(folder, key="cd" * 32)
    run(first, RunStatus.finished)
    run(other, RunStatus.failed, key="cd" * 32)
    found = {attempt.key: attempt for attempt in folder.attempts()}
    assert (found[KEY].counts, found["cd" * 32].counts) == (True, False)
    assert found[KEY].point == {"seed": "0"}
    assert [attempt.begun for attempt in folder.attempts()] == [True, True]


def test_a_record_that_was_changed_or_belongs_to_another_run_does_not_count(folder: SweepFolder) -> None:
    changed, foreign = begin(folder), begin(folder, key="cd" * 32)
    run(changed, RunStatus.finished)
    path = changed.folder / "record.json"
    path.write_text(path.read_text().replace('"metrics": {}', '"metrics": {"val/loss": 0.0}'))
    run(foreign, RunStatus.finished, key="ef" * 32)
    found = {attempt.key: attempt for attempt in folder.attempts()}
    assert not found[KEY].counts
    assert "was changed after it was written" in str(found[KEY].fault)
    assert not found["cd" * 32].counts
    assert "the record of another run" in str(found["cd" * 32].fault)


@pytest.mark.parametrize(("status", "goes_on"), [(None, True), (RunStatus.killed, True), (RunStatus.failed, False)])
def test_an_interrupted_run_goes_on_from_its_checkpoint(
    folder: SweepFolder, status: RunStatus | None, goes_on: bool
) -> None:
    first = begin(folder)
    checkpoint(first)
    run(first, status)
    second = begin(folder, folder.attempts())
    assert (second.folder / CHECKPOINT_FOLDER / "final.state.safetensors").exists() == goes_on
    assert second.folder.name.startswith("002-")
    if goes_on:  # killed before it began: the checkpoint is not lost with it
        third = begin(folder, folder.attempts())
        assert (third.folder / CHECKPOINT_FOLDER / "final.state.safetensors").exists()
        assert not second.folder.exists()


def test_only_the_latest_attempt_is_gone_on_with(folder: SweepFolder) -> None:
    first = begin(folder)
    checkpoint(first)
    run(first, None)
    second = begin(folder)
    run(second, RunStatus.failed)
    third = begin(folder, [first, folder.reread(second)])
    assert not (third.folder / CHECKPOINT_FOLDER).exists()


def test_a_second_process_is_told_who_works_here(folder: SweepFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from tlexp.jobs.folder import SweepFolder\n"
        f"with SweepFolder(Path({str(folder.path)!r})).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"is being worked on by process {process.pid} on "), folder.locked():
            pass
        process.kill()
    with folder.locked():  # the lock of a killed process is gone with it
        pass


def test_a_run_that_outlived_its_sweep_is_waited_for(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = begin(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        alive = process_identity() | {"pid": process.pid, "started": int(stat[19])}
        publish(attempt.folder / PROCESS_FILE, json.dumps(alive).encode())
        monkeypatch.setattr("tlexp.jobs.folder._DYING_SECONDS", 0.2)
        with pytest.raises(ConfigError, match=f"still being worked on by process {process.pid}"):
            folder.attempts()
        process.kill()
        process.wait()
        assert len(folder.attempts()) == 1
    mine = process_identity()
    assert mine["pid"] == os.getpid()
    publish(attempt.folder / PROCESS_FILE, json.dumps(mine).encode())
    assert len(folder.attempts()) == 1


def test_a_changed_fixed_setting_is_refused_and_named(folder: SweepFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.state({"fixed": {"labels": "20", "optim.lr": None}, "swept": ["seed"]})
    folder.state({"fixed": {"labels": "20", "optim.lr": None}, "swept": ["seed"]})
    folder.state({"fixed": {"labels": "20"}, "swept": ["seed", "optim.lr"]})  # one more axis is no change
    with pytest.raises(ConfigError) as refused:
        folder.state({"fixed": {"labels": "5"}, "swept": ["seed"]})
    assert "labels was 20 and would be 5" in str(refused.value)
    assert "another hydra.sweeper.name" in str(refused.value)
    about = folder.about()
    assert about is not None
    assert about["fixed"] == {"labels": "20"}


def test_a_folder_of_another_protocol_is_not_gone_on_with(folder: SweepFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.state({"fixed": {"protocol": 4}, "swept": ["seed"]})
    with pytest.raises(ConfigError) as refused:
        folder.agree({"protocol": 5})
    assert str(refused.value).endswith(
        "protocol was 4 and would be 5: a sweep compares runs that share their fixed settings; the version of tlexp "
        "that began it goes on with it, or give the new one another hydra.sweeper.name"
    )


def test_a_damaged_study_file_is_named(folder: SweepFolder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "study.json").write_text("{")
    with pytest.raises(ConfigError, match=r"study\.json cannot be read"):
        folder.about()
    (folder.path / "study.json").write_text('{"schema": 99}')
    with pytest.raises(ConfigError, match="another schema than 1"):
        folder.about()


def test_what_killed_attempts_left_half_written_goes_when_the_sweep_goes_on(folder: SweepFolder) -> None:
    attempt = begin(folder)
    half = [
        attempt.folder / ".record.json.01234567.tmp",
        attempt.folder / "checkpoint" / ".final.state.safetensors.89abcdef.tmp",
        folder.path / ".results.csv.01234567.tmp",
    ]
    (attempt.folder / "checkpoint").mkdir()
    for path in half:
        path.write_bytes(b"half")
    with folder.locked():
        assert not any(path.exists() for path in half)
        assert attempt.folder.exists()


def test_an_attempt_is_numbered_behind_the_last_one_that_is_left(folder: SweepFolder) -> None:
    first = begin(folder)
    run(first, RunStatus.failed)
    second = folder.begin(KEY, {"seed": "0"}, 0, folder.attempts())
    run(second, RunStatus.failed)
    shutil.rmtree(first.folder)
    third = folder.begin(KEY, {"seed": "0"}, 0, folder.attempts())
    assert [each.folder.name[:4] for each in (first, second, third)] == ["001-", "002-", "003-"]
