"""What a launcher calls for each job: the task of the command line, in this process or in one of several workers."""

import contextlib
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from tlexp.compose.load import hydra_job
from tlexp.compose.registration import register
from tlexp.config.vocabulary import vocabulary
from tlexp.errors import Interrupted, TlexpError
from tlexp.jobs.gpus import take_gpu, visible_gpus
from tlexp.paths import publish
from tlexp.secrets import guard, spare
from tlexp.tracking import names
from tlexp.tracking.environment import write_identity
from tlexp.tracking.patience import SWEEP_SECONDS
from tlexp.tracking.store import patient_with_files

Task = Callable[[DictConfig, Callable[[], int | None]], None]
"""Does a job; it asks the second argument again and again for the signal that ends it."""
TRACEBACK_FILE = "traceback.txt"
_parents = {os.getpid(): os.getppid()}
"""Whose child this process was when it began: the sweeper's, unless a launcher puts others between them."""


@dataclass(frozen=True, kw_only=True)
class JobTask:
    """A job of a sweep; travels to worker processes by pickle.

    Attributes:
        task: Does the work.
        stop: While this file exists no job begins, and those that train write a checkpoint and end.
        sweeper: The process that launched it.
        workers: How many jobs run at once.
    """

    task: Task
    stop: Path
    sweeper: int
    workers: int

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in a worker process, which knows of no secrets yet, before Hydra writes anything there."""
        register()
        spare(vocabulary())
        guard()
        self.__dict__.update(state)

    def __call__(self, composed: DictConfig) -> None:
        """Do one job; a worker process that was asked to stop returns without doing it.

        Raises:
            TlexpError: The run failed; its record says how, unless it failed before there could be one.
            Interrupted: A signal ended the run, in the sweeper's own process.
        """
        if self.asked_to_stop():
            return
        folder = hydra_job().folder
        write_identity(folder / names.PROCESS_FILE)
        if os.getpid() == self.sweeper:
            self._run_task(composed, folder, self.asked_to_stop)
            return
        self._settle(composed)
        try:
            self._run_task(composed, folder, self.asked_to_stop)
        except (Interrupted, KeyboardInterrupt):
            return  # raised here, it would make joblib kill the other workers before they have written a checkpoint
        finally:
            _deafen()

    def asked_to_stop(self) -> int | None:
        """Return the signal to end with, or None. A worker also ends when the sweeper is gone."""
        orphaned = _parents.get(os.getpid()) == self.sweeper != os.getppid()
        return signal.SIGTERM if orphaned or self.stop.exists() else None

    def _run_task(self, composed: DictConfig, folder: Path, asked_to_stop: Callable[[], int | None]) -> None:
        try:
            with patient_with_files(SWEEP_SECONDS):
                self.task(composed, asked_to_stop)
        except TlexpError:
            raise
        except Exception:
            with contextlib.suppress(OSError):  # the disk may be what is at fault
                publish(folder / TRACEBACK_FILE, traceback.format_exc())
            raise

    def _settle(self, composed: DictConfig) -> None:
        """Take this worker's share of the machine, before torch is loaded."""
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.workers)))
        if str(composed.train.device) in ("auto", "cuda"):
            gpu = take_gpu(self.stop.parent / ".places", workers=self.workers, gpus=visible_gpus())
            if gpu is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _deafen() -> None:
    """Ignore signals between jobs: Ctrl-C reaches every process of a terminal, and the sweeper acts on it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
