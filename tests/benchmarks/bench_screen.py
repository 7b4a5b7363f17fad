"""What the screen of `study=backbones` loses where both probes and the truth were published.

    python tests/benchmarks/bench_screen.py torchgeo_bench.csv.gz

torchgeo-bench has frozen backbones on 11 sets of satellite images: nearest neighbours stand for the probe of the
screen, a tuned linear probe for the truth. The prior is a backbone's mean rank on the other sets, its cost the number
of its parameters. Regrets are in points: of the best finalist, of the prior's favourite, of the least probe loss alone,
and of one drawn at random.
"""

import argparse
import csv
import gzip
from collections import defaultdict

import numpy as np

from tlexp.studies.analysis.screen import Entrant, Probed, screen


def read(path, bands):
    """Return sets, backbones, their costs, and (sets, backbones) of each method: the better of the normalisations."""
    best, costs = defaultdict(float), {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            if row["metric_name"] == "params_m":
                costs[row["name"]] = float(row["metric_value"])
            elif row["bands"] == bands and row["method"] in ("knn5", "linear"):
                place = row["dataset"], row["name"], row["method"]
                best[place] = max(best[place], float(row["metric_value"]))
    sets = sorted({place[0] for place in best})
    names = sorted({place[1] for place in best})
    names = [each for each in names if all((one, each, "linear") in best for one in sets)]
    probes, truth = (
        np.array([[best[one, each, method] for each in names] for one in sets]) for method in ("knn5", "linear")
    )
    return sets, names, [costs.get(name, np.inf) for name in names], probes, truth


def finalists(names, costs, probe, prior, margin):
    """Return the places of those that go on."""
    entrants = [
        Entrant(name=name, columns=(name,), operations=cost, prior=value)
        for name, cost, value in zip(names, costs, prior, strict=True)
    ]
    probed = {
        name: Probed(loss={("all", 0): 1 - value}, accuracy={("all", 0): value})
        for name, value in zip(names, probe.tolist(), strict=True)
    }
    told = screen(entrants, probed, margin=margin)
    return [names.index(each.entrant.name) for each in told if each.goes_on]


def main():
    """Print the regrets of each set, and their mean and worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--bands", default="rgb")
    parser.add_argument("--margin", type=float, default=0.01)
    arguments = parser.parse_args()
    sets, names, costs, probes, truth = read(arguments.table, arguments.bands)
    ranks = truth.argsort(axis=1).argsort(axis=1)
    rows = []
    for place in range(len(sets)):
        prior = np.delete(ranks, place, axis=0).mean(axis=0)
        lost = 100 * (truth[place].max() - truth[place])
        chosen = finalists(names, costs, probes[place], prior.tolist(), arguments.margin)
        rows.append((lost[chosen].min(), lost[prior.argmax()], lost[probes[place].argmax()], lost.mean()))
    print(f"{len(names)} backbones, {len(sets)} sets\n")
    print(f"| set | best finalist | prior's favourite | least probe loss | at random |\n|{'---|' * 5}")
    found = np.array(rows)
    for name, row in [*zip(sets, found, strict=True), ("mean", found.mean(0)), ("worst", found.max(0))]:
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in row)} |")


if __name__ == "__main__":
    main()
