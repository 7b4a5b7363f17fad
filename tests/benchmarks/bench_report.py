"""What the analysis of a large study takes, and its page.

    python tests/benchmarks/bench_report.py [--columns 36] [--budgets 8] [--seeds 30] [--images 5000] [--classes 100]
        [--profile]

A made-up table, all of it in memory: 36 columns x 8 budgets x 30 seeds x 5,000 images are 8,640 replicates. Prints
seconds by the clock and of the processor, and by how much the process grew at its largest. --profile: what took them.
"""

import argparse
import cProfile
import dataclasses
import os
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.studies.conftest import DEPTHS, a_table
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.report.report import write_report

BUDGETS = ("1", "2", "5", "10", "20", "50", "100", "200")


def build(columns: int, budgets: int, seeds: int, images: int, classes: int) -> StudyTable:
    """Return a table of columns that differ a little, and of which some change places."""
    members = [
        dataclasses.replace(
            DEPTHS[place % len(DEPTHS)], name=f"column-{place}", depth=place, trainable=1000 * (columns - place)
        )
        for place in range(columns)
    ]
    strength = {column.name: (0.3 + 0.01 * place, 0.5 - 0.008 * place) for place, column in enumerate(members)}
    return a_table(
        seeds=seeds,
        budgets=BUDGETS[:budgets],
        columns=members,
        strength=strength,
        per_class=[images // classes] * classes,
        failed=(),
        waiting=(),
        missing=(),
    )


def measured(name: str, work: Callable[[], Any], *, profile: bool) -> Any:
    """Do something and print what it took."""
    before, wall, processor = _largest(), time.perf_counter(), time.process_time()
    with cProfile.Profile() as taken:
        if not profile:
            taken.disable()
        found = work()
    print(
        f"{name}: {time.perf_counter() - wall:.1f} s, {time.process_time() - processor:.1f} s of the processor, "
        f"{_largest() - before:,.0f} MB more"
    )
    if profile:
        pstats.Stats(taken).sort_stats("cumulative").print_stats(30)
    return found


def _largest() -> float:
    """Return the most memory that this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("columns", 36), ("budgets", 8), ("seeds", 30), ("images", 5000), ("classes", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    sizes = options.columns, options.budgets, options.seeds, options.images, options.classes
    table = measured("table", lambda: build(*sizes), profile=False)
    findings = measured("analysis", lambda: analyse(table), profile=options.profile)
    with tempfile.TemporaryDirectory() as folder:
        files = measured("page", lambda: write_report(Path(folder), findings), profile=options.profile)
        print(f"page: {files[0].stat().st_size:,} bytes")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
