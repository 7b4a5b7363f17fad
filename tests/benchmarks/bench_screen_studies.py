"""What the screens of studies lost on frozen features, against the probes of all their networks on the test images.

    python tests/benchmarks/bench_screen_studies.py multirun/NAME ...

Every network's probe is in the records of its study with its accuracy on the test images, which the screen did not see.
Regrets at each budget in points, over the data seeds that all probes share: of the best finalist, of the least probe
loss, and of the network that would be taken without looking. What comes out differs by the luck of the test images too.
"""

import argparse
from pathlib import Path

import numpy as np

from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.screen import prior_favourite
from tlexp.studies.analysis.stages import screened


def regrets(folder):
    """Return {budget: regrets}, and the names of those that went on, the least loss first."""
    table = read_table(folder)
    ended = screened(table)
    assert ended, f"{folder}: its screen has not ended"
    favourite = prior_favourite([each.entrant for each in ended])
    found = {}
    for labels in table.budgets:
        cells = {each.entrant.name: table.cells[each.entrant.columns[0], labels] for each in ended}
        reached = {name: {run.seed: run.metrics for run in cell.finished} for name, cell in cells.items()}
        seeds = sorted(set.intersection(*map(set, reached.values())))
        means = {
            name: np.mean([each[seed]["test/balanced_accuracy"] for seed in seeds]) for name, each in reached.items()
        }
        best, going = max(means.values()), [each.entrant.name for each in ended if each.goes_on]
        rivals = max(means[name] for name in going), means[ended[0].entrant.name], means[favourite.name]
        found[labels] = max(means, key=means.get), *(100 * float(best - each) for each in rivals)
    return found, [each.entrant.name for each in ended if each.goes_on], len(ended)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path)
    head = ("study", "labels", "best of all", "best finalist", "least probe loss", "prior's favourite")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    every = []
    for folder in parser.parse_args().studies:
        found, going, count = regrets(folder)
        for labels, (best, *lost) in found.items():
            print(f"| {folder.name} | {labels} | {best} | {' | '.join(f'{each:.2f}' for each in lost)} |")
            every.append(lost)
        print(f"{folder.name}: {', '.join(going)} of {count} went on")
    told = " ".join(
        f"{mean:.2f}, {worst:.2f};" for mean, worst in zip(np.mean(every, 0), np.max(every, 0), strict=True)
    )
    print(f"mean, worst: {told}")


if __name__ == "__main__":
    main()
