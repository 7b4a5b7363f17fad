"""Plots of a sweep as Optuna knows them: history, slices of each setting, importance of the settings.

Drawn here, because Optuna's own cut long names off and mix the label budgets, whose losses cannot be compared.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from tlexp.jobs.outcome import JobOutcome
from tlexp.paths import publish
from tlexp.sweeps.ranking import LABELS, SEEDS, UNKNOWN, budget_order, budgets, swept_keys, value
from tlexp.tracking.figures import blank_figure, plain_label, png_bytes

# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color); the marks help on grey paper.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = "os^Dv<P"
_LEAST_TRIALS = 10
"""Fewer runs say nothing of importances: the forest behind them would fit their noise."""
_MOST_TRIALS = 300
_MOST_PANELS = 9
_MOST_TICKS = 12
_FEW_NUMBERS = 4
_WIDE_RATIO = 30
"""Values spread wider than this, and all above 0, stand on a logarithmic axis."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A finished run as the plots need it."""

    number: int
    value: float
    labels: str
    settings: dict[str, str]


def draw_plots(
    folder: Path, runs: Sequence[JobOutcome], *, objective: str, direction: str, searches: bool
) -> list[Path]:
    """Draw the plots for which there is enough to see, and return their files.

    Args:
        folder: The sweep's folder.
        runs: In the sweep's order.
        objective: The metric that ranks.
        direction: minimize or maximize.
        searches: Whether what was tried followed from what was best so far; of a grid, that would say nothing.
    """
    trials = [
        _Trial(number=run.number, value=found, labels=labels, settings=run.point)
        for run, labels in zip(runs, budgets(runs), strict=True)
        if (found := value(run, objective)) is not None
    ]
    lost = [run.number for run in runs if run.status is not None and value(run, objective) is None]
    varying = _varying(trials)
    drawn: dict[str, Figure] = {}
    if len(trials) > 1:
        drawn["history"] = history(trials, lost, objective=objective, direction=direction if searches else None)
        # Budgets are told apart by colour, unless nothing else varies.
        settings = [key for key in varying if key not in (*SEEDS, LABELS)]
        sliced = settings or [key for key in varying if key == LABELS]
        if sliced:
            drawn["slice"] = slices(trials, sliced[:_MOST_PANELS], objective=objective)
    if len(trials) >= _LEAST_TRIALS and len(varying) > 1 and len({trial.value for trial in trials}) > 1:
        drawn["importances"] = importances(trials, varying, objective=objective, direction=direction)
    paths = []
    for name, figure in drawn.items():
        paths.append(folder / f"{name}.png")
        publish(paths[-1], png_bytes(figure))
    return paths


def history(trials: Sequence[_Trial], lost: Sequence[int], *, objective: str, direction: str | None) -> Figure:
    """Return every run's objective in the sweep's order and, of a search, the best so far of each label budget.

    Args:
        trials: The finished runs.
        lost: Numbers of those that did not finish.
        objective: The metric.
        direction: minimize or maximize; None where nothing was searched.
    """
    figure = blank_figure(4.5)
    axes = figure.add_subplot()
    best = min if direction == "minimize" else max
    for (labels, members), (colour, mark) in zip(_by_budget(trials), _styles(), strict=False):
        numbers, values = [trial.number for trial in members], [trial.value for trial in members]
        axes.plot(numbers, values, mark, color=colour, markersize=5, alpha=0.7, label=_budget_name(labels))
        if direction is not None:
            reached = [best(values[: place + 1]) for place in range(len(values))]
            axes.step(numbers, reached, where="post", color=colour, linewidth=1.5)
    if lost:
        axes.plot(
            lost, [0.02] * len(lost), "x", color="#555555", transform=axes.get_xaxis_transform(), label="not finished"
        )
    title = f"{objective} of every run"
    axes.set(xlabel="run", ylabel=objective, title=title if direction is None else f"{title}; line: best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _scale(axes, [trial.value for trial in trials])
    _finish(axes)
    _add_legend(figure)
    return figure


def slices(trials: Sequence[_Trial], keys: Sequence[str], *, objective: str) -> Figure:
    """Return a panel per setting: the objective of every run over the setting's value."""
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = blank_figure(0.8 + 3.2 * rows)
    figure.suptitle(f"{objective} over each setting, one mark a run")
    for place, key in enumerate(keys):
        axes = figure.add_subplot(rows, columns, place + 1)
        _draw_slice(axes, trials, key)
        axes.set_xlabel(plain_label(key, 30))
        if place % columns == 0:
            axes.set_ylabel(objective)
        _scale(axes, [trial.value for trial in trials])
        _finish(axes)
    _add_legend(figure)
    return figure


def importances(trials: Sequence[_Trial], keys: Sequence[str], *, objective: str, direction: str) -> Figure:
    """Return the share of the objective's variance that each setting explains, by fANOVA (Hutter et al. 2014).

    Seeds are among the settings: their share is the noise that the others are to be compared with. Of very many runs
    every second, third ... is taken: the time grows with their square.
    """
    total = len(trials)
    trials = trials[:: math.ceil(total / _MOST_TRIALS)]
    study = _study(trials, keys, direction=direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=list(keys))
    names, shares = list(found), list(found.values())
    figure = blank_figure(1.2 + 0.4 * len(names))
    axes = figure.add_subplot()
    bars = axes.barh([plain_label(name, 40) for name in names], shares, color=_COLOURS[0], height=0.6)
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=4, fontsize=9)
    axes.invert_yaxis()
    axes.set(
        xlim=(0, 1.08),
        xlabel="share of the variance explained",
        title=f"What {objective} depends on (fANOVA, {len(trials)} of {total} runs)",
    )
    _finish(axes)
    return figure


def _varying(trials: Sequence[_Trial]) -> list[str]:
    """Return the swept keys that every finished run has, with at least two values among them."""
    keys = swept_keys(trial.settings for trial in trials)
    return [
        key
        for key in keys
        if all(key in trial.settings for trial in trials) and len({trial.settings[key] for trial in trials}) > 1
    ]


def _study(trials: Sequence[_Trial], keys: Sequence[str], *, direction: str) -> optuna.Study:
    """Return the runs as a study in memory, with numbers as numbers and everything else as choices."""
    scales = {key: _scale_of([trial.settings[key] for trial in trials]) for key in keys}
    with _quiet():
        study = optuna.create_study(direction=direction)
        for trial in trials:
            params = {key: _param(trial.settings[key], scales[key]) for key in keys}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=scales, value=trial.value))
    return study


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's word of every new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _scale_of(texts: Sequence[str]) -> BaseDistribution:
    numbers = _numbers(texts)
    if numbers is None:
        return CategoricalDistribution(sorted(set(texts)))
    return FloatDistribution(min(numbers), max(numbers), log=_is_wide(numbers))


def _param(text: str, scale: BaseDistribution) -> str | float:
    return text if isinstance(scale, CategoricalDistribution) else float(text)


def _draw_slice(axes: Axes, trials: Sequence[_Trial], key: str) -> None:
    """Draw a setting on a number axis where its values are more than a few numbers, or far apart.

    Else they are choices with the budgets abreast.
    """
    texts = [trial.settings[key] for trial in trials]
    choices = _choices(texts, key)
    numbers = _numbers(texts)
    if numbers is not None and len(choices) <= _FEW_NUMBERS and not _is_wide(numbers):
        numbers = None
    groups = _by_budget(trials)
    for place, ((labels, members), (colour, mark)) in enumerate(zip(groups, _styles(), strict=False)):
        aside = 0.0 if len(groups) == 1 else 0.4 * (place / (len(groups) - 1) - 0.5)
        at = [
            choices.index(trial.settings[key]) + aside if numbers is None else float(trial.settings[key])
            for trial in members
        ]
        values = [trial.value for trial in members]
        axes.plot(at, values, mark, color=colour, markersize=5, alpha=0.7, label=_budget_name(labels))
    if numbers is None:
        _name_choices(axes, choices)
    else:
        _number_axis(axes, numbers)


def _number_axis(axes: Axes, numbers: Sequence[float]) -> None:
    """Name a few round numbers, on a logarithmic axis the powers of ten, or their halves where there is but one."""
    if not _is_wide(numbers):
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_xscale("log")
    decades = math.log10(max(numbers) / min(numbers))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 2 else (1.0,), numticks=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _choices(texts: Sequence[str], key: str) -> list[str]:
    """Return the different values: budgets and numbers by size, others in the sweep's order."""
    found = list(dict.fromkeys(texts))
    if key == LABELS:
        return sorted(found, key=budget_order)
    return found if _numbers(found) is None else sorted(found, key=float)


def _name_choices(axes: Axes, choices: Sequence[str]) -> None:
    shown = range(0, len(choices), math.ceil(len(choices) / _MOST_TICKS))
    names = [plain_label(choices[place], 16) for place in shown]
    crowded = sum(map(len, names)) > 24
    axes.set_xticks(shown, names, fontsize=8, rotation=40 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlim(-0.5, len(choices) - 0.5)


def _by_budget(trials: Sequence[_Trial]) -> list[tuple[str, list[_Trial]]]:
    found = sorted({trial.labels for trial in trials}, key=budget_order)
    return [(labels, [trial for trial in trials if trial.labels == labels]) for labels in found]


def _styles() -> list[tuple[str, str]]:
    """Return pairs of a colour and a mark, all different; neighbours differ in both."""
    count = len(_COLOURS)
    return [(_COLOURS[place % count], _MARKS[(place + place // count) % count]) for place in range(count**2)]


def _budget_name(labels: str) -> str:
    return "budget unknown" if labels == UNKNOWN else plain_label(f"{LABELS}={labels}", 24)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    if _is_wide(values):
        axes.set_yscale("log")


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _WIDE_RATIO


def _numbers(texts: Sequence[str]) -> list[float] | None:
    """Return the texts as finite numbers; None where one is no such thing."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure) -> None:
    """Name the marks below the axes, where they hide nothing; a single one is not named."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)), fontsize=8)
