"""What a clean process answers, and when that is the same network."""

from pathlib import Path

import numpy as np
import pytest

from tlexp.errors import WeightsError
from tlexp.formats import Likeness, Reference, compare

IMAGES = [np.full((2, 3, 3), value, np.uint8) for value in range(40)]
OURS = np.array([[value / 100, 1 - value / 100] for value in range(40)])
REFERENCE = Reference(images=IMAGES, probabilities=OURS, told="forty images")
SNIPPET = """\
from pathlib import Path
from PIL import Image


def probabilities(images):
    share = float(Path("share").read_text())
    levels = np.array([image.getpixel((0, 0))[0] for image in images]) * share
    return np.stack([levels, 1 - levels], 1)
"""


def test_a_process_of_its_own_runs_the_snippet_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "share").write_text("0.01")
    likeness = compare(tmp_path, SNIPPET, REFERENCE)
    assert likeness.enough
    assert likeness.difference < 1e-9
    assert likeness.agreement == 1
    assert [path.name for path in tmp_path.iterdir()] == ["share"]
    (tmp_path / "share").unlink()
    with pytest.raises(
        WeightsError, match=r"does not load in a process of its own \(FileNotFoundError: .*not published"
    ):
        compare(tmp_path, SNIPPET, REFERENCE)


def test_a_small_difference_or_one_other_class_is_another_network() -> None:
    assert Likeness.of(OURS, OURS + 0.9e-3).enough
    assert not Likeness.of(OURS, OURS + 1.1e-3).enough
    swapped = np.array([[0.5 + 1e-5, 0.5 - 1e-5]] * 500)
    other = swapped.copy()
    other[0] = other[0, ::-1]
    assert not Likeness.of(swapped, other).enough
    assert not Likeness.of(OURS, np.full_like(OURS, np.nan)).enough
