"""A run, or with -m a sweep of runs, launched through Hydra."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tlexp.cli.arguments import hydra_arguments, source_of, take
from tlexp.cli.complaint import FINDINGS, complain
from tlexp.cli.signals import Signals
from tlexp.config.study import StudyKind
from tlexp.errors import ConfigError, Interrupted, TlexpError
from tlexp.paths import conf_folder
from tlexp.terminal import show

if TYPE_CHECKING:
    from tlexp.compose.load import Composed, ConfigSource, HydraJob

_told: set[str] = set()
"""The notes that this process has printed: the runs of a sweep share most of theirs."""


def launch(words: list[str]) -> int:
    """One run, or with -m a sweep of runs, through Hydra."""
    from tlexp.compose.load import load  # lazy: keeps --help fast
    from tlexp.compose.words import quoted_paths

    words = quoted_paths(words)
    dry = take(words, "--dry-run")
    arguments = hydra_arguments(words)
    multirun = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
    source = source_of(arguments)
    words = _resumed(words, arguments.overrides, source)
    looks_only = arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    if not arguments.shell_completion:
        given = hydra_arguments(words).overrides
        loaded = load(given, source, swept=multirun and not looks_only, partial=bool(looks_only))
        if dry and not multirun and loaded.config.study.kind is StudyKind.none:
            raise ConfigError(
                "--dry-run shows the runs of a sweep, -m, or of a study; for a single run: tlexp plan ..."
            )
        if not multirun and not looks_only:
            from tlexp.compose.preflight import Preflight  # lazy: keeps --help fast

            Preflight().check(loaded.config)  # a sweep does so itself, for the runs that are left
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors over to us instead of printing and exiting
    words = [*words, *(["hydra.sweeper.dry_run=true"] if dry else [])]
    if source.path is not None:  # Hydra would take a relative one from this file's folder
        words.append(f"--config-path={Path(source.path).absolute()}")
    return _through_hydra(words)


def _through_hydra(words: list[str]) -> int:
    """Let Hydra compose, make each run's folder and call us; every run of a sweep gets its turn."""
    import hydra  # lazy: keeps --help fast
    from omegaconf import DictConfig  # lazy: keeps --help fast

    from tlexp.compose.load import hydra_job, register, typed  # lazy: keeps --help fast

    failures: list[TlexpError | OSError] = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def task(composed: DictConfig, asked_to_stop: Callable[[], int | None] | None = None) -> None:
        try:
            _task(typed(composed), hydra_job(), asked_to_stop)
        except (TlexpError, OSError) as error:  # Hydra would print the words of the job before it
            if asked_to_stop is not None:
                raise  # tlexp's own sweeper keeps account of its runs
            failures.append(error)

    register()
    sys.argv = ["tlexp", *words]
    with warnings.catch_warnings():
        # Hydra 1.4 announces what 1.5 will refuse; the pin on Hydra's version answers that.
        warnings.filterwarnings("ignore", message=".*version_base.*")
        task()
    if len(failures) == 1:
        raise failures[0]
    for failure in failures:
        complain(failure, debug=False)
    return FINDINGS if failures else 0


def _task(loaded: "Composed", job: "HydraJob", asked_to_stop: Callable[[], int | None] | None = None) -> None:
    """One job: listen to signals, run, say how it ended.

    Args:
        loaded: Its configuration.
        job: What Hydra prepared for it.
        asked_to_stop: Given by tlexp's own sweeper, which tells people about the run itself.
    """
    signals = Signals(asked_to_stop or (lambda: None))
    if asked_to_stop is None and sys.stderr.isatty():  # a sweep has a line of its own there
        print("loading torch and timm ...", end="\r", file=sys.stderr, flush=True)  # it takes ten seconds
    from tlexp.cli.console import Console, summary  # lazy: keeps --help fast
    from tlexp.experiment.run import run
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
        show(f"run {os.path.relpath(job.folder)}", error=True)
    try:
        outcome = run(
            config,
            shown=loaded.shown,
            folder=job.folder,
            overrides=job.overrides,
            study=job.study,
            listener=listener,
        )
    except (Interrupted, KeyboardInterrupt):
        listener.ended()
        if asked_to_stop is None and (job.folder / CHECKPOINT_FOLDER).is_dir():
            again = f"python -m tlexp resume={os.path.relpath(job.folder)}"
            show(f"interrupted; go on with: {again}", error=True)
        raise
    if asked_to_stop is None:
        print(summary(outcome, job.folder))
    elif signals.received is not None:
        raise Interrupted(signals.received)  # it came while the end of the run was written


def _resumed(words: list[str], overrides: Sequence[str], source: "ConfigSource") -> list[str]:
    """Return the words of an interrupted run followed by those given now, where `resume=RUN` asks for it.

    Raises:
        ConfigError: RUN is no run's folder, or the words given now change what the run computes.
    """
    folder = next((word.partition("=")[2].strip("'\"") for word in overrides if word.startswith("resume=")), None)
    if not folder or folder == "null":
        return words
    from tlexp.compose.load import resumed_overrides  # lazy: keeps --help fast

    return [*resumed_overrides(Path(folder), overrides, source), *words]
