"""Which log loss should choose: as logits lie, or after one temperature; and on five folds, or on one 80/20 split.

    python tests/benchmarks/bench_calibration.py SET=LABELS ... [--heads logreg linear full] [--seeds 3]

A SET is a folder as `data.root=` takes it, LABELS are budgets with commas between them. Candidates are compared inside
each budget; then every one is fitted on the whole of it and measured on the test images, so that the regret of a choice
is known: what it loses in accuracy against the best candidate. Features come from the cache after the first time.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from tlexp.compose.load import load
from tlexp.config.optim import Rates
from tlexp.data import selection_folds
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.learn.calibration import calibrate_logits, log_loss
from tlexp.learn.learner import build_learner, solved_candidates
from tlexp.learn.search import Search, Trial, edge_flags
from tlexp.learn.selection import rank
from tlexp.train import Checkpoint, Listener, choose_device, measure, to_probabilities

WORDS = {
    "logreg": ["head=logreg"],
    "ridge": ["head=ridge"],
    "linear": ["head=linear"],
    "full": ["head=linear", "freeze=none"],
}
RATES = {"linear": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), "full": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}


class Cell:
    """One head, budget and seed: its candidates, compared inside the budget and measured on the test images."""

    def __init__(self, session, head, words, checkpoint):
        self.config = config = load([*words, *WORDS[head], "tracking=off"]).config
        network, _ = session.network(config)
        listener, device = Listener(), choose_device(config.train.device)
        source = session.images(config, network.expected, listener)
        self.budget = draw_labels(config, source)
        classifier = build_classifier(config, network, len(source.classes)).to(device)
        setup = build_setup(config, network, device, images=len(self.budget.labels), classes=len(source.classes))
        inputs = RunInputs(config, session, classifier, source, self.budget, setup, listener)
        kept = None if config.head.kind.solved else Checkpoint(checkpoint, key="none", seconds=1e9)
        self.learner = build_learner(
            classifier, inputs.entries, setup, config.head.kind, checkpoint=kept, listener=listener
        )
        if head in RATES:
            self.candidates = [Rates(lr=lr, weight_decay=config.default_rates.weight_decay) for lr in RATES[head]]
        else:
            smallest = self.budget.smallest_fold
            self.candidates = solved_candidates(config.head.kind, trials=0, weight_decay=None, smallest=smallest)[1]
        self.tested = [self._test(inputs, candidate) for candidate in self.candidates]

    def _test(self, inputs, candidate):
        whole = np.arange(len(self.budget.labels))
        self.learner.train("final", whole, candidate)
        [(_, images)] = inputs.held_out()
        return self.learner.predict(images, np.arange(len(images.labels)))

    def trials(self, folds):
        """Return each candidate's plain loss and what calibrating its pooled logits gives."""
        if self.learner.many:
            found = self.learner.fit_folds(folds, self.candidates)
        else:
            found = [
                [self.learner.fit_fold(f"{number}-{place}", fold, each) for place, fold in enumerate(folds)]
                for number, each in enumerate(self.candidates)
            ]
        trials = []
        for number, (candidate, fits) in enumerate(zip(self.candidates, found, strict=True)):
            logits, labels = (np.concatenate([fit[place] for fit in fits]) for place in (1, 2))
            calibrated = calibrate_logits(logits, labels)
            trials.append((log_loss(logits, labels), Trial(number=number, rates=candidate, calibrated=calibrated)))
        return trials

    def judged(self, number, temperature):
        """Return accuracy, nll and ece of a candidate on the test images."""
        logits, labels = self.tested[number]
        found = measure(to_probabilities(logits / np.float32(temperature)), labels, label_smoothing=0.0)
        return found["accuracy"], found["nll"], found["ece"]

    def of_rules(self, folds):
        """Return what either loss chooses: accuracy and regret in points, nll and ece without and with temperature."""
        trials = self.trials(folds)
        reached = [self.judged(number, 1)[0] for number in range(len(trials))]
        plain = min(range(len(trials)), key=lambda number: trials[number][0])
        ranks = [rank(trial.rates, trial.calibrated) for _, trial in trials]
        tempered = ranks.index(min(ranks))
        rows = {}
        for rule, number in (("plain", plain), ("calibrated", tempered)):
            found = self.judged(number, 1), self.judged(number, trials[number][1].calibrated.temperature)
            lost = max(reached) - found[0][0]
            rows[rule] = (100 * found[0][0], 100 * lost, found[0][1], found[1][1], found[0][2], found[1][2])
        return rows, [trial for _, trial in trials], tempered, plain != tempered


def edges(trials, winner):
    """Return whether the best penalty is an end of those compared, and whether that is flagged."""
    search = Search(trials=0, lr=(1e-5, 1e-1), weight_decay=(1e-6, 1e-1), seed=0)
    return winner in (0, len(trials) - 1), bool(edge_flags(trials[winner], trials, search))


def main():
    """Print a row for each set, head, budget, division and rule: means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET=LABELS")
    parser.add_argument("--heads", nargs="+", choices=tuple(WORDS), default=["logreg", "linear"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--words", nargs="+", default=[], help="of every run")
    parser.add_argument("--device", default="cpu", help="e.g. cuda")
    arguments = parser.parse_args()
    arguments.words += [f"train.device={arguments.device}"]
    print("| set | head | labels | compared on | loss | accuracy | regret | nll | with T | ece | with T |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    flags = defaultdict(list)
    for name, labels in (each.rsplit("=", 1) for each in arguments.sets):
        session = Session(several=True)
        for head in arguments.heads:
            for budget in labels.split(","):
                rows, differ = defaultdict(list), defaultdict(int)
                for seed in range(arguments.seeds):
                    words = [f"backbone={arguments.backbone}", f"backbone.image_size={arguments.size}", "data=folder"]
                    words += [f"data.root={name}", f"labels={budget}", f"seed={seed}", *arguments.words]
                    with tempfile.TemporaryDirectory() as folder:
                        cell = Cell(session, head, words, Path(folder))
                        drawn = {"folds" if len(cell.budget.folds) > 1 else "split": cell.budget.folds}
                        if cell.config.head.kind.solved:
                            least = int(np.bincount(cell.budget.labels).min())
                            drawn["split"] = selection_folds(cell.budget.labels, per_class=least, seed=seed)
                        for how, folds in drawn.items():
                            if how == "split" and len(folds) > 1:
                                continue
                            found, trials, winner, other = cell.of_rules(folds)
                            differ[how] += other
                            for rule, row in found.items():
                                rows[how, rule].append(row)
                            if how == "folds" and cell.config.head.kind.solved:
                                flags[head].append(edges(trials, winner))
                for (how, rule), found in rows.items():
                    cells = [f"{statistics.mean(each):.3f}" for each in zip(*found, strict=True)]
                    apart = f" ({differ[how]} of {len(found)} differ)" if rule == "calibrated" else ""
                    place = f"{Path(name).name} | {head} | {budget} | {how} | {rule}{apart}"
                    print(f"| {place} | {' | '.join(cells)} |", flush=True)
    for head, found in flags.items():
        ends, flagged = (sum(each) for each in zip(*found, strict=True))
        print(f"{head}: the best penalty is an end in {ends} of {len(found)}, flagged in {flagged}")


if __name__ == "__main__":
    main()
