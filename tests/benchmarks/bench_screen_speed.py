"""What a screen takes against the passes of its networks, and a study of networks against every cell of its grid.

    python -m tests.benchmarks.bench_screen_speed screen FOLDER [--networks tiny lite0] [--size 64] [--labels 5 20]
    python -m tests.benchmarks.bench_screen_speed whole FOLDER [--count 12] [--size 32] [--labels 5 20] [--steps 50]

screen  the frozen column of each network, all budgets and the data seeds that a screen sees, as the job of a study on
        an empty cache; against a pass of the same network over the same images alone. Seconds by the clock, and of the
        processor, all threads.
whole   `study=backbones` on the small network and others like it with random weights, processes and all, against runs
        of their own of each budget and depth with one data seed, times networks and seeds. Every network costs the
        same, and every seed.

FOLDER is what `data.root=` takes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from tests.benchmarks.bench_study import WORDS, Clock, anew, compose, run_alone, run_column
from tlexp.compose.load import load
from tlexp.studies.analysis.stages import PROBE_SEEDS
from tlexp.studies.prefetch import fill_cuts
from tlexp.train import Listener

DEPTHS = (["freeze=all", "head=logreg"], ["freeze=depth", "head=linear"], ["freeze=none", "head=linear"])
SOLVED, TRAINED = ["tune.trials=0"], ["tune.trials=4", "head.init=probe", "freeze.norm=keep"]


def screen(words, networks, labels, seeds):
    """Print what the columns take over the passes."""
    whole, passes = np.zeros(2), np.zeros(2)
    for network in networks:
        stated = [f"backbone={network}", "freeze=all", *words]
        cells = compose(stated, labels, seeds)
        run_alone(next(iter(cells.values()))[0])  # imports, and the tracking store
        configs = [cell for each in cells.values() for cell in each]
        with anew() as session:
            units = len(session.network(configs[0])[0].units)
            clock = Clock()
            fill_cuts(configs, [units], session, device=torch.device("cpu"), listener=Listener())
            passed = np.array(clock.read())
        loaded = load([*WORDS, *stated, "study=quick", "study.column=c"])
        taken = np.array(run_column(loaded, cells, depth=units))
        whole, passes = whole + taken, passes + passed
        print(f"{network}: {told(passed, taken)}", flush=True)
    print(f"all: {told(passes, whole)}")


def told(passes, whole):
    """Return seconds by the clock and of the processor, and the ratios."""
    return ", ".join(
        f"{how} passes {one:.1f} s, screened in {all_of_it:.1f} s: {all_of_it / one:.2f}"
        for how, one, all_of_it in zip(("by the clock", "of the processor"), passes, whole, strict=True)
    )


def whole(words, labels, seeds, count):
    """Print what a study takes, what it ran, and what the grid would have taken."""
    for number in range(1, count):
        torch.manual_seed(number)
        save_file(timm.create_model("test_resnet.r160_in1k").state_dict(), f"random{number}.safetensors")
    pool = ",".join(["tiny", *(f"tiny@random{number}.safetensors" for number in range(1, count))])
    stated = [*words, f"study.labels=[{','.join(labels)}]", f"study.seeds={seeds}", "study.minutes=0"]
    command = [
        "study=backbones",
        f"study.backbones=[{pool}]",
        "study.name=pool",
        "study.controls=false",
        TRAINED[0],
        *stated,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "tlexp", *command], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(Path("multirun/pool/study.json").read_text())["study"]["replicates"]
    solved = {each["name"] for each in _columns() if each["solved"]}
    ran = [told[json.loads(path.read_text())["key"]] for path in Path("multirun/pool").glob("runs/*/*/record.json")]
    counted = Counter("solved" if name in solved else "trained" for name, *_ in ran)
    cells = count * len(DEPTHS) * len(labels) * seeds
    print(f"the study: {took:.0f} s of the processor; {dict(counted)} replicates of {cells}")
    alone = 0.0
    for depth in DEPTHS:
        own = [
            "backbone=tiny",
            *words,
            *depth,
            *(TRAINED if "head=linear" in depth else ["tune.trials=0"]),
            "cache=off",
        ]
        cells_alone = compose(own, labels, 1)
        run_alone(cells_alone[labels[0]][0])  # imports, and the tracking store
        taken = {name: run_alone(each[0])[1] for name, each in cells_alone.items()}
        print(f"  one by one, {depth[0]}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken.items()))
        alone += count * seeds * sum(taken.values())
    print(f"the grid: {alone:.0f} s, {alone / took:.1f} times as long")


def _columns():
    return json.loads(Path("multirun/pool/study.json").read_text())["study"]["columns"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["screen", "whole"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", default=["tiny", "lite0"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--labels", nargs="+", default=["5", "20"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--steps", type=int, default=None, help="of each fit; null is the protocol's")
    stated = parser.parse_args()
    words = ["data=folder", f"data.root={stated.folder.resolve()}", f"backbone.image_size={stated.size}"]
    words += [] if stated.steps is None else [f"train.limit_steps={stated.steps}"]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        if stated.what == "screen":
            screen(words, stated.networks, stated.labels, min(stated.seeds, PROBE_SEEDS))
        else:
            whole(words, stated.labels, stated.seeds, stated.count)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
