"""What the answers of studies of networks lose, against every column measured with data seeds that were not theirs.

    python tests/benchmarks/bench_networks.py multirun/A multirun/B ... [--truth multirun/C ...]

The truth at a budget is the mean of each column's balanced accuracy on the test images over the seeds that the other
studies have, those of --truth among them. Regrets are points lost against the best column of all that were measured: of
the column that the study takes, and of the frozen network that ImageNet's results alone would choose. `loses` has the
standard error of the difference to the best over seeds; bounds speak of the finalists, so they are held against those.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.screen import prior_favourite
from tlexp.studies.analysis.stages import find_entrants
from tlexp.studies.analysis.table import StudyTable


def truth(tables: Sequence[StudyTable], labels: str, known: Sequence[int]) -> dict[str, dict[int, float]]:
    """Return column -> seed -> balanced accuracy in points at a budget; no seed that is known."""
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for table in tables:
        for (column, budget), cell in table.cells.items():
            for run in cell.finished if budget == labels else ():
                if run.seed not in known:
                    found[column][run.seed] = 100 * run.metrics["test/balanced_accuracy"]
    return found


def lost(column: str, best: str, reached: Mapping[str, Mapping[int, float]]) -> tuple[float, float]:
    """Return what a column has less than the best over the seeds that both have, and the standard error of that."""
    seeds = sorted({*reached[column]} & {*reached[best]})
    differences = np.array([reached[best][seed] - reached[column][seed] for seed in seeds])
    return float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--truth", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    tables = {folder: read_table(folder) for folder in [*arguments.studies, *arguments.truth]}
    own, favourites, held = [], [], []
    head = ("study", "labels", "takes", "may lose", "sure", "best of all", "loses", "the prior's favourite loses")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for folder in arguments.studies:
        table = tables[folder]
        favourite = prior_favourite(find_entrants(table)).columns[0]
        for found in analyse(table).recommendations:
            reached = truth([*tables.values()], found.labels, table.seeds)
            means = {column: np.mean(list(runs.values())) for column, runs in reached.items()}
            best = max(means, key=means.__getitem__)
            if found.column is None or found.bound is None:
                print(f"| {folder.name} | {found.labels} | {found.column} | | {found.sureness} | {best} | | |")
                continue
            compared = max((each.column for each in found.candidates if each.column in means), key=means.__getitem__)
            loses, error = lost(found.column, best, reached)
            own.append(loses)
            favourites.append(lost(favourite, best, reached)[0] if favourite in reached else float("nan"))
            held.append(lost(found.column, compared, reached)[0] <= 100 * found.bound)
            told = f"{found.column} | {100 * found.bound:.1f} | {found.sureness} | {best} | {loses:.2f} ({error:.2f})"
            print(f"| {folder.name} | {found.labels} | {told} | {favourites[-1]:.2f} |")
    below = np.subtract(own, favourites)
    print(f"\nlost: mean {np.mean(own):.2f}, worst {max(own):.2f}; bounds that held: {sum(held)} of {len(held)}")
    print(f"the prior's favourite: mean {np.nanmean(favourites):.2f}, worst {np.nanmax(favourites):.2f}")
    print(f"below it by more than a point: {sum(below > 1)} of {len(own)}, at most by {np.nanmax(below):.2f}")


if __name__ == "__main__":
    main()
