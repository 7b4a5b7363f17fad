import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.compose.load import ConfigSource, load
from tlexp.config import config_key
from tlexp.experiment.run import run
from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.best import command, write_best
from tlexp.sweeps.ranking import Standing, rank
from tlexp.train import Listener

Swept = Callable[..., list[JobOutcome]]
GRID = {"freeze": ("all", "none", "last"), "labels": ("10", "0.5"), "seed": ("3", "4")}
SMALL = (
    "backbone=tiny", "backbone.image_size=32", "data.per_class=24", "data.test_per_class=8", "data.num_classes=3",
    "train.limit_steps=2", "tracking=off", "optim=sgd", "optim.lr=1e-5",
)  # fmt: skip


def measure(point: dict[str, str]) -> dict[str, float]:
    return {"val/loss": {"all": 0.5, "none": 0.3, "last": 0.4}[point["freeze"]] + 0.001 * int(point["seed"])}


def standings(runs: list[JobOutcome]) -> list[Standing]:
    return rank(runs, objective="val/loss", direction="minimize")


@pytest.mark.parametrize("labels", ["10", "0.5"])
def test_the_best_of_a_budget_runs_as_it_is(swept: Swept, tmp_path: Path, labels: str) -> None:
    runs = swept(GRID, measure, *SMALL)
    [standing] = [each for each in standings(runs) if each.labels == labels]
    path = write_best(tmp_path, standing, objective="val/loss")
    assert path == tmp_path / f"best-{labels}.yaml"
    [expected] = [each.key for each in runs if each.point == {"freeze": "none", "labels": labels, "seed": "3"}]
    loaded = load([], ConfigSource(name=path.stem, path=str(tmp_path)))
    assert config_key(loaded.config) == expected
    (tmp_path / "run").mkdir()
    outcome = run(loaded.config, folder=tmp_path / "run", listener=Listener(), shown=loaded.shown)
    assert outcome.record.key == expected


def test_the_first_lines_say_how_to_run_it_and_what_it_is(swept: Swept, tmp_path: Path) -> None:
    path = write_best(tmp_path, standings(swept(GRID, measure))[0], objective="val/loss")
    assert path is not None
    assert path.read_text().splitlines()[:2] == [
        f"# python -m tlexp --config-path {tmp_path} --config-name best-10",
        "# Best of 3 at labels=10: val/loss 0.3035, standard deviation 0.0007071, mean over 2 seeds; here seed=3.",
    ]


def test_it_runs_in_a_folder_whose_name_the_shell_would_split(swept: Swept, tmp_path: Path) -> None:
    (tmp_path / "my sweep").mkdir()
    path = write_best(tmp_path / "my sweep", standings(swept(GRID, measure))[0], objective="val/loss")
    assert path is not None
    assert command(path) == f"python -m tlexp --config-path '{tmp_path}/my sweep' --config-name best-10"


def test_it_takes_further_words_and_sweeps(swept: Swept, tmp_path: Path) -> None:
    path = write_best(tmp_path, standings(swept(GRID, measure))[0], objective="val/loss")
    assert path is not None
    source = ConfigSource(name=path.stem, path=str(tmp_path))
    assert load(["seed=7"], source).config.seed == 7
    load(["seed=0,1,2"], source, swept=True)


def test_a_secret_is_read_from_the_environment_again(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", "http://me:s3cret@host")
    runs = swept({"freeze": ("all",)}, measure_one, "tracking.uri=${oc.env:STORE}")
    path = write_best(tmp_path, standings(runs)[0], objective="val/loss")
    assert path is not None
    assert "s3cret" not in path.read_text()
    *_, typed = shlex.split(command(path))  # a server is typed, whoever wrote the file
    assert typed == 'tracking.uri="${oc.env:STORE}"'
    assert (
        load([typed], ConfigSource(name=path.stem, path=str(tmp_path))).config.tracking.uri == "http://me:s3cret@host"
    )


def test_where_nothing_is_ranked_nothing_is_written(swept: Swept, tmp_path: Path) -> None:
    runs = swept({"freeze": ("all",)}, lambda point: {"test/accuracy": 0.5})
    assert write_best(tmp_path, standings(runs)[0], objective="val/loss") is None
    assert list(tmp_path.glob("best*")) == []


def measure_one(point: dict[str, str]) -> dict[str, float]:
    return {"val/loss": 0.5}
