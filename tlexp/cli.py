"""The command line: finds the verb, strips tlexp's own flags before Hydra sees them, presents errors.

Nothing heavy is imported at the top: `--help`, `--version`, completion and mistakes in settings answer at once.
"""

import argparse
import errno
import json
import os
import shutil
import signal
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tlexp import __version__
from tlexp.config import GROUPS, config_fields
from tlexp.config.sweep import SweepConfig
from tlexp.errors import ConfigError, Interrupted, TlexpError, TrainingError
from tlexp.paths import conf_folder, conf_options

if TYPE_CHECKING:
    from tlexp.compose import Composed, Job, Source

INTERNAL, USER, FINDINGS, SIGNALLED = 1, 2, 3, 128
"""Exit statuses: our fault, the user's, completed with failures, and the base of a signal's number."""
_told: set[str] = set()
"""The notes that this process has printed: the runs of a sweep share most of theirs."""


def main() -> None:
    """Run the command line and exit with its status."""
    words = sys.argv[1:]
    debug = _take(words, "--debug")
    try:
        sys.exit(_dispatch(words))
    except TlexpError as error:
        _present(error, debug=debug)
        sys.exit(FINDINGS if isinstance(error, TrainingError) else USER)
    except (Interrupted, KeyboardInterrupt) as error:
        number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
        sys.exit(SIGNALLED + number)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; that is no fault
        sys.exit(SIGNALLED + signal.SIGPIPE)
    except OSError as error:
        _present(error, debug=debug)
        sys.exit(USER)
    except Exception as error:  # noqa: BLE001 - the last frame: whatever arrives here is our own fault
        _present(error, debug=debug)
        print("this is a fault in tlexp itself; --debug shows where", file=sys.stderr)
        sys.exit(INTERNAL)


def _dispatch(words: list[str]) -> int:
    verb = words[0] if words and words[0] in VERBS else None
    if words and verb is None and not words[0].startswith("-") and "=" not in words[0]:
        raise ConfigError(
            f"{words[0]} is neither a verb ({', '.join(VERBS)}) nor an override such as labels=20; see tlexp --help"
        )
    misplaced = next((word for word in words[1:] if word in VERBS), None)
    if misplaced is not None and verb is None:
        raise ConfigError(f"{misplaced} is a verb and goes first: tlexp {misplaced} {' '.join(words[:1])} ...")
    if verb not in ("export", "sync") and _take(words, "--help", "-h"):  # these have words of their own
        print(_help())
        return 0
    if _take(words, "--version"):
        print(f"tlexp {__version__}")
        return 0
    if verb is None:
        return _run(words)
    return VERBS[verb][0](words[1:])


def _run(words: list[str]) -> int:
    """One run, or with -m a sweep of runs, through Hydra."""
    from tlexp import compose  # lazy: keeps --help fast

    dry = _take(words, "--dry-run")
    arguments = _hydra_arguments(words)
    multirun = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
    if dry and not multirun:
        raise ConfigError("--dry-run shows the runs of a sweep, -m; for a single run: tlexp plan ...")
    source = compose.Source(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
    words = _resumed(words, arguments.overrides, source)
    looks_only = arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    if not arguments.shell_completion:
        compose.load(_hydra_arguments(words).overrides, source, partial=multirun or bool(looks_only))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors over to us instead of printing and exiting
    return _through_hydra([*words, *(["hydra.sweeper.dry_run=true"] if dry else [])])


def _through_hydra(words: list[str]) -> int:
    """Let Hydra compose, make each run's folder and call us; every run of a sweep gets its turn."""
    import hydra  # lazy: keeps --help fast
    from omegaconf import DictConfig  # lazy: keeps --help fast

    from tlexp import compose  # lazy: keeps --help fast

    failures: list[TlexpError] = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def task(composed: DictConfig, asked_to_stop: Callable[[], int | None] | None = None) -> None:
        try:
            _task(compose.typed(composed), compose.job(), asked_to_stop)
        except TlexpError as error:  # Hydra would print the words of the job before it
            if asked_to_stop is not None:
                raise  # tlexp's own sweeper keeps account of its runs
            failures.append(error)

    compose.register()
    sys.argv = ["tlexp", *words]
    with warnings.catch_warnings():
        # Hydra 1.4 announces what 1.5 will refuse; the pin on Hydra's version answers that.
        warnings.filterwarnings("ignore", message=".*version_base.*")
        task()
    if len(failures) == 1:
        raise failures[0]
    for failure in failures:
        _present(failure, debug=False)
    return FINDINGS if failures else 0


def _task(loaded: "Composed", job: "Job", asked_to_stop: Callable[[], int | None] | None = None) -> None:
    """One job: listen to signals, run, say how it ended.

    Args:
        loaded: Its configuration.
        job: What Hydra prepared for it.
        asked_to_stop: Given by tlexp's own sweeper, which tells people about the run itself.
    """
    signals = _Signals(asked_to_stop or (lambda: None))
    if sys.stderr.isatty():
        print("loading torch and timm ...", end="\r", file=sys.stderr, flush=True)  # it takes ten seconds
    from tlexp import console, experiment  # lazy: keeps --help fast

    config = loaded.config
    if config.tracking.figures is None:
        config.tracking.figures = not job.swept
    listener = console.Console(signals, progress=config.train.progress, told=_told)
    if asked_to_stop is None:
        print(f"run {os.path.relpath(job.folder)}", file=sys.stderr)
    try:
        outcome = experiment.run(
            config,
            shown=loaded.shown,
            folder=job.folder,
            overrides=job.overrides,
            study=job.study,
            listener=listener,
        )
    except (Interrupted, KeyboardInterrupt):
        listener.ended()
        if asked_to_stop is None and (job.folder / experiment.CHECKPOINT).is_dir():
            again = f"python -m tlexp resume={os.path.relpath(job.folder)}"
            print(f"interrupted; go on with: {again}", file=sys.stderr)
        raise
    if asked_to_stop is None:
        print(console.summary(outcome, job.folder))
    elif signals.received is not None:
        raise Interrupted(signals.received)  # it came while the end of the run was written


def _plan(words: list[str]) -> int:
    """What would be trained, without training."""
    from tlexp import compose  # lazy: keeps --help fast

    as_json = _take(words, "--json")
    arguments = _hydra_arguments(words)
    source = compose.Source(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
    loaded = compose.load(arguments.overrides, source)
    from tlexp import plan  # lazy: keeps --help fast

    planned = plan.build_plan(loaded.config)
    print(json.dumps(planned, indent=2, allow_nan=False) if as_json else plan.plan_table(planned))
    return 0


def _sync(words: list[str]) -> int:
    """Replay records into the tracking store."""
    parser = argparse.ArgumentParser(prog="tlexp sync", description="Replay records into the tracking store.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders with runs (outputs and multirun)")
    parser.add_argument("--uri", help="MLflow tracking URI (the one that each run asked for)")
    parser.add_argument("--experiment", help="MLflow experiment (the one that each run asked for)")
    arguments = parser.parse_args(words)
    from tlexp.sync import sync  # lazy: keeps --help fast

    folders = arguments.folders or [Path("outputs"), Path("multirun")]
    report = sync(folders, uri=arguments.uri, experiment=arguments.experiment)
    stores = ", ".join(report.stores) or "no store"
    print(
        f"{stores}: runs written: {report.written}, there already: {report.present}, not written: {len(report.broken)}"
    )
    for path, reason in report.broken:
        print(f"  {path}: {reason}", file=sys.stderr)
    return FINDINGS if report.broken else 0


def _export(words: list[str]) -> int:
    """Write a run's trained network into a folder of its own."""
    parser = argparse.ArgumentParser(prog="tlexp export", description="Write a run's trained network for others.")
    parser.add_argument("run", type=Path, help="the run's folder, such as outputs/<time>-<id>")
    parser.add_argument("folder", type=Path, help="where to; it must hold no export yet")
    parser.add_argument("--half", action="store_true", help="half precision: half the size, checked against the run's")
    arguments = parser.parse_args(words)
    from tlexp.export import export  # lazy: keeps --help fast

    exported = export(arguments.run, arguments.folder, half=arguments.half)
    for path in exported.files:
        print(f"{path}  {path.stat().st_size:,} bytes")
    if arguments.half:
        print(
            f"against the run's own network, on random images: logits differ by at most {exported.difference:.2g}, "
            f"{exported.agreement:.0%} keep their class"
        )
    print(f"use it with backbone.weights={arguments.folder}")
    return 0


VERBS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "plan": (_plan, "show what would be trained, without training; --json for programs"),
    "export": (_export, "write a run's network for others to start from: export RUN FOLDER [--half]"),
    "sync": (_sync, "write records into a tracking store that was away: sync [FOLDER ...] [--uri URI]"),
}


class _Signals:
    """Remembers the first SIGTERM or Ctrl-C for the training loop, which writes a checkpoint before it ends.

    Outside the loop, and at the second signal, the run ends at once.

    Args:
        asked_to_stop: A sweep's own request, asked again and again.
    """

    def __init__(self, asked_to_stop: Callable[[], int | None]) -> None:
        self.waits = False
        self._signalled: int | None = None
        self._asked_to_stop = asked_to_stop
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @property
    def received(self) -> int | None:
        """The signal to end with, received by this process or by the sweep that it works for."""
        return self._signalled if self._signalled is not None else self._asked_to_stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.waits or self._signalled is not None:
            raise Interrupted(number)
        self._signalled = number


def _resumed(words: list[str], overrides: Sequence[str], source: "Source") -> list[str]:
    """Return the words of an interrupted run followed by those given now, where `resume=RUN` asks for it.

    Raises:
        ConfigError: RUN is no run's folder, or the words given now change what the run computes.
    """
    folder = next((word.partition("=")[2] for word in overrides if word.startswith("resume=")), None)
    if not folder or folder == "null":
        return words
    from tlexp import compose  # lazy: keeps --help fast

    return [*compose.resumed_words(Path(folder), overrides, source), *words]


def _hydra_arguments(words: list[str]) -> argparse.Namespace:
    """Return what Hydra will make of the words."""
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    arguments = get_args_parser().parse_args(words)
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun loads a pickle, which may hold code: use resume=RUN instead")
    arguments.config_name = arguments.config_name or "config"
    return arguments


def _take(words: list[str], *flags: str) -> bool:
    """Remove the flags from the words; return whether one was there."""
    found = [word for word in words if word in flags]
    words[:] = [word for word in words if word not in flags]
    return bool(found)


def _present(error: Exception, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    kind = type(error).__name__
    problems = error.problems if isinstance(error, ConfigError) else (str(error) or kind,)
    if isinstance(error, OSError):
        problems = (_of_disk(error),)
    label = "error" if isinstance(error, TlexpError | OSError) else f"internal error, {kind}"
    for problem in problems:
        print(f"{label}: {problem}", file=sys.stderr)


def _of_disk(error: OSError) -> str:
    """Return what a file system refused, with the free bytes where it is full."""
    place = error.filename or "the output"
    if error.errno != errno.ENOSPC:
        return f"{place}: {error.strerror or error}; choose a folder that can be written, e.g. hydra.run.dir=PATH"
    folder = next((path for path in Path(place).absolute().parents if path.is_dir()), Path.cwd())
    free = shutil.disk_usage(folder).free
    return f"{place}: no space left, {free:,} bytes are free in {folder}; free some, then resume with resume=RUN"


def _help() -> str:
    """Return the help page: verbs, flags, groups with their options, settings with their defaults."""
    verbs = "\n".join(f"  {name:<12}{text}" for name, (_, text) in VERBS.items())
    groups = "\n".join(
        textwrap.fill(", ".join(conf_options(name)), 100, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)
        for name in (*GROUPS, "experiment")
        if conf_options(name)
    )
    settings = "\n".join(_described(key, entry) for key, entry in config_fields().items())
    sweep = "\n".join(_described(entry.name, entry) for entry in fields(SweepConfig))
    return _PAGE.format(verbs=verbs, groups=groups, settings=settings, sweep=sweep)


def _described(key: str, entry: Field[Any]) -> str:
    text = entry.metadata["doc"] + _default(entry)
    return textwrap.fill(text, 100, initial_indent=f"  {key:<26}", subsequent_indent=" " * 28)


def _default(entry: Field[Any]) -> str:
    """Return a setting's default in brackets; a chosen option of its group may state another."""
    value = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    if isinstance(value, Enum):
        value = value.value
    return "" if value in (None, "", []) else f" [{str(value).lower() if isinstance(value, bool) else value}]"


_PAGE = """tlexp: which pretrained backbone, and how much of it to freeze, answered on your own images

usage: python -m tlexp [VERB] [GROUP=OPTION ...] [KEY=VALUE ...] [FLAGS]

  python -m tlexp                                              rendered shapes, no network
  python -m tlexp backbone=resnet50 freeze=all labels=20       linear probing, 20 images per class
  python -m tlexp data=folder data.root=photos freeze=last     your images, a folder per class
  python -m tlexp -m freeze=all,none labels=5,20 seed=0,1,2    every combination; it resumes
  python -m tlexp -m 'optim.lr=tag(log,interval(1e-5,1e-1))' hydra.sweeper.n_trials=40
                                                               a search
  mlflow ui                                                    compare the runs of this folder

verbs (without one: run)
{verbs}

flags
  --debug     show where an error comes from
  --version   print the version
  -m          run every combination of comma-separated values, or search intervals
  --dry-run   with -m: show what would run and what is there already
  --cfg job   print the configuration instead of running; --hydra-help shows Hydra's own flags

groups: GROUP=OPTION
{groups}

settings: KEY=VALUE [default]
{settings}

sweeps, -m: hydra.sweeper.KEY=VALUE [default]
  several at once, tlexp[parallel]: hydra/launcher=joblib hydra.launcher.n_jobs=2
{sweep}"""
