"""How often the band of a forecast covers a new draw at twice the labels, and how far its middle is off.

    python tests/benchmarks/bench_forecast.py --lcdb lcdb11.csv.gz --tufts tufts.csv.gz --studies multirun/STUDY ...

LCDB 1.1 (arXiv 2505.15657) has means with standard errors over 25 splits: seeds are drawn from them. The other archive
(arXiv 2311.18025) has seeds of its own. Of studies the last budget is hidden; of each column the first seeds forecast
what the others reach.
"""

import argparse
import csv
import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np

from tlexp.studies.analysis import forecast as module
from tlexp.studies.analysis.differences import shared_seeds, stacked
from tlexp.studies.analysis.forecast import LEAST_BUDGETS, Forecast, forecast, refusal
from tlexp.studies.analysis.intervals import TestImages, spread
from tlexp.studies.analysis.reading import read_table

SPLITS = 25


def rows(path):
    """Yield the rows of a compressed table."""
    with gzip.open(path, "rt") as file:
        yield from csv.DictReader(file)


def lcdb_curves(path, seeds, every):
    """Yield sizes, made-up seeds, and a new draw at the largest size and at twice as many."""
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
            scores = 1 - drawn[:, -2:]
            yield "lcdb", np.array(budgets, float), 1 - drawn[:-1, :-1], scores[-1:], 1 - mean[-1], float(ahead)


def tufts_curves(path):
    """Yield sizes, seeds, and the draws at the largest size and at the one nearest to twice as many."""
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
            both = [seed for seed in curve[near[-1]] if seed in curve[known[-1]]]
            new = np.array([[curve[size][seed] for size in (known[-1], near[-1])] for seed in both])
            kind = "tufts long" if "long" in name else "tufts short"
            yield kind, np.array(known, float), scores, new, new[:, 1].mean(), float(near[-1])


def study_curves(folders, seeds):
    """Yield budgets, the first seeds of each column, and what others reach at the last two budgets."""
    for folder in folders:
        table = read_table(Path(folder))
        images, budgets = TestImages(labels=table.labels, groups=table.groups), table.budgets
        sizes = np.array([table.per_class[each] for each in budgets])
        if len(sizes) <= LEAST_BUDGETS or sizes[-1] > module.FURTHEST * sizes[-2]:
            continue
        for column in table.columns:
            cells = [table.cells.get((column.name, each)) for each in budgets]
            shared = () if None in cells else shared_seeds(cells)
            if len(shared) > seeds:
                scores = np.stack([spread(stacked([cell], shared)[0], images).per_seed for cell in cells], axis=1)
                known, new = scores[:seeds, :-1], scores[seeds:, -2:]
                yield "studies", sizes[:-1], known, new, new[:, 1].mean(), float(sizes[-1])


def covered(band, values):
    """Return the share of values that lie within a band."""
    return np.mean((band.low <= values) & (values <= band.high))


def main():
    """Print a row for each archive and range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcdb")
    parser.add_argument("--tufts")
    parser.add_argument("--studies", nargs="*", default=())
    parser.add_argument("--seeds", type=int, default=5, help="drawn for each curve of LCDB, and of a study's columns")
    parser.add_argument("--every", type=int, default=1, help="take each n-th curve of LCDB")
    parser.add_argument("--widening", type=float, default=module.WIDENING)
    arguments = parser.parse_args()
    module.WIDENING = arguments.widening
    module.FURTHEST = 2.3  # sizes of the archives are not quite twice another
    curves = [*lcdb_curves(arguments.lcdb, arguments.seeds, arguments.every)] if arguments.lcdb else []
    curves += [*tufts_curves(arguments.tufts)] if arguments.tufts else []
    curves += study_curves(arguments.studies, arguments.seeds)
    found, refused = defaultdict(list), defaultdict(int)
    for kind, sizes, scores, new, mean, ahead in curves:
        told = forecast(sizes, scores, at=ahead)
        if not isinstance(told, Forecast):
            assert told == refusal(sizes, scores, at=ahead)
            refused[kind] += 1
            continue
        within, gained = covered(told.reached, new[:, 1]), covered(told.gain, new[:, 1] - new[:, 0])
        off, still = told.reached.value - mean, scores[:, -1].mean() - mean
        found[kind].append((within, gained, off, still, told.reached.high - told.reached.low))
    print("| curves | n | refused | covers a draw | covers its gain | RMSE | of the last value | width |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, values in found.items():
        within, gained, off, still, width = np.array(values).T
        share = refused[kind] / (refused[kind] + len(values))
        roots = [f"{100 * np.sqrt(np.mean(each**2)):.2f}" for each in (off, still)]
        held = f"{within.mean():.3f} | {gained.mean():.3f}"
        print(f"| {kind} | {len(values)} | {share:.1%} | {held} | {' | '.join(roots)} | {100 * np.median(width):.1f} |")


if __name__ == "__main__":
    main()
