import io
import itertools
import subprocess
import sys
from collections.abc import Sequence

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tlexp.tracking import Point, figures

DRAW = np.random.default_rng(0)
ODD_NAMES = ["plain", r"$\frac{1}{$", "two\nlines", "\x1b[31mred", "日本語", "x" * 200, r"\frac{1}{", "", "a_b^c"]


def images(count: int, side: int = 16) -> np.ndarray:
    return DRAW.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def render(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def points(phase: str, fold: int | None, name: str, steps: Sequence[int]) -> list[Point]:
    return [Point(phase=phase, fold=fold, step=step, name=name, value=1 / (step + 1)) for step in steps]


def test_learning_curves_have_a_panel_per_quantity_and_a_line_per_fold() -> None:
    curves = [
        *points("select", 0, "train/loss", range(5)),
        *points("select", 1, "train/loss", range(5)),
        *points("final", None, "train/loss", range(5)),
        *points("final", None, "train/lr", range(5)),
    ]
    figure = figures.learning_curves(curves)
    assert [len(axes.lines) for axes in figure.axes] == [3, 1]
    assert len(figure.axes[0].get_legend().get_texts()) == 2
    assert render(figure).shape[1] == 800


def test_one_point_is_visible() -> None:
    figure = figures.learning_curves(points("final", None, "train/loss", [0]))
    assert figure.axes[0].lines[0].get_marker() == "o"


@pytest.mark.parametrize("name", ["a rather long class name", "WWWWWWWWWWWWWWWWWWWW", ""])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 10, 30, 31])
def test_labels_of_a_confusion_matrix_do_not_overlap(count: int, name: str) -> None:
    matrix = DRAW.integers(0, 9, (count, count))
    figure = figures.confusion_matrix(matrix, [f"{name}{place}" for place in range(count)])
    assert render(figure).shape[1] == 800
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        assert 1 <= len(boxes) <= 30
        assert not any(one.padded(2).overlaps(other) for one, other in itertools.pairwise(boxes)), "nor touch"
        assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)


def test_short_labels_of_a_confusion_matrix_stand_upright() -> None:
    for names, rotation in ((list("0123456789"), 0), (["cat", "dog", "elk", "ant"], 0), (["one hundred cats"] * 4, 90)):
        figure = figures.confusion_matrix(np.eye(len(names), dtype=int), names)
        assert {label.get_rotation() for label in figure.axes[0].xaxis.get_ticklabels()} == {rotation}


def test_a_class_without_test_images_is_a_blank_row() -> None:
    figure = figures.confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"])
    shown = figure.axes[0].images[0].get_array()
    assert np.allclose(shown, [[0.75, 0.25], [0, 0]])


def test_mistakes_are_the_most_confident_first_and_at_most_sixteen() -> None:
    confidence = DRAW.random(40)
    pictures = images(40)
    figure = figures.mistakes(pictures, np.zeros(40, int), np.ones(40, int), confidence, ["a", "b"])
    order = np.argsort(-confidence)[:16]
    shown = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert len(shown) == 16
    assert all(np.array_equal(one, pictures[place]) for one, place in zip(shown, order, strict=True))
    assert f"taken for b {confidence[order[0]]:.2f}" in texts(figure)
    assert render(figure).shape[1] == 800


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (figures.learning_curves([]), "No learning curves"),
        (figures.confusion_matrix(np.zeros((0, 0), int), []), "No confusion matrix"),
        (figures.confusion_matrix(np.zeros((2, 2), int), ["a", "b"]), "No confusion matrix"),
        (figures.mistakes(images(0), np.zeros(0, int), np.zeros(0, int), np.zeros(0), ["a"]), "No mistakes"),
        (figures.reliability(np.zeros(0), np.zeros(0, bool)), "No confidences"),
        (figures.risk_coverage(np.zeros(0), np.zeros(0, bool)), "No answers"),
        (figures.training_batch(images(0), np.zeros(0, int), ["a"]), "No training batch"),
    ],
)
def test_nothing_to_show_is_said(figure: Figure, words: str) -> None:
    assert words in texts(figure)
    assert render(figure).shape[1] == 800


@pytest.mark.parametrize("count", [1, 5, 32, 50])
def test_a_training_batch_shows_each_image_under_its_class(count: int) -> None:
    figure = figures.training_batch(images(count), np.arange(count) % 3, ["a", "b", "c"])
    assert len(figure.axes[0].images) == min(count, 32)
    assert render(figure).shape[1] == 800


def test_any_class_name_can_be_drawn() -> None:
    count = len(ODD_NAMES)
    render(figures.confusion_matrix(np.eye(count, dtype=int), ODD_NAMES))
    render(figures.mistakes(images(count), np.arange(count), np.zeros(count, int), np.ones(count), ODD_NAMES))
    render(figures.training_batch(images(count), np.arange(count), ODD_NAMES))


def test_the_callers_matplotlib_is_left_alone() -> None:
    code = (
        "import matplotlib, sys; before = matplotlib.rcParams.copy()\n"
        "from tlexp.tracking import figures; figures.learning_curves([]).canvas.draw()\n"
        "assert matplotlib.rcParams.copy() == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_equal_figures_become_the_same_png_file() -> None:
    made = [figures.confusion_matrix(np.eye(3, dtype=np.int64), ["a", "b", "c"]) for _ in range(2)]
    first, second = (figures.png_bytes(figure, dpi=50) for figure in made)
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert (image.format, image.width) == ("PNG", 400)


def test_risk_and_reliability_are_drawn_of_the_most_confident_first() -> None:
    confidence, right = np.array([0.5, 0.99, 0.97, 0.6]), np.array([False, True, True, True])
    [line] = figures.risk_coverage(confidence, right).axes[0].lines
    assert np.array_equal(line.get_xydata(), [(0.25, 0), (0.5, 0), (0.75, 0), (1, 0.25)])
    axes = figures.reliability(confidence, right, bins=10).axes[0]
    _, bins = axes.lines
    assert np.allclose(bins.get_xydata(), [(0.5, 0), (0.6, 1), (0.98, 1)])
    ends = axes.transAxes.inverted().transform(axes.transData.transform([(0, 0), (1, 1)]))
    assert ((ends > 0.01) & (ends < 0.99)).all(), "marks at the ends are whole"
