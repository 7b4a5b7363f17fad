import logging
import random
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps import plots
from tlexp.sweeps.plots import draw_plots
from tlexp.tracking import RunStatus

Swept = Callable[..., list[JobOutcome]]
RATES = tuple(f"{10**-power:g}" for power in range(1, 8))


def measure(point: dict[str, str]) -> dict[str, float]:
    noise = random.Random(str(point)).gauss(0, 0.01)
    return {"val/loss": 0.5 + (0.4 if point["freeze"] == "all" else 0) + noise}


def draw(tmp_path: Path, runs: list[JobOutcome], direction: str = "minimize") -> list[str]:
    paths = draw_plots(tmp_path, runs, objective="val/loss", direction=direction, searches=True)
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.shape[1] == 800
        assert 0.005 < (pixels.min(axis=2) < 250).mean() < 0.5  # something is drawn, and it is no clutter
    return [path.name for path in paths]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"freeze": ("all",), "seed": ("0",)}, []),
        ({"freeze": ("all", "none"), "seed": ("0",)}, ["history.png", "slice.png"]),
        ({"freeze": ("all",), "seed": tuple(map(str, range(12)))}, ["history.png"]),
        ({"freeze": ("all", "none"), "optim.lr": RATES}, ["history.png", "slice.png", "importances.png"]),
        ({"freeze": ("all", "none"), "seed": ("0", "1", "2", "3")}, ["history.png", "slice.png"]),
        (
            {"freeze": ("all", "none"), "labels": ("5", "0.1", "all"), "seed": ("0", "1")},
            ["history.png", "slice.png", "importances.png"],
        ),
    ],
)
def test_what_is_drawn_follows_from_what_there_is_to_see(
    swept: Swept, tmp_path: Path, axes: dict[str, tuple[str, ...]], expected: list[str]
) -> None:
    assert draw(tmp_path, swept(axes, measure)) == expected


def test_a_sweep_of_nothing_but_budgets_has_a_slice_over_them(swept: Swept, tmp_path: Path) -> None:
    runs = swept({"labels": ("5", "20", "all")}, lambda point: {"val/loss": float(len(point["labels"]))})
    assert draw(tmp_path, runs) == ["history.png", "slice.png"]


def test_equal_figures_have_no_importances(swept: Swept, tmp_path: Path) -> None:
    runs = swept({"freeze": ("all", "none"), "optim.lr": RATES}, lambda point: {"val/loss": 0.5})
    assert draw(tmp_path, runs) == ["history.png", "slice.png"]


def test_a_sweep_that_failed_throughout_has_no_plots(swept: Swept, tmp_path: Path) -> None:
    assert draw(tmp_path, swept({"optim.lr": RATES}, lambda point: (RunStatus.failed, "no"))) == []


def test_importances_are_those_of_fanova_and_seeds_explain_nothing(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    importances = plots.get_param_importances

    def listening(study: object, **words: object) -> dict[str, float]:
        asked.append((words["evaluator"], importances(study, **words)))
        return asked[-1][1]

    monkeypatch.setattr(plots, "get_param_importances", listening)
    draw(tmp_path, swept({"freeze": ("all", "none"), "optim.lr": RATES, "seed": ("0", "1")}, measure))
    [(evaluator, found)] = asked
    assert type(evaluator).__name__ == "FanovaImportanceEvaluator"
    assert set(found) == {"freeze", "optim.lr", "seed"}
    assert found["freeze"] > 0.9
    assert found["seed"] < 0.05


def test_numbers_are_numbers_to_the_study_and_wide_ones_are_logarithmic() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    assert plots._scale_of(["0.1", "1e-5"]) == FloatDistribution(1e-5, 0.1, log=True)
    assert plots._scale_of(["0", "5", "3"]) == FloatDistribution(0, 5)
    assert plots._scale_of(["5", "all"]) == CategoricalDistribution(["5", "all"])
    assert plots._scale_of(["nan", "1"]) == CategoricalDistribution(["1", "nan"])


def lines(figure: object, title: str) -> list[float]:
    [line] = [line for axes in figure.axes for line in axes.get_lines() if line.get_linestyle() == "-"]  # type: ignore[attr-defined]
    return [float(each) for each in line.get_ydata()]


@pytest.mark.parametrize(("direction", "best"), [("minimize", [3, 3, 1, 1]), ("maximize", [3, 4, 4, 4])])
def test_the_history_shows_the_best_so_far(swept: Swept, direction: str, best: list[float]) -> None:
    trials = [
        plots._Trial(number=number, value=value, labels="20", settings={}) for number, value in enumerate((3, 4, 1, 2))
    ]
    figure = plots.history(trials, [9], objective="val/loss", direction=direction)
    assert lines(figure, "best") == best


def test_the_history_of_a_grid_has_no_best_so_far() -> None:
    trials = [plots._Trial(number=number, value=1.0, labels="20", settings={}) for number in range(4)]
    [axes] = plots.history(trials, [], objective="val/loss", direction=None).axes
    assert [line.get_linestyle() for line in axes.get_lines()] == ["None"]
    assert axes.get_title() == "val/loss of every run"


@pytest.mark.parametrize(
    ("values", "scale", "names"),
    [
        (RATES, "log", ["1e-07", "1e-05", "0.001", "0.1"]),
        (("0.001", "0.01", "0.1"), "log", ["0.001", "0.01", "0.1"]),
        (tuple(f"{number / 10}" for number in range(1, 11)), "linear", None),
        (("0.1", "0.2", "0.3"), "linear", ["0.1", "0.2", "0.3"]),
    ],
)
def test_rates_stand_on_an_axis_of_few_level_numbers(
    values: tuple[str, ...], scale: str, names: list[str] | None
) -> None:
    trials = [
        plots._Trial(number=number, value=1.0 + number, labels="20", settings={"optim.lr": text})
        for number, text in enumerate(values)
    ]
    figure = plots.slices(trials, ["optim.lr"], objective="val/loss")
    figure.canvas.draw()
    [axes] = figure.axes
    low, high = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high and label.get_text()]
    assert axes.get_xscale() == scale
    assert 2 < len(shown) <= 7
    assert {label.get_rotation() for label in shown} == {0}
    assert names is None or [label.get_text() for label in shown] == names


def test_nothing_is_told_and_nothing_stays_changed(
    swept: Swept, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    before = dict(matplotlib.rcParams)
    draw(tmp_path, swept({"freeze": ("all", "none"), "optim.lr": RATES}, measure))
    assert dict(matplotlib.rcParams) == before
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert caplog.records == []
    optuna.logging.set_verbosity(verbosity)


def test_long_names_and_many_budgets_fit(swept: Swept, tmp_path: Path) -> None:
    axes = {
        "backbone.name": ("resnet18.a1_in1k_with_a_very_long_tag", "vit_small_patch16_dinov3.lvd1689m"),
        "labels": tuple(map(str, range(1, 10))),
    }
    assert draw(tmp_path, swept(axes, lambda point: {"val/loss": 1 / int(point["labels"])}))[:2] == [
        "history.png",
        "slice.png",
    ]


def test_a_thousand_runs_do_not_hold_the_sweep_up() -> None:
    draw = random.Random(0)
    trials = [
        plots._Trial(
            number=number,
            value=draw.random(),
            labels="20",
            settings={"optim.lr": str(draw.random()), "seed": str(number)},
        )
        for number in range(1000)
    ]
    figure = plots.importances(trials, ["optim.lr", "seed"], objective="val/loss", direction="minimize")
    assert figure.axes[0].get_title() == "What val/loss depends on (fANOVA, 250 of 1000 runs)"
