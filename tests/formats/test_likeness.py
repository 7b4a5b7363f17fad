"""What a clean process answers, and when that is the same network."""

import os
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
from shared import FILE


def probabilities(images):
    share = float(Path(FILE).read_text())
    levels = np.array([image.getpixel((0, 0))[0] for image in images]) * share
    return np.stack([levels, 1 - levels], 1)
"""


def test_a_process_of_its_own_runs_the_snippet_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports what this process could, and nothing of the folder."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "shared.py").write_text("FILE = 'share'")
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}.")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "share").write_text("0.01")
    (folder / "numpy.py").write_text("raise SystemExit('a module of the folder')")
    likeness = compare(folder, SNIPPET, REFERENCE)
    assert likeness.enough
    assert likeness.difference < 1e-9
    assert likeness.agreement == 1
    assert sorted(path.name for path in folder.iterdir()) == ["numpy.py", "share"]
    (folder / "share").unlink()
    with pytest.raises(
        WeightsError, match=r"does not load in a process of its own \(FileNotFoundError: .*not published"
    ):
        compare(folder, SNIPPET, REFERENCE)


def test_a_small_difference_or_one_other_class_is_another_network() -> None:
    assert Likeness.of(OURS, OURS + 0.9e-3).enough
    assert not Likeness.of(OURS, OURS + 1.1e-3).enough
    swapped = np.array([[0.5 + 1e-5, 0.5 - 1e-5]] * 500)
    other = swapped.copy()
    other[0] = other[0, ::-1]
    assert not Likeness.of(swapped, other).enough
    assert not Likeness.of(OURS, np.full_like(OURS, np.nan)).enough
