"""What bfloat16 gives in a frozen pass on a CPU, and what it takes from accuracy.

    python tests/benchmarks/bench_precision.py SET ... [--most 1000] [--size 128] [--backbone lite0] [--turns 5]

A set is a folder as data.root has it. Both precisions see the same decoded images in the same chunks. Seconds are those
of the processor, medians over turns that the two take in turn, of the first 256 images; cosine is the least over all
images; accuracies are those of three heads, solved on the features of so many images of the pool, on as many held-out
ones: in float32, and how many held-out images more are right in bfloat16.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tlexp.compose.load import load
from tlexp.data import chunks
from tlexp.experiment import images as images_module
from tlexp.experiment.build import build_classifier
from tlexp.experiment.session import Session
from tlexp.train import Listener, Problem, predict, solve

HEADS = {"logreg": 1e-2, "ridge": 1e-2, "nearest_mean": 0.0}
PRECISIONS = (None, torch.bfloat16)


class Frozen:
    """A frozen network and some images of a set, decoded."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        words = [f"backbone={options.backbone}", f"backbone.image_size={options.size}", "data=folder"]
        config, session = load([*words, f"data.root={folder}", "labels=5", "train.device=cpu"]).config, Session()
        network, _ = session.network(config)
        self.source, self.expected = session.images(config, network.expected, Listener()), network.expected
        self.classes = len(self.source.classes)
        self.classifier = build_classifier(config, network, self.classes).to(memory_format=torch.channels_last)
        self.classifier.head = torch.nn.Identity()
        self.banks = [self._bank(config, images, options.most) for images in (self.source.pool, self.source.held_out)]

    def _bank(self, config, images, most):
        places = np.sort(np.random.default_rng(0).permutation(len(images.labels))[:most])
        return images_module.decode(config, images, places, self.expected, Listener())

    def features(self, bank, precision, most=None):
        mean, std, cpu = self.expected.mean, self.expected.std, torch.device("cpu")
        whole = np.arange(len(bank))[:most]
        fed = chunks(bank, whole, mean=mean, std=std, device=cpu, channels_last=True, size=32)
        return torch.from_numpy(predict(self.classifier, fed, autocast=precision)[0])


def paced(frozen: Frozen, turns: int) -> list[float]:
    """Return the processor's seconds of 256 images in each precision."""
    taken: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        for found, precision in zip(taken, PRECISIONS, strict=True):
            began = time.process_time()
            frozen.features(frozen.banks[0], precision, 256)
            found += [time.process_time() - began] if turn else []
    return [statistics.median(found) for found in taken]


def right(frozen: Frozen, kind: str, rows: list[torch.Tensor]) -> int:
    """Return how many held-out images a head has right."""
    labels = torch.cat([bank.labels for bank in frozen.banks])
    count = len(frozen.banks[0])
    problem = Problem(train=np.arange(count), validation=np.arange(count, len(labels)))
    made = solve(kind, torch.cat(rows), labels, [problem], num_classes=frozen.classes, candidates=[HEADS[kind]])
    logits = made[0][0].logits
    assert logits is not None
    return int((logits.argmax(1) == frozen.banks[1].labels).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--most", type=int, default=1000, help="images of the pool, and held-out ones")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{options.backbone} at {options.size} px, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
    )
    print(f"| set | held out | fp32 / bf16 | least cosine | {' | '.join(HEADS)} |")
    print("|---|---|---|---|---|---|---|")
    for folder in options.sets:
        frozen = Frozen(folder, options)
        plain, half = paced(frozen, options.turns)
        rows = [[frozen.features(bank, precision) for bank in frozen.banks] for precision in PRECISIONS]
        cosine = min(float(F.cosine_similarity(*pair).min()) for pair in zip(*rows, strict=True))
        count, told = len(frozen.banks[1]), []
        for kind in HEADS:
            before, after = (right(frozen, kind, found) for found in rows)
            told.append(f"{before / count:.3f} {after - before:+d}")
        print(f"| {folder.name} | {count} | {plain / half:.2f} | {cosine:.5f} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
