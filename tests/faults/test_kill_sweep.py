"""A sweep on the real command line, killed with -9 at uniformly random times and typed again until it is done.

Twelve tiny runs, two workers, tracking on. As a program, this file is the harness:

    python tests/faults/test_kill_sweep.py kill --kills 100 [--seed 1] [--plant plain_write|short_key]

It prints the seed of its random times. `--plant` puts a bug into the killed processes, which the harness must catch.
"""

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GRID = ["freeze=all,none", "labels=2,4", "seed=0,1,2"]
TINY = [
    "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "train.limit_steps=2", "train.checkpoint_seconds=0.01",
]  # fmt: skip
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
COMMAND = [sys.executable, "-m", "tlexp", "-m", *GRID, *TINY, *PARALLEL, "hydra.sweeper.name=killed"]
PLANTS = {
    # A file under its final name before it is whole, on a slow disk.
    "plain_write": """
import time
import tlexp.paths
def publish(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.15)
        file.write(content[len(content) // 2 :])
tlexp.paths.publish = publish
""",
    "short_key": """
import copy
import tlexp.config
import tlexp.config.root
whole = tlexp.config.root.config_key
def config_key(config):
    config = copy.copy(config)
    config.seed = 0
    return whole(config)
tlexp.config.root.config_key = tlexp.config.config_key = config_key
""",
}


@dataclass
class Found:
    """What went wrong, over all sweeps."""

    kills: int = 0
    sweeps: int = 0
    lost: int = 0
    twice: int = 0
    torn: int = 0
    zombies: int = 0
    different: int = 0
    stuck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.lost + self.twice + self.torn + self.zombies + self.different + len(self.stuck)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.sweeps} sweeps: {self.lost} finished runs lost, {self.twice} run twice, "
            f"{self.torn} torn files, {self.zombies} zombies, {self.different} tables different, "
            f"{len(self.stuck)} sweeps stuck"
        )


def test_killed_sweeps_finish_as_if_nothing_had_happened(tmp_path: Path, ready_store: Path) -> None:
    found = kill_sweeps(tmp_path, kills=3, store=ready_store)
    assert found.kills >= 3
    assert found.faults == 0, found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills(tmp_path: Path, ready_store: Path) -> None:
    found = kill_sweeps(tmp_path, kills=10, store=ready_store)
    assert found.faults == 0, found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_catches_a_planted_bug(plant: str, tmp_path: Path, ready_store: Path) -> None:
    found = kill_sweeps(tmp_path, kills=20, store=ready_store, plant=plant, until_caught=True)
    assert found.faults > 0


def test_eight_processes_on_an_empty_folder(tmp_path: Path) -> None:
    assert race(tmp_path, 1) == "8 processes, 0 failed"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_eight_processes_on_an_empty_folder_twenty_times(tmp_path: Path) -> None:
    assert race(tmp_path, 20) == "160 processes, 0 failed"


# --- the harness


def kill_sweeps(
    root: Path,
    *,
    kills: int,
    store: Path | None = None,
    plant: str | None = None,
    until_caught: bool = False,
    seed: int | None = None,
) -> Found:
    """Kill sweeps at random times until there were so many kills; the last one is finished."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    draw, found = random.Random(seed), Found()
    reference = prepare(root / "reference", store)
    began = time.monotonic()
    start(reference, None).wait(timeout=300)
    duration = time.monotonic() - began
    table = (reference / "multirun" / "killed" / "results.csv").read_bytes()
    assert table.count(b"finished") == 12, table.decode()
    print(f"a sweep that is not killed takes {duration:.1f} s", flush=True)
    while found.kills < kills and not (until_caught and found.faults):
        folder = prepare(root / f"sweep{found.sweeps}", store)
        one_sweep(folder, draw, duration, found, kills=kills, plant=plant)
        found.sweeps += 1
        inspect(folder, table, found)
        print(found, flush=True)
    return found


def one_sweep(
    folder: Path, draw: random.Random, duration: float, found: Found, *, kills: int, plant: str | None
) -> None:
    """Type the command again and again, killing it, until it ends by itself."""
    seen: dict[str, str] = {}
    for _ in range(200):
        process = start(folder, plant)
        allowed = draw.uniform(0, duration) if found.kills < kills else 300.0
        try:
            process.wait(timeout=allowed)
        except subprocess.TimeoutExpired:
            kill_group(process)
            found.kills += 1
            now = finished(folder)
            found.lost += sum(now.get(path) != digest for path, digest in seen.items())
            seen |= now
            continue
        if process.returncode != 0:
            found.stuck.append((folder / "stderr.txt").read_text()[-2000:])
            print(found.stuck[-1], flush=True)
        now = finished(folder)
        found.lost += sum(now.get(path) != digest for path, digest in seen.items())
        return
    found.stuck.append("200 starts")


def inspect(folder: Path, table: bytes, found: Found) -> None:
    """Look at what a sweep left behind."""
    from tlexp.errors import TrackingError
    from tlexp.tracking import read_record

    keys: Counter[str] = Counter()
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        try:
            record = read_record(path)
        except TrackingError:
            found.torn += 1
            continue
        keys[record.key] += record.status == "finished"
    found.twice += sum(count - 1 for count in keys.values() if count > 1)
    results = folder / "multirun" / "killed" / "results.csv"
    found.different += not results.exists() or results.read_bytes() != table
    with sqlite3.connect(folder / "mlflow.db") as store:
        [(running,)] = store.execute("select count(*) from runs where status = 'RUNNING'")
        found.zombies += running


def prepare(folder: Path, store: Path | None) -> Path:
    folder.mkdir(parents=True)
    if store is not None:  # made once, for it takes seconds
        (folder / "mlflow.db").write_bytes(store.read_bytes())
    return folder


def start(folder: Path, plant: str | None) -> "subprocess.Popen[str]":
    environment = environment_of(folder)
    if plant is not None:
        bugs = folder / "plant"
        bugs.mkdir(exist_ok=True)
        (bugs / "sitecustomize.py").write_text(PLANTS[plant])
        environment["PYTHONPATH"] = f"{bugs}{os.pathsep}{environment['PYTHONPATH']}"
    with (folder / "stderr.txt").open("w") as errors:
        return subprocess.Popen(
            COMMAND, cwd=folder, env=environment, text=True, stdout=errors, stderr=errors, start_new_session=True
        )


def environment_of(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "JOBLIB_TEMP_FOLDER": str(folder)}


def kill_group(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(100):
        if not list(living(process.pid)):
            return
        time.sleep(0.05)


def living(group: int) -> Iterator[int]:
    """Yield the processes of a group that are not dead yet."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            yield int(path.parent.name)


def finished(folder: Path) -> dict[str, str]:
    """Return the digest of every finished record."""
    from tlexp.errors import TrackingError
    from tlexp.tracking import read_record

    found = {}
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        try:
            if read_record(path).status == "finished":
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        except TrackingError:
            continue
    return found


def race(root: Path, times: int) -> str:
    """Start eight sweeps at once on an empty folder, so many times; the imports are done once and forked."""
    command = [sys.executable, __file__, "race", str(root), "--times", str(times)]
    done = subprocess.run(command, env=environment_of(root), capture_output=True, text=True, timeout=1100, check=True)
    print(done.stdout)
    return done.stdout.splitlines()[-1]


def race_here(root: Path, times: int) -> None:
    from tlexp import console, experiment  # noqa: F401 - imported before the processes part
    from tlexp.sweep import sweeper  # noqa: F401
    from tlexp.tracking.library import load_mlflow

    load_mlflow()
    failed = 0
    for number in range(times):
        folder = root / f"race{number}"
        folder.mkdir()
        pids = [fork_sweep(folder, seed) for seed in range(8)]
        failed += sum([os.waitpid(pid, 0)[1] != 0 for pid in pids])
        sweeps = len(list(folder.glob("multirun/*/results.csv")))
        with sqlite3.connect(folder / "mlflow.db") as store:
            [(rows,)] = store.execute("select count(*) from runs where status = 'FINISHED'")
        failed += (sweeps, rows) != (8, 16)  # each is shown with its run and one of its own
    print(f"{8 * times} processes, {failed} failed")


def fork_sweep(folder: Path, seed: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        from tlexp import cli

        os.chdir(folder)
        for stream in (1, 2):
            os.dup2(os.open(folder / f"output{seed}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        sys.argv = ["tlexp", "-m", "labels=2", f"seed={seed}", *TINY]
        cli.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "race"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--plant", choices=list(PLANTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if arguments.what == "race":
            race_here(folder, arguments.times)
        else:
            found = kill_sweeps(folder, kills=arguments.kills, seed=arguments.seed, plant=arguments.plant)
            sys.exit(found.faults > 0)


if __name__ == "__main__":
    main()
