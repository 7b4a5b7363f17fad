"""What it takes from a command to the first image that it opens, against `import torch, timm` alone.

    python tests/benchmarks/bench_start.py [--turns 5]                  # takes minutes

Prints a row for each command as markdown: seconds of the processor, the median of all turns with their range, and the
ratio of the medians. Each turn is a process of its own, and all take turns; predict also ends by itself once, when it
has said what a photograph shows. All modules are compiled beforehand, as an installation leaves them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

END = """
import atexit, os, sys, time

def tell():
    os.write(1, f"seconds {time.process_time()}".encode())

atexit.register(tell)
sys.argv = ["tlexp", *sys.argv[1:]]
from tlexp.__main__ import main
main()
"""
"""Runs a whole command."""
STOP = """
import os, sys

def stop(event, arguments):
    if event == "open" and str(arguments[0]).endswith("photo.png"):
        tell()
        os._exit(0)

sys.addaudithook(stop)
"""
"""Before it: ends the command at the first image that it opens."""
IMPORTS = "import os, time, torch, timm; os.write(1, f'seconds {time.process_time()}'.encode())"
RUN = "data=folder data.root=photos backbone=tiny labels=4 train.limit_steps=2"
COMMANDS = {
    "run": f"{RUN} cache=off",
    "study": "study=quick data=folder data.root=photos backbone=tiny study.name=s{turn} cache=off",
    "predict": "predict run photos",
    "predict, said": "predict run photos/cat/0photo.png",
}


def seconds(folder: Path, *words: str) -> float:
    """Return the processor's seconds of a process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if "seconds " not in done.stdout:
        raise SystemExit(f"no image was opened by {words[1:]}:\n{done.stderr}")
    return float(done.stdout.rpartition("seconds ")[2])


def prepare(folder: Path) -> None:
    """Make photographs, and a run to predict with."""
    rng = np.random.default_rng(0)
    for number in range(24):
        place = folder / "photos" / ("cat", "dog")[number % 2] / f"{number}photo.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(place)
    made = [sys.executable, "-m", "tlexp", *RUN.split(), "tracking=off", "hydra.run.dir=run"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in ("import torch, timm", *COMMANDS)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["TLEXP_CACHE_DIR"] = str(folder / "cache")
        prepare(folder)
        for turn in range(options.turns + 1):
            for name, taken in found.items():
                words = COMMANDS[name].format(turn=turn).split() if name in COMMANDS else []
                script = IMPORTS if not words else END if name.endswith("said") else STOP + END
                spent = seconds(folder, script, *words)
                if turn:  # the first one compiles
                    taken.append(spent)
    print("| to the first image | processor s | ratio |\n|---|---|---|")
    base = statistics.median(found["import torch, timm"])
    for name, taken in found.items():
        median = statistics.median(taken)
        print(f"| {name} | {median:.2f} ({min(taken):.2f} .. {max(taken):.2f}) | {median / base:.2f} |")


if __name__ == "__main__":
    main()
