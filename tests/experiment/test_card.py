"""What a card tells people to type is what works."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Start
from tests.tracking.conftest import make_record
from tlexp.config import Preprocessing
from tlexp.experiment.card import _USE, _making
from tlexp.experiment.export import export
from tlexp.formats import ExportFormat
from tlexp.models import ModelCard
from tlexp.models.export import read_card
from tlexp.tracking import Record
from tlexp.tracking.blocks import TrainBlock

__all__ = ["make_record"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ExportFormat if kind is not ExportFormat.tlexp])
def test_the_snippet_of_a_card_names_the_class_of_a_photograph(
    kind: ExportFormat, start: Start, tmp_path: Path
) -> None:
    start("head=logreg", "labels=4")
    folder = tmp_path / "out"
    exported = export(tmp_path / "run", folder, kind=kind)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)).save(folder / "photo.jpg")
    snippet = re.findall(r"```python\n(.*?)```", exported.files[-1].read_text(), re.DOTALL)[-1]
    (tmp_path / "snippet.py").write_text(snippet)
    done = subprocess.run(
        [sys.executable, tmp_path / "snippet.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    rows = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [name for _, name in rows] == list(read_card(tmp_path / "run" / "model.json").card.classes)
    assert sum(float(probability) for probability, _ in rows) == pytest.approx(1, abs=0.01)


def test_the_python_of_a_card_turns_a_photograph_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save("photo.jpg", exif=exif)
    [code] = re.findall(r"```python\n(.*?)```", _USE.format(snippet="from PIL import Image"), re.DOTALL)
    seen: list[tuple[int, int]] = []

    def probabilities(images: list[Image.Image]) -> list[list[float]]:
        seen.extend(image.size for image in images)
        return [[1.0]]

    exec(code, {"classes": ["a"], "probabilities": probabilities})
    assert seen == [(40, 50)]


def test_what_a_record_does_not_say_is_unknown(make_record: Callable[..., Record]) -> None:
    expected = Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)
    card = ModelCard(backbone="resnet18", preprocessing=expected, classes=("a", "b"))
    facts = _making(dataclasses.replace(make_record(), data=None, train=TrainBlock()), card, ["labels=4"])
    assert (facts["images"], facts["steps"]) == ("unknown", "unknown")
