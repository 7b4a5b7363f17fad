"""Launching through Hydra, for the command line and for calls from Python."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from tlexp.compose.load import Composed, ConfigSource, HydraJob, hydra_job, hydra_of, resumed_overrides, typed
from tlexp.errors import TlexpError

AskedToStop = Callable[[], int | None]
"""A sweep's own request to end, which its runs ask for again and again."""
DoJob = Callable[[Composed, HydraJob, AskedToStop | None], None]
"""Does one run; the last argument is None unless tlexp's own sweeper keeps account of it."""


def launch(words: Sequence[str], source: ConfigSource, job: DoJob, *, sweeps: bool) -> Any:
    """Let Hydra compose, make each run's folder and call the job; return what the sweeper returns.

    Args:
        words: Overrides that have been looked at.
        source: Where configurations are searched.
        job: Called for each run; every run of a sweep gets its turn.
        sweeps: Whether it is a sweep though no option says so.

    Raises:
        TlexpError: What a run or the sweep ends with.
        Interrupted: A signal asked to stop.
    """
    failures: list[TlexpError | OSError] = []

    def task(composed: DictConfig, asked_to_stop: AskedToStop | None = None) -> None:
        try:
            job(typed(composed), hydra_job(), asked_to_stop)
        except (TlexpError, OSError) as error:  # Hydra would print the words of the job before it
            if asked_to_stop is not None:
                raise  # tlexp's own sweeper keeps account of its runs
            failures.append(error)

    hydra = hydra_of(source)
    sweeps = sweeps or chooses_sweep(words, source)
    start = hydra.multirun if sweeps else hydra.run
    os.environ["PYTHONSAFEPATH"] = "1"  # interpreters of workers import nothing from the working folder
    returned = start(source.name, task, [*words, f"hydra.mode={'MULTIRUN' if sweeps else 'RUN'}"])
    if failures:
        raise failures[0]
    return returned


def chooses_sweep(words: Sequence[str], source: ConfigSource) -> bool:
    """Return whether the words choose an option that asks for many runs, as a study's does."""
    return hydra_of(source).get_mode(source.name, list(words)) is RunMode.MULTIRUN


def resumed(words: Sequence[str], source: ConfigSource) -> list[str]:
    """Return the words of an interrupted run, where `resume=RUN` asks for it.

    Raises:
        ConfigError: RUN is no run's folder, or the words given now change what the run computes.
    """
    folder = next((word.partition("=")[2].strip("'\"") for word in words if word.startswith("resume=")), None)
    if not folder or folder == "null":
        return []
    return resumed_overrides(Path(folder), words, source)
