"""A job where a scheduler has put it: it takes a lease, answers the scheduler's signals, and may be started again."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from tlexp.compose.load import hydra_job, move_hydra_job
from tlexp.errors import Interrupted
from tlexp.jobs.files import read_job
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.gpus import visible_gpus
from tlexp.jobs.lease import Lease, take_lease
from tlexp.jobs.signals import Handlers, listen
from tlexp.jobs.worker import JobTask
from tlexp.tracking import names
from tlexp.tracking.environment import write_identity

_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""A scheduler sends one of them before it ends a job: its time is up, or others need the place."""
_SLURM_CPUS = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


@dataclass(frozen=True, kw_only=True)
class SubmittedTask(JobTask):
    """A job that goes on without the command that submitted it; travels by pickle.

    Attributes:
        ending: The file that the job writes last.
    """

    ending: str

    def __call__(self, composed: DictConfig) -> None:
        """Do one job, unless it was given up or is over; a job that is started again goes on from its checkpoint.

        Raises:
            TlexpError: The run failed; its record says how, unless it failed before there could be one.
        """
        folder = hydra_job().folder
        lease = take_lease(folder)
        if lease is None:
            return
        again = (folder / names.PROCESS_FILE).exists()
        write_identity(folder / names.PROCESS_FILE)
        with lease, _Warning() as warning:
            if again and self.ending == names.RECORD_FILE:  # records are immutable
                folder = _next_attempt(folder)
            self._settle(composed)
            over = True
            try:
                self._run_task(composed, folder, lambda: self._asked_to_end(lease, warning))
            except (Interrupted, KeyboardInterrupt):
                over = self.stop.exists()
            finally:
                lease.end(over=over)
        if not over and not lease.lost:
            warning.hand_on()

    def _asked_to_end(self, lease: Lease, warning: "_Warning") -> int | None:
        """Return the signal to end with, or None."""
        return signal.SIGTERM if lease.lost or warning.received is not None or self.stop.exists() else None

    def _settle(self, composed: DictConfig) -> None:
        """Take what the scheduler gives, before torch is loaded."""
        given = next((os.environ[name] for name in _SLURM_CPUS if name in os.environ), None)
        if given is not None and given.isdecimal():
            os.environ.setdefault("OMP_NUM_THREADS", given)
        if "SLURM_JOB_ID" not in os.environ or len(visible_gpus()) > 1:
            super()._settle(composed)


class _Warning:
    """Hears the scheduler's warning; while the job works, it is kept for the end."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: Handlers = {}

    def hand_on(self) -> None:
        """Let the executor hear what it would have heard, now that there is a checkpoint: it has the job started again.

        Raises:
            SystemExit: It was.
        """
        if self.received is not None:
            self._before[self.received](self.received, None)

    def __enter__(self) -> "_Warning":
        heard = {number: signal.getsignal(number) for number in _WARNINGS}
        self._before = {number: handler for number, handler in heard.items() if callable(handler)}
        listen(dict.fromkeys(self._before, self._hear))
        return self

    def __exit__(self, *_: object) -> None:
        listen(self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.received = number


def _next_attempt(folder: Path) -> Path:
    """Make the attempt that goes on with one that was ended by the scheduler, and let Hydra's job lie there."""
    job, sweep = read_job(folder), SweepFolder(folder.parents[2])
    assert job is not None
    attempt = sweep.begin(job.key, job.point, job.number, sweep.attempts([job.key]))
    write_identity(attempt.folder / names.PROCESS_FILE)
    shutil.copytree(folder / ".hydra", attempt.folder / ".hydra", dirs_exist_ok=True)
    move_hydra_job(attempt.folder)
    return attempt.folder
