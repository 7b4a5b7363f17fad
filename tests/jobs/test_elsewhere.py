import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tlexp.jobs import submission
from tlexp.jobs.elsewhere import under_way
from tlexp.jobs.folder import Attempt, SweepFolder
from tlexp.jobs.lease import take_lease
from tlexp.jobs.peers import Peers
from tlexp.tracking.environment import process_identity
from tlexp.tracking.names import PROCESS_FILE

HERE = process_identity()
ELSEWHERE = HERE | {"host": "another"}


@pytest.fixture
def living() -> Iterator[dict[str, Any]]:
    """Another process of this host."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        yield HERE | {"pid": process.pid, "started": int(stat[19])}
        process.kill()


def begun(root: Path, key: str, process: dict[str, Any]) -> Attempt:
    attempt = SweepFolder(root).begin(key, {"seed": key}, 0, [])
    (attempt.folder / PROCESS_FILE).write_text(json.dumps(process))
    return attempt


def test_what_a_living_process_of_this_host_is_at_runs(tmp_path: Path, living: dict[str, Any]) -> None:
    attempts = [begun(tmp_path, "a", living), begun(tmp_path, "b", HERE), begun(tmp_path, "c", HERE | {"pid": 0})]
    assert under_way(tmp_path, attempts) == {"a": f"running on {HERE['host']}"}  # this process is at none


def test_what_another_host_is_at_runs_while_a_command_has_its_lease_from_there(tmp_path: Path) -> None:
    attempts = [begun(tmp_path, "a", ELSEWHERE), begun(tmp_path, "b", ELSEWHERE | {"host": "a third"})]
    with Peers(tmp_path) as command:
        assert under_way(tmp_path, attempts) == {}  # it is here
        (tmp_path / ".commands" / command.name / PROCESS_FILE).write_text(json.dumps(ELSEWHERE))
        before = sorted(tmp_path.rglob("*"))
        assert under_way(tmp_path, attempts) == {"a": "running on another"}
        assert sorted(tmp_path.rglob("*")) == before
    assert under_way(tmp_path, attempts) == {}


def test_what_a_scheduler_has_runs_on_a_host_or_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, living: dict[str, Any]
) -> None:
    attempts = [begun(tmp_path, "a", living), begun(tmp_path, "b", living)]
    attempts.append(begun(tmp_path, "c", ELSEWHERE))
    assert all(take_lease(attempts[place].folder) is not None for place in (0, 2))
    (attempts[1].folder / PROCESS_FILE).unlink()
    (tmp_path / ".submitted").mkdir()
    jobs = [attempt.folder.relative_to(tmp_path).as_posix() for attempt in attempts]
    (tmp_path / ".submitted/x.json").write_text(json.dumps({"cluster": "slurm", "jobs": jobs}))
    monkeypatch.setattr(submission, "_queue", lambda: {("x", place): "running" for place in range(3)})
    expected = {"a": f"running on {HERE['host']}", "b": "queued", "c": "running on another"}
    assert under_way(tmp_path, attempts) == expected
    monkeypatch.setattr(submission, "_queue", lambda: None)
    assert under_way(tmp_path, attempts) == expected  # by leases and processes alone
    (attempts[0].folder / PROCESS_FILE).write_text(json.dumps(HERE | {"pid": 1, "started": 0}))
    assert under_way(tmp_path, attempts) == {run: expected[run] for run in "bc"}
