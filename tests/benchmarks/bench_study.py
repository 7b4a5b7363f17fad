"""What a study's frozen column costs against its cells one by one, and a replicate besides its training.

    python tests/benchmarks/bench_study.py [column] [overhead] [--seeds 10] [--repeats 3] [--resnet18] [--words ...]

column    freeze=all, head=logreg at 5, 20 and 100 labels: the column as a study runs it, on an empty cache, against the
          same cells as runs of their own with cache=off, one after the other in this process
          (--resnet18: at 64 px, from a file of random weights, with 500 images to learn from and 500 to test on)
overhead  seconds of a replicate of that column when its solution is known: labels drawn, predictions, record, tracking
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from tlexp.compose import load
from tlexp.config import Config
from tlexp.experiment import run
from tlexp.probe import solve_together
from tlexp.shared import Shared
from tlexp.train import Listener

LABELS = (5, 20, 100)
RESNET = [
    "backbone=resnet18", "backbone.image_size=64", "data.per_class=100", "data.test_per_class=100",
    "data.num_classes=5",
]  # fmt: skip
WORDS = ["head=logreg", "tracking.figures=false", "train.save_weights=false"]


def configs(words: list[str], seeds: int) -> list[Config]:
    base = load([*WORDS, *words])
    made = []
    for labels in LABELS:
        for seed in range(seeds):
            made.append(load([*WORDS, *words, f"labels={labels}", f"seed={seed}"]).config)
    assert base.config.head.kind == "logreg"
    return made


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def together(cells: list[Config]) -> tuple[float, float]:
    """Return the seconds of the whole column, and of its replicates once all is solved."""
    shared = Shared(several=True)
    began = time.perf_counter()
    solve_together(cells, shared, device=torch.device("cpu"), listener=Listener())
    solved = time.perf_counter()
    for cell in cells:
        with tempfile.TemporaryDirectory() as folder:
            run(cell, folder=Path(folder), listener=Listener(), shared=shared)
    ended = time.perf_counter()
    return ended - began, (ended - solved) / len(cells)


def one_by_one(cells: list[Config]) -> float:
    def every() -> None:
        for cell in cells:
            with tempfile.TemporaryDirectory() as folder:
                run(cell, folder=Path(folder), listener=Listener())

    return timed(every)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["column", "overhead"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--resnet18", action="store_true")
    parser.add_argument("--words", nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        if options.resnet18:
            torch.manual_seed(0)
            save_file(timm.create_model("resnet18").state_dict(), "weights.safetensors")
            options.words += [*RESNET, "backbone.weights=weights.safetensors"]
        if "overhead" in options.what:
            cells = configs(options.words, options.seeds)
            together(cells[:1])  # imports, and the tracking store
            each = [together(cells)[1] for _ in range(options.repeats)]
            print(f"a replicate besides its solution: {statistics.median(each):.3f} s (median of {options.repeats})")
        if "column" in options.what:
            cells = configs(["tracking=off", "cache=off", *options.words], options.seeds)
            one_by_one(cells[:1])
            column = [together(cells)[0] for _ in range(options.repeats)]
            alone = one_by_one(cells)
            whole = statistics.median(column)
            print(f"{len(cells)} cells one by one, uncached: {alone:.1f} s; as a column: {whole:.2f} s")
            print(f"ratio {alone / whole:.1f}")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
