"""Do the weights of backbone=tiny earn their place: frozen with two linear heads, against three ways without them.

python tests/benchmarks/bench_tiny.py FOLDER   (FOLDER/cifar10 ... with train/ and test/ or val/ trees; without it only
the embedded sets) prints a table of test accuracy, mean +- standard deviation over seeds; each seed draws the labels
and trains anew. Results are kept line by line in --results, so that an interrupted measurement goes on.

tiny      the packaged weights, frozen, a linear head at the default rates: what `python -m tlexp` does
logreg    the packaged weights, frozen, logistic regression solved: whole runs of `head=logreg`
random    the same architecture frozen at random, residual branches not zeroed, BatchNorm calibrated on the budget
scratch   the same architecture trained from random weights for the protocol's steps at the default rates
pixels    scikit-learn's logistic regression (C = 1) on 16 x 16 pixels in [-0.5, 0.5]

Frozen networks give the same features at every step, so they are computed once; `--check` compares with a whole run.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from tlexp.compose.load import load
from tlexp.config import Config
from tlexp.data import ImageBank, ImageBatches, Source, chunks
from tlexp.experiment import build
from tlexp.experiment import images as images_module
from tlexp.experiment.run import run
from tlexp.features.batches import ImageSet
from tlexp.features.entry import Entry
from tlexp.learn.trained import TrainedLearner
from tlexp.models import Classifier
from tlexp.train import Listener, choose_device, fit

SETS = {
    "shapes": (5, 20, 100),
    "digits": (5, 20, 100),
    "cifar10": (5, 20, 100),
    "hymenoptera": (5, 20, 100),
    "cats_vs_dogs": (5, 20, 100),
    "omniglot242": (5, 10),
}
EMBEDDED = ("shapes", "digits")


class Bench:
    """One image set, decoded once."""

    def __init__(self, name: str, folder: Path | None, words: list[str]) -> None:
        where = [f"data={name}"] if name in EMBEDDED else ["data=folder", f"data.root={folder}/{name}"]
        self.words = ["backbone=tiny", *where, *words]
        config = self.config(labels=5, seed=0)
        network = build.build_network(config)
        self.expected, self.device = network.expected, choose_device(config.train.device)
        self.source: Source = images_module.open_images(config, network.expected, Listener())
        self.pool = self._decoded(config, self.source.pool)
        self.test = self._decoded(config, self.source.held_out)

    def config(self, *words: str, labels: int, seed: int) -> Config:
        return load([*self.words, f"labels={labels}", f"seed={seed}", "tune.validate=false", *words]).config

    def _decoded(self, config: Config, images) -> ImageBank:
        return images_module.decode(config, images, np.arange(len(images.labels)), self.expected, Listener())

    def budget(self, config: Config) -> NDArray[np.int64]:
        return images_module.draw_labels(config, self.source).positions

    def accuracy(self, logits: NDArray[np.float32]) -> float:
        return float((logits.argmax(1) == self.test.labels.numpy()).mean())

    def features(self, classifier: Classifier, bank: ImageBank) -> Tensor:
        places = np.arange(len(bank))
        mean, std = self.expected.mean, self.expected.std
        images = chunks(bank, places, mean=mean, std=std, device=self.device, channels_last=True, size=32)
        classifier.to(self.device)
        with torch.no_grad():
            return torch.cat([classifier.features(batch) for batch, _ in images])

    def part(self, positions: NDArray[np.int64]) -> ImageBank:
        places = torch.from_numpy(positions)
        return ImageBank(pixels=self.pool.pixels[places], labels=self.pool.labels[places])


class Stream:
    """The run's own batches, of features in place of images."""

    def __init__(self, features: Tensor, labels: Tensor, batches: ImageBatches) -> None:
        self.features, self.labels, self.batches = features[:, :, None, None], labels.to(features.device), batches

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        places = torch.from_numpy(self.batches.positions(step))
        return self.features[places], self.labels[places]


def probe(bench: Bench, config: Config, train: Tensor, labels: Tensor, test: Tensor) -> float:
    """Train the head of a frozen network as a run does, on features that are known already."""
    classes = len(bench.source.classes)
    network = build.build_network(config)
    head = build.build_classifier(config, network, classes).head
    classifier = Classifier(nn.Flatten(), head, (), 0).to(bench.device)
    setup = build.build_setup(config, network, bench.device, images=len(labels), classes=classes)
    dummy = ImageBank(pixels=torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels=labels)
    batches = ImageBatches(
        dummy, np.arange(len(labels)), batch_size=setup.batch_size, seed=setup.plan.seed, augment=lambda i, s: i,
        mean=(0, 0, 0), std=(1, 1, 1), device=torch.device("cpu"), channels_last=True,
    )  # fmt: skip
    fit(classifier, Stream(train, labels, batches), setup.plan, fit_id="final", listener=Listener(), checkpoint=None)
    with torch.no_grad():
        return bench.accuracy(classifier.eval()(test[:, :, None, None]).cpu().numpy())


def tiny(bench: Bench) -> Callable[[int, int], float]:
    config = bench.config(labels=5, seed=0)
    network = build.build_network(config)
    build.load_start(config, network)
    classifier = build.build_classifier(config, network, 2).eval()
    pool, test = bench.features(classifier, bench.pool), bench.features(classifier, bench.test)

    def measure(labels: int, seed: int) -> float:
        config = bench.config(labels=labels, seed=seed)
        places = torch.from_numpy(bench.budget(config))
        return probe(bench, config, pool[places.to(bench.device)], bench.pool.labels[places], test)

    return measure


def logreg(bench: Bench) -> Callable[[int, int], float]:
    words = ["head=logreg", "tune.validate=true", "tracking=off", "tracking.figures=false", "train.save_weights=false"]

    def measure(labels: int, seed: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            config = bench.config(*words, labels=labels, seed=seed)
            return run(config, folder=Path(folder), listener=Listener()).record.metrics["test/accuracy"]

    return measure


def random(bench: Bench) -> Callable[[int, int], float]:
    def measure(labels: int, seed: int) -> float:
        config = bench.config("backbone.pretrained=false", labels=labels, seed=seed)
        network = build.build_network(config)
        classifier = build.build_classifier(config, network, 2)
        part = bench.part(bench.budget(config))
        calibrate(network.backbone, bench, part)
        classifier.eval()
        return probe(
            bench, config, bench.features(classifier, part), part.labels, bench.features(classifier, bench.test)
        )

    return measure


@torch.no_grad()
def calibrate(backbone: nn.Module, bench: Bench, part: ImageBank) -> None:
    """Set BatchNorm's statistics to those of the budget's images; let every residual branch speak."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.ones_(norm.weight)
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    mean, std = bench.expected.mean, bench.expected.std
    places = np.arange(len(part))
    backbone.to(bench.device)
    for images, _ in chunks(part, places, mean=mean, std=std, device=bench.device, channels_last=True, size=256):
        backbone(images)


def scratch(bench: Bench) -> Callable[[int, int], float]:
    def measure(labels: int, seed: int) -> float:
        config = bench.config("backbone.pretrained=false", "freeze=none", labels=labels, seed=seed)
        network = build.build_network(config)
        classes = len(bench.source.classes)
        classifier = build.build_classifier(config, network, classes).to(bench.device)
        part = bench.part(bench.budget(config))
        setup = build.build_setup(config, network, bench.device, images=len(part), classes=classes)
        entry = Entry(images=ImageSet(part, setup))
        learner = TrainedLearner(classifier, [entry], setup, checkpoint=None, listener=Listener())  # type: ignore[arg-type]
        learner.train("final", np.arange(len(part)), config.default_rates)
        return bench.accuracy(learner.predict(ImageSet(bench.test, setup), np.arange(len(bench.test)))[0])

    return measure


def pixels(bench: Bench) -> Callable[[int, int], float]:
    small = [
        F.interpolate(bank.pixels.float(), size=16, mode="area").flatten(1).numpy() / 255 - 0.5
        for bank in (bench.pool, bench.test)
    ]

    def measure(labels: int, seed: int) -> float:
        places = bench.budget(bench.config(labels=labels, seed=seed))
        model = LogisticRegression(C=1.0, max_iter=2000).fit(small[0][places], bench.pool.labels.numpy()[places])
        return float(model.score(small[1], bench.test.labels.numpy()))

    return measure


METHODS = {"tiny": tiny, "logreg": logreg, "random": random, "scratch": scratch, "pixels": pixels}


def wanted(options: argparse.Namespace, done: set[tuple]) -> Iterator[tuple[str, str, list[tuple[int, int]]]]:
    for name in options.sets:
        for method in options.methods:
            cells = [(labels, seed) for labels in SETS[name] for seed in range(options.seeds)]
            left = [cell for cell in cells if (name, method, *cell) not in done]
            if left:
                yield name, method, left


def read(path: Path) -> dict[tuple, float]:
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return {(row["set"], row["method"], row["labels"], row["seed"]): row["accuracy"] for row in rows}


def table(found: dict[tuple, float]) -> str:
    """Return the table in Markdown; a cell of fewer seeds than the row's most says so."""
    lines = ["| set | labels | n | " + " | ".join(METHODS) + " |", "|---|---|---|" + "---|" * len(METHODS)]
    for name, budgets in SETS.items():
        for labels in budgets:
            cells = {
                method: [value for key, value in found.items() if key[:3] == (name, method, labels)]
                for method in METHODS
            }
            most = max(len(values) for values in cells.values())
            if most:
                texts = [cell(values, most) for values in cells.values()]
                lines.append(f"| {name} | {labels} | {most} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def cell(values: list[float], most: int) -> str:
    if not values:
        return "not measured"
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}" + (f" (n = {len(values)})" if len(values) < most else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=None)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--results", type=Path, default=Path("bench_tiny.jsonl"))
    parser.add_argument("--words", nargs="*", default=[], help="overrides for every run, e.g. train.precision=bf16")
    parser.add_argument("--check", action="store_true", help="compare one cell of tiny with a whole run")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    options = parser.parse_args()
    options.words += [f"train.device={options.device}"]
    options.sets = options.sets or (list(SETS) if options.folder else list(EMBEDDED))
    bench: Bench | None = None
    current = ""
    for name, method, cells in wanted(options, set(read(options.results))):
        if bench is None or current != name:
            bench, current = Bench(name, options.folder, options.words), name
        measure = METHODS[method](bench)
        for labels, seed in cells:
            began = time.perf_counter()
            row = {"set": name, "method": method, "labels": labels, "seed": seed, "accuracy": measure(labels, seed)}
            row["seconds"] = round(time.perf_counter() - began, 2)
            with options.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
    if options.check:
        check(options, read(options.results))
    print(table(read(options.results)))


def check(options: argparse.Namespace, found: dict[tuple, float]) -> None:
    """Do one whole run and compare it with what was measured on features."""
    name = options.sets[0]
    bench = Bench(name, options.folder, options.words)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(bench.config("tracking=off", labels=20, seed=1), folder=Path(folder), listener=Listener())
    whole, features = outcome.record.metrics["test/accuracy"], found[name, "tiny", 20, 1]
    print(f"{name}, 20 labels, seed 1: a whole run gives {whole:.4f}, on features {features:.4f}")


if __name__ == "__main__":
    main()
