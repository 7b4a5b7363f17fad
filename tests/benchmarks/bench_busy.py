"""What a pass and a training step on a CPU take beside other programs, by how long waiting threads spin.

    python tests/benchmarks/bench_busy.py [--beside 0 4] [--turns 5]

A thread that has done its share of an operation spins before it sleeps, for it is to go on at once. Where another
program has the processor of the thread that it waits for, it spins all its time away. GOMP_SPINCOUNT says how often;
the library reads it once, so each figure is that of a process of its own, and the settings take turns. Programs beside
are loops that do nothing. Milliseconds by the clock and of the processor, medians over turns of each process's median.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

SPINS = ("as it comes", "0", "1000", "10000", "100000")
SET = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
PARTS = ("a pass of 32 images at 224 px, lite0", "a step of 32 images at 48 px, resnet10t")


def measure() -> list[tuple[float, float]]:
    """Return milliseconds of each part, by the clock and of the processor."""
    import timm  # in the processes alone
    import torch

    from tlexp.train.allocator import keep_freed_memory

    keep_freed_memory()
    torch.manual_seed(0)
    frozen = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval().to(memory_format=torch.channels_last)
    images = torch.randn(32, 3, 224, 224).to(memory_format=torch.channels_last)
    trained = timm.create_model("resnet10t", num_classes=4).train()
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.01, momentum=0.9)
    small = torch.randn(32, 3, 48, 48)

    def forward() -> None:
        with torch.no_grad():
            frozen(images)

    def step() -> None:
        optimiser.zero_grad()
        trained(small).square().mean().backward()
        optimiser.step()

    return [_median(forward, 5), _median(step, 15)]


def _median(part: Callable[[], None], times: int) -> tuple[float, float]:
    part()
    taken = []
    for _ in range(times):
        clock, processor = time.perf_counter(), time.process_time()
        part()
        taken.append((1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)))
    clocks, processors = zip(*taken, strict=True)
    return statistics.median(clocks), statistics.median(processors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", nargs="+", type=int, default=[0, 4], help="programs at work beside it")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure()))
        return
    print("| beside | GOMP_SPINCOUNT | " + " | ".join(f"{part}: clock, ms | processor, ms" for part in PARTS) + " |")
    print("|---" * (2 + 2 * len(PARTS)) + "|")
    for beside in options.beside:
        loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(beside)]
        try:
            found: dict[str, list[list[list[float]]]] = {spins: [] for spins in SPINS}
            for _ in range(options.turns):
                for spins in SPINS:
                    own = {"GOMP_SPINCOUNT": spins} if spins.isdigit() else {}
                    environment = {key: value for key, value in os.environ.items() if key not in SET} | own
                    command = [sys.executable, __file__, "--measure"]
                    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
                    found[spins].append(json.loads(said.stdout.splitlines()[-1]))
        finally:
            for loop in loops:
                loop.kill()
        for spins, turns in found.items():
            medians = [
                f"{statistics.median(turn[part][way] for turn in turns):.0f}" for part in (0, 1) for way in (0, 1)
            ]
            print(f"| {beside} | {spins} | {' | '.join(medians)} |", flush=True)


if __name__ == "__main__":
    main()
