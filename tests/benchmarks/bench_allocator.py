"""What a pass of lite0 over images costs, with memory that stays with the process and with glibc's own way.

    python tests/benchmarks/bench_allocator.py [--images 320] [--turns 3]

Prints a table as markdown; each turn is a process of its own, and both ways take turns. Seconds are those of the
processor, as user and for the system; bytes are the process's peak.
"""

import argparse
import os
import resource
import subprocess
import sys

import numpy as np
import torch

from tlexp.cache import compute_rows
from tlexp.compose.load import load
from tlexp.data import ImageBank
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.session import Session
from tlexp.features.batches import normalised
from tlexp.train import choose_device
from tlexp.train.allocator import VARIABLE


def turn(count: int) -> str:
    """Return the row of a pass over so many images."""
    config, device = load(["backbone=lite0", "train.device=cpu"]).config, choose_device("cpu")
    network, _ = Session().network(config)
    side = network.expected.image_size
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    bank = ImageBank(pixels=pixels, labels=torch.zeros(count, dtype=torch.int64))
    setup = build_setup(config, network, device, images=count, classes=2)
    classifier = build_classifier(config, network, 2).to(memory_format=torch.channels_last)
    before = resource.getrusage(resource.RUSAGE_SELF)
    compute_rows(classifier, (images for images, _ in normalised(bank, np.arange(count), setup)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    way, each = os.environ.get(VARIABLE, "kept"), (user + system) / count
    return f"| {way} | {user:.2f} | {system:.2f} | {1000 * each:.1f} | {after.ru_maxrss / 2**20:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--turns", type=int, default=3, help="0 = one, in this process")
    options = parser.parse_args()
    if not options.turns:
        print(turn(options.images))
        return
    print("| memory | user s | system s | ms an image | peak GiB |\n|---|---|---|---|---|", flush=True)
    again = [sys.executable, __file__, "--images", str(options.images), "--turns", "0"]
    for _ in range(options.turns):
        for environment in ({}, {VARIABLE: "default"}):
            subprocess.run(again, env=os.environ | environment, check=True)


if __name__ == "__main__":
    main()
