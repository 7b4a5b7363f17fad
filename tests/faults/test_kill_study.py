"""A study killed with -9 at random times and typed again until it is done: the same page in the end.

    python tests/faults/test_kill_study.py --kills 50 [--seed 1] [--plant again]

Each attempt is a fork of a process that has done the imports and nothing else. The page is compared with that of a
study that nobody killed, but for the seconds that runs took. `--plant again` forgets which runs have finished, which
the harness must catch.
"""

import argparse
import csv
import importlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tlexp import cli
from tlexp.jobs.index import RunIndex
from tlexp.tracking import RunStatus, read_record

WORDS = [
    "study=freeze_vs_labels", "backbone=tiny", "backbone.image_size=32", "tune.trials=2",
    "data.per_class=12", "data.test_per_class=30", "data.num_classes=3",
    "train.limit_steps=3", "train.checkpoint_seconds=0.01", "tracking=off", "study.labels=[2,6]", "study.seeds=3",
    "study.depths=[0,all]", "study.scratch_labels=[2]", "study.name=killed",
]  # fmt: skip
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
VOLATILE = ("seconds",)


def fork(folder: Path, plant: Callable[[], None]) -> int:
    """Begin the study in a process of its own, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.chdir(folder)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        plant()
        sys.argv = ["tlexp", *WORDS]
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - the child ends here, whatever came
        traceback.print_exc()
    finally:
        os._exit(status)


def page(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return what the report says, without what differs from one execution to the next."""
    found = {}
    for path in sorted((folder / "multirun/killed/report").glob("*.csv")):
        with path.open(newline="") as file:
            found[path.name] = [
                {name: value for name, value in row.items() if not any(word in name for word in VOLATILE)}
                for row in csv.DictReader(file)
            ]
    return found


def finished(folder: Path) -> dict[str, str]:
    """Return the files of finished runs: key -> digest of its predictions; a torn record raises."""
    found: dict[str, str] = {}
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        record = read_record(path)
        if record.status is RunStatus.finished:
            assert record.key not in found, f"{record.key} ran twice"
            found[record.key] = record.files["predictions.npz"]
    return found


def whole(folder: Path, plant: Callable[[], None]) -> float:
    """Run the study to its end, and return how long that took."""
    began = time.monotonic()
    _, status = os.waitpid(fork(folder, plant), 0)
    assert os.waitstatus_to_exitcode(status) == 0, (folder / "log.txt").read_text()[-3000:]
    return time.monotonic() - began


def rounds(root: Path, *, kills: int, seed: int, plant: Callable[[], None]) -> Iterator[str]:
    """Kill studies until so many kills have hit; yield every fault."""
    rng = random.Random(seed)
    (root / "reference").mkdir(parents=True)
    seconds = whole(root / "reference", plant)
    wanted, runs = page(root / "reference"), finished(root / "reference")
    assert wanted
    done, number = 0, 0
    while done < kills:
        number += 1
        folder = root / str(number)
        folder.mkdir()
        hit = 0
        while hit < 4 and done < kills:
            pid = fork(folder, plant)
            time.sleep(rng.uniform(0.1, 0.8) * seconds)
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            try:
                before = finished(folder)
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            done, hit = done + 1, hit + 1
            if not before.items() <= finished(folder).items():
                yield f"study {number}: finished runs were lost"
        whole(folder, plant)
        if finished(folder) != runs:
            yield f"study {number}: other predictions after {hit} kills"
        if page(folder) != wanted:
            yield f"study {number}: another page after {hit} kills"
    print(f"{done} kills in {number} studies of {len(runs)} runs, {seconds:.1f} s each, seed {seed}")


def load() -> None:
    """Do the imports that take long, once."""
    for name in ("tlexp.studies.study", "tlexp.experiment.run", "tlexp.cli.console", "tlexp.studies.column"):
        importlib.import_module(name)


def again() -> None:
    """Plant the bug: what has finished is forgotten and runs a second time."""
    from tlexp.studies import column

    column.RunIndex = lambda attempts: RunIndex(())  # type: ignore[assignment,misc]


def test_a_killed_study_ends_in_the_same_page(tmp_path: Path) -> None:
    load()
    assert list(rounds(tmp_path, kills=2, seed=0, plant=lambda: None)) == []


@pytest.mark.slow
def test_many_kills(tmp_path: Path) -> None:
    load()
    assert list(rounds(tmp_path, kills=50, seed=1, plant=lambda: None)) == []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=["again"])
    options = parser.parse_args()
    load()
    with tempfile.TemporaryDirectory() as folder:
        plant = again if options.plant else lambda: None
        try:
            faults = list(rounds(Path(folder), kills=options.kills, seed=options.seed, plant=plant))
        except AssertionError as error:
            faults = [str(error)]
    print("\n".join(faults) or "no faults")
    return FOUND if faults else 0


if __name__ == "__main__":
    sys.exit(main())
