"""What a study's advice is worth: the column that it takes at each budget, measured again with fresh data seeds.

    python tests/benchmarks/bench_answers.py SET ... [--words study=quick study.labels=[5,20] ...] [--fresh 10]

A SET is a folder as `data.root=` takes it, or a name as `data=` does. For each the study is run, and then every column
again with other data seeds; the regret of a choice is what its column loses there against the best one, in points of
balanced accuracy. The studies lie in multirun/, so the command typed again goes on where it was.
"""

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Findings, Recommendation
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.analysis.table import StudyTable

_FIRST_FRESH = 1000
Rule = Callable[[Findings, Recommendation], str | None]


def study(name: str, data: str, words: list[str]) -> StudyTable:
    """Run a study, or what is left of it, and return what it measured."""
    source = ["data=folder", f"data.root={data}"] if Path(data).is_dir() else [f"data={data}"]
    command = ["study=quick", *source, "tracking=off", f"study.name={name}", *words]
    stated = {word.partition("=")[0] for word in words}
    command = [word for word in command[:1] if "study" not in stated] + command[1:]
    subprocess.run([sys.executable, "-m", "tlexp", *command], check=True, stdout=sys.stderr)
    return read_table(Path("multirun") / name)


def _mean_of(findings: Findings, column: str, labels: str) -> float | None:
    cell = findings.cells.get((column, labels))
    return None if cell is None or cell.accuracy is None else cell.accuracy.value


def _fastest(findings: Findings, found: Recommendation) -> str | None:
    cells = (findings.cells[each.column, found.labels] for each in found.candidates)
    timed = [(cell.seconds, cell.column) for cell in cells if cell.seconds is not None]
    return min(timed)[1] if timed else None


def _named(*names: str) -> Rule:
    """Return the rule that always takes one of these columns."""
    return lambda findings, found: next((each.column for each in found.candidates if each.column in names), None)


RULES: dict[str, Rule] = {
    "what the study takes": lambda findings, found: found.column,
    "the highest mean": lambda findings, found: found.best,
    "the fastest by the clock": _fastest,
    "always the probe": lambda findings, found: next(
        (column.name for column in findings.table.columns if "head=logreg" in column.words and column.competes), None
    ),
    "always full fine-tuning": _named("freeze-0", "none"),
}


def regrets(findings: Findings, truth: Findings) -> dict[str, dict[str, float]]:
    """Return rule -> budget -> what it loses with fresh data seeds."""
    lost: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for found in findings.recommendations:
        reached = {each.column: _mean_of(truth, each.column, found.labels) for each in found.candidates}
        known = {name: value for name, value in reached.items() if value is not None}
        for rule, choose in RULES.items():
            column = choose(findings, found)
            if column in known:
                lost[rule][found.labels] = 100 * (max(known.values()) - known[column])
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--words", nargs="+", default=[], help="of the study")
    parser.add_argument("--fresh", type=int, default=10, help="data seeds by which every column is measured again")
    parser.add_argument("--backbones", nargs="+", default=["tiny", "lite0"])
    arguments = parser.parse_args()
    whole: defaultdict[str, list[float]] = defaultdict(list)
    held = []
    print("| set | network | labels | takes | may lose | sure | lost with fresh seeds |\n|---|---|---|---|---|---|---|")
    for data in arguments.sets:
        for backbone in arguments.backbones:
            name = f"answers-{Path(data).name}-{backbone}"
            words = [f"backbone={backbone}", *arguments.words]
            findings = analyse(study(name, data, words))
            fresh = [word for word in words if not word.startswith("study.seeds=")]
            seeds = [
                f"study.seeds={arguments.fresh}",
                f"seed={_FIRST_FRESH}",
                "study.controls=false",
                "study.margin=1e-9",
            ]
            truth = analyse(study(f"{name}-fresh", data, [*fresh, *seeds]))
            lost = regrets(findings, truth)
            for rule, each in lost.items():
                whole[rule] += each.values()
            for found in findings.recommendations:
                own = lost["what the study takes"].get(found.labels)
                bound = None if found.bound is None else 100 * found.bound
                if own is not None and bound is not None:
                    held.append(own <= bound)
                cells = (found.column, bound, found.sureness, own)
                told = (f"{each:.1f}" if isinstance(each, float) else str(each) for each in cells)
                print(f"| {Path(data).name} | {backbone} | {found.labels} | {' | '.join(told)} |", flush=True)
    print(f"\nbounds that held, of {len(held)}: {np.mean(held):.2f}\n")
    print("| rule | budgets | mean regret | worst |\n|---|---|---|---|")
    for rule, values in whole.items():
        print(f"| {rule} | {len(values)} | {statistics.fmean(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
