"""What averaging all candidates gains over picking one, and what choosing the unit to probe gains over the last one.

    python tests/benchmarks/bench_readouts.py SET=LABELS ... [--backbones tiny lite0] [--seeds 5]

A SET is a folder as `data.root=` takes it, LABELS are budgets with commas between them. Logistic regressions on frozen
features; candidates and units are compared inside each budget, then everything is measured on the test images. Features
come from the cache after the first time.
"""

import argparse
import runpy
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from tlexp.compose.load import load
from tlexp.experiment.session import Session
from tlexp.learn.selection import rank
from tlexp.train import measure, to_probabilities

Cell = runpy.run_path(str(Path(__file__).with_name("bench_calibration.py")))["Cell"]
RULES = ("pick", "average", "unit", "units averaged")


class Probe:
    """A logistic regression on some units, fitted with every penalty."""

    def __init__(self, session, words, checkpoint):
        cell = Cell(session, "logreg", words, checkpoint)
        trials = [trial for _, trial in cell.trials(cell.budget.folds)]
        ranks = [rank(trial.rates, trial.calibrated) for trial in trials]
        best = ranks.index(min(ranks))
        self.loss, self.labels = trials[best].calibrated.loss, cell.tested[0][1]
        chances = [
            to_probabilities(logits / np.float32(trial.calibrated.temperature))
            for (logits, _), trial in zip(cell.tested, trials, strict=True)
        ]
        self.picked, self.averaged = chances[best], np.mean(chances, axis=0)


def judged(chances, labels):
    """Return accuracy and nll."""
    found = measure(chances, labels, label_smoothing=0.0)
    return found["balanced_accuracy"], found["nll"]


def of_rules(session, words, units, checkpoint):
    """Return what each rule reaches, and the unit that is chosen."""
    last = Probe(session, words, checkpoint)
    probes = {name: Probe(session, [*words, f"head.units=[{name}]"], checkpoint) for name in units}
    chosen = min(probes, key=lambda name: probes[name].loss)
    best = probes[chosen] if probes[chosen].loss < last.loss else last
    together = np.mean([last.picked, *(each.picked for each in probes.values())], axis=0)
    told = (last.picked, last.averaged, best.picked, together)
    rows = {rule: judged(chances, last.labels) for rule, chances in zip(RULES, told, strict=True)}
    return rows, chosen if best is not last else "the last"


def main():
    """Print a row for each set, backbone and budget: means over the seeds, and differences with their errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET=LABELS")
    parser.add_argument("--backbones", nargs="+", default=["tiny", "lite0"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    arguments = parser.parse_args()
    gains = " | ".join(f"{rule}: points, nll" for rule in RULES[1:])
    print(f"| set | backbone | labels | pick: accuracy, nll | {gains} | units chosen |\n|{'---|' * 8}")
    for backbone in arguments.backbones:
        for name, labels in (each.rsplit("=", 1) for each in arguments.sets):
            session = Session(several=True)
            for budget in labels.split(","):
                found, chosen = defaultdict(list), defaultdict(int)
                for seed in range(arguments.seeds):
                    words = [f"backbone={backbone}", f"backbone.image_size={arguments.size}", "data=folder"]
                    words += [f"data.root={name}", f"labels={budget}", f"seed={seed}"]
                    with tempfile.TemporaryDirectory() as folder:
                        rows, unit = of_rules(session, words, units_of(session, words), Path(folder))
                    chosen[unit] += 1
                    for rule, values in rows.items():
                        found[rule].append(values)
                print(row(Path(name).name, backbone, budget, found, chosen), flush=True)


def units_of(session, words):
    """Return the units of a backbone whose maps are not the last ones."""
    network, _ = session.network(load([*words, "head=logreg"]).config)
    return [unit.name for unit in network.units if unit.shape is not None][:-1]


def row(name, backbone, budget, found, chosen):
    """Return a row of the table: differences to what is picked, mean and standard error over the seeds."""
    picked = np.array(found["pick"])
    cells = [f"{picked[:, 0].mean():.3f}, {picked[:, 1].mean():.3f}"]
    for rule in RULES[1:]:
        gained = np.array(found[rule]) - picked
        error = gained.std(axis=0, ddof=1) / len(gained) ** 0.5
        points = f"{100 * gained[:, 0].mean():+.2f} ({100 * error[0]:.2f})"
        cells.append(f"{points}, {gained[:, 1].mean():+.3f} ({error[1]:.3f})")
    units = ", ".join(f"{unit} {count}" for unit, count in chosen.items())
    return f"| {name} | {backbone} | {budget} | {' | '.join(cells)} | {units} |"


if __name__ == "__main__":
    main()
