import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from tlexp.compose.load import Composed
from tlexp.config import Config, config_values
from tlexp.errors import Interrupted
from tlexp.jobs import runner
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.planned import Planned
from tlexp.jobs.runner import SILENT, HydraContext, Job, JobRunner, is_basic, workers
from tlexp.paths import publish
from tlexp.tracking import Record, RunStatus, environment, publish_record
from tlexp.tracking.blocks import FreezeBlock, Seeds, TrainBlock
from tlexp.tracking.names import PROCESS_FILE

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"


def config(target: str, **launcher: int) -> DictConfig:
    return OmegaConf.create({"hydra": {"launcher": {"_target_": target, **launcher}, "sweep": {"dir": "."}}})


@dataclass
class Launcher:
    """In place of Hydra's: does with each attempt's folder what `run` says, and remembers what it was given."""

    run: Callable[[Path], JobReturn | None]
    launched: list[list[str]] = field(default_factory=list)

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn | None]:
        parser = OverridesParser.create()
        found = []
        for words in jobs:
            values = {word.key_or_group: str(word.value()) for word in parser.parse_overrides(list(words))}
            folder = Path(values["hydra.sweep.dir"], values["hydra.sweep.subdir"])
            self.launched.append([values["seed"], str(folder)])
            found.append(self.run(folder))
        return found


@dataclass
class Hearer:
    """What a sweep is told."""

    told: list[tuple[str, bool, str | None]] = field(default_factory=list)
    most: int = 99

    def __call__(self, job: Job, reason: str | None) -> bool:
        self.told.append((job.planned.key, job.attempt.record is not None, reason))
        return len(self.told) < self.most


Build = Callable[..., tuple[JobRunner, Launcher, Hearer]]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    path = tmp_path / "it's a=b, {sweep}"
    path.mkdir()
    return SweepFolder(path)


@pytest.fixture
def build(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def built(run: Callable[[Path], JobReturn | None], target: str = JOBLIB, most: int = 99) -> Any:
        launcher, hearer = Launcher(run), Hearer(most=most)
        plugins = SimpleNamespace(instantiate_launcher=lambda **_: launcher)
        monkeypatch.setattr(runner, "Plugins", SimpleNamespace(instance=lambda: plugins))
        context = HydraContext(hydra=None, task=print, config=config(target, n_jobs=2))  # type: ignore[arg-type]
        return JobRunner(context, folder, hearer), launcher, hearer

    yield built
    assert {number: signal.getsignal(number) for number in before} == before


def assign(folder: SweepFolder, *keys: str) -> list[Job]:
    return [
        Job(
            planned=Planned(
                point={"seed": key}, overrides=(f"seed={key}",), key=key, composed=Composed(config=Config(), shown={})
            ),
            attempt=folder.begin(key, {"seed": key}, 0, []),
        )
        for key in keys
    ]


def begin(folder: Path) -> JobReturn:
    publish(folder / PROCESS_FILE, b"{}")
    return JobReturn(status=JobStatus.COMPLETED)


def finish(folder: Path) -> JobReturn:
    key = json.loads((folder / "job.json").read_text())["key"]
    begin(folder)
    record = Record(
        key=key, status=RunStatus.finished, reason=None, overrides=[], config=config_values(Config()),
        seeds=Seeds(seed=0, data=0), freeze=FreezeBlock(policy="none"),
        data=None, train=TrainBlock(), metrics={}, tracking=None,
        environment=environment("cpu"), started="", ended="",
    )  # fmt: skip
    publish_record(folder, record)
    return JobReturn(status=JobStatus.COMPLETED)


def fail(folder: Path) -> JobReturn:
    begin(folder)
    ended = JobReturn(status=JobStatus.FAILED)
    ended.return_value = KeyError() if folder.parent.name == "nameless" else ValueError("no images")
    return ended


def test_how_many_work_at_once() -> None:
    cores = os.cpu_count() or 1
    for target, launcher, count in (
        (BASIC, {"n_jobs": 3}, 1),
        (JOBLIB, {"n_jobs": 3}, 3),
        (JOBLIB, {}, 1),
        (JOBLIB, {"n_jobs": -1}, cores),
        (JOBLIB, {"n_jobs": -cores - 5}, 1),
        ("hydra_plugins.x.SlurmLauncher", {"array_parallelism": 8}, 8),
    ):
        assert workers(config(target, **launcher)) == count
        assert is_basic(config(target)) == (target == BASIC)


def test_every_folder_finds_its_way_to_the_job(build: Build, folder: SweepFolder) -> None:
    team, launcher, _ = build(finish)
    jobs = assign(folder, "0", "1")
    with team:
        assert team.run(jobs)
    assert launcher.launched == [[each.planned.key, str(each.attempt.folder)] for each in jobs]


@pytest.mark.parametrize("target", [BASIC, JOBLIB])
def test_how_each_job_ended(target: str, build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        key = where.parent.name
        if key == "torn":
            finish(where)
            (where / "record.json").write_text("{")
            return JobReturn(status=JobStatus.COMPLETED)
        return {"well": finish, "nameless": fail, "badly": fail, "silent": begin}[key](where)

    team, _, hearer = build(run, target)
    with team:
        assert team.run(assign(folder, "well", "badly", "nameless", "silent", "torn"))
    told = {key: (recorded, reason) for key, recorded, reason in hearer.told}
    assert "record.json" in (told.pop("torn")[1] or "")
    assert told == {
        "well": (True, None), "badly": (False, "no images"), "nameless": (False, "KeyError"), "silent": (False, SILENT),
    }  # fmt: skip
    assert len(hearer.told) == 5


def test_alone_a_job_is_taken_when_it_begins_and_none_after_the_end(build: Build, folder: SweepFolder) -> None:
    taken: list[str] = []

    def one_by_one() -> Iterator[Job]:
        for key in "012":
            taken.append(key)
            yield from assign(folder, key)

    team, launcher, hearer = build(finish, BASIC, most=2)
    with team:
        assert not team.run(one_by_one())
    assert (taken, len(launcher.launched), len(hearer.told)) == (["0", "1"], 2, 2)


def test_together_what_had_not_begun_runs_again_after_a_worker_died(build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        if where.parent.name == "dies" and not (where / PROCESS_FILE).exists():
            begin(where)
            raise RuntimeError("a worker was killed")
        return finish(where)

    team, launcher, hearer = build(run)
    with team:
        assert team.run(assign(folder, "well", "dies", "later"))
    assert [key for key, _ in launcher.launched] == ["well", "dies", "later"]
    assert sorted(hearer.told) == [("dies", False, SILENT), ("later", True, None), ("well", True, None)]


def test_together_a_failure_too_many_ends_it(build: Build, folder: SweepFolder) -> None:
    team, _, hearer = build(fail, most=1)
    with team:
        assert not team.run(assign(folder, "0"))
    assert hearer.told == [("0", False, "no images")]


def test_a_launcher_that_cannot_begin_is_no_dead_worker(build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        raise RuntimeError("no cluster")

    team, _, hearer = build(run)
    with team, pytest.raises(RuntimeError, match="no cluster"):
        team.run(assign(folder, "0"))
    assert hearer.told == []


def test_jobs_that_never_begin_do_not_keep_it(build: Build, folder: SweepFolder) -> None:
    team, launcher, hearer = build(lambda _: JobReturn(status=JobStatus.COMPLETED))
    with team:
        assert team.run(assign(folder, "0"))
    assert (len(launcher.launched), hearer.told) == (1, [])


def test_records_are_told_while_others_still_run_and_can_stop_them(build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        if where.parent.name == "first":
            return finish(where)
        begin(where)
        for _ in range(100):
            if list(folder.path.glob(".stop-*")):
                told.extend(hearer.told)
                break
            time.sleep(0.05)
        return JobReturn(status=JobStatus.COMPLETED)

    told: list[object] = []
    team, launcher, hearer = build(run, most=1)
    with team:
        assert not team.run(assign(folder, "first", "second"))
    assert told == [("first", True, None)]
    assert hearer.told == [("first", True, None), ("second", False, SILENT)]
    assert not list(folder.path.glob(".stop-*"))
    assert len(launcher.launched) == 2


def test_together_a_signal_stops_the_workers_and_ends_the_sweep(build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        if where.parent.name == "0":
            os.kill(os.getpid(), signal.SIGTERM)
            assert list(folder.path.glob(".stop-*"))
            with pytest.raises(Interrupted):  # the second time it is not waited for
                os.kill(os.getpid(), signal.SIGINT)
        return finish(where)

    team, _, hearer = build(run)
    with team, pytest.raises(Interrupted) as caught:
        team.run(assign(folder, "0", "1"))
    assert caught.value.signal_number == signal.SIGTERM
    assert len(hearer.told) == 2
    assert not list(folder.path.glob(".stop-*"))


def test_alone_a_signal_between_runs_ends_it_at_once(build: Build, folder: SweepFolder) -> None:
    def run(where: Path) -> JobReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a run leaves it
        return finish(where)

    team, _, _ = build(run, BASIC)
    with team:
        team.run(assign(folder, "0"))
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_earlier_sweep_s_request_to_stop_is_forgotten(build: Build, folder: SweepFolder) -> None:
    (folder.path / ".stop-0123").touch()
    team, _, _ = build(finish)
    with team:
        assert not list(folder.path.glob(".stop-*"))


@pytest.mark.parametrize("most", [99, 1])
def test_what_was_submitted_is_told_once_it_is_over(
    most: int, build: Build, folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[list[str]] = []
    given_up: list[Path] = []

    class Jobs:
        """In place of a scheduler: one job is over at each look; the third was never begun."""

        def __init__(self, root: Path, jobs: Sequence[Path]) -> None:
            self.left = list(jobs)

        def look(self) -> list[Path]:
            over = self.left.pop(0)
            if over.parent.name != "cancelled":
                finish(over)
            return [over]

        def give_up(self) -> None:
            given_up.extend(self.left)
            self.left.clear()

        def line(self) -> str:
            return f"waiting for {len(self.left)} jobs"

        def forget(self) -> None:
            submitted.append(["forgotten"])

    monkeypatch.setattr(runner, "SubmittedJobs", Jobs)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(runner, "submit", lambda launcher, words, jobs, root: submitted.extend(words))
    team, _, hearer = build(begin, SLURM, most=most)
    with team:
        assert team.run(assign(folder, "first", "cancelled", "second")) == (most == 99)
    assert [words[0] for words in submitted] == ["seed=first", "seed=cancelled", "seed=second", "forgotten"]
    told = [("first", True, None), ("second", True, None)]
    assert hearer.told == (told if most == 99 else told[:1])
    assert [path.parent.name for path in given_up] == ([] if most == 99 else ["cancelled", "second"])


def test_a_signal_ends_the_command_and_leaves_what_was_submitted(
    build: Build, folder: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    team, _, _ = build(begin, SLURM)
    with team, pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    assert "what was submitted goes on" in capsys.readouterr().err
