"""What the warm default command takes, part by part: `python -m tlexp` once all features are known.

    python tests/benchmarks/bench_default.py [--turns 3] [WORD ...]     # takes minutes

Prints a row for each part as markdown: seconds of the processor, the median of all turns with their range, and the
share of the whole process. A first run in an empty folder makes features and tracking store and is not counted; each
turn is a process of its own. What a part calls of another part counts there alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import atexit, sys, threading, time

spent, within = {}, []

def timed(part, work):
    def measured(*given, **named):
        began, ended = time.thread_time(), spent.get(part, 0.0)
        within.append(0.0)
        try:
            return work(*given, **named)
        finally:
            whole, inside = time.thread_time() - began, within.pop()
            spent[part] = ended + whole - inside
            if within:
                within[-1] += whole
    return measured

def beside(part, work):
    def measured(*given):
        began = time.thread_time()
        try:
            return work(*given)
        finally:
            spent[part] = spent.get(part, 0.0) + time.thread_time() - began
    return measured

def tell():
    whole = time.process_time()
    parts = {**spent, "all else": whole - sum(spent.values()), "the whole process": whole}
    print(*(f"part {name}: {seconds}" for name, seconds in parts.items()), sep="\\n")

def importing():
    import timm, torch

def task(*given):
    spent["Python, composing and looking at the configuration"] = time.thread_time()
    from tlexp.jobs.imports import large_imports
    with large_imports():
        timed("import torch, timm", importing)()
    import tlexp.api.job
    run = sys.modules["tlexp.experiment.run"]
    from tlexp.experiment.session import Session
    from tlexp.tracking import Tracker
    for owner, name, part in (
        (Session, "network", "network built, weights read and digested"),
        (Session, "images", "images listed"),
        (run, "RunInputs", "features found"),
        (run, "_select", "settings selected"),
        (run, "refit", "final fit"),
        (run, "write_artifacts", "predictions, evaluation and figures"),
        (run, "save_classifier", "weights written"),
        (Tracker, "start", "MLflow imported"),
    ):
        setattr(owner, name, timed(part, getattr(owner, name)))
    Tracker._work = beside("MLflow's own thread", Tracker._work)
    return begun(*given)

atexit.register(tell)
sys.argv = ["tlexp", *sys.argv[1:]]
from tlexp.__main__ import main
from tlexp.cli import launch
begun, launch._task = launch._task, task
main()
"""


def parts(folder: str, words: list[str]) -> dict[str, float]:
    """Return the seconds of each part of one command."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["TLEXP_CACHE_DIR"] = str(Path(folder) / "cache")
    command = [sys.executable, "-c", SCRIPT, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = [
        line.removeprefix("part ").rpartition(": ") for line in done.stdout.splitlines() if line.startswith("part ")
    ]
    return {name: float(seconds) for name, _, seconds in told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts(folder, options.words)
        turns = [parts(folder, options.words) for _ in range(options.turns)]
    whole = statistics.median(turn["the whole process"] for turn in turns)
    print("| part | processor s | share |\n|---|---|---|")
    for name in turns[0]:
        taken = [turn[name] for turn in turns]
        median = statistics.median(taken)
        print(f"| {name} | {median:.2f} ({min(taken):.2f} .. {max(taken):.2f}) | {median / whole:.0%} |")


if __name__ == "__main__":
    main()
