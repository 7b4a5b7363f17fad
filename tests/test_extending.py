"""docs/extending.md, followed to the letter in a copy of the package: blocks are put in place and commands run."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL, beside
from tlexp.paths import PACKAGE, conf_folder

PAGE = (PACKAGE.parent / "docs" / "extending.md").read_text()
STEP = re.compile(
    r"^\d+\. `(?P<path>[^`]+)`, (?:a new file|(?P<place>below|above|in place of)\s+`(?P<anchor>[^`]+)`):\n\n"
    r"   ```\w+\n(?P<block>.*?)^   ```$",
    re.M | re.S,
)
COMMAND = re.compile(r"^```sh\npython -m tlexp (.*)\n```$", re.M)
OWN_FILES = "A source with files of its own"
RUNS = {
    "A head that is trained": {"head": {"kind": "normed"}},
    "A head that is solved": {"head": {"kind": "fisher"}},
    "A freeze policy": {"freeze": {"policy": "first"}},
    "A source of images": {"data": {"source": "stripes"}},
    OWN_FILES: {"data": {"source": "csv", "root": "birds.csv"}},
}
"""Recipes that end in a run, and what its record says of it."""
PLANS = {
    "A study of one's own": r"^study multirun/statistics-.*: \d+ data seeds .*\n(.*\n)*^keep .*\n^update .*\n^scratch ",
    "Sizes and networks of one's own study": r"^study multirun/survey-(.*\n)+^tiny-32px(.*\n)+^lite0-64px-freeze-0 ",
}
"""Recipes that end in the plan of a study, and what is shown of it."""
SECTION = "A section of a study's report"
TINY = [
    "backbone=tiny", "data.per_class=20", "data.test_per_class=10", "data.num_classes=2", "train.limit_steps=2",
    "tracking=off",
]  # fmt: skip
MOST_FILES = 3
BIRDS = ("kite", "red kite", "wren")
DRIVER = """
import contextlib, io, json, sys
from tests import composed
from tlexp import cli
from tlexp.experiment.estimate import SolvingCost, UnitCosts
from tlexp.experiment.session import process_session
from tlexp.studies.planning import costs
from tlexp.studies.report import panels, plots
from tlexp.studies.report.rendering import RenderedFigure
for module in (plots, panels):
    module.render_figure = lambda *_: RenderedFigure(svg=b"<svg></svg>", png=b"")
costs.measure_costs = lambda *_, **__: UnitCosts(step=1e-4, image=1e-4)
costs.measure_solving = lambda *_, **__: SolvingCost(unit=1e-9, width=64, validates=True)
composed.share()
done = {}
for title, words in json.loads(sys.argv[1]).items():
    process_session.cache_clear()
    sys.argv = ["tlexp", *words]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            cli.main()
        except SystemExit as ended:
            done[title] = {"status": ended.code or 0, "shown": shown.getvalue()}
with open("done.json", "w") as file:
    json.dump(done, file)
"""
"""Every command in one process, for most of the time of a small run is that of the imports; figures are empty, no
costs are measured, and options are composed once."""


@dataclass(frozen=True, kw_only=True)
class Step:
    path: str
    place: str | None
    anchor: str | None
    block: str

    def follow(self, root: Path) -> None:
        """Put the block where the page says."""
        path = root / self.path
        if self.anchor is None:
            assert not path.exists(), self.path
            path.write_text(self.block)
            return
        lines = path.read_text().splitlines(keepends=True)
        places = [number for number, line in enumerate(lines) if line.strip() == self.anchor]
        assert len(places) == 1, f"{self.path}: {self.anchor} stands there {len(places)} times"
        begin = places[0] + (self.place == "below")
        behind = "\n\n" if self.block.startswith("def ") else ""
        lines[begin : begin + (self.place == "in place of")] = [self.block + behind]
        path.write_text("".join(lines))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    steps: tuple[Step, ...]
    words: list[str]


def read_recipe(text: str) -> Recipe:
    [command] = COMMAND.findall(text)
    steps = tuple(
        Step(**found.groupdict() | {"block": re.sub(r"^ {3}", "", found["block"], flags=re.M)})
        for found in STEP.finditer(text)
    )
    assert len(steps) == text.count("\n   ```\n"), "a step is spelt otherwise than the page says"
    return Recipe(steps=steps, words=command.split())


RECIPES = {
    title: read_recipe(text)
    for title, _, text in (part.partition("\n") for part in re.split(r"^## ", PAGE, flags=re.M)[1:])
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of package and configuration, in which all recipes have been followed."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(PACKAGE, root / "tlexp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(conf_folder(), root / "conf", dirs_exist_ok=True)
    for recipe in RECIPES.values():
        for step in recipe.steps:
            step.follow(root)
    draw_birds(root / "birds")
    [script] = RECIPES[OWN_FILES].steps
    subprocess.run([sys.executable, script.path], cwd=root, check=True)
    return root


def draw_birds(folder: Path) -> None:
    """Make the index and images that the recipe for files of one's own begins with."""
    (folder / "pixels").mkdir(parents=True)
    draw, lines = np.random.default_rng(0), []
    for number in range(1, 46):
        pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pixels" / f"{number:04}.png")
        lines.append(f"{number} {BIRDS[number % len(BIRDS)]}\n")
    (folder / "index.txt").write_text("".join(lines))


@pytest.fixture(scope="module")
def done(root: Path) -> dict[str, Any]:
    """What every command of the page came to, in the copy, with settings that make it small."""
    small = {
        **{
            title: [*beside(RECIPES[title].words, SMALL), f"hydra.run.dir=outputs/{number}"]
            for number, title in enumerate(RUNS)
        },
        **{
            title: [word for word in TINY if "survey" not in RECIPES[title].words[0] or word != TINY[0]]
            for title in PLANS
        },
        SECTION: [*TINY, "study.labels=[2]", "study.seeds=2", "study.controls=false"],
    }
    given = {title: [*recipe.words, *small[title]] for title, recipe in RECIPES.items()}
    places = root, root / "tlexp" / "plugin", PACKAGE.parent  # the last for what tests share
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, "-P", "-c", DRIVER, json.dumps(given)]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((root / "done.json").read_text())
    return found


def test_every_recipe_is_tried() -> None:
    assert set(RECIPES) == {*RUNS, *PLANS, SECTION}


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_touches_few_files(title: str) -> None:
    assert 1 <= len({step.path for step in RECIPES[title].steps}) <= MOST_FILES


def test_lines_are_short() -> None:
    assert [line for line in PAGE.splitlines() if len(line) > 160] == []


@pytest.mark.parametrize("title", RUNS)
def test_a_recipe_ends_in_a_run(title: str, root: Path, done: dict[str, Any]) -> None:
    assert done[title]["status"] == 0, done[title]["shown"]
    record = json.loads((root / "outputs" / str(list(RUNS).index(title)) / "record.json").read_text())
    assert record["status"] == "finished"
    for group, values in RUNS[title].items():
        assert values.items() <= record["config"][group].items()


def test_a_script_hands_every_image_and_species_over(root: Path, done: dict[str, Any]) -> None:
    record = json.loads((root / "outputs" / str(list(RUNS).index(OWN_FILES)) / "record.json").read_text())
    assert tuple(record["data"]["classes"]) == BIRDS
    assert sum(count for split in record["data"]["counts"].values() for count in split.values()) == 39
    assert sum(record["data"]["pool"].values()) == 36


@pytest.mark.parametrize("title", PLANS)
def test_a_recipe_ends_in_the_plan_of_a_study(title: str, done: dict[str, Any]) -> None:
    assert done[title]["status"] == 0, done[title]["shown"]
    assert re.search(PLANS[title], done[title]["shown"], re.M), done[title]["shown"]


def test_a_section_stands_in_page_and_markdown(root: Path, done: dict[str, Any]) -> None:
    assert done[SECTION]["status"] == 0, done[SECTION]["shown"]
    report = root / "multirun" / "spread" / "report"
    assert "## Between data seeds" in (report / "report.md").read_text()
    assert "Between data seeds" in (report / "index.html").read_text()
