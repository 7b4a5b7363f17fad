"""Many heads on known features: against one forward pass, against the same fits in turn, and against their number.

    python tests/benchmarks/bench_heads.py [tuned] [study] [sgd] [rows] [--repeats 5] [--threads 2] [--device cpu]

tuned   13 weight decays on 5 folds and the winner's refit, against one forward pass over the images that gives them
study   8 budgets x 10 data seeds x 13 decays x folds and refits, against one forward pass and the uncached loop
sgd     52 heads at once against 52 in turn, each by the training loop on the same features. A hidden layer of 64 on
        512 features makes it 1.7 million weights, 28 MB with gradients and Adam's means: a step at once is bound by
        memory and products. Processor time per step on a busy core: 8.2 ms at once, of which the two products of
        (3328, 512) and (512, 32) take 2.6 ms alone (0.22 GFLOP), and 34.5 ms in turn
rows    one head, and all default candidates, on 10^4, 10^5 and 10^6 rows of 512 half precision features in a file:
        seconds, resident bytes

Figures are medians in one process and ratios of medians; both sides take turns.
"""

import argparse
import copy
import dataclasses
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from tlexp.config.head import HeadInit, HeadKind
from tlexp.config.optim import Optimizer, Rates, Schedule
from tlexp.data import ImageBank, ImageBatches
from tlexp.data.placement import to_device
from tlexp.models import Classifier, build_backbone, build_head
from tlexp.models.units import find_units
from tlexp.train import FitPlan, Listener, choose_device, fit, settle_process
from tlexp.train.heads import solve
from tlexp.train.logreg import WEIGHT_DECAYS
from tlexp.train.many import train_many
from tlexp.train.problem import Problem

SIZE, CLASSES, WIDTH = 64, 10, 512
BUDGETS = (2, 5, 10, 20, 40, 80, 120, 160)
SEEDS = 10
COUNTS = (10**4, 10**5, 10**6)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def in_turns(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Return the median seconds of each, after one call to warm up, taking turns."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, found in zip(works, seconds, strict=True):
            found.append(timed(work))
            if turn == 0:
                found.clear()
    return [statistics.median(found) for found in seconds]


class Frozen:
    """resnet18 with random weights on random images whose brightness tells the class, and its features."""

    def __init__(self, images: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(images) % CLASSES
        noise = torch.randn(images, 3, SIZE, SIZE, generator=generator)
        pattern = torch.randn(CLASSES, 3, SIZE, SIZE, generator=generator)
        images_of = (noise + 0.3 * pattern[labels]).contiguous(memory_format=torch.channels_last)
        self.labels, self.images, self.device = labels.to(device), images_of.to(device), device
        backbone = build_backbone("resnet18", image_size=SIZE, seed=0)
        self.backbone = backbone.to(device, memory_format=torch.channels_last).eval()
        self.features = self.forward()

    @torch.no_grad()
    def forward(self) -> torch.Tensor:
        return torch.cat([self.backbone(part) for part in self.images.split(32)])


def folds(positions: np.ndarray, labels: torch.Tensor, per_class: int) -> list[Problem]:
    """Return the folds of the protocol: one split of a fifth from 10 images per class on, else min(5, k) folds."""
    count = min(5, per_class)
    place = np.empty(len(positions), dtype=int)
    for label in range(CLASSES):
        own = np.flatnonzero(labels.cpu().numpy()[positions] == label)
        place[own] = np.arange(len(own)) % (5 if per_class >= 10 else count)
    parts = range(1 if per_class >= 10 else count)
    return [Problem(train=positions[place != part], validation=positions[place == part]) for part in parts]


def pooled(fits, problems, labels) -> int:
    """Return the candidate of least log loss over pooled validation rows."""
    own = torch.cat([labels.cpu()[problem.validation] for problem in problems])
    losses = [
        float(nn.functional.cross_entropy(torch.cat([fold[index].logits for fold in fits]), own))
        for index in range(len(fits[0]))
    ]
    return int(np.argmin(losses))


def tuned(repeats: int, device: torch.device) -> None:
    """Print the cost of a tuned frozen run."""
    frozen = Frozen(1000, device)
    positions = np.arange(1000)
    parts = np.array_split(np.random.default_rng(0).permutation(positions), 5)
    five = [Problem(train=np.setdiff1d(positions, part), validation=part) for part in parts]
    split = five[:1]

    def run(problems: list[Problem]) -> None:
        features = frozen.forward()
        fits = solve("logreg", features, frozen.labels, problems, num_classes=CLASSES)
        best = WEIGHT_DECAYS[pooled(fits, problems, frozen.labels)]
        solve("logreg", features, frozen.labels, [Problem(train=positions)], num_classes=CLASSES, candidates=[best])

    forward, with_split, with_folds = in_turns(repeats, frozen.forward, lambda: run(split), lambda: run(five))
    print(f"forward pass, 1,000 images: {forward:.2f} s")
    print(f"with 13 decays on one split and the refit: {with_split:.2f} s = {with_split / forward:.2f} x")
    print(f"with 13 decays on five folds and the refit: {with_folds:.2f} s = {with_folds / forward:.2f} x")


def study(repeats: int, device: torch.device) -> None:
    """Print the cost of 8 budgets x 10 seeds x 13 decays, and of the loop's steps that it replaces."""
    frozen = Frozen(2000, device)
    labels = frozen.labels
    draws = {
        (per_class, seed): np.concatenate(
            [
                np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels.cpu().numpy() == label))[
                    :per_class
                ]
                for label in range(CLASSES)
            ]
        )
        for per_class in BUDGETS
        for seed in range(SEEDS)
    }

    def run() -> None:
        features = frozen.forward()
        cells = {cell: folds(positions, labels, cell[0]) for cell, positions in draws.items()}
        fits = iter(solve("logreg", features, labels, list(itertools.chain(*cells.values())), num_classes=CLASSES))
        finals: dict[float, list[Problem]] = {}
        for cell, problems in cells.items():
            best = WEIGHT_DECAYS[pooled([next(fits) for _ in problems], problems, labels)]
            finals.setdefault(best, []).append(Problem(train=draws[cell]))
        for decay, problems in finals.items():
            solve("logreg", features, labels, problems, num_classes=CLASSES, candidates=[decay])

    forward, whole = in_turns(repeats, frozen.forward, run)
    print(f"forward pass, 2,000 images: {forward:.2f} s")
    print(f"{len(draws)} cells in all: {whole:.2f} s = {whole / forward:.2f} x")
    live(frozen, draws, whole)


def live(frozen: Frozen, draws: dict, whole: float) -> None:
    """Print what the uncached loop would need: its step is timed, the steps to convergence are counted on features."""
    step = live_step_seconds(frozen)
    problems = [folds(positions, frozen.labels, cell[0]) for cell, positions in draws.items()]
    fits = sum(len(own) * len(WEIGHT_DECAYS) + 1 for own in problems)
    steps = steps_to_converge(frozen, draws[20, 0])
    total = fits * steps * step
    print(
        f"{fits} fits one by one: {1000 * step:.1f} ms per uncached step of 32 images (median of 30), {steps} steps "
        "until within 1e-2 of the least objective (the middle decay at 20 labels, on features, or 12,800 if later): "
        f"{total:,.0f} s, scaled = {total / whole:,.0f} x as many"
    )


def live_step_seconds(frozen: Frozen) -> float:
    units = find_units(frozen.backbone, image_size=SIZE)
    head = build_head(kind=HeadKind.linear, in_features=WIDTH, num_classes=CLASSES, seed=0)
    classifier = Classifier(frozen.backbone, head, units, len(units)).to(frozen.device)
    marks = []

    class Watch(Listener):
        def step(self, step, values):
            marks.append(time.perf_counter())

    class Stream:
        def batch(self, step):
            places = slice(32 * step % 1984, 32 * step % 1984 + 32)
            return frozen.images[places], frozen.labels[places]

    fit(classifier, Stream(), plan(31), fit_id="final", listener=Watch(), checkpoint=None)
    return statistics.median(np.diff(marks))


def steps_to_converge(frozen: Frozen, positions: np.ndarray) -> int:
    """Return the optimiser steps (a cosine schedule of that length) that come within 1e-2 of the least objective."""
    decay = WEIGHT_DECAYS[6]
    rows = frozen.features[torch.from_numpy(positions).to(frozen.device)]
    scaled = (rows - rows.mean(0)) / (rows - rows.mean(0)).square().mean().sqrt()
    labels = frozen.labels[torch.from_numpy(positions).to(frozen.device)]

    def objective(head: nn.Module) -> float:
        with torch.no_grad():
            data = nn.functional.cross_entropy(head(scaled), labels)
            return float(data + decay / 2 * head[0].weight.square().sum())

    target = solve(
        "logreg", scaled, labels, [Problem(train=np.arange(len(labels)))], num_classes=CLASSES, candidates=[decay]
    )
    least = objective(target[0][0].head)
    head = build_head(kind=HeadKind.linear, in_features=WIDTH, num_classes=CLASSES, seed=0)
    rates = [Rates(lr=float(lr), weight_decay=decay) for lr in np.logspace(-4, 0, 9)]
    stream = batches(labels.cpu(), np.arange(len(labels))).positions
    steps = 100
    while True:
        fits = train_many(
            head, scaled, labels, [Problem(train=np.arange(len(labels)))], streams=[stream], candidates=rates,
            plan=plan(steps, optimizer=Optimizer.adam),
        )[0]  # fmt: skip
        if min(objective(fitted.head) for fitted in fits) < 1.01 * least or steps > 6_000:
            return steps
        steps *= 2


def plan(steps: int, optimizer: Optimizer = Optimizer.adamw) -> FitPlan:
    return FitPlan(
        steps=steps, num_classes=CLASSES, seed=0, optimizer=optimizer, lr=1e-3, weight_decay=1e-2, momentum=0.9,
        layer_decay=None, schedule=Schedule.cosine, warmup=0.1, clip_norm=1.0, label_smoothing=0.0, mixup=0.0,
        cutmix=0.0, autocast=None, compile=False, channels_last=False,
    )  # fmt: skip


def batches(labels: torch.Tensor, positions: np.ndarray) -> ImageBatches:
    bank = ImageBank(pixels=torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels=labels)
    return ImageBatches(
        bank, positions, batch_size=32, seed=0, augment=lambda images, seed: images, mean=(0, 0, 0), std=(1, 1, 1),
        device=torch.device("cpu"), channels_last=False,
    )  # fmt: skip


def sgd(repeats: int, device: torch.device) -> None:
    """Print the speed of 52 heads at once against in turn."""
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(1000, WIDTH, generator=generator).to(device), torch.arange(1000) % CLASSES
    rates = [Rates(lr=lr, weight_decay=decay) for lr in np.logspace(-5, -1, 13) for decay in (0, 1e-4, 1e-2, 1.0)]
    problem = Problem(train=np.arange(1000))
    for name, options in (("linear", {"kind": HeadKind.linear}), ("mlp of 64", {"kind": HeadKind.mlp, "hidden": [64]})):
        head = build_head(in_features=WIDTH, num_classes=CLASSES, init=HeadInit.normal, seed=0, **options)
        stream = batches(labels, problem.train)
        placed = labels.to(device)

        class Stream:
            def batch(self, step, stream=stream, placed=placed):
                places = to_device(torch.from_numpy(stream.positions(step)), device)
                return features[places][:, :, None, None], placed[places]

        def at_once(head=head, stream=stream, placed=placed):
            train_many(head, features, placed, [problem], streams=[stream.positions], candidates=rates, plan=plan(200))

        def in_turn(head=head):
            for chosen in rates:
                classifier = Classifier(nn.Flatten(), copy.deepcopy(head), (), 0).to(device)
                own = dataclasses.replace(plan(200), lr=chosen.lr, weight_decay=chosen.weight_decay)
                fit(classifier, Stream(), own, fit_id="final", listener=Listener(), checkpoint=None)

        once, turn = in_turns(repeats, at_once, in_turn)
        print(f"{name}, 52 heads, 200 steps: at once {once:.2f} s, in turn {turn:.2f} s = {turn / once:.1f} x")


class File:
    """Half precision rows in a file, read and not mapped."""

    def __init__(self, path: Path, rows: int) -> None:
        self.file, self.shape = path.open("rb", buffering=0), (rows, WIDTH)

    def take(self, positions: torch.Tensor) -> torch.Tensor:
        first, last = int(positions[0]), int(positions[-1])
        whole = np.empty((last - first + 1, WIDTH), np.float16)
        os.preadv(self.file.fileno(), [memoryview(whole).cast("B")], first * WIDTH * 2)
        rows = torch.from_numpy(whole)
        return rows if len(rows) == len(positions) else rows[positions - first]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows(repeats: int, device: torch.device) -> None:
    """On the CPU, print seconds and peak resident bytes of one head on many rows, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            path = Path(folder) / f"{count}.f16"
            generator = np.random.default_rng(0)
            means = generator.normal(size=(CLASSES, WIDTH)).astype(np.float32)
            with path.open("wb") as file:
                for start in range(0, count, 10_000):
                    noise = generator.standard_normal((10_000, WIDTH), dtype=np.float32)
                    noise += 0.1 * means[np.arange(start, start + 10_000) % CLASSES]
                    file.write((noise * np.exp(np.linspace(0, -2, WIDTH))).astype(np.float16).tobytes())
            for kind, heads in itertools.product(("logreg", "ridge"), (1, 13)):
                words = [sys.executable, __file__, "one", f"--file={path}", f"--count={count}", f"--kind={kind}"]
                words.append(f"--heads={heads}")
                subprocess.run([*words, f"--threads={torch.get_num_threads()}"], check=True)


def one(options: argparse.Namespace) -> None:
    features = File(options.file, options.count)
    labels = torch.arange(options.count) % CLASSES
    problem = Problem(train=np.arange(options.count), validation=np.arange(1000))
    warm = torch.randn(3000, WIDTH)
    solve(options.kind, warm, labels[:3000], [Problem(train=np.arange(3000))], num_classes=CLASSES, candidates=[0.01])
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    candidates = [1e-3] if options.heads == 1 else WEIGHT_DECAYS
    fits = solve(options.kind, features, labels, [problem], num_classes=CLASSES, candidates=candidates)[0]
    seconds = time.perf_counter() - began
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(lines["VmHWM"].split()[0]) * 1024
    print(
        f"{options.kind}, {len(fits)} heads, {options.count:>9,} rows: {seconds:7.2f} s, "
        f"{1e6 * seconds / options.count:6.1f} us per row, {(peak - before) / 2**20:6.0f} MiB above the start, "
        f"{max(fitted.iterations for fitted in fits)} iterations, "
        f"{'converged' if all(fitted.converged for fitted in fits) else 'NOT CONVERGED'}",
        flush=True,
    )


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    versions = f"torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}"
    return f"{name} x {os.cpu_count()}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.2f}; {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["tuned", "study", "sgd", "rows"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--kind", default="logreg")
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="e.g. cuda; rows are solved on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settle_process()
    device = choose_device(options.device)
    if options.parts == ["one"]:
        one(options)
        return
    print(machine())
    for part in options.parts:
        {"tuned": tuned, "study": study, "sgd": sgd, "rows": rows}[part](options.repeats, device)
        print(f"load {os.getloadavg()[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
