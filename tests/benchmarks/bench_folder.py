"""What it takes to read the folder of a large sweep, as a command that goes on with it does, and to write its results.

    python tests/benchmarks/bench_folder.py [--records 1000 10000] [--folder DIR]

A real record, changed in key, seed and point, stands for each run. Prints a row for each size as markdown: seconds of
the processor to list the folder with its records read, the same of a command that submitted all of them, to write the
results, and how much the process grew.
"""

import argparse
import dataclasses
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tlexp.config import Config, config_values
from tlexp.config.tracking import TrackingConfig
from tlexp.jobs.folder import SweepFolder
from tlexp.jobs.index import RunIndex
from tlexp.jobs.outcome import JobOutcome
from tlexp.jobs.planned import Planned
from tlexp.jobs.submission import SubmittedJobs
from tlexp.sweeps.results import write_results
from tlexp.tracking import Record, RunStatus, environment, publish_record
from tlexp.tracking.blocks import FreezeBlock, Seeds, TrainBlock

COLUMNS = ("records", "listed", "submitted jobs looked at", "results written", "MB more")


def make(root: Path, count: int) -> list[str]:
    """Write the folder of a sweep of so many finished runs, all submitted at once; return their keys."""
    surroundings, settings = environment("cpu"), config_values(Config())
    keys, places = [], []
    for number in range(count):
        key = hashlib.sha256(str(number).encode()).hexdigest()
        folder = root / "runs" / key[:16] / "001-0123456789ab"
        folder.mkdir(parents=True)
        point = {"freeze": ("all", "none")[number % 2], "seed": str(number // 2)}
        (folder / "job.json").write_text(json.dumps({"key": key, "number": 0, "point": point}))
        (folder / "process.json").write_text("{}")
        lease = folder / "leases" / "001" / "lease.json"
        lease.parent.mkdir(parents=True)
        lease.write_text('{"beat": 9, "over": true, "left": true}')
        record = Record(
            key=key, status=RunStatus.finished, reason=None, overrides=[], config=settings,
            seeds=Seeds(seed=number // 2, data=number // 2), freeze=FreezeBlock(policy="none"), data=None,
            train=TrainBlock(), metrics={"val/loss": 1 / (1 + number), "test/balanced_accuracy": 0.5}, tracking=None,
            environment=surroundings, started="2026-01-01T00:00:00+00:00", ended="2026-01-01T00:01:00+00:00",
        )  # fmt: skip
        publish_record(folder, record)
        keys.append(key)
        places.append(folder.relative_to(root).as_posix())
    (root / ".submitted").mkdir()
    (root / ".submitted" / "tlexp-0.json").write_text(json.dumps({"cluster": "local", "jobs": places}))
    return keys


def outcomes(root: Path, index: RunIndex, keys: list[str]) -> list[JobOutcome]:
    found = []
    for number, key in enumerate(keys):
        [attempt] = index.attempts(key)
        planned: Any = dataclasses.replace(_PLANNED, key=key, point=attempt.point)
        found.append(index.outcome(number, planned))
    return found


_PLANNED: Any = Planned(point={}, overrides=("seed=0",), key="", composed=None)  # type: ignore[arg-type]


def row(root: Path, count: int) -> str:
    """Return the row of one size."""
    keys = make(root, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    listed, index = timed(lambda: RunIndex(SweepFolder(root).attempts()))
    looked, _ = timed(lambda: SubmittedJobs(root).look())
    runs = outcomes(root, index, keys)
    written, _ = timed(
        lambda: write_results(
            root, runs, objective="val/loss", direction="minimize", tracking=TrackingConfig(enabled=False)
        )
    )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    return f"| {count:,} | {listed:.2f} | {looked:.2f} | {written:.2f} | {grown:.0f} |"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return what some work takes of the processor, and gives."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for count in arguments.records:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            print(row(Path(temporary) / "sweep", count), flush=True)


if __name__ == "__main__":
    main()
