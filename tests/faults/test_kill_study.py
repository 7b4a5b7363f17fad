"""A study killed with -9 at random times and typed again until it is done: the same page in the end.

    python tests/faults/test_kill_study.py --kills 50 [--seed 1] [--plant again]

The page is compared with that of a study that nobody killed, but for the seconds that runs took. `--plant again`
forgets which runs have finished, which the harness must catch. The default tests kill sweeps, which end runs likewise.
"""

import argparse
import csv
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.forks import begin, finish, kill_group
from tlexp.jobs.index import RunIndex
from tlexp.studies.report import panels, plots
from tlexp.studies.report.rendering import RenderedFigure
from tlexp.tracking import RunStatus, read_record

WORDS = [
    "study=freeze_vs_labels", "backbone=tiny", "data.per_class=12", "data.test_per_class=30", "data.num_classes=3",
    "train.limit_steps=3", "train.checkpoint_seconds=0.01", "tracking=off", "study.depths=[0,all]",
    "study.name=killed",
]  # fmt: skip
WHOLE = [
    "study.labels=[2,6]", "study.seeds=6", "study.scratch_labels=[2]", "backbone.image_size=32", "tune.trials=2",
]  # fmt: skip
SMALL = ["study.labels=[2]", "study.seeds=2", "study.controls=false", "backbone.image_size=32", "tune.trials=1"]
FOUND = 3
"""Exit status: the harness did its work and found a fault."""
VOLATILE = ("seconds",)


def page(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return what the report says, without what differs from one execution to the next."""
    found = {}
    for path in sorted((folder / "multirun/killed/report").glob("*.csv")):
        with path.open(newline="") as file:
            found[path.name] = [
                {name: value for name, value in row.items() if not any(word in name for word in VOLATILE)}
                for row in csv.DictReader(file)
            ]
    return found


def finished(folder: Path) -> dict[str, str]:
    """Return the files of finished runs: key -> digest of its predictions; a torn record raises."""
    found: dict[str, str] = {}
    for path in folder.glob("multirun/killed/runs/*/*/record.json"):
        record = read_record(path)
        if record.status is RunStatus.finished:
            assert record.key not in found, f"{record.key} ran twice"
            found[record.key] = record.files["predictions.npz"]
    return found


def rounds(root: Path, *words: str, kills: int, seed: int, plant: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Kill studies until so many kills have hit; yield every fault."""
    rng, words = random.Random(seed), (*WORDS, *words)
    (root / "reference").mkdir(parents=True)
    began = time.monotonic()
    finish(root / "reference", *words, first=plant)
    seconds = time.monotonic() - began
    wanted, runs = page(root / "reference"), finished(root / "reference")
    assert wanted
    done, number = 0, 0
    while done < kills:
        number += 1
        folder = root / str(number)
        folder.mkdir()
        hit = 0
        while hit < 4 and done < kills:
            command = begin(folder, *words, first=plant)
            if command.ended(rng.uniform(0.1, 0.8) * seconds) is not None:
                break
            try:
                before = finished(folder)
            finally:
                kill_group(command.pid)
            done, hit = done + 1, hit + 1
            if not before.items() <= finished(folder).items():
                yield f"study {number}: finished runs were lost"
        finish(folder, *words, first=plant)
        if finished(folder) != runs:
            yield f"study {number}: other predictions after {hit} kills"
        if page(folder) != wanted:
            yield f"study {number}: another page after {hit} kills"
    print(f"{done} kills in {number} studies of {len(runs)} runs, {seconds:.1f} s each, seed {seed}")


def undrawn() -> None:
    """Leave the figures of the page empty, for drawing them takes seconds."""
    png = io.BytesIO()
    Image.new("L", (1, 1)).save(png, "PNG")
    for module in (plots, panels):
        module.render_figure = lambda *_: RenderedFigure(svg=b"<svg></svg>", png=png.getvalue())


def again() -> None:
    """Plant the bug: what has finished is forgotten and runs a second time."""
    from tlexp.studies import column

    column.RunIndex = lambda attempts: RunIndex(())  # type: ignore[assignment,misc]


@pytest.mark.slow
def test_a_killed_study_ends_in_the_same_page(tmp_path: Path) -> None:
    assert list(rounds(tmp_path, *SMALL, kills=2, seed=0, plant=undrawn)) == []


@pytest.mark.slow
def test_ten_kills(tmp_path: Path) -> None:
    assert list(rounds(tmp_path, *WHOLE, kills=10, seed=1)) == []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=["again"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plant = again if options.plant else lambda: None
        try:
            faults = list(rounds(Path(folder), *WHOLE, kills=options.kills, seed=options.seed, plant=plant))
        except AssertionError as error:
            faults = [str(error)]
    print("\n".join(faults) or "no faults")
    return FOUND if faults else 0


if __name__ == "__main__":
    sys.exit(main())
