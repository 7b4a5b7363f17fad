"""What it takes to open a folder of images whose check is known, and one whose check is not.

    python tests/benchmarks/bench_index.py [--images 10000] [--turns 5] [--folder DIR]

Prints a row for each turn as markdown: seconds of the processor that the opening takes, in a process of its own, and
the process's peak. The folder is made of small JPEGs, all different, in ten classes; both ways take turns, and what is
not known is read as with `data.recheck`.
"""

import argparse
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tlexp.config.data import OnBad
from tlexp.data import Decoding, Folder, Index, Reading

_CLASSES = 10


def make(root: Path, count: int) -> None:
    """Write images of 16 x 16 pixels; a comment of its own makes each another one."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    content = file.getvalue()
    for label in range(_CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(count):
        comment = f"{number:08}".encode()
        changed = content[:2] + b"\xff\xfe\x00\x0a" + comment + content[2:]
        (root / f"class{number % _CLASSES}" / f"{number:08}.jpg").write_bytes(changed)


def turn(folder: Path, known: bool) -> str:
    """Open the folder; return its row."""
    index = Index(folder / "cache", recheck=not known)
    reading = Reading(
        on_bad=OnBad.refuse,
        follow_links=False,
        decoding=Decoding(max_pixels=10**8),
        progress=lambda done, count: None,
        index=index,
    )
    begun = time.process_time()
    source = Folder(root=folder / "images", follow_links=False).open(
        classes=None, at_least=2, source_seed=0, reading=reading
    )
    taken = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return f"| {'known' if known else 'read'} | {taken:.2f} | {peak:.0f} | {source.digest[:8]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where images are made and kept; a temporary one by itself")
    parser.add_argument("--way", choices=("known", "read"), help="one turn, in this process")
    options = parser.parse_args()
    if options.way:
        print(turn(options.folder, options.way == "known"))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "images").is_dir():
            make(folder / "images", options.images)
            time.sleep(3)  # files that have just changed are not kept
        turn(folder, known=False)
        print("| check | processor s | peak MB | digest |\n|---|---|---|---|", flush=True)
        seconds: dict[str, list[float]] = {"known": [], "read": []}
        for _ in range(options.turns):
            for way in seconds:
                again = [sys.executable, __file__, "--folder", str(folder), "--way", way]
                row = subprocess.run(again, check=True, capture_output=True, text=True).stdout.strip()
                seconds[way].append(float(row.split("|")[2]))
                print(row, flush=True)
    known, read = map(statistics.median, seconds.values())
    print(f"\nknown / read: {known / read:.3f} ({known:.2f} / {read:.2f} s, medians of {options.turns})")


if __name__ == "__main__":
    main()
