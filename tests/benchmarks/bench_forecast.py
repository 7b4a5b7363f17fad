"""How often the band of a forecast covers a new draw at twice the labels, and how far its middle is off.

    python tests/benchmarks/bench_forecast.py --lcdb lcdb11.csv.gz --tufts tufts.csv.gz

LCDB 1.1 (arXiv 2505.15657) has means with standard errors over 25 splits: seeds are drawn from them. The other archive
(arXiv 2311.18025) has seeds of its own.
"""

import argparse
import csv
import gzip
from collections import defaultdict

import numpy as np

from tlexp.studies.analysis import forecast as module
from tlexp.studies.analysis.forecast import Forecast, forecast, refusal

SPLITS = 25


def rows(path):
    """Yield the rows of a compressed table."""
    with gzip.open(path, "rt") as file:
        yield from csv.DictReader(file)


def lcdb_curves(path, seeds, every):
    """Yield sizes, made-up seeds, and a new draw at twice the largest size."""
    curves = defaultdict(dict)
    for row in rows(path):
        place = row["dataset"], row["learner"]
        curves[place][int(row["train_size"])] = float(row["test_error"]), float(row["stderr"] or "nan")
    generator = np.random.default_rng(0)
    for curve in list(curves.values())[::every]:
        sizes = np.array(sorted(curve))
        for last in (128, 512):
            wanted = last / 2.0 ** np.arange(5, -1, -1)
            budgets = sorted({int(sizes[np.abs(np.log(sizes / each)).argmin()]) for each in wanted})
            ahead = int(sizes[np.abs(np.log(sizes / (2 * last))).argmin()])
            if len(budgets) < 5 or abs(np.log(ahead / (2 * last))) > 0.05 or abs(np.log(budgets[-1] / last)) > 0.05:
                continue
            mean, error = np.array([curve[each] for each in [*budgets, ahead]]).T
            if np.isnan(mean).any() or np.isnan(error).any():
                continue
            drawn = generator.normal(mean, error * np.sqrt(SPLITS), (seeds + 1, len(mean))).clip(0, 1)
            yield "lcdb", np.array(budgets, float), 1 - drawn[:-1, :-1], 1 - drawn[-1:, -1], 1 - mean[-1], float(ahead)


def tufts_curves(path):
    """Yield sizes, seeds and the draws at the size nearest to twice the largest."""
    curves = defaultdict(lambda: defaultdict(dict))
    for row in rows(path):
        place = row["file"], row["class"]
        curves[place][int(row["n"])][row["seed"]] = float(row["test_balanced_accuracy"])
    for (name, _), curve in curves.items():
        sizes = sorted(curve)
        for number in range(5, len(sizes)):
            known = sizes[:number]
            near = [size for size in sizes[number:] if 1.8 <= size / known[-1] <= 2.3]
            if not near:
                continue
            shared = sorted(set.intersection(*(set(curve[size]) for size in known)))
            scores = np.array([[curve[size][seed] for size in known] for seed in shared])
            new = np.array(list(curve[near[-1]].values()))
            kind = "tufts long" if "long" in name else "tufts short"
            yield kind, np.array(known, float), scores, new, new.mean(), float(near[-1])


def main():
    """Print a row for each archive and range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcdb")
    parser.add_argument("--tufts")
    parser.add_argument("--seeds", type=int, default=5, help="drawn for each curve of LCDB")
    parser.add_argument("--every", type=int, default=1, help="take each n-th curve of LCDB")
    parser.add_argument("--widening", type=float, default=module.WIDENING)
    arguments = parser.parse_args()
    module.WIDENING = arguments.widening
    module.FURTHEST = 2.3  # sizes of the archives are not quite twice another
    curves = [*lcdb_curves(arguments.lcdb, arguments.seeds, arguments.every)] if arguments.lcdb else []
    curves += [*tufts_curves(arguments.tufts)] if arguments.tufts else []
    found, refused = defaultdict(list), defaultdict(int)
    for kind, sizes, scores, new, mean, ahead in curves:
        told = forecast(sizes, scores, at=ahead)
        if not isinstance(told, Forecast):
            assert told == refusal(sizes, scores, at=ahead)
            refused[kind] += 1
            continue
        within = np.mean((told.low <= new) & (new <= told.high))
        off, still = told.value - mean, scores[:, -1].mean() - mean
        found[kind].append((within, off, still, told.high - told.low, told.low <= mean <= told.high))
    print("| curves | n | refused | covers a draw | covers the mean | RMSE | of the last value | width |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, values in found.items():
        within, off, still, width, of_mean = np.array(values).T
        share = refused[kind] / (refused[kind] + len(values))
        roots = [f"{100 * np.sqrt(np.mean(each**2)):.2f}" for each in (off, still)]
        covered = f"{within.mean():.3f} | {of_mean.mean():.3f}"
        print(
            f"| {kind} | {len(values)} | {share:.1%} | {covered} | {' | '.join(roots)} | {100 * np.median(width):.1f} |"
        )


if __name__ == "__main__":
    main()
