"""The verbs. A new one is a function and a line of `VERBS`, which the command and its help page read."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlexp.cli.applied import evaluate, predict
from tlexp.cli.arguments import VerbParser, hydra_arguments, source_of, take, take_value
from tlexp.cli.complaint import FINDINGS
from tlexp.config.casting import nearest
from tlexp.jobs.imports import large_imports
from tlexp.secrets import masked_values
from tlexp.terminal import aligned, short_path, show

_STUDIES = (
    ("study=quick", "a first answer: heads alone, no layer trained"),
    ("study=backbones", "which network; takes hours"),
)
"""What images are for in which nothing was found."""


def _plan(words: list[str]) -> int:
    """What would be trained, without training."""
    from tlexp.compose.load import load  # lazy: keeps --help fast
    from tlexp.compose.words import quoted_values

    as_json = take(words, "--json")
    arguments = hydra_arguments(quoted_values(words))
    loaded = load(arguments.overrides, source_of(arguments))
    from tlexp.compose.preflight import Preflight  # lazy: keeps --help fast

    preflight = Preflight()
    preflight.check(loaded.config)
    with large_imports():
        from tlexp.experiment.plan import build_plan, plan_table  # lazy: torch and timm

    planned = build_plan(loaded.config, preflight.counts(loaded.config.data))
    print(json.dumps(planned, indent=2, allow_nan=False) if as_json else plan_table(planned))
    return 0


def _doctor(words: list[str]) -> int:
    """Look at the photographs before anything is trained."""
    from tlexp.compose.load import load  # lazy: keeps --help fast
    from tlexp.compose.words import path_word, quoted_values

    as_json, folder = take(words, "--json"), take_value(words, "--folder")
    arguments = hydra_arguments(quoted_values(words))
    config = load(arguments.overrides, source_of(arguments)).config
    from tlexp.compose.preflight import Preflight  # lazy: keeps --help fast

    Preflight().counts(config.data)  # what is missing is told before torch is loaded
    with large_imports():
        from tlexp.api.console import Console  # lazy: torch and timm
        from tlexp.doctor.checkup import check_up, default_folder
        from tlexp.jobs.signals import Signals

    listener = Console(Signals(lambda: None), progress=config.train.progress, told=set(), lines=True)
    place = default_folder(config.data) if folder is None else Path(folder)
    found = check_up(config, place, listener)
    if as_json:
        print(json.dumps(masked_values(found.values()), indent=2, allow_nan=False))
    else:
        show(*found.told().splitlines())
        same, typed = [word for word in words if word.startswith(("data=", "data."))], []
        if (meant := found.diagnosis.source.meant) is not None:  # what was found is of other classes than its own
            there = [word for word in same if not word.startswith(("data.root=", "data.classes="))]
            there.append(path_word("data.root", short_path(meant)))
            typed.append((_typed("doctor", *there), f"where the classes are those in {meant.name}"))
        if found.well:
            same = [word for word in same if not word.startswith("data.seed=")]  # a study has seeds of its own
            typed += [(_typed(study, *same), told) for study, told in _STUDIES]
        show(*(f"next      {line}" for line in aligned(typed)))
    return 0 if found.well else FINDINGS


def _typed(*words: str) -> str:
    return shlex.join(["python", "-m", "tlexp", *words])


def _sync(words: list[str]) -> int:
    """Replay records into the tracking store."""
    parser = VerbParser(prog="tlexp sync", description="Replay records into the tracking store.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders with runs (outputs and multirun)")
    parser.add_argument("--uri", help="MLflow tracking URI (the one that a run takes here; others only if named)")
    parser.add_argument("--experiment", help="MLflow experiment (the one that each run asked for)")
    arguments = parser.parse_args(words)
    from tlexp.tracking.sync import sync

    folders = arguments.folders or [Path("outputs"), Path("multirun")]
    report = sync(folders, uri=arguments.uri, experiment=arguments.experiment)
    left = len(report.broken) + sum(runs for runs, _ in report.elsewhere)
    show(
        f"{report.store}: runs written: {report.written}, there already: {report.present}, "
        f"made with tracking=off: {report.untracked}, not written: {left}, closed: {len(report.closed)}, "
        f"sweeps and studies shown: {report.shown}"
    )
    for run in report.closed:
        show(f"  {run}: left open by a dead process, and has no record here; closed as KILLED")
    for folder, files in report.left_out:
        show(f"  {folder}: written without {', '.join(files)}, which record.json does not vouch for")
    for path, reason in report.broken:
        show(f"  {path}: {reason}", error=True)
    for _, way_out in report.elsewhere:
        show(f"  {way_out}", error=True)
    return FINDINGS if left else 0


def _export(words: list[str]) -> int:
    """Write a run's trained network into a folder of its own."""
    parser = VerbParser(prog="tlexp export", description="Write a run's trained network for others.")
    parser.add_argument("run", type=Path, help="the run's folder, such as outputs/<time>-<id>")
    parser.add_argument("folder", type=Path, help="where to; it must hold nothing yet")
    parser.add_argument(
        "--format", default="tlexp", help="tlexp (for other runs), timm, onnx, pt2 (torch.export) or mlflow (to serve)"
    )
    parser.add_argument("--half", action="store_true", help="half precision: half the size, checked against the run's")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there already")
    arguments = parser.parse_args(words)
    with large_imports():
        from tlexp.compose.source_words import source_words  # lazy: keeps --help fast
        from tlexp.compose.words import unquoted_values
        from tlexp.experiment.export import export
        from tlexp.formats import ExportFormat

    known = list(map(str, ExportFormat))
    if arguments.format not in known:
        parser.error(f"--format {arguments.format} is none of {', '.join(known)}{nearest(arguments.format, known)}")
    exported = export(
        arguments.run,
        arguments.folder,
        kind=ExportFormat(arguments.format),
        half=arguments.half,
        overwrite=arguments.overwrite,
        typed=lambda overrides: [*source_words(arguments.run), *unquoted_values(overrides)],
    )
    for path in exported.files:
        show(f"{path}  {path.stat().st_size:,} bytes")
    if exported.told:
        show(f"against the run's own network, {exported.told}" if arguments.half else exported.told)
    if arguments.format == ExportFormat.tlexp:
        show(f"use it with {shlex.quote(f'backbone.weights={arguments.folder}')}")
    else:
        show(f"how to use it stands in {arguments.folder / 'README.md'}")
    return 0


_CACHE = ("list", "verify", "prune", "clear")
"""What can be done with the cache; the first one where nothing is said."""


def _cache(words: list[str]) -> int:
    """Show, verify or empty the feature cache."""
    parser = VerbParser(prog="tlexp cache", description="Show, verify or empty the feature cache.")
    parser.add_argument("do", nargs="?", metavar="|".join(_CACHE), default=_CACHE[0])
    parser.add_argument("--dir", help="its folder (TLEXP_CACHE_DIR, else the user's own cache folder)")
    parser.add_argument("--max-bytes", type=int, help="what prune leaves, at most: used least recently goes first")
    arguments = parser.parse_args(words)
    if arguments.do not in _CACHE:
        parser.error(f"{arguments.do} is none of {', '.join(_CACHE)}{nearest(arguments.do, _CACHE)}")
    if (arguments.do == "prune") != (arguments.max_bytes is not None) or (arguments.max_bytes or 0) < 0:
        parser.error("--max-bytes=BYTES belongs to prune, e.g. tlexp cache prune --max-bytes=1000000000")
    from tlexp.cache import cache_folder, overview  # lazy: keeps --help fast
    from tlexp.cache.folder import CacheFolder
    from tlexp.config.cache import CacheConfig

    store = CacheFolder(cache_folder(arguments.dir), max_bytes=CacheConfig().max_bytes)
    well = True
    if arguments.do == "verify":
        lines, well = overview.verify_lines(store)
    elif arguments.do == "prune":
        lines = overview.prune_lines(store, arguments.max_bytes)
    else:
        lines = overview.clear_lines(store) if arguments.do == "clear" else overview.entries_lines(store)
    show(*lines)
    return 0 if well else FINDINGS


def _report(words: list[str]) -> int:
    """Write a study's page again."""
    parser = VerbParser(prog="tlexp report", description="Write a study's page, also while it runs.")
    parser.add_argument("study", help="its name below multirun, or its folder")
    arguments = parser.parse_args(words)
    from tlexp.studies.analysis.reading import find_study  # lazy: keeps --help fast
    from tlexp.studies.report.told import report

    print(report(find_study(arguments.study)))
    return 0


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a first word of the command line asks for.

    Attributes:
        run: Takes the words after it and returns the exit status.
        about: Its line of the help page.
        has_help: Whether it answers --help itself; else the page does.
    """

    run: Callable[[list[str]], int]
    about: str
    has_help: bool = True


VERBS = {
    "plan": Verb(run=_plan, about="show what would be trained, without training; --json for programs", has_help=False),
    "doctor": Verb(
        run=_doctor,
        about="what is wrong with the photographs, before training; --json, --folder FOLDER",
        has_help=False,
    ),
    "export": Verb(run=_export, about="write a network for others: export RUN FOLDER [--format timm|onnx|pt2|mlflow]"),
    "predict": Verb(run=predict, about="say what photographs show: predict RUN IMAGE|FOLDER ... [--out FILE.csv]"),
    "evaluate": Verb(
        run=evaluate, about="measure a network on other photographs: evaluate RUN FOLDER|TABLE.csv [--out FOLDER]"
    ),
    "cache": Verb(
        run=_cache, about="show, verify or empty the feature cache: cache [verify | prune --max-bytes=N | clear]"
    ),
    "report": Verb(run=_report, about="write a study's page again, also while it runs: report STUDY"),
    "sync": Verb(run=_sync, about="write records into a tracking store that was away: sync [FOLDER ...] [--uri URI]"),
}
