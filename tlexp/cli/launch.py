"""A run, or with -m a sweep of runs, launched through Hydra."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tlexp.cli.arguments import hydra_arguments, source_of, take
from tlexp.errors import ConfigError, Interrupted
from tlexp.jobs.imports import large_imports
from tlexp.jobs.signals import Signals
from tlexp.terminal import show

if TYPE_CHECKING:
    from tlexp.api.launch import AskedToStop
    from tlexp.compose.load import Composed, ConfigSource, HydraJob

_BEGAN = time.perf_counter()
"""When the command began, but for what Python itself takes to start."""
_LOADING = "loading torch and timm ..."
_told: set[str] = set()
"""The notes that this process has printed: the runs of a sweep share most of theirs."""


def launch(words: list[str]) -> int:
    """One run, or with -m a sweep of runs, through Hydra."""
    from tlexp.api.launch import resumed  # lazy: keeps --help fast
    from tlexp.compose.load import load
    from tlexp.compose.overrides import asks_for_sweep
    from tlexp.compose.words import quoted_values

    words = quoted_values(words)
    dry = take(words, "--dry-run")
    arguments = hydra_arguments(words)
    source = source_of(arguments)
    arguments.overrides = [*resumed(arguments.overrides, source), *arguments.overrides]
    looks_only = arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    if not arguments.shell_completion:
        arguments.multirun = arguments.multirun or asks_for_sweep(arguments.overrides)
        swept = arguments.multirun and not looks_only
        loaded = load(arguments.overrides, source, swept=swept, partial=bool(looks_only))
        if dry and not arguments.multirun and not loaded.config.study.exists:
            raise ConfigError(
                "--dry-run shows the runs of a sweep, -m, or of a study; for a single run: tlexp plan ..."
            )
        if not arguments.multirun and not looks_only:
            from tlexp.compose.preflight import Preflight  # lazy: keeps --help fast

            Preflight().check(loaded.config)  # a sweep does so itself, for the runs that are left
        if loaded.config.study.exists and not looks_only:
            with large_imports():
                import tlexp.studies.study  # noqa: F401 - lazy: the sweeper's plugin asks for it, here and from Python
    arguments.overrides += ["hydra.sweeper.dry_run=true"] if dry else []
    if looks_only:
        _look(arguments, source)
    else:
        _through_hydra(arguments, source)
    return 0


def _look(arguments: argparse.Namespace, source: "ConfigSource") -> None:
    """Let Hydra show what was asked for."""
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    from tlexp.compose.load import hydra_of  # lazy: keeps --help fast

    hydra, name, words = hydra_of(source), arguments.config_name, arguments.overrides
    if arguments.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=get_args_parser(), args=arguments)
    elif arguments.cfg:
        hydra.show_cfg(name, words, arguments.cfg, arguments.package, arguments.resolve)
    elif arguments.info:
        hydra.show_info(arguments.info, name, words)
    else:
        sys.argv[0] = "tlexp"  # what is completed
        hydra.shell_completion(name, words)


def _through_hydra(arguments: argparse.Namespace, source: "ConfigSource") -> None:
    """Let Hydra compose, make each run's folder and call us; every run of a sweep gets its turn."""
    from tlexp.api.launch import launch as launch_jobs  # lazy: keeps --help fast

    launch_jobs(arguments.overrides, source, _task, sweeps=arguments.multirun)


def _task(loaded: "Composed", job: "HydraJob", asked_to_stop: "AskedToStop | None") -> None:
    """One job: listen to signals, run, say how it ended.

    Args:
        loaded: Its configuration.
        job: What Hydra prepared for it.
        asked_to_stop: Given by tlexp's own sweeper, which tells people about the run itself.
    """
    signals = Signals(asked_to_stop or (lambda: None))
    if asked_to_stop is None and sys.stderr.isatty():  # a sweep has a line of its own there
        print(_LOADING, end="\r", file=sys.stderr, flush=True)  # it takes ten seconds
    with large_imports():
        from tlexp.api.job import do_job  # lazy: keeps --help fast
        from tlexp.cli.console import summary

    if asked_to_stop is None:
        show(f"run {os.path.relpath(job.folder)}".ljust(len(_LOADING)), error=True)  # nothing of the line before shows
    try:
        outcome = do_job(loaded, job, signals, _told)
    except (Interrupted, KeyboardInterrupt):
        if asked_to_stop is None:
            _tell_to_resume(loaded, job.folder)
        raise
    if outcome is not None and asked_to_stop is None:
        print(summary(outcome, job.folder, own_files=job.own_files, seconds=time.perf_counter() - _BEGAN))
    elif signals.received is not None:
        raise Interrupted(signals.received)  # it came while the end of the run was written


def _tell_to_resume(loaded: "Composed", folder: Path) -> None:
    """Say how to go on with a run that has a checkpoint."""
    from tlexp.compose.places import typed_again  # lazy: keeps --help fast
    from tlexp.tracking.names import CHECKPOINT_FOLDER

    if (folder / CHECKPOINT_FOLDER).is_dir():
        again = ["python -m tlexp", shlex.quote(f"resume={os.path.relpath(folder)}"), *typed_again(loaded.shown)]
        show(f"interrupted; go on with: {' '.join(again)}", error=True)
