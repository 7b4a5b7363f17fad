"""Learning rates around each policy's default: sweeps over networks, policies and image sets, and what defaults lose.

    python tests/benchmarks/bench_rates.py SET=LABELS ... [--init zero probe] [--size 48] [--words WORD ...]

A SET is a folder as `data.root=` takes it, LABELS is as `labels=` does. The sweeps lie in multirun/, so the command
typed again goes on where it was. The regret of a rate is what it loses against the best rate of its row, the mean of
the seeds, in points of test balanced accuracy.
"""

import argparse
import csv
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

RATES = {
    "all": (0.003, 0.01, 0.03),
    "last": (0.0005, 0.0015, 0.005),
    "depth": (0.0003, 0.001, 0.003),
    "none": (0.0001, 0.0003, 0.001),
}
"""Policy -> a rate, about three times and ten times as much."""


def sweep(init: str, root: Path, labels: str, policy: str, size: int, words: list[str]) -> Path:
    """Run a sweep, or what is left of it, and return its folder."""
    name = f"{init}-{root.name}-{policy}"
    # A probe is tuned inside the labels; where nothing is chosen, nothing is held back to choose on.
    start = ["head.init=probe"] if init == "probe" else ["tune.validate=false"]
    rates = ",".join(map(str, RATES[policy]))
    command = [
        "-m", "backbone=tiny,lite0", f"backbone.image_size={size}", "data=folder", f"data.root={root}",
        f"labels={labels}", f"freeze={policy}", f"optim.lr={rates}", "seed=0,1", "tracking=off",
        "train.save_weights=false", f"hydra.sweeper.name={name}", *start, *words,
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "tlexp", *command], check=True, stdout=sys.stderr)
    return Path("multirun") / name


def means(folder: Path) -> dict[str, dict[float, float]]:
    """Return backbone -> rate -> mean test balanced accuracy of a sweep."""
    found: defaultdict[str, defaultdict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (folder / "results.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["backbone"]][float(row["optim.lr"])].append(float(row["test/balanced_accuracy"]))
    return {name: {rate: statistics.mean(each) for rate, each in rates.items()} for name, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET=LABELS")
    parser.add_argument("--init", nargs="+", choices=("zero", "probe"), default=["zero"])
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--words", nargs="+", default=[], help="of every run, e.g. train.device=cuda")
    arguments = parser.parse_args()
    print("| start | freeze | set | network | 1 x | 3 x | 10 x | regret of 1 x | of 3 x | of 10 x |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    regrets: defaultdict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for init in arguments.init:
        for policy, rates in RATES.items():
            if (init, policy) == ("probe", "all"):
                continue  # it is the probe
            for root, labels in (each.rsplit("=", 1) for each in arguments.sets):
                folder = sweep(init, Path(root), labels, policy, arguments.size, arguments.words)
                for backbone, accuracy in means(folder).items():
                    reached = [accuracy[rate] for rate in rates]
                    lost = [100 * (max(reached) - each) for each in reached]
                    regrets[init, policy].append(lost)
                    cells = [*(f"{each:.3f}" for each in reached), *(f"{each:.1f}" for each in lost)]
                    print(f"| {init} | {policy} | {Path(root).name} | {backbone} | {' | '.join(cells)} |")
    print("\n| start | freeze | mean regret of 1 x | of 3 x | of 10 x |\n|---|---|---|---|---|")
    for (init, policy), lost in regrets.items():
        mean = (statistics.mean(each) for each in zip(*lost, strict=True))
        print(f"| {init} | {policy} | {' | '.join(f'{each:.1f}' for each in mean)} |")


if __name__ == "__main__":
    main()
