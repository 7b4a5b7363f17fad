import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from tlexp.errors import ConfigError
from tlexp.jobs import submission
from tlexp.jobs.lease import Beat, last_lease, read_lease, take_lease
from tlexp.jobs.submission import SubmittedJobs, await_submitted, submit, submits
from tlexp.tracking.environment import process_identity

ELSEWHERE = process_identity() | {"host": "another"}
DEAD = process_identity() | {"pid": 1, "started": 0}


@pytest.fixture
def jobs(tmp_path: Path) -> list[Path]:
    """Folders of two jobs of one submission to Slurm."""
    folders = [tmp_path / "runs" / key / "001-a" for key in ("0", "1")]
    for folder in folders:
        folder.mkdir(parents=True)
    (tmp_path / ".submitted").mkdir()
    said = {"cluster": "slurm", "jobs": [folder.relative_to(tmp_path).as_posix() for folder in folders]}
    (tmp_path / ".submitted" / "tlexp-0.json").write_text(json.dumps(said))
    return folders


def queue(monkeypatch: pytest.MonkeyPatch, *places: int, answers: bool = True) -> None:
    found = {("tlexp-0", place): "pending (Priority)" for place in places} | {("of-another", 0): "running"}
    monkeypatch.setattr(submission, "_queue", lambda: found if answers else None)
    monkeypatch.setattr(submission, "_QUEUE_SECONDS", -1.0)


def begin(folder: Path, process: dict[str, Any]) -> None:
    assert take_lease(folder) is not None
    (folder / "process.json").write_text(json.dumps(process))


def test_what_waits_in_the_queue_is_not_over_and_what_left_it_cannot_begin(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(monkeypatch, 0, 1)
    found = SubmittedJobs(tmp_path)
    assert found.look() == []
    queue(monkeypatch, 1)
    assert (found.look(), found.left) == ([jobs[0]], [jobs[1]])
    assert take_lease(jobs[0]) is None


def test_what_is_under_way_is_told_and_nothing_is_given_up(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(monkeypatch, 0, 1)
    begin(jobs[0], process_identity())
    assert SubmittedJobs(tmp_path).under_way() == {jobs[0]: True, jobs[1]: False}
    queue(monkeypatch, 0)
    assert SubmittedJobs(tmp_path).under_way() == {jobs[0]: True}
    assert (last_lease(jobs[0]), last_lease(jobs[1])) == (1, 0)
    (jobs[0] / "leases/001/lease.json").write_text('{"beat": 1, "over": false, "left": true}')
    assert SubmittedJobs(tmp_path).under_way() == {jobs[0]: False}  # put back into the queue
    (jobs[0] / "leases/001/lease.json").write_text('{"beat": 1, "over": true, "left": false}')
    assert SubmittedJobs(tmp_path).under_way() == {}
    assert SubmittedJobs(tmp_path / "another").under_way() == {}


def test_a_job_that_says_it_is_over_is(jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(monkeypatch, 0, 1)
    lease = take_lease(jobs[0])
    assert lease is not None
    lease.end(over=True)
    assert SubmittedJobs(tmp_path, jobs[:1]).look() == jobs[:1]


@pytest.mark.parametrize(
    ("process", "left", "queued", "over"),
    [
        (process_identity(), False, False, False),  # it works, whatever the queue says
        (DEAD, False, True, False),  # killed, and to be started again
        (DEAD, False, False, True),
        (ELSEWHERE, True, True, False),
        (ELSEWHERE, True, False, True),  # taken from the queue while it ran
        (ELSEWHERE, False, False, False),  # of another host nothing is known so soon
    ],
)
def test_when_a_job_that_began_is_over(
    process: dict[str, Any],
    left: bool,
    queued: bool,
    over: bool,
    jobs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue(monkeypatch, *([0] if queued else []))
    begin(jobs[0], process)
    if left:
        (jobs[0] / "leases" / "001" / "lease.json").write_text('{"beat": 3, "over": false, "left": true}')
    found = SubmittedJobs(tmp_path, jobs[:1])
    assert found.look() == (jobs[:1] if over else [])
    assert (read_lease(jobs[0], 2) == Beat(over=True)) == over


@pytest.mark.parametrize(("there", "patience"), [(True, 600), (False, 60)])
def test_a_queue_that_does_not_answer_is_waited_for_and_then_what_no_lease_tells_of_is_given_up(
    there: bool,
    patience: float,
    jobs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(submission, "program", lambda name: name if there else None)
    now = 0.0
    monkeypatch.setattr(submission, "time", SimpleNamespace(monotonic=lambda: now))
    queue(monkeypatch, answers=False)
    begin(jobs[0], ELSEWHERE)
    lease = jobs[0] / "leases/001/lease.json"
    lease.write_text('{"beat": 3, "over": false, "left": true}')  # put back into the queue
    found = SubmittedJobs(tmp_path)
    for watch in found._watches.values():
        watch._since -= 10000
    now = patience - 1
    assert found.look() == []
    queue(monkeypatch, 0, 1)
    assert found.look() == []  # it has answered: the patience is a new one
    queue(monkeypatch, answers=False)
    now = 2 * patience - 2
    assert found.look() == []
    assert "is not in the PATH" in found.line() if not there else "squeue has not answered for" in found.line()
    assert capsys.readouterr().err == ""
    now = 2 * patience
    assert sorted(found.look()) == jobs
    assert [last_lease(folder) for folder in jobs] == [2, 1]
    assert take_lease(jobs[1]) is None
    said = capsys.readouterr().err
    assert said.count("they are given up, and end at once should Slurm start them") == 1


def test_a_job_that_shows_life_is_not_given_up_however_long_the_queue_does_not_answer(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_UNANSWERED_SECONDS", -1.0)
    monkeypatch.setattr(submission, "LAPSE_SECONDS", -1.0)
    queue(monkeypatch, answers=False)
    begin(jobs[0], process_identity())
    assert SubmittedJobs(tmp_path, jobs[:1]).look() == []


def test_what_is_waited_for_is_told_in_the_words_of_the_queue(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(monkeypatch, 0, 1)
    found = SubmittedJobs(tmp_path)
    found.look()
    assert found.line() == "waiting for 2 jobs: 2 pending (Priority)"
    queue(monkeypatch, 1)
    begin(jobs[0], process_identity())
    found.look()
    assert found.line() == "waiting for 2 jobs: 1 pending (Priority), 1 running"  # its lease says so


def test_without_squeue_nothing_is_submitted(jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = fake(monkeypatch)
    monkeypatch.setattr(submission, "program", lambda name: None)
    with pytest.raises(ConfigError, match="no job was submitted: squeue is not in the PATH"):
        submit(LAUNCHER, [["seed=0"], ["seed=1"]], jobs, tmp_path)
    assert (told, list(tmp_path.glob(".submitted/mine*"))) == ([], [])


def test_jobs_of_an_earlier_command_are_waited_for(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue(monkeypatch, 0, 1)

    def wait(seconds: float) -> None:
        queue(monkeypatch)

    monkeypatch.setattr(submission, "time", SimpleNamespace(sleep=wait, monotonic=lambda: 0.0))
    await_submitted(tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("note: 2 jobs that were submitted before are not over")
    assert told[1] == "waiting for 2 jobs: 2 pending (Priority)"
    assert not list((tmp_path / ".submitted").iterdir())
    await_submitted(tmp_path)


def test_those_that_did_not_begin_are_given_up(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(monkeypatch, 0, 1)
    begin(jobs[0], process_identity())
    found = SubmittedJobs(tmp_path)
    found.look()
    found.give_up()
    assert [last_lease(folder) for folder in jobs] == [1, 1]
    assert found.look() == [jobs[1]]


def fake(monkeypatch: pytest.MonkeyPatch, *, refuses: bool = False) -> list[Any]:
    """Put an executor in the place of submitit's; return what it is told."""
    told: list[Any] = []

    class Executor:
        def __init__(self, **values: Any) -> None:
            told.append(values)

        def update_parameters(self, **values: Any) -> None:
            told.append(values)

        def map_array(self, *calls: Any) -> None:
            if refuses:
                raise RuntimeError("invalid partition specified: nowhere")
            told.append(calls)

    module = ModuleType("submitit")
    module.AutoExecutor = Executor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "submitit", module)
    return told


LAUNCHER = SimpleNamespace(
    params={"name": "mine", "submitit_folder": "x/%j", "max_num_timeout": 3, "timeout_min": 5, "partition": "gpu"},
    _EXECUTOR="slurm",
)


def test_jobs_are_written_down_and_handed_over(
    jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = fake(monkeypatch)
    monkeypatch.setattr(submission, "program", str)
    monkeypatch.setattr(submission, "_LARGEST", 1)
    submit(LAUNCHER, [["seed=0"], ["seed=1"]], jobs, tmp_path)
    lists = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob(".submitted/mine-*.json")}
    assert sorted(each["jobs"][0] for each in lists.values()) == ["runs/0/001-a", "runs/1/001-a"]
    assert told[0] == {"folder": "x/%j", "cluster": "slurm", "slurm_max_num_timeout": 3}
    assert told[1]["name"] in lists
    assert (told[1]["timeout_min"], told[1]["slurm_partition"]) == (5, "gpu")
    launcher, words, _, numbers, _, _ = told[5]
    assert (launcher, words, numbers) == (LAUNCHER, (["seed=1"],), (1,))
    assert (tmp_path / ".submitit").stat().st_mode & 0o077 == 0


def test_what_a_scheduler_refuses_is_told(jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, refuses=True)
    monkeypatch.setattr(submission, "program", str)
    with pytest.raises(ConfigError, match="no job was submitted: invalid partition specified: nowhere; see"):
        submit(LAUNCHER, [["seed=0"]], jobs[:1], tmp_path)


def test_what_slurm_says_of_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "squeue"
    monkeypatch.setattr(submission, "program", lambda name: str(script))
    script.write_text("#!/bin/sh\necho '12_3|PENDING|my job-1|BeginTime'; echo ' 13|RUNNING|tlexp-2|None'\n")
    script.chmod(0o755)
    assert submission._queue() == {("my job-1", 3): "pending (BeginTime)", ("tlexp-2", 0): "running"}
    script.write_text("#!/bin/sh\nexit 1\n")
    assert submission._queue() is None
    monkeypatch.setattr(submission, "program", lambda name: None)
    assert submission._queue() is None


def test_which_launchers_submit() -> None:
    for target, expected in (
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", True),
        ("x", False),
    ):
        assert submits(OmegaConf.create({"hydra": {"launcher": {"_target_": target}}})) == expected


def test_a_job_whose_folder_is_gone_is_over(jobs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(monkeypatch, 0, 1)
    found = SubmittedJobs(tmp_path, [tmp_path / "gone"])
    assert found.look() == [tmp_path / "gone"]
