"""What two changes would give in a frozen pass on a CPU: BatchNorm folded into convolutions, and inference mode.

    python tests/benchmarks/bench_folding.py [--networks resnet50 tf_efficientnet_lite0] [--size 224] [--turns 5]

The weights are random, BatchNorm's statistics those of one batch. Seconds are those of the processor for 32 images,
channels-last, medians over turns that the ways take in turn; the change is the greatest of a feature, in units of the
features' standard deviation.
"""

import argparse
import copy
import itertools
import statistics
import time

import timm
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tlexp.train.allocator import keep_freed_memory

IMAGES = 32


def folded(network: nn.Module) -> nn.Module:
    """Return a copy in which BatchNorm behind a convolution has become part of it; timm's holds an activation, too."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        named = list(parent.named_children())
        for (name, convolution), (norm_name, norm) in itertools.pairwise(named):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, norm_name, getattr(norm, "act", nn.Identity()))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "tf_efficientnet_lite0"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    print("| network | as it is, s | folded | inference mode | both | change |")
    print("|---|---|---|---|---|---|")
    for name in options.networks:
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=0).train()
        images = torch.randn(IMAGES, 3, options.size, options.size).to(memory_format=torch.channels_last)
        with torch.no_grad():
            network(images)
        network = network.eval().to(memory_format=torch.channels_last)
        fast = folded(network).to(memory_format=torch.channels_last)
        modes = torch.no_grad, torch.inference_mode
        ways = [(passed, mode) for mode in modes for passed in (network, fast)]
        taken: list[list[float]] = [[] for _ in ways]
        with torch.no_grad():
            before, after = network(images), fast(images)
        for turn in range(options.turns + 1):
            for found, (way, mode) in zip(taken, ways, strict=True):
                began = time.process_time()
                with mode():
                    way(images)
                found += [time.process_time() - began] if turn else []
        medians = [statistics.median(found) for found in taken]
        ratios = " | ".join(f"{median / medians[0]:.3f}" for median in medians[1:])
        change = float((before - after).abs().max() / before.std())
        print(f"| `{name}` | {medians[0]:.3f} | {ratios} | {change:.1e} |")


if __name__ == "__main__":
    main()
