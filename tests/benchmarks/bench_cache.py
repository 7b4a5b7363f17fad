"""Speed of the feature cache: reading with and without verifying, and what filling costs beside the forward pass.

    python tests/benchmarks/bench_cache.py read [--rows 1000000] [--width 512]
    python tests/benchmarks/bench_cache.py fill [--images 1000] [--repeats 3]

Prints tables as markdown; seconds are the process's CPU seconds, which other load on the machine hardly changes.
`read`: rows of float16 are written, then read as a new process would, on one core, from the system's page cache;
resident memory is its growth over the process's start. `fill`: resnet18 at 64 px; the same forward pass runs bare and
through `fill` in turn, with wall-clock seconds beside, because filling waits for the disk.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tlexp.cache import CutKey, Store, compute_rows, cut_key
from tlexp.cache.cut_rows import Compute
from tlexp.config import Config
from tlexp.models import Classifier, build_backbone, feature_width, find_units, preprocessing

SIZE, BLOCK = 64, 4096


def key(width: int, *, dtype: str = "float32", weights: str = "") -> CutKey:
    config = Config()
    config.backbone.name = "resnet18"
    expected = preprocessing("resnet18", image_size=SIZE)
    cpu = torch.device("cpu")
    plain = cut_key(config, expected, weights=weights, width=width, device=cpu, autocast=None)
    return CutKey(**{**vars(plain), "dtype": dtype})


def some_images(count: int) -> "np.ndarray":
    return np.random.default_rng(0).integers(0, 256, (count, 32), dtype=np.uint8)


def resident() -> int:
    """Return the process's resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def read(rows: int, width: int) -> None:
    torch.set_num_threads(1)
    images, made = some_images(rows), key(width, dtype="float16")
    with tempfile.TemporaryDirectory() as folder:
        writer = Store(Path(folder), max_bytes=10**12).open(made)
        written = time.process_time()
        for start in range(0, rows, BLOCK):
            part = images[start : start + BLOCK]
            writer.add(part, torch.zeros(len(part), width, dtype=torch.float16) + start)
        written = time.process_time() - written
        del writer
        size = rows * width * 2 / 1e9
        before, peak = resident(), 0
        times = {"write": written}
        store = Store(Path(folder), max_bytes=10**12)
        for name in ("first find (verifies)", "second find"):
            began = time.process_time()
            found = store.open(made).find(images)
            times[name] = time.process_time() - began
            assert not len(found.missing)
        peak = max(peak, resident() - before)
        order = np.random.default_rng(1).permutation(rows)
        shuffled = store.open(made).find(images[order])
        for name, view in (("chunks of 8192 in order", found), ("chunks of 8192 in random order", shuffled)):
            began = time.process_time()
            for start in range(0, rows, 8192):
                chunk = view.take(np.arange(start, min(start + 8192, rows)))
                peak = max(peak, resident() - before)
                del chunk
            times[name] = time.process_time() - began
    print(f"{rows:,} rows of {width} float16, {size:.3g} GB\n\n| step | CPU seconds | GB/s |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds:.2f} | {size / seconds:.2f} |")
    verify = times["first find (verifies)"] - times["second find"]
    print(f"| verifying alone | {verify:.2f} | {size / verify:.2f} |")
    print(f"\nresident at most {peak / 1e6:.0f} MB above the start")


def fill(count: int, repeats: int) -> None:
    backbone = build_backbone("resnet18", image_size=SIZE)
    units = find_units(backbone, image_size=SIZE)
    classifier = Classifier(backbone, torch.nn.Identity(), units, len(units)).to(memory_format=torch.channels_last)
    pixels = torch.randn(count, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    images, width = some_images(count), feature_width(backbone)

    def forward(positions: "np.ndarray") -> torch.Tensor:
        return compute_rows(classifier, torch.split(pixels[positions], 32))[0]

    bare, cold, warm = [], [], []
    forward(np.arange(min(count, 64)))
    for number in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(timed(lambda: forward(np.arange(count))))
            made = key(width, weights=str(number))
            filling = partial(fill_anew, Path(folder), made, images, forward)
            cold.append(timed(filling))
            warm.append(timed(filling))
    print(f"resnet18 at {SIZE} px, {count:,} images, {torch.get_num_threads()} threads, n = {repeats}\n")
    print("| | CPU seconds (median) | x one forward pass | wall-clock seconds (median) |\n|---|---|---|---|")
    for name, seconds in (("forward pass", bare), ("fill, cold", cold), ("fill, warm", warm)):
        cpu, wall = (statistics.median(column) for column in zip(*seconds, strict=True))
        print(f"| {name} | {cpu:.3f} | {cpu / statistics.median(each for each, _ in bare):.3f} | {wall:.3f} |")


def fill_anew(folder: Path, made: CutKey, images: "np.ndarray", compute: Compute) -> None:
    """Fill as a new process would."""
    Store(folder, max_bytes=10**12).open(made).fill(images, compute)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU seconds and wall-clock seconds."""
    began = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - began[0], time.perf_counter() - began[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["read", "fill"])
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "read":
        read(arguments.rows, arguments.width)
    else:
        fill(arguments.images, arguments.repeats)


if __name__ == "__main__":
    main()
