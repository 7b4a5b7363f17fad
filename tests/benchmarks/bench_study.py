"""What a study's frozen column costs against its cells one by one, and a replicate besides its training.

    python tests/benchmarks/bench_study.py [column] [overhead] [demonstration] [--seeds 10] [--sample 1]
        [--labels 1 2 5 10 20 50 100 200] [--repeats 1] [--resnet18] [--words ...]

column    freeze=all, head=logreg: all budgets and data seeds as the job of a study runs them, on an empty cache, with a
          record and an MLflow run for each cell; against the same cells one by one in this process. A cell alone begins
          anew: it opens and decodes its images, builds the network, sees its budget and the test split once, selects,
          solves, is tested, writes its record and its MLflow run. It has no cache (cache=off), so that it neither finds
          features nor writes any. No side pays for imports. --sample N: cells of N seeds of each budget are run alone
          and stand for the others. The column is run before and after them.
demonstration  python -m tlexp study=demonstration as a whole, and its parts: seconds of the processor, without what the
          parts take that a part calls. Its bound is what its units cost (images through a network, a step, heads that
          are solved or trained at once) times how often they are needed; one costs the median of its kind and size
overhead  milliseconds of the processor of a replicate of that column when its solution and all features are known
          (labels drawn, predictions, record, tracking), with and without tracking in turns: of its own thread, of all
          threads, and of others while its own waited for the tracking store; on its path is what tracking adds to the
          first, and the last
(--resnet18: at 64 px, with random weights from a file)
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from tlexp import cli
from tlexp.api import job
from tlexp.compose.load import Composed, load
from tlexp.config import Config, config_key
from tlexp.data import ImageBatches
from tlexp.experiment import run as run_module
from tlexp.experiment.probe import solve_together
from tlexp.experiment.recorder import RunRecorder
from tlexp.experiment.run import run
from tlexp.experiment.session import Session
from tlexp.features import entry
from tlexp.features.batches import FeatureBatches
from tlexp.jobs.folder import SweepFolder
from tlexp.learn import solved, trained
from tlexp.models import classifier as classifier_module
from tlexp.studies import column
from tlexp.studies import study as study_module
from tlexp.tracking.mlflow import Tracker
from tlexp.tracking.names import JOB_FILE
from tlexp.train import Listener, choose_device, loop

LABELS = ("1", "2", "5", "10", "20", "50", "100", "200")
WORDS = [
    "backbone=tiny", "head=logreg", "tracking.figures=false", "train.save_weights=false", "cache.dir=cache",
    "tune.search=around",
]  # fmt: skip
"""Beside those of a budget and a seed: what a study's runs have in common."""
Cells = dict[str, list[Config]]
"""By label budget, one of each data seed."""


class Clock:
    """Seconds of the wall and of the processor, all threads."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def compose(words: list[str], labels: list[str], seeds: int) -> Cells:
    return {
        budget: [load([*WORDS, *words, f"labels={budget}", f"seed={seed}"]).config for seed in range(seeds)]
        for budget in labels
    }


@contextlib.contextmanager
def anew() -> Iterator[Session]:
    """Share nothing with what came before, neither in memory nor on the disk."""
    shutil.rmtree("cache", ignore_errors=True)
    session, before = Session(several=True), column.process_session
    column.process_session = lambda: session
    try:
        yield session
    finally:
        column.process_session = before


def run_column(loaded: Composed, cells: Cells, *, depth: int | None = None) -> tuple[float, float]:
    """Return what the column takes as the job of a study of its own; with a depth a pass fills its cut first."""
    with tempfile.TemporaryDirectory(dir=".") as place, anew():
        keys = {config_key(cell): ["c", budget, cell.seed] for budget, each in cells.items() for cell in each}
        stated = {"name": "c", "title": "c", "role": "depth", "depth": depth, "solved": True}
        budgets = [{"labels": budget, "per_class": float(budget)} for budget in cells]
        study = {"name": "s", "backbone": "", "margin": 0.01, "seeds": [0], "budgets": budgets, "skipped": {}}
        study |= {"columns": [stated], "replicates": keys}
        SweepFolder(Path(place)).state({"fixed": {}, "swept": [], "study": study})
        folder = Path(place) / "columns" / "c" / "1"
        folder.mkdir(parents=True)
        (folder / JOB_FILE).write_text(json.dumps({"column": "c", "runs": [*keys]}))
        clock = Clock()
        column.run_column(loaded, folder=folder, overrides=[], run=run, listener=Listener())
        taken = clock.read()
        assert len(list(Path(place).glob("runs/*/*/record.json"))) == len(keys)
    return taken


def run_alone(cell: Config) -> tuple[float, float]:
    """Return what a cell takes that shares nothing."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        clock = Clock()
        run(cell, folder=Path(folder), listener=Listener(), session=Session())
        return clock.read()


def compare(words: list[str], labels: list[str], seeds: int, sample: int) -> None:
    """Print the column and its cells, by the clock on the wall and by the processor's."""
    cells, alone = compose(words, labels, seeds), compose([*words, "cache=off"], labels, seeds)
    loaded = load([*WORDS, *words, "study=quick", "study.column=c"])
    run_alone(alone[labels[0]][0])  # warm
    columns = [run_column(loaded, cells)]
    taken = {budget: [run_alone(cell) for cell in each[:sample]] for budget, each in alone.items()}
    columns.append(run_column(loaded, cells))
    for place, clock in enumerate(("wall", "processor")):
        parts = {budget: [each[place] for each in found] for budget, found in taken.items()}
        whole = seeds * sum(statistics.mean(part) for part in parts.values())
        columns_of = [each[place] for each in columns]
        ratios = " and ".join(f"{whole / each:.1f}" for each in columns_of)
        print(
            f"{clock}: {len(labels) * seeds} cells one by one {whole:.1f} s (from {sample} of {seeds} seeds), as a "
            f"column {columns_of[0]:.2f} and {columns_of[1]:.2f} s: ratio {ratios}"
        )
        print("  a cell alone: " + ", ".join(f"{name} {statistics.mean(part):.2f} s" for name, part in parts.items()))


def overhead(cells: Cells, repeats: int) -> None:
    """Print what a replicate takes once all is solved, with and without tracking."""
    every = {"on": [cell for each in cells.values() for cell in each]}
    every["off"] = [
        dataclasses.replace(cell, tracking=dataclasses.replace(cell.tracking, enabled=False)) for cell in every["on"]
    ]
    found: dict[str, list[list[float]]] = {"on": [], "off": []}
    with anew() as session, waiting_counted() as waited:
        solve_together(every["on"], session, device=choose_device(every["on"][0].train.device), listener=Listener())
        for _ in range(repeats + 1):  # the first time the test split passes the network
            for tracking, each in every.items():
                waited[0] = 0.0
                own, everything = replicate_all(each, session)
                found[tracking].append([1000 * part / len(each) for part in (own, everything, waited[0])])
    for tracking, rows in found.items():
        own, everything, held = (f"{statistics.median(each):.1f}" for each in zip(*rows[1:], strict=True))
        print(f"a replicate, tracking {tracking}: {own} ms in its thread, {everything} in all, {held} waited for")
    print(f"medians of {repeats}")


def replicate_all(cells: list[Config], session: Session) -> tuple[float, float]:
    """Run the replicates of a column, and return seconds of the processor: of this thread, and of all."""
    with contextlib.ExitStack() as kept:
        folders = [kept.enter_context(tempfile.TemporaryDirectory(dir=".")) for _ in cells]
        own, everything = time.thread_time(), time.process_time()
        with session.tracking_behind():
            for cell, folder in zip(cells, folders, strict=True):
                run(cell, folder=Path(folder), listener=Listener(), study="s", session=session)
        return time.thread_time() - own, time.process_time() - everything


@contextlib.contextmanager
def waiting_counted() -> Iterator[list[float]]:
    """Give the seconds of the processor that other threads take while a run waits for its tracking store."""
    plain, waited = Tracker._wait, [0.0]

    def wait(tracker: Tracker, event: threading.Event) -> None:
        began = time.process_time()
        plain(tracker, event)
        waited[0] += time.process_time() - began

    Tracker._wait = wait
    try:
        yield waited
    finally:
        Tracker._wait = plain


class Parts:
    """Processor seconds of this thread by part, each without the parts inside it, and of every unit.

    Attributes:
        spent: By part.
        units: By part, column and size of the unit: seconds of each.
        column: At work.
    """

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.units: defaultdict[tuple[Any, ...], list[float]] = defaultdict(list)
        self._inside: list[float] = []
        self._closed = False
        self.column: str | None = None

    @property
    def bound(self) -> float:
        """Seconds of all units, each as the median of its size and kind."""
        return sum(len(taken) * statistics.median(taken) for taken in self.units.values())

    def count(
        self, owner: Any, name: str, part: str, *, size: Callable[..., Any] | None = None, closed: bool = False
    ) -> None:
        """Count what a function takes.

        Args:
            owner: Where it stands.
            name: Its own there.
            part: What it counts as.
            size: Of a unit: given what the function is given, tells units apart that cost different.
            closed: Whether all counts as this part that it calls.
        """
        plain = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            if self._closed or threading.current_thread() is not threading.main_thread():
                return plain(*given, **named)
            began, self._closed = time.thread_time(), closed
            self._inside.append(0.0)
            try:
                return plain(*given, **named)
            finally:
                whole, self._closed = time.thread_time() - began, False
                own = whole - self._inside.pop()
                self.spent[part] += own
                if size is not None:
                    self.units[part, self.column, size(*given, **named)].append(own)
                if self._inside:
                    self._inside[-1] += whole

        setattr(owner, name, counted)


def counted_parts() -> Parts:
    """Return what counts the parts of a study in this process from now on."""
    parts = Parts()
    for owner, name, part in (
        (study_module, "StudyPlan", "planning"),
        (study_module, "_report", "the report"),
        (column, "_fill", "cuts, beside their passes"),
        (column, "_solve", "heads found together, beside solving"),
        (Session, "network", "networks built, weights read and digested"),
        (Session, "images", "images listed or rendered"),
        (loop._Fit, "run", "fits, beside their steps"),
        (loop._Fit, "_first_step", "first steps of fits, whose operations are counted"),
        (ImageBatches, "batch", "batches of images"),
        (FeatureBatches, "batch", "batches of rows"),
        (job, "run", "replicates, beside all that"),
        (run_module, "build_classifier", "classifiers built"),
        (run_module, "write_artifacts", "predictions and evaluation written"),
        (run_module, "find_typicality", "typicality, beside its passes"),
        (RunRecorder, "__exit__", "records"),
    ):
        parts.count(owner, name, part)

    parts.count(study_module, "estimate", "the estimate", closed=True)
    number, run_column = itertools.count(), column.run_column  # no two problems are alike

    def begun(loaded: Composed, **named: Any) -> None:
        parts.column = loaded.config.study.column
        run_column(loaded, **named)

    column.run_column = begun
    parts.count(loop._Fit, "_update", "steps", size=lambda fit, images, *_: images.shape)
    for owner in (entry, sys.modules["tlexp.train.predict"], classifier_module):
        parts.count(owner, "in_chunks", "passes", size=lambda made, images: (made.__class__, images.shape))
    parts.count(solved, "solve", "heads solved", size=lambda *_, **__: next(number))
    parts.count(trained, "train_many", "heads trained at once", size=lambda *_, **__: next(number))
    return parts


def demonstrate(words: list[str]) -> None:
    """Print what the demonstration takes, part by part, beside its bound; imports are over already."""
    sys.argv = ["tlexp", "study=demonstration", "study.name=bench", "cache.dir=cache", *words]
    parts, own, clock = counted_parts(), time.thread_time(), Clock()
    with contextlib.suppress(SystemExit):
        cli.main()
    (wall, processor), own = clock.read(), time.thread_time() - own
    said = json.loads(Path("multirun/bench/study.json").read_text())["study"]["estimate"]["seconds"]
    print("| part | processor s | share |\n|---|---|---|")
    spent = {**parts.spent, "all else": own - sum(parts.spent.values()), "other threads": processor - own}
    for name, seconds in sorted(spent.items(), key=lambda part: -part[1]):
        print(f"| {name} | {seconds:.1f} | {seconds / processor:.1%} |")
    print(f"{wall:.0f} s, {said:.0f} s were said; of the processor {processor:.1f} s, {own:.1f} s of its own thread")
    counts: Counter[str] = Counter()
    for (part, *_), taken in parts.units.items():
        counts[part] += len(taken)
    print("units: " + ", ".join(f"{count:,} {part}" for part, count in counts.items()))
    print(
        f"bound {parts.bound:.1f} s, {parts.bound / processor:.3f} of all, {parts.bound / own:.3f} of its own thread's"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["column", "overhead"])
    parser.add_argument("--labels", nargs="*", default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sample", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--resnet18", action="store_true")
    parser.add_argument("--words", nargs="*", default=[])
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    options = parser.parse_args()
    options.words += [f"train.device={options.device}"]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        if options.resnet18:
            torch.manual_seed(0)
            save_file(timm.create_model("resnet18").state_dict(), "weights.safetensors")
            options.words += ["backbone=resnet18", "backbone.image_size=64", "backbone.weights=weights.safetensors"]
        if "overhead" in options.what:
            overhead(compose(options.words, options.labels, options.seeds), options.repeats)
        if "demonstration" in options.what:
            demonstrate(options.words)
        if "column" in options.what:
            compare(options.words, options.labels, options.seeds, options.sample)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
