"""What cuts behind the frozen units cost and save.

    python tests/benchmarks/bench_cuts.py [--repeats 5] [--part pass|step|study ...]

resnet18 with random weights at 64 px. One process, one thread; medians over repeats, in which all measurements take
turns. Seconds are those of the processor, so that neighbours do not count; neither does waiting for a disk.

pass    256 images in chunks through the whole backbone, and through it with every cut filled; writing apart
step    15 training steps from rows in memory, batches of 32, against the suffix's own forward and backward pass
study   runs behind 2 and 4 frozen units, 8 labels, 2 seeds each: from stored cuts, filled in one pass that is counted,
        and with the whole network at every step; selection is left out and both train equally long
"""

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tlexp import prefix, supply
from tlexp.ahead import fill_cuts
from tlexp.assembly import build_classifier, build_network, build_regime
from tlexp.compose import load
from tlexp.config import Config
from tlexp.experiment import run
from tlexp.models import Classifier
from tlexp.models.classifier import in_chunks
from tlexp.models.tracing import CutError
from tlexp.prefix import build_prefix
from tlexp.shared import Shared
from tlexp.train import Listener, fit

WORDS = [
    "backbone=resnet18", "backbone.pretrained=false", "backbone.image_size=64", "data.per_class=40",
    "data.test_per_class=40", "data.num_classes=4", "labels=32", "tracking=off", "tracking.figures=false",
    "train.save_weights=false", "tune.validate=false",
]  # fmt: skip
CPU = torch.device("cpu")
DEPTHS = (1, 2, 3, 4)
COLUMNS = (2, 4)


def config(*words: str) -> Config:
    return load([*WORDS, *words]).config


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def told(name: str, ratios: list[float]) -> None:
    print(f"{name}: {statistics.median(ratios):.3f}  ({min(ratios):.3f} .. {max(ratios):.3f}, n={len(ratios)})")


def one_pass(repeats: int) -> None:
    made = config("freeze=all")
    network = build_network(made)
    classifier = Classifier(network.backbone, nn.Identity(), network.units, len(network.units))
    regime = build_regime(made, network.expected, CPU, images=128, classes=4)
    filled = build_prefix(classifier, [*DEPTHS, 5], regime)
    images = torch.randn(256, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    ratios = []
    for turn in range(repeats + 1):
        plain = timed(lambda: in_chunks(lambda chunk: [network.backbone(chunk)], images))
        every = timed(lambda: filled.passing(images))
        ratios += [every / plain] if turn else []
    told("all five cuts in one pass / a plain forward pass", ratios)


def steps(repeats: int, count: int = 15) -> None:
    for depth in DEPTHS[1::2]:
        told(f"{count} steps behind unit {depth} from the cache / the suffix's own", step_ratios(depth, repeats, count))


def step_ratios(depth: int, repeats: int, count: int) -> list[float]:
    made = config("freeze=depth", f"freeze.depth={depth}", f"train.steps={count}", "cache=off")
    shared = Shared(several=True)
    network, _ = shared.network(made)
    source = shared.source(made, network.expected, Listener())
    classifier = build_classifier(made, network, 4)
    budget = supply.Budget(positions=np.arange(160), labels=source.pool.labels, folds=())
    regime = build_regime(made, network.expected, CPU, images=160, classes=4)
    feed = supply.Feeds(made, shared, classifier, source, budget, regime, Listener()).budget
    entered, stream = classifier.behind_cut(), feed.stream(np.arange(160))
    rows, labels = stream.batch(0)
    optimizer = torch.optim.AdamW([parameter for _, parameter in entered.trainable_parameters()], lr=0.0)

    def alone() -> None:
        entered.train()
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(entered(rows.clone()), labels).backward()
            optimizer.step()

    def stepped(times: int) -> None:
        plan = dataclasses.replace(regime.plan, steps=times * count)
        fit(entered, stream, plan, fit_id="bench", listener=Listener(), checkpoint=None)

    ratios = []
    for turn in range(repeats + 1):
        # What a fit does once, such as counting operations in its first step, is taken off.
        own, once, twice = timed(alone), timed(lambda: stepped(1)), timed(lambda: stepped(2))
        ratios += [(twice - once) / own] if turn else []
    return ratios


@contextmanager
def uncut() -> Iterator[None]:
    """Let no network be cut."""
    own = prefix.Cutter

    def refuse(*args: object) -> None:
        raise CutError("left whole")

    prefix.Cutter = refuse  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        prefix.Cutter = own  # type: ignore[misc]


def columns(cache: str, *, filled: bool) -> list[float]:
    """Run all replicates of all depths; return their test losses."""
    shared, losses = Shared(several=True), []
    points = [(labels, seed) for labels in (8,) for seed in (0, 1)]
    words = [f"cache.dir={cache}", "train.steps=20"]
    if filled:
        configs = [
            config(*words, "freeze=all", f"labels={labels}", "seed=0", f"data.seed={seed}") for labels, seed in points
        ]
        fill_cuts(configs, [*COLUMNS], shared, device=CPU, listener=Listener())
    for depth in COLUMNS:
        for labels, seed in points:
            made = config(
                *words, "freeze=depth", f"freeze.depth={depth}", f"labels={labels}", "seed=0", f"data.seed={seed}"
            )
            with tempfile.TemporaryDirectory() as folder:
                outcome = run(made, folder=Path(folder), listener=Listener(), shared=shared)
            losses.append(outcome.record.metrics["test/nll"])
    return losses


def study(repeats: int) -> None:
    ratios, seconds = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            began = time.process_time()
            cut = columns(one, filled=True)
            middle = time.process_time()
            with uncut():
                whole = columns(two, filled=False)
            ended = time.process_time()
        ratios.append((ended - middle) / (middle - began))
        seconds.append(f"{middle - began:.1f} s cut, {ended - middle:.1f} s whole")
        print(f"largest difference of a test loss: {max(abs(a - b) for a, b in zip(cut, whole, strict=True)):.1e}")
    told("4 runs of 2 depths, whole network / from cuts", ratios)
    print("; ".join(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", nargs="*", default=["pass", "step", "study"])
    options = parser.parse_args()
    parts: dict[str, Callable[[int], None]] = {"pass": one_pass, "step": steps, "study": study}
    for name in options.part:
        parts[name](options.repeats)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
