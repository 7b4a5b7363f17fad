"""Speed of the training loop: against a bare torch loop, and against freeze depth.

    python tests/benchmarks/bench_loop.py [--steps 60] [--device cpu]

Prints two tables as markdown. The bare loop's step runs between the steps of the fit, in turn, so that other load on
the machine slows both alike; figures are medians over steps, ratios are ratios of medians in one process. Both loops
do the same arithmetic (AdamW, gradient clipping at 1) on the same batches, which lie in memory.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from tlexp.config.head import Activation, HeadInit, HeadKind, HeadNorm
from tlexp.config.optim import Optimizer, Schedule
from tlexp.models.backbone import build_backbone, feature_width
from tlexp.models.classifier import Classifier
from tlexp.models.head import build_head
from tlexp.models.units import find_units
from tlexp.train import FitPlan, FitReport, Listener, choose_device, fit, settle_process

SIZE, BATCH, CLASSES, BATCHES = 64, 32, 10, 8
WARM_UP = 5


def clocks() -> tuple[float, float]:
    """Return wall-clock seconds and the process's CPU seconds; other load on the machine hardly changes the latter.

    A GPU is waited for, so that a step's seconds are those of its work.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


class Stopwatch(Listener):
    """Times the fit's steps; runs `between` after each of them, off the fit's time but on its own."""

    def __init__(self, between: Callable[[], None] = lambda: None) -> None:
        self.between = between
        self.fit_seconds: list[tuple[float, ...]] = []
        self.between_seconds: list[tuple[float, ...]] = []
        self.mark = clocks()

    def phase(self, title: str, steps: int) -> None:
        self.mark = clocks()

    def step(self, step: int, values: dict[str, float]) -> None:
        begin = clocks()
        self.fit_seconds.append(tuple(now - then for now, then in zip(begin, self.mark, strict=True)))
        self.between()
        self.mark = clocks()
        self.between_seconds.append(tuple(now - then for now, then in zip(self.mark, begin, strict=True)))


def medians(seconds: list[tuple[float, ...]]) -> tuple[float, float]:
    """Return the median wall-clock and CPU seconds."""
    wall, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
    return wall, cpu


class Memory:
    """Random batches, normalised and channels-last, drawn once."""

    def __init__(self, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        drawn = [
            (
                torch.randn(BATCH, 3, SIZE, SIZE, generator=generator).contiguous(memory_format=torch.channels_last),
                torch.randint(CLASSES, (BATCH,), generator=generator),
            )
            for _ in range(BATCHES)
        ]
        self.device = device
        self.batches = [(images.to(device), labels.to(device)) for images, labels in drawn]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.batches[step % BATCHES]


def build(depth: int, device: torch.device) -> Classifier:
    backbone = build_backbone("resnet18", image_size=SIZE)
    head = build_head(
        kind=HeadKind.linear,
        in_features=feature_width(backbone),
        num_classes=CLASSES,
        hidden=[],
        activation=Activation.relu,
        dropout=0.0,
        norm=HeadNorm.none,
        init=HeadInit.normal,
        seed=0,
    )
    return Classifier(backbone, head, find_units(backbone, image_size=SIZE), depth).to(device)


def train(classifier: Classifier, batches: Memory, steps: int, listener: Listener) -> FitReport:
    plan = FitPlan(
        steps=steps,
        num_classes=CLASSES,
        seed=0,
        optimizer=Optimizer.adamw,
        lr=1e-4,
        weight_decay=0.05,
        momentum=0.9,
        layer_decay=None,
        schedule=Schedule.cosine,
        warmup=0.1,
        clip_norm=1.0,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        autocast=None,
        compile=False,
        channels_last=True,
    )
    return fit(classifier, batches, plan, fit_id="bench", listener=listener, checkpoint=None)


def bare_step(batches: Memory) -> Callable[[], None]:
    """Return one step of a loop as one would write it by hand."""
    classifier = build(0, batches.device)
    network = torch.nn.Sequential(classifier.backbone, classifier.head).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.05)
    done = 0

    def step() -> None:
        nonlocal done
        images, labels = batches.batch(done)
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        loss.item()
        done += 1

    return step


def saved_bytes(classifier: Classifier, images: torch.Tensor) -> int:
    """Return the bytes of activations that one training step keeps for its backward pass, parameters left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in classifier.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = classifier.train()(images)  # held, so that no storage is used twice
    assert logits.requires_grad
    return sum(kept.values())


def against_bare(batches: Memory, steps: int) -> None:
    """Print the speed of a fit beside that of the bare loop."""
    watch = Stopwatch(bare_step(batches))
    train(build(0, batches.device), batches, steps + WARM_UP, watch)
    ours, bare = medians(watch.fit_seconds[WARM_UP:]), medians(watch.between_seconds[WARM_UP:])
    print(f"| resnet18, {SIZE} px, batch {BATCH} | ms per step | images per second | CPU ms per step |")
    print("|---|---|---|---|")
    for name, (wall, cpu) in (("fit", ours), ("bare loop", bare)):
        print(f"| {name} | {1000 * wall:.1f} | {BATCH / wall:.1f} | {1000 * cpu:.1f} |")
    print(f"| bare / fit, median of {steps} | {bare[0] / ours[0]:.3f} | | {bare[1] / ours[1]:.3f} |\n", flush=True)


def against_depth(batches: Memory, steps: int) -> None:
    """Print step time and saved activations of every freeze depth, the depths taking turns."""
    depths = range(len(build(0, batches.device).units) + 1)
    seconds: dict[int, list[tuple[float, ...]]] = {depth: [] for depth in depths}
    classifiers = {depth: build(depth, batches.device) for depth in depths}
    turns = 4
    for _ in range(turns):
        for depth in depths:
            watch = Stopwatch()
            train(classifiers[depth], batches, steps // turns + 1, watch)
            seconds[depth] += watch.fit_seconds[1:]
    full, clock = medians(seconds[0]), int(batches.device.type == "cpu")  # an accelerator's work is none of the CPU's
    print(
        f"| freeze depth | frozen up to | ms per step (median of {steps}) | CPU ms | x faster | saved activations, MB |"
    )
    print("|---|---|---|---|---|---|")
    for depth in depths:
        wall, cpu = medians(seconds[depth])
        name = classifiers[depth].units[depth - 1].name if depth else "nothing"
        megabytes = saved_bytes(classifiers[depth], batches.batch(0)[0]) / 1e6
        faster = full[clock] / (wall, cpu)[clock]
        print(f"| {depth} | {name} | {1000 * wall:.1f} | {1000 * cpu:.1f} | {faster:.2f} | {megabytes:.1f} |")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each kind")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    options = parser.parse_args()
    settle_process()
    batches = Memory(choose_device(options.device))
    against_bare(batches, options.steps)
    against_depth(batches, options.steps)


if __name__ == "__main__":
    main()
