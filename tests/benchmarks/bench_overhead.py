"""What a run does besides training: seconds of a whole run of backbone=tiny less those of its fits, in one process.

    python tests/benchmarks/bench_overhead.py [--runs 5] [WORD ...]

Imports are done and the tracking store is there: a first run makes it and is not counted. Figures, weights and tracking
are on.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from tlexp.compose.load import load
from tlexp.experiment.run import run
from tlexp.train import Listener


class Clock(Listener):
    """Adds up the seconds between the beginning and the end of fits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def phase(self, title: str, steps: int) -> None:
        self._began = time.perf_counter()

    def ended(self) -> None:
        self.seconds += time.perf_counter() - self._began


def overhead(words: list[str], number: int) -> tuple[float, float]:
    """Return the seconds of one run and those of its fits."""
    folder = Path("outputs") / str(number)
    folder.mkdir(parents=True)
    loaded, clock = load(["backbone=tiny", *words]), Clock()
    began = time.perf_counter()
    run(loaded.config, shown=loaded.shown, folder=folder, listener=clock)
    return time.perf_counter() - began, clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        pairs = [overhead(arguments.words, number) for number in range(arguments.runs + 1)][1:]
    rest = [total - fits for total, fits in pairs]
    print("| runs | whole run, median s | fits, median s | besides, median s | min | max |")
    print("|---|---|---|---|---|---|")
    columns = [statistics.median(total for total, _ in pairs), statistics.median(fits for _, fits in pairs)]
    columns += [statistics.median(rest), min(rest), max(rest)]
    print(f"| {len(pairs)} | " + " | ".join(f"{value:.2f}" for value in columns) + " |")


if __name__ == "__main__":
    main()
