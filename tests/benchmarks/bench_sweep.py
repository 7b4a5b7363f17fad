"""What a sweep adds to its runs, and what it saves.

    python tests/benchmarks/bench_sweep.py overhead [--runs 20]     seconds per run besides the run's own work
    python tests/benchmarks/bench_sweep.py commands [--runs 10]     runs in one process against a command for each
    python tests/benchmarks/bench_sweep.py search [--trials 1000]   one ask and one tell with so many trials known
    python tests/benchmarks/bench_sweep.py plan [--points 1000]     seconds to compose and look up so many points
    python tests/benchmarks/bench_sweep.py shared [--runs 13]       runs that share images against runs alone

Runs are tiny: rendered shapes, two steps; those of `shared` are logistic regressions on 200 files of
512 pixels. Tracking is on, as it is by default.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = [
    "freeze=all", "backbone=tiny", "labels=2", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4",
    "data.num_classes=2", "train.limit_steps=2",
]  # fmt: skip


def command(*words: str) -> int:
    """Run the command line in this process, quietly."""
    from tlexp import cli

    sys.argv = ["tlexp", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


@contextlib.contextmanager
def timed(holder: Any, name: str, seconds: list[float]) -> Iterator[None]:
    """Add up the seconds of each call of a function while the context lasts."""
    plain: Callable[..., Any] = getattr(holder, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return plain(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    setattr(holder, name, watched)
    try:
        yield
    finally:
        setattr(holder, name, plain)


def overhead(runs: int) -> None:
    """Sweeper, composing, tracking and record: the sweep's time less that of the runs' own work."""
    from tlexp.experiment import run as run_module
    from tlexp.experiment.recorder import RunRecorder
    from tlexp.sweeps import results as results_page

    assert command("-m", *WORDS, "seed=100,101") == 0  # imports, store
    own: list[float] = []
    tracking: list[float] = []
    results: list[float] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(timed(run_module, "_run", own))
        stack.enter_context(timed(results_page, "write_results", results))
        for part in ("begin", "_curve"):
            stack.enter_context(timed(RunRecorder, part, tracking))
        began = time.perf_counter()
        assert command("-m", *WORDS, f"seed=range(0,{runs})", "hydra.sweeper.name=bench") == 0
        whole = time.perf_counter() - began
    assert len(own) == runs
    spent = (whole - sum(own) + sum(tracking) - sum(results)) / runs
    print("| runs | sweep, s | own work of a run, median s | overhead per run, s | results at the end, s |")
    print("|---|---|---|---|---|")
    print(f"| {runs} | {whole:.1f} | {statistics.median(own):.3f} | {spent:.3f} | {sum(results):.1f} |")


def commands(runs: int) -> None:
    """So many runs in one process against a command for each."""
    swept = timed_commands([["-m", *WORDS, f"seed=range(0,{runs})"]])
    single = timed_commands([[*WORDS, "tracking.figures=false", f"seed={seed}"] for seed in range(runs)])
    print("| runs | one sweep, s | a command each, s | ratio |")
    print("|---|---|---|---|")
    print(f"| {runs} | {swept:.1f} | {single:.1f} | {single / swept:.1f} |")


def shared(runs: int) -> None:
    """Processor seconds of a sweep whose runs share images and network, and of the same with a session for each."""
    from tlexp.experiment import session

    photos = write_photos(Path("photos"), per_class=100)
    words = [
        "-m", "head=logreg", "backbone=tiny", "backbone.image_size=32", "labels=20", "data=folder",
        f"data.root={photos}", f"seed=range(0,{runs})",
    ]  # fmt: skip
    together = session.process_session
    assert command(*words, "hydra.sweeper.name=first") == 0  # imports, store, features on disk
    spent = {}
    for name, own in (("alone", session.Session), ("shared", together), ("alone-2", session.Session)):
        together.cache_clear()
        session.process_session = own
        began = time.process_time()
        assert command(*words, f"hydra.sweeper.name={name}") == 0
        spent[name] = time.process_time() - began
    session.process_session = together
    alone = min(spent["alone"], spent["alone-2"])
    print("| runs | sessions of their own, s | one session, s | ratio |")
    print("|---|---|---|---|")
    print(f"| {runs} | {alone:.1f} | {spent['shared']:.1f} | {alone / spent['shared']:.1f} |")


def write_photos(folder: Path, *, per_class: int) -> Path:
    """Write JPEGs of noise, 512 pixels wide, of two classes, and return their folder."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for kind, level in (("dark", 60), ("light", 180)):
        (folder / kind).mkdir(parents=True)
        for number in range(per_class):
            small = Image.fromarray(draw.integers(level - 50, level + 50, (64, 64, 3), np.uint8))
            small.resize((512, 512)).save(folder / kind / f"{number}.jpg")
    return folder


def timed_commands(lines: list[list[str]]) -> float:
    """Return the seconds that commands take one after the other, each in a process of its own."""
    began = time.perf_counter()
    for words in lines:
        subprocess.run([sys.executable, "-m", "tlexp", *words], check=True, capture_output=True)
    return time.perf_counter() - began


def search(trials: int) -> None:
    """One ask and one tell beside many known trials."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from tlexp.sweeps.search import OptunaSearch
    from tlexp.sweeps.space import build_space

    words = ["freeze=all,none", "optim.lr=tag(log,interval(1e-5,1e-1))", "optim.weight_decay=interval(0,0.1)"]
    axes = build_space(OverridesParser.create().parse_overrides(words)).axes
    rebuilt = OptunaSearch(axes, sampler="random", seed=1, direction="minimize", known=0)
    known = [rebuilt.ask()[1] for _ in range(trials)]
    searching = OptunaSearch(axes, sampler="tpe", seed=0, direction="minimize", known=trials)
    began = time.perf_counter()
    for candidate in known:
        searching.add(candidate, float(candidate["optim.lr"]))
    added = time.perf_counter() - began
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        trial, candidate = searching.ask()
        searching.tell(trial, float(candidate["optim.lr"]))
        seconds.append(1000 * (time.perf_counter() - began))
    print("| trials | rebuild, s | ask and tell, median ms | max ms |")
    print("|---|---|---|---|")
    print(f"| {trials} | {added:.2f} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |")


def plan(points: int) -> None:
    """Composing every point of a grid and looking it up, as a dry run does."""
    assert command("-m", *WORDS, "seed=0,1", "--dry-run") == 0
    began = time.perf_counter()
    assert command("-m", *WORDS[1:], "freeze=all,none", f"seed=range(0,{points // 2})", "--dry-run") == 0
    print("| points | seconds |")
    print("|---|---|")
    print(f"| {points} | {time.perf_counter() - began:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "commands", "search", "plan", "shared"])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if arguments.what == "overhead":
            overhead(arguments.runs or 20)
        elif arguments.what == "commands":
            commands(arguments.runs or 10)
        elif arguments.what == "search":
            search(arguments.trials)
        elif arguments.what == "shared":
            shared(arguments.runs or 13)
        else:
            plan(arguments.points)
    assert not Path(folder).exists()


if __name__ == "__main__":
    main()
