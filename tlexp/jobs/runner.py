"""Launches jobs through Hydra's launchers and hears how each ended, whether they run here or in worker processes."""

import contextlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydra import types
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from tlexp.errors import Interrupted
from tlexp.jobs.folder import Attempt, SweepFolder
from tlexp.jobs.planned import Planned
from tlexp.jobs.progress import WaitingLine
from tlexp.jobs.signals import handlers, listen
from tlexp.jobs.submission import POLL_SECONDS, SubmittedJobs, submit, submits
from tlexp.jobs.submitted import SubmittedTask
from tlexp.jobs.worker import JobTask, Task
from tlexp.paths import in_words
from tlexp.tracking import names

_POLL_SECONDS = 0.2
SILENT = "its process ended without a word; the system ends processes so when memory runs out"


@dataclass(frozen=True, kw_only=True)
class HydraContext:
    """What Hydra hands to a sweeper."""

    hydra: types.HydraContext
    task: types.TaskFunction
    config: DictConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """A point and the attempt to run it."""

    planned: Planned
    attempt: Attempt


Heard = Callable[[Job, str | None], bool]
"""Told how a job ended: with the attempt as it stands, and why it failed where no record says so. True = go on."""


class JobRunner:
    """Runs jobs, one after the other or several at once, as the chosen launcher does.

    As a context manager it takes signals over. Jobs in this process answer them by themselves; workers are asked to
    stop through a file, and waited for; what was submitted to a scheduler goes on.

    Args:
        context: What Hydra hands over.
        folder: Of the sweep; locked, unless commands share it.
        heard: Told of every job that ended, in another thread while several run at once.
        ending: The file that a job writes last.
        stop: While this file exists, jobs end; None where this command works on the sweep alone.
        waits: Shows each second how jobs stand that were submitted; a line a minute does when None.

    Attributes:
        workers: How many jobs run at once.
        submits: Whether a scheduler's queue takes them.
    """

    def __init__(
        self,
        context: HydraContext,
        folder: SweepFolder,
        heard: Heard,
        *,
        ending: str = names.RECORD_FILE,
        stop: Path | None = None,
        waits: Callable[[str], None] | None = None,
    ) -> None:
        self.workers = workers(context.config)
        self._folder, self._heard, self._ending = folder, heard, ending
        self._alone, self.submits = is_basic(context.config), submits(context.config)
        self._shared = stop is not None
        self._stop = stop or folder.path.absolute() / f".stop-{uuid.uuid4().hex[:12]}"
        self._received: int | None = None
        self._waits = waits or WaitingLine().show
        config = context.config.copy()
        with open_dict(config.hydra):
            config.hydra.sweep.dir = str(folder.path.absolute())
        task: Task = context.task  # type: ignore[assignment]  # the command line's takes a second argument
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context.hydra,
            task_function=self._job_task(task),
            config=config,
        )

    def __enter__(self) -> "JobRunner":
        for stale in () if self._shared else self._folder.path.glob(".stop-*"):
            stale.unlink(missing_ok=True)
        self._before = handlers()
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._alone:
            _retire()
        self._stop.unlink(missing_ok=True)
        listen(self._before)

    def run(self, jobs: Iterable[Job]) -> bool:
        """Run the jobs; return whether the sweep may go on. Where they run one by one, each is taken when it begins.

        Raises:
            Interrupted: A signal asked to stop; running jobs have written their checkpoints.
        """
        if self.submits:
            return self._submitted(list(jobs))
        if not self._alone:
            return self._together(list(jobs))
        for job in jobs:
            [ended] = self._launch([job])
            self._listen()  # the run listened itself
            if not self._tell(job, ended):
                return False
        return True

    def _job_task(self, task: Task) -> JobTask:
        if self.submits:
            return SubmittedTask(
                task=task, stop=self._stop, sweeper=os.getpid(), workers=self.workers, ending=self._ending
            )
        return JobTask(task=task, stop=self._stop, sweeper=os.getpid(), workers=self.workers)

    def _listen(self) -> None:
        listen(dict.fromkeys(self._before, self._hear_signal))

    def _submitted(self, waiting: list[Job]) -> bool:
        """Submit the jobs and wait until all are over; those that need not begin any more are given up."""
        root, goes_on = self._folder.path.absolute(), True
        by_folder = {job.attempt.folder.absolute(): job for job in waiting}
        if waiting:
            submit(self._launcher, self._words(waiting), list(by_folder), root)
        jobs = SubmittedJobs(root, by_folder)
        while jobs.left:
            time.sleep(POLL_SECONDS)
            for folder in jobs.look():
                goes_on = self._tell_latest(by_folder[folder]) and goes_on
            if not goes_on:
                self._stop.touch()
                jobs.give_up()
            if jobs.left:
                self._waits(jobs.line())
        jobs.forget()
        return goes_on

    def _tell_latest(self, job: Job) -> bool:
        """Tell how a job ended that a scheduler may have started several times."""
        if self._ending != names.RECORD_FILE:
            return self._tell(job, None)
        attempts = [each for each in self._folder.attempts([job.planned.key]) if each.begun]
        if not attempts:
            return True  # taken from the queue before it began
        return self._tell(Job(planned=job.planned, attempt=attempts[-1]), None)

    def _together(self, waiting: list[Job]) -> bool:
        """Run the jobs in workers, again where one died and took others with it that had not begun."""
        told: set[str] = set()
        goes_on = True
        while waiting and goes_on and self._received is None:
            with self._watching(waiting, told) as watch:
                returned = self._launched(waiting)
            goes_on = watch.goes_on
            for job, ended in zip(waiting, returned, strict=True):
                if job.planned.key not in told and job.attempt.begun:
                    told.add(job.planned.key)
                    goes_on = self._tell(job, ended) and goes_on
            left = [job for job in waiting if job.planned.key not in told]
            if len(left) == len(waiting):
                break
            waiting = left
        if self._received is not None:
            raise Interrupted(self._received)
        return goes_on

    def _launched(self, waiting: list[Job]) -> list[Any]:
        """Launch; where a worker died, return an empty answer for each."""
        try:
            return self._launch(waiting)
        except Exception as error:  # each launcher has its own for a worker that was killed
            if not any(job.attempt.begun for job in waiting):
                raise
            print(f"note: {type(error).__name__}: a worker was killed", file=sys.stderr)  # noqa: T201
            return [None] * len(waiting)

    def _launch(self, jobs: Sequence[Job]) -> list[Any]:
        return list(self._launcher.launch(self._words(jobs), initial_job_idx=0))

    def _words(self, jobs: Sequence[Job]) -> list[list[str]]:
        """Return the overrides of each job."""
        root = self._folder.path.absolute()
        return [
            [
                *job.planned.overrides,
                f"hydra.sweep.dir={_quoted(str(root))}",
                f"hydra.sweep.subdir={_quoted(job.attempt.folder.absolute().relative_to(root).as_posix())}",
            ]
            for job in jobs
        ]

    def _tell(self, job: Job, ended: Any) -> bool:
        """Tell how a job ended.

        `ended` is what Hydra returns for it; None where its process died.
        """
        attempt = self._folder.reread(job.attempt)
        reason = None
        if attempt.record is None and (self._ending == names.RECORD_FILE or not self._ended(attempt)):
            reason = attempt.fault or SILENT
            if ended is not None and ended.status is JobStatus.FAILED:
                # Not .return_value, which would raise it.
                reason = in_words(ended._return_value)
        return self._heard(Job(planned=job.planned, attempt=attempt), reason)

    def _ended(self, attempt: Attempt) -> bool:
        return (attempt.folder / self._ending).exists()

    @contextlib.contextmanager
    def _watching(self, jobs: list[Job], told: set[str]) -> Iterator["_Watch"]:
        """Tell of records while they appear; stop the workers when the sweep must not go on."""
        watch = _Watch()

        def look() -> None:
            while not watch.over.wait(_POLL_SECONDS):
                for job in jobs:
                    if job.planned.key in told or not self._ended(job.attempt):
                        continue
                    told.add(job.planned.key)
                    if not self._tell(job, None):
                        watch.goes_on = False
                        self._stop.touch()

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.over.set()
            thread.join()

    def _hear_signal(self, number: int, frame: FrameType | None) -> None:
        if self.submits:
            print("note: what was submitted goes on; scancel ends it", file=sys.stderr)  # noqa: T201
        if self._alone or self.submits or self._received is not None:
            raise Interrupted(number)
        self._received = number
        self._stop.touch()


def _retire() -> None:
    """End joblib's idle workers: they would wait for more work for minutes, with torch in memory."""
    loky = sys.modules.get("joblib.externals.loky")
    if loky is not None:
        loky.get_reusable_executor().shutdown(wait=True)


class _Watch:
    """What a watching thread found."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.goes_on = True


def is_basic(config: DictConfig) -> bool:
    """Return whether jobs run one after the other in this process."""
    return str(config.hydra.launcher._target_).endswith(".BasicLauncher")


def workers(config: DictConfig) -> int:
    """Return how many jobs the launcher runs at once."""
    if is_basic(config):
        return 1
    stated = OmegaConf.select(config, "hydra.launcher.n_jobs") or OmegaConf.select(
        config, "hydra.launcher.array_parallelism"
    )
    count = int(stated or 1)
    return count if count > 0 else max(1, (os.cpu_count() or 1) + 1 + count)


def _quoted(text: str) -> str:
    """Return a text as the value of an override, whatever signs it holds."""
    return QuotedString(text=text, quote=Quote.single).with_quotes()
