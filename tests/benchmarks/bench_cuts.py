"""What cuts behind the frozen units cost and save.

    python tests/benchmarks/bench_cuts.py [--repeats 5] [--part pass|step|study ...]

resnet18 with random weights at 64 px. One process, one thread; medians over repeats, in which all measurements take
turns. Seconds are those of the processor, so that neighbours do not count; neither does waiting for a disk.

pass    256 images in chunks through the whole backbone, and through it with every cut filled; writing apart
step    20 training steps from rows in memory, batches of 32, against the suffix's own forward and backward pass
study   runs behind 2 and 4 frozen units, 8 labels, 2 seeds each, of the protocol's 200 steps: from stored cuts, filled
        in one pass that is counted, and with the frozen units run again at every step; their losses have to be equal
"""

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlexp.compose.load import load
from tlexp.config import Config
from tlexp.experiment.build import build_classifier, build_network, build_setup
from tlexp.experiment.images import Budget
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.run import run
from tlexp.experiment.session import Session
from tlexp.features.batches import Batches
from tlexp.features.entry import build_cutter, pass_through
from tlexp.models import Classifier
from tlexp.models.classifier import in_chunks
from tlexp.studies.prefetch import fill_cuts
from tlexp.train import Listener, choose_device, fit

WORDS = [
    "backbone=resnet18", "backbone.pretrained=false", "backbone.image_size=64", "data.per_class=40",
    "data.test_per_class=40", "data.num_classes=4", "labels=32", "tracking=off", "tracking.figures=false",
    "train.save_weights=false", "tune.validate=false",
]  # fmt: skip
DEPTHS = (1, 2, 3, 4)
COLUMNS = (2, 4)


def config(*words: str) -> Config:
    return load([*WORDS, *words]).config


def clock() -> float:
    """Return seconds of the processor; by the wall, after its work, where a GPU has begun to compute."""
    if not torch.cuda.is_initialized():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(work: Callable[[], object]) -> float:
    began = clock()
    work()
    return clock() - began


def told(name: str, ratios: list[float]) -> None:
    print(f"{name}: {statistics.median(ratios):.3f}  ({min(ratios):.3f} .. {max(ratios):.3f}, n={len(ratios)})")


def one_pass(repeats: int, words: Sequence[str]) -> None:
    made = config("freeze=all", *words)
    device = choose_device(made.train.device)
    network = build_network(made)
    classifier = Classifier(network.backbone, nn.Identity(), network.units, len(network.units)).to(device)
    cutter = build_cutter(classifier, build_setup(made, network, device, images=128, classes=4))
    passing = pass_through(cutter, [*(cutter.cut(depth) for depth in DEPTHS), cutter.whole()])
    images = torch.randn(256, 3, 64, 64).to(device, memory_format=torch.channels_last)
    ratios = []
    for turn in range(repeats + 1):
        plain = timed(lambda: in_chunks(lambda chunk: [network.backbone(chunk)], images))
        every = timed(lambda: passing(images))
        ratios += [every / plain] if turn else []
    told("all five cuts in one pass / a plain forward pass", ratios)


def steps(repeats: int, words: Sequence[str], count: int = 20) -> None:
    for depth in DEPTHS[1::2]:
        told(
            f"{count} steps behind unit {depth} from the cache / the suffix's own",
            step_ratios(depth, repeats, count, words),
        )


def step_ratios(depth: int, repeats: int, count: int, words: Sequence[str]) -> list[float]:
    made = config("freeze=depth", f"freeze.depth={depth}", "cache=off", *words)
    device = choose_device(made.train.device)
    session = Session(several=True)
    network, _ = session.network(made)
    source = session.images(made, network.expected, Listener())
    classifier = build_classifier(made, network, 4).to(device)
    budget = Budget(positions=np.arange(160), labels=source.pool.labels, folds=())
    setup = build_setup(made, network, device, images=160, classes=4)
    [entry] = RunInputs(made, session, classifier, source, budget, setup, Listener()).entries
    entered, batches = entry.begin(classifier, np.arange(160))
    turns = _Turns(entered, batches)
    plan = dataclasses.replace(setup.plan, steps=repeats * count + 2, phases=())
    fit(entered, turns, plan, fit_id="bench", listener=Listener(), checkpoint=None)
    fitted, own = (np.array(times[-repeats * count :]).reshape(repeats, count).sum(1) for times in turns.times)
    return list(fitted / own)


class _Turns:
    """Batches of a fit, which takes turns, step by step, with the same steps made by hand: neighbours disturb both."""

    def __init__(self, entered: Classifier, batches: Batches) -> None:
        self.entered, self.batches = entered, batches
        self.times: tuple[list[float], list[float]] = ([], [])
        rows, self.labels = batches.batch(0)
        self.rows = rows.clone()
        self.optimizer = torch.optim.AdamW([each for _, each in entered.trainable_parameters()], lr=0.0)
        self.left: float | None = None

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        fitted, own = self.times
        if self.left is not None:  # what the fit did since it was handed its last batch
            fitted.append(clock() - self.left)
        own.append(timed(self.alone))
        self.left = clock()
        return self.batches.batch(step)

    def alone(self) -> None:
        self.optimizer.zero_grad()
        F.cross_entropy(self.entered(self.rows.clone()), self.labels).backward()
        self.optimizer.step()


def columns(*words: str, filled: bool) -> list[float]:
    """Run all replicates of all depths; return their test losses."""
    session, losses = Session(several=True), []
    seeds = [f"data.seed={seed}" for seed in (0, 1)]
    if filled:
        configs = [config(*words, "freeze=all", seed) for seed in seeds]
        device = choose_device(configs[0].train.device)
        fill_cuts(configs, [*COLUMNS], session, device=device, listener=Listener())
    for depth in COLUMNS:
        for seed in seeds:
            made = config(*words, "freeze=depth", f"freeze.depth={depth}", seed)
            with tempfile.TemporaryDirectory() as folder:
                outcome = run(made, folder=Path(folder), listener=Listener(), session=session)
            losses.append(outcome.record.metrics["test/nll"])
    return losses


def study(repeats: int, words: Sequence[str]) -> None:
    ratios, seconds = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            began = clock()
            stored = columns("labels=8", "seed=0", f"cache.dir={cache}", *words, filled=True)
            middle = clock()
            anew = columns("labels=8", "seed=0", "cache=off", "data.memory_bytes=1", *words, filled=False)
            ended = clock()
        assert stored == anew or torch.cuda.is_initialized(), "equal to the bit on the CPU"
        ratios.append((ended - middle) / (middle - began))
        seconds.append(f"{middle - began:.1f} s from stored cuts, {ended - middle:.1f} s without")
    told("4 runs of 2 depths with equal test losses, without a cache / from stored cuts", ratios)
    print("; ".join(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", nargs="*", default=["pass", "step", "study"])
    parser.add_argument(
        "--device", default="cpu", help="e.g. cuda; images pass anew at each step of `study` on the CPU"
    )
    options = parser.parse_args()
    parts: dict[str, Callable[[int, Sequence[str]], None]] = {"pass": one_pass, "step": steps, "study": study}
    for name in options.part:
        parts[name](options.repeats, [f"train.device={options.device}"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
