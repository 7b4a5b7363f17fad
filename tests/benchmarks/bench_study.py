"""What a study's frozen column costs against its cells one by one, and a replicate besides its training.

    python tests/benchmarks/bench_study.py [column] [overhead] [demonstration] [--seeds 10] [--sample 1]
        [--labels 1 2 5 10 20 50 100 200] [--repeats 1] [--resnet18] [--words ...]

column    freeze=all, head=logreg: all budgets and data seeds as the job of a study runs them, on an empty cache, with a
          record and an MLflow run for each cell; against the same cells one by one in this process. A cell alone begins
          anew: it opens and decodes its images, builds the network, sees its budget and the test split once, selects,
          solves, is tested, writes its record and its MLflow run. It has no cache (cache=off), so that it neither finds
          features nor writes any. No side pays for imports. --sample N: cells of N seeds of each budget are run alone
          and stand for the others. The column is run before and after them.
demonstration  python -m tlexp study=demonstration as a whole, against its bound: what its units cost (a pass over an
          image, a step, a head), measured before it starts, times how often they are needed
overhead  milliseconds of the processor of a replicate of that column when its solution and all features are known
          (labels drawn, predictions, record, tracking), with and without tracking in turns: of its own thread, of all
          threads, and of others while its own waited for the tracking store; on its path is what tracking adds to the
          first, and the last
(--resnet18: at 64 px, with random weights from a file)
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from tlexp import cli
from tlexp.compose.load import Composed, load
from tlexp.config import Config, config_key
from tlexp.experiment.probe import solve_together
from tlexp.experiment.run import run
from tlexp.experiment.session import Session
from tlexp.jobs.folder import SweepFolder
from tlexp.studies import column
from tlexp.tracking.mlflow import Tracker
from tlexp.tracking.names import JOB_FILE
from tlexp.train import Listener, choose_device

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


def demonstrate(words: list[str]) -> None:
    """Print what the demonstration takes beside its bound; imports are over already."""
    sys.argv = ["tlexp", "study=demonstration", "study.name=bench", "cache.dir=cache", *words]
    clock = Clock()
    with contextlib.suppress(SystemExit):
        cli.main()
    wall, processor = clock.read()
    bound = json.loads(Path("multirun/bench/study.json").read_text())["study"]["estimate"]["seconds"]
    print(f"demonstration: {wall:.0f} s ({processor:.0f} s of the processor), bound {bound:.0f} s: {bound / wall:.2f}")


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
