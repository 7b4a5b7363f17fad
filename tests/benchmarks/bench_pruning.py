"""What pruning a search of the learning rate saves and loses.

    python tests/benchmarks/bench_pruning.py SET looks.csv [--labels 50] [--px 48] [--trials 16] [--seeds 3]    runs
    python tests/benchmarks/bench_pruning.py - looks.csv                                                       figures

The runs of searches that draw their rates at random, each looked at and none ended before its last look; the first of
each search goes on to its end. What is drawn does not follow from what came out, and a run that is not pruned is the
same to the bit: so what any pruner would have done can be reckoned from the looks, for any order of the draws. 2,000
orders of each search. Seconds are the processor's. Fine-tuning of `tiny`.
"""

import argparse
import csv
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

ORDERS = 2000
SHARES = {"1/9": 1 / 9, "1/3": 1 / 3, "all": 1.0}
"""One more than there are."""
_PLACES = tuple(SHARES)
_THREE = (0, 1, 0, 2, 0, 1)
"""Brackets of three looks."""


def search(images: str, out: Path, seed: int, *, labels: int, px: int, trials: int) -> None:
    """Do the runs of a search, and write a row for each look and end: seed, rate, place, loss, seconds of the run."""
    from tlexp import cli
    from tlexp.api import job
    from tlexp.sweeps import pruning

    began, do_job, judge, own = [0.0], job.do_job, pruning.Judge.judge, (pruning._SHARES, pruning._fault)

    def tell(rate: str, place: str, loss: float | str) -> None:
        with out.open("a", newline="") as file:
            csv.writer(file).writerow([seed, rate, place, loss, time.process_time() - began[0]])

    def told_job(loaded: Any, hydra_job: Any, *more: Any) -> Any:
        began[0] = time.process_time()
        outcome = do_job(loaded, hydra_job, *more)
        if outcome is not None:
            tell(str(loaded.config.optim.lr), "end", outcome.record.metrics["val/loss"])
        return outcome

    def told_judge(self: Any, fit_id: str, step: int, steps: int, loss: float) -> None:
        place = _PLACES[sorted(self.looks(steps, 100)).index(step)]
        rate = pruning.read_job(self._folder).point["optim.lr"]
        tell(rate, place, loss)
        ends = place == "all" and self._number > 0
        pruning._fault = lambda *_, **__: "is known" if ends else None
        judge(self, fit_id, step, steps, loss)

    job.do_job, pruning.Judge.judge, pruning._SHARES = told_job, told_judge, SHARES
    sys.argv = [
        "tlexp", "-m", "backbone=tiny", f"backbone.image_size={px}", "freeze=none", "data=folder",
        f"data.root={images}", f"labels={labels}", f"seed={seed}", "optim.lr=tag(log,interval(1e-5,1e-1))",
        f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.sampler=random", "hydra.sweeper.pruner=median",
        f"hydra.sweeper.name=pruning-{seed}", "train.save_weights=false", "tracking=off",
    ]  # fmt: skip
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        job.do_job, pruning.Judge.judge, (pruning._SHARES, pruning._fault) = do_job, judge, own


def reckon(out: Path) -> None:
    """Print what each pruner would have saved and lost, over orders of the draws of each search."""
    from tlexp.config.sweep import Pruner
    from tlexp.sweeps.pruning import _BRACKETS

    losses: dict[int, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    seconds: dict[int, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with out.open(newline="") as file:
        for seed, rate, place, loss, took in csv.reader(file):
            losses[int(seed)][rate][place] = float(loss)
            seconds[int(seed)][rate][place] = float(took)
    later = [run for runs in seconds.values() for run in [*runs.values()][1:] if "all" in run]
    costs = {place: statistics.fmean(run[place] for run in later) for place in SHARES}
    ends = [run["end"] - run["all"] for runs in seconds.values() for run in runs.values() if "end" in run]
    costs["end"] = costs["all"] + statistics.fmean(ends[1:] or ends)  # the first one reads the test images
    print("seconds of a run to", {place: round(each, 1) for place, each in costs.items()}, "of", len(later), "runs")
    for seed, rates in losses.items():
        whole = [rate for rate in rates if "all" in rates[rate]]
        best = min(whole, key=lambda rate: rates[rate]["all"])
        print(f"seed {seed}: {len(whole)} rates, best {float(best):.3g}, loss {rates[best]['all']:.4f}")
    rules = [
        ("median", Pruner.median, _PLACES[1:], _BRACKETS),
        ("hyperband", Pruner.hyperband, _PLACES[1:], _BRACKETS),
        ("median, looked at after 1/9 too", Pruner.median, _PLACES, _BRACKETS),
        ("hyperband, looked at after 1/9 too", Pruner.hyperband, _PLACES, _THREE),
        ("hyperband, none passes a look", Pruner.hyperband, _PLACES[1:], (0,)),
        ("median at the last look alone", Pruner.median, _PLACES[2:], _BRACKETS),
        ("hyperband at the last look alone", Pruner.hyperband, _PLACES[2:], (0,)),
    ]
    for name, pruner, places, brackets in rules:
        _tell(name, [_orders(pruner, rates, costs, places, brackets) for rates in losses.values()])
    for part in (0.25, 0.33, 0.5, 0.6, 0.7):
        _tell(f"{part:.0%} of the trials, whole", [_fewer(part, rates) for rates in losses.values()])


def _tell(name: str, per_seed: list[tuple[float, float, float]]) -> None:
    saved, kept, lost = np.array(per_seed).T
    told = ", ".join(f"{each:+.4f}" for each in lost)
    print(
        f"{name}: saved {saved.mean():.1%} ({_listed(saved)}), best found {kept.mean():.0%} ({_listed(kept)}), "
        f"loss of what is found {lost.mean():+.4f} ({told})"
    )


def _orders(
    pruner: Any,
    rates: dict[str, dict[str, float]],
    costs: dict[str, float],
    places: tuple[str, ...],
    brackets: tuple[int, ...],
) -> tuple[float, float, float]:
    """Return the share of time saved, how often the best is found, and what the best found loses, over orders."""
    from tlexp.sweeps.pruning import _fault

    rng, whole = np.random.default_rng(0), [rate for rate in rates if "all" in rates[rate]]
    best = min(rates[rate]["all"] for rate in whole)
    spent, kept, lost = [], [], []
    for _ in range(ORDERS):
        seen: dict[str, list[float]] = {place: [] for place in places}
        took, found = 0.0, []
        for number, index in enumerate(rng.permutation(len(whole))):
            looks, passed = rates[whole[index]], brackets[number % len(brackets)]
            for look, share in enumerate(places, start=1):
                ends = _fault(pruner, looks[share], seen[share], passes=look <= passed) is not None
                seen[share].append(looks[share])
                if ends:
                    took += costs[share]
                    break
            else:
                took += costs["end"]
                found.append(looks["all"])
        spent.append(took / (costs["end"] * len(whole)))
        kept.append(min(found) == best)
        lost.append(min(found) - best)
    return 1 - float(np.mean(spent)), float(np.mean(kept)), float(np.mean(lost))


def _fewer(part: float, rates: dict[str, dict[str, float]]) -> tuple[float, float, float]:
    """Return the same of a search that draws a part of the rates and prunes none."""
    rng, losses = np.random.default_rng(0), np.array([looks["all"] for looks in rates.values() if "all" in looks])
    count = max(1, round(part * len(losses)))
    found = np.array([rng.permutation(losses)[:count].min() for _ in range(ORDERS)])
    return 1 - count / len(losses), float((found == losses.min()).mean()), float(found.mean() - losses.min())


def _listed(shares: Any) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


def main() -> None:
    """Do the runs, unless they are there, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", help="folder of a set, or -: reckon alone")
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--px", type=int, default=48)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.images != "-":
        for seed in range(given.seeds):
            search(given.images, given.out, seed, labels=given.labels, px=given.px, trials=given.trials)
    reckon(given.out)


if __name__ == "__main__":
    main()
