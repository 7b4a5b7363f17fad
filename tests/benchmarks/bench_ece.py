"""Does the temperature of a run make its probabilities worse: calibration errors from the records of whole runs.

    python tests/benchmarks/bench_ece.py FOLDER --words head=logreg

FOLDER holds image sets as `data.root=` takes them. From each run's predictions and the temperature in its record follow
the probabilities without it. Prints, as means over seeds, the expected calibration error (15 bins) and the log loss of
the test images without and with the temperature, and the share of them that a typicality of at most 0.05 has.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from tlexp.compose.load import load
from tlexp.experiment.run import run
from tlexp.experiment.session import Session
from tlexp.train import Listener, measure, to_probabilities


def figures_of(words, session):
    """Return the temperature, ece and nll without and with it, and the false alarms at 0.05 of a run."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(load(words).config, folder=Path(folder), listener=Listener(), session=session)
        with np.load(Path(folder) / "predictions.npz") as file:
            probabilities, labels = file["probability"].astype(np.float64), file["label"]
            alarms = float((file["typicality"] <= 0.05).mean()) if "typicality" in file else float("nan")
    temperature = outcome.record.train.temperature or 1.0
    logits = (np.log(np.maximum(probabilities, 1e-45)) * temperature).astype(np.float32)
    found = [measure(to_probabilities(each), labels, label_smoothing=0.0) for each in (logits, logits / temperature)]
    return temperature, found[0]["ece"], found[1]["ece"], found[0]["nll"], found[1]["nll"], alarms


def main():
    """Print a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cats_vs_dogs", "cifar10", "omniglot242", "hymenoptera"])
    parser.add_argument("--labels", nargs="+", type=int, default=[20, 20, 10, 20], help="of each class, set by set")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--words", nargs="+", default=[], help="of every run")
    arguments = parser.parse_args()
    print("| set | labels | temperatures | ece without | with | nll without | with | marked at 0.05 |")
    print("|---|---|---|---|---|---|---|---|")
    quiet = ["tracking=off", "tracking.figures=false", "train.save_weights=false"]
    for name, labels in zip(arguments.sets, arguments.labels, strict=True):
        session, rows = Session(several=True), []
        for seed in range(arguments.seeds):
            words = ["backbone=tiny", f"backbone.image_size={arguments.size}", "data=folder", f"labels={labels}"]
            words += [f"data.root={arguments.folder / name}", f"seed={seed}", *quiet, *arguments.words]
            rows.append(figures_of(words, session))
        temperatures, *figures = zip(*rows, strict=True)
        told = ", ".join(f"{each:.2f}" for each in temperatures)
        cells = [f"{statistics.mean(each):.3f}" for each in figures]
        print(f"| {name} | {labels} | {told} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
