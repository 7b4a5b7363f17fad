"""Figures of a run: plain arrays in, a matplotlib Figure out; no pyplot, no global state. 800 pixels wide.

images (n, H, W, 3) uint8; labels (n,) int64; confusion matrices (K, K) counts, rows true, columns predicted.
"""

import functools
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tlexp.tracking.blocks import Settings, TrialBlock
from tlexp.tracking.curves import Point

_DPI = 100
_WIDTH = 8.0
# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color).
_COLOURS = {"train": "#0072B2", "val": "#D55E00", "test": "#009E73"}
_OTHER = "#555555"
_MOST_LABELS = 30
_MOST_SIGNS = 320
"""Signs of all labels side by side times their size, for the widest signs and long labels at the other side."""
_MOST_COUNTS = 15
_MOST_MISTAKES = 16
_MOST_TRAINING = 32


def learning_curves(points: Sequence[Point]) -> Figure:
    """Return one panel per quantity; the final fit is drawn strong, folds of the selection thin and dashed."""
    panels: dict[str, list[Point]] = {}
    for point in points:
        panels.setdefault(point.name.rpartition("/")[2], []).append(point)
    if not panels:
        return _message("No learning curves: the run took no step")
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = 0.6 + 3.0 * rows
    figure = blank_figure(height, layout=None)  # margins in inches: a layout engine draws everything twice
    figure.subplots_adjust(0.09, 0.55 / height, 0.97, 1 - 0.5 / height, wspace=0.25, hspace=0.3)
    figure.suptitle("Learning curves")
    for place, (quantity, members) in enumerate(panels.items(), 1):
        _draw_curves(figure.add_subplot(rows, columns, place), quantity, members)
    return figure


def candidates(trials: Sequence[TrialBlock], winner: Settings) -> Figure:
    """Return the calibrated validation loss of each candidate over what it chooses, the winner marked.

    Args:
        trials: At least one.
        winner: The rates of the best.
    """
    measured = [trial for trial in trials if trial.loss is not None]
    settings = list(trials[0].rates)
    figure = blank_figure(4.0)
    figure.suptitle(f"{len(trials)} candidates compared inside the label budget")
    panels = np.atleast_1d(figure.subplots(1, len(settings), sharey=True))
    for panel, setting in zip(panels, settings, strict=True):
        places = [trial.rates[setting] for trial in measured]
        panel.plot(places, [trial.loss for trial in measured], "o", color=_COLOURS["train"])
        best = [trial.loss for trial in measured if trial.rates == winner]
        panel.plot([winner[setting]], best[:1], "*", markersize=16, color=_COLOURS["val"], label="chosen")
        panel.set(xscale="log", xlabel=setting.replace("_", " "))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("calibrated loss")
    panels[0].legend()
    lost = len(trials) - len(measured)
    if lost:
        panels[0].set_title(f"{lost} diverged", fontsize=9)
    return figure


def confusion_matrix(matrix: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Return the confusion matrix: colour is the share of the true class, numbers are counts where they fit."""
    matrix = np.asarray(matrix)
    count = len(classes)
    if count == 0 or matrix.sum() == 0:
        return _message("No confusion matrix: no image was classified")
    totals = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    figure = blank_figure(7.2)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    shown = range(0, count, math.ceil(count / _MOST_LABELS))
    size = 10 if count <= 10 else 7
    names = [plain_label(classes[place], 18) for place in shown]
    side_by_side = len(names) * max(map(len, names)) * size <= _MOST_SIGNS
    axes.set_xticks(shown, names, fontsize=size, rotation=0 if side_by_side else 90)
    axes.set_yticks(shown, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix, {int(matrix.sum())} images")
    if count <= _MOST_COUNTS:
        _write_counts(axes, matrix, share)
    return figure


def mistakes(
    images: NDArray[np.uint8],
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    classes: Sequence[str],
) -> Figure:
    """Return the misclassified images, at most 16, the most confident first; confidence is in [0, 1]."""
    if len(images) == 0:
        return _message("No mistakes: every image was classified right")
    order = np.argsort(-np.asarray(confidence), kind="stable")[:_MOST_MISTAKES]
    titles = [
        f"{plain_label(classes[int(true[place])], 20)}\n"
        f"taken for {plain_label(classes[int(predicted[place])], 14)} {float(confidence[place]):.2f}"
        for place in order
    ]
    return _gallery(images[order], titles, columns=4, title="Most confident mistakes (true class above)")


def risk_coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Figure:
    """Return the share of wrong answers over the share of images that are answered, the most confident first.

    Args:
        confidence: Of each image, (N,).
        right: Whether it was classified right, (N,).
    """
    if len(right) == 0:
        return _message("No answers: no image was classified")
    answered = np.arange(1, len(right) + 1)
    risk = np.cumsum(~right[np.argsort(-confidence, kind="stable")]) / answered
    figure = blank_figure(4.0)
    axes = figure.add_subplot()
    axes.step(answered / len(right), risk, where="post", color=_COLOURS["test"])
    axes.set(xlabel="share of the images that are answered", ylabel="share of the answers that are wrong")
    axes.set(xlim=(0, 1), title=f"Answering where the network is most confident, {len(right)} images")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], *, bins: int = 15) -> Figure:
    """Return the share of right answers over their confidence, in bins of equal width, and how many there are.

    Args:
        confidence: Of each image, (N,), in [0, 1].
        right: Whether it was classified right, (N,).
        bins: How many.
    """
    if len(right) == 0:
        return _message("No confidences: no image was classified")
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    used = counts > 0
    said, found = (np.bincount(places, values, bins)[used] / counts[used] for values in (confidence, right))
    figure = blank_figure(5.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color=_OTHER, label="as sure as right")
    axes.plot(said, found, "o-", color=_COLOURS["test"], label="bins of images")
    for place, count in enumerate(counts[used].tolist()):
        axes.annotate(str(count), (said[place], found[place]), xytext=(4, -11), textcoords="offset points", fontsize=7)
    # Room for marks and numbers at the ends: the surest bin is the one that most images are in.
    axes.set(xlim=(-0.02, 1.06), ylim=(-0.06, 1.04), xlabel="mean confidence", ylabel="share of right answers")
    axes.set_title(f"Reliability, {len(right)} images; numbers are images of a bin")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def training_batch(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Return images as the network is trained on them, augmented, at most 32."""
    if len(images) == 0:
        return _message("No training batch: there are no images")
    titles = [plain_label(classes[int(label)], 14) for label in labels[:_MOST_TRAINING]]
    columns = 8 if len(titles) > 16 else 4
    title = f"Training batch, {len(titles)} of {len(images)} images"
    return _gallery(images[:_MOST_TRAINING], titles, columns=columns, title=title)


def blank_figure(height: float, *, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure 800 pixels wide with a canvas of its own, height in inches of 100 pixels."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, **options: Any) -> bytes:
    """Return a figure as a PNG file.

    Args:
        figure: With a canvas of its own.
        **options: Of matplotlib's `savefig`.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()


def _message(text: str) -> Figure:
    """Return a figure that says why there is nothing to see."""
    figure = blank_figure(2.0)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=14, color=_OTHER)
    return figure


def _draw_curves(axes: Axes, quantity: str, points: Iterable[Point]) -> None:
    """Draw a line per phase, fold and split, and one legend entry per phase and split."""
    lines: dict[tuple[str, str, int | None], list[Point]] = {}
    for point in points:
        lines.setdefault((point.phase, point.name.rpartition("/")[0], point.fold), []).append(point)
    named: set[tuple[str, str]] = set()
    for (phase, split, _), members in lines.items():
        final = phase == "final"
        style: dict[str, Any] = {"linewidth": 1.8 if final else 0.9, "linestyle": "-" if final else "--"}
        label = f"{split} ({phase})".strip() if (phase, split) not in named else None
        named.add((phase, split))
        steps, values = [point.step for point in members], [point.value for point in members]
        marker = "o" if len(members) == 1 else None
        axes.plot(steps, values, color=_COLOURS.get(split, _OTHER), label=label, marker=marker, **style)
    axes.set(xlabel="step", ylabel=quantity.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _write_counts(axes: Axes, matrix: NDArray[np.int64], share: NDArray[np.float64]) -> None:
    """Write the counts into the cells, light on dark and dark on light."""
    size = 10 if len(matrix) <= 10 else 7
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{value}", ha="center", va="center", color=colour, fontsize=size)


def _gallery(images: NDArray[np.uint8], titles: Sequence[str], *, columns: int, title: str) -> Figure:
    """Return images in a grid, each under its title.

    All in one pair of axes, in inches from the top left: axes for each image take ten times as long to draw.
    """
    rows = math.ceil(len(images) / columns)
    side = _WIDTH / columns
    line = 0.17
    text = line * (1 + titles[0].count("\n")) + 0.06
    height = 0.4 + rows * (side + text)
    figure = blank_figure(height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(_WIDTH / 2, 0.2, title, ha="center", va="center", fontsize=12)
    for place, (image, name) in enumerate(zip(images, titles, strict=True)):
        left, top = place % columns * side, 0.4 + place // columns * (side + text) + text
        axes.text(left + side / 2, top - 0.04, name, ha="center", va="bottom", fontsize=8)
        axes.imshow(image, extent=(left + 0.04, left + side - 0.04, top + side - 0.08, top), aspect="auto")
    axes.set(xlim=(0, _WIDTH), ylim=(height, 0))
    return figure


def plain_label(name: str, longest: int) -> str:
    """Return a name fit for a figure: no formulas, no control signs, no sign the font lacks, not too long."""
    signs = _font_signs()
    text = "".join(sign if ord(sign) in signs and sign.isprintable() else "?" for sign in name)
    if len(text) > longest:  # names often differ at their ends only
        kept = longest - 1
        text = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
    return text.replace("$", r"\$")


@functools.cache
def _font_signs() -> frozenset[int]:
    """Return the code points of the font that matplotlib ships."""
    path = matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf"
    return frozenset(FT2Font(path).get_charmap())
