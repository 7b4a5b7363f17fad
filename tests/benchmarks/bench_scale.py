"""What a run takes as the images become more: a folder of JPEGs, all of them labelled, features and a solved head.

    python tests/benchmarks/bench_scale.py [--images 1000 10000 100000] [--folder DIR] [WORD ...]     # takes hours

Prints a row for each size as markdown: seconds of the processor and the peak of a whole process that finds nothing in
the cache, and of one that finds all. The images are smooth random patches of 256 x 256 pixels in ten classes, all
different. With a folder they are made there and stay, and a second call makes no others.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10
SIDE, PATCHES = 256, 12


def make(root: Path, count: int) -> None:
    """Write images whose patches' colours lean to one that is the class's own."""
    leaning = np.random.default_rng(0).integers(0, 256, (CLASSES, 1, 1, 3))
    for number in range(count):
        label = number % CLASSES
        folder = root / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        patches = np.random.default_rng(number + 1).integers(0, 256, (PATCHES, PATCHES, 3))
        pixels = (0.7 * patches + 0.3 * leaning[label]).astype(np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:08}.jpg")


def measured(words: list[str], home: Path) -> tuple[float, float, float]:
    """Run a command; return seconds of the processor, those of the clock and the peak of its memory in GiB."""
    environment = os.environ | {"TLEXP_CACHE_DIR": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tlexp", *words], cwd=home, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words}: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("words", nargs="*", help="of the run, behind backbone=tiny head=logreg freeze=all labels=all")
    options = parser.parse_args()
    print("| images | cold, processor s | ms an image | by the clock, s | peak, GiB | again, s | peak, GiB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for count in options.images:
            home = (options.folder or Path(temporary)) / str(count)
            if not (home / "images").exists():
                make(home / "making", count)
                (home / "making").rename(home / "images")
            words = [
                "backbone=tiny",
                "backbone.image_size=64",
                "head=logreg",
                "freeze=all",
                "labels=all",
                "tracking=off",
            ]
            words += ["data=folder", f"data.root={home / 'images'}", *options.words]
            cold, clock, peak = measured(words, home)
            warm, _, again = measured(words, home)
            row = [cold, 1000 * cold / count, clock, peak, warm, again]
            print(f"| {count:,} | " + " | ".join(f"{value:.2f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
