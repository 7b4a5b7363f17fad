"""A run, or with -m a sweep of runs, launched through Hydra."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tlexp.cli.arguments import hydra_arguments, source_of, take
from tlexp.cli.signals import Signals
from tlexp.config.study import StudyKind
from tlexp.errors import ConfigError, Interrupted, TlexpError
from tlexp.terminal import show

if TYPE_CHECKING:
    from tlexp.compose.load import Composed, ConfigSource, HydraJob

_LOADING = "loading torch and timm ..."
_told: set[str] = set()
"""The notes that this process has printed: the runs of a sweep share most of theirs."""


def launch(words: list[str]) -> int:
    """One run, or with -m a sweep of runs, through Hydra."""
    from tlexp.compose.load import load  # lazy: keeps --help fast
    from tlexp.compose.overrides import asks_for_sweep
    from tlexp.compose.words import quoted_values

    words = quoted_values(words)
    dry = take(words, "--dry-run")
    arguments = hydra_arguments(words)
    source = source_of(arguments)
    arguments.overrides = [*_resumed(arguments.overrides, source), *arguments.overrides]
    looks_only = arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    if not arguments.shell_completion:
        arguments.multirun = arguments.multirun or asks_for_sweep(arguments.overrides)
        swept = arguments.multirun and not looks_only
        loaded = load(arguments.overrides, source, swept=swept, partial=bool(looks_only))
        if dry and not arguments.multirun and loaded.config.study.kind is StudyKind.none:
            raise ConfigError(
                "--dry-run shows the runs of a sweep, -m, or of a study; for a single run: tlexp plan ..."
            )
        if not arguments.multirun and not looks_only:
            from tlexp.compose.preflight import Preflight  # lazy: keeps --help fast

            Preflight().check(loaded.config)  # a sweep does so itself, for the runs that are left
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
    from hydra.types import RunMode  # lazy: keeps --help fast
    from omegaconf import DictConfig

    from tlexp.compose.load import hydra_job, hydra_of, typed  # lazy: keeps --help fast

    failures: list[TlexpError | OSError] = []

    def task(composed: DictConfig, asked_to_stop: Callable[[], int | None] | None = None) -> None:
        try:
            _task(typed(composed), hydra_job(), asked_to_stop)
        except (TlexpError, OSError) as error:  # Hydra would print the words of the job before it
            if asked_to_stop is not None:
                raise  # tlexp's own sweeper keeps account of its runs
            failures.append(error)

    hydra = hydra_of(source)
    name, words = arguments.config_name, arguments.overrides
    sweeps = arguments.multirun or hydra.get_mode(name, words) is RunMode.MULTIRUN  # as a study's option says
    start = hydra.multirun if sweeps else hydra.run
    os.environ["PYTHONSAFEPATH"] = "1"  # interpreters of workers import nothing from the working folder
    start(name, task, [*words, f"hydra.mode={'MULTIRUN' if sweeps else 'RUN'}"])
    if failures:
        raise failures[0]


def _task(loaded: "Composed", job: "HydraJob", asked_to_stop: Callable[[], int | None] | None = None) -> None:
    """One job: listen to signals, run, say how it ended.

    Args:
        loaded: Its configuration.
        job: What Hydra prepared for it.
        asked_to_stop: Given by tlexp's own sweeper, which tells people about the run itself.
    """
    signals = Signals(asked_to_stop or (lambda: None))
    if asked_to_stop is None and sys.stderr.isatty():  # a sweep has a line of its own there
        print(_LOADING, end="\r", file=sys.stderr, flush=True)  # it takes ten seconds
    from tlexp.cli.console import Console, summary  # lazy: keeps --help fast
    from tlexp.compose.places import typed_again
    from tlexp.experiment.run import run
    from tlexp.experiment.session import process_session
    from tlexp.tracking.names import CHECKPOINT_FOLDER

    config = loaded.config
    if config.tracking.figures is None:
        config.tracking.figures = not job.swept
    listener = Console(signals, progress=config.train.progress, told=_told)
    if config.study.column is not None:
        from tlexp.studies.column import run_column  # lazy: keeps --help fast

        run_column(loaded, folder=job.folder, overrides=job.overrides, run=run, listener=listener)
        return
    if asked_to_stop is None:
        show(f"run {os.path.relpath(job.folder)}".ljust(len(_LOADING)), error=True)  # nothing of the line before shows
    try:
        outcome = run(
            config,
            shown=loaded.shown,
            folder=job.folder,
            overrides=job.overrides,
            study=job.study,
            listener=listener,
            session=process_session() if job.swept else None,  # as the runs of a study
        )
    except (Interrupted, KeyboardInterrupt):
        listener.ended()
        if asked_to_stop is None and (job.folder / CHECKPOINT_FOLDER).is_dir():
            resumed = shlex.quote(f"resume={os.path.relpath(job.folder)}")
            again = ["python -m tlexp", resumed, *typed_again(loaded.shown)]
            show(f"interrupted; go on with: {' '.join(again)}", error=True)
        raise
    if asked_to_stop is None:
        print(summary(outcome, job.folder, own_files=job.own_files))
    elif signals.received is not None:
        raise Interrupted(signals.received)  # it came while the end of the run was written


def _resumed(overrides: Sequence[str], source: "ConfigSource") -> list[str]:
    """Return the words of an interrupted run, where `resume=RUN` asks for it.

    Raises:
        ConfigError: RUN is no run's folder, or the words given now change what the run computes.
    """
    folder = next((word.partition("=")[2].strip("'\"") for word in overrides if word.startswith("resume=")), None)
    if not folder or folder == "null":
        return []
    from tlexp.compose.load import resumed_overrides  # lazy: keeps --help fast

    return resumed_overrides(Path(folder), overrides, source)
