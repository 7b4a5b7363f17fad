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
from tests.faults.pictures import photo
from tests.tracking.conftest import make_record
from tlexp.config import Preprocessing
from tlexp.config.data import Decoder
from tlexp.data.decode import Decoding, decode
from tlexp.experiment.card import _making, format_snippet
from tlexp.experiment.export import export
from tlexp.formats import ExportFormat, Format
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


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[ModelCard], Image.Image]:
    """Return what the Python of a card makes of photo.jpg, which lies in the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(card: ModelCard) -> Image.Image:
        made = Format(write=lambda trained, folder: None, snippet=lambda card: "from PIL import Image", about=str)
        [code] = re.findall(r"```python\n(.*?)```", format_snippet(made, card), re.DOTALL)
        seen: list[Image.Image] = []
        exec(code, {"classes": ["a"], "probabilities": lambda images: [seen.extend(images), [[1.0]]][1]})
        [image] = seen
        return image

    return run


EXPECTED = Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear", crop_pct=1.0)
CARD = ModelCard(backbone="resnet18", preprocessing=EXPECTED, classes=("a", "b"))


def test_the_python_of_a_card_turns_a_photograph_upright(shown: Callable[[ModelCard], Image.Image]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save("photo.jpg", exif=exif)
    assert shown(CARD).size == (40, 50)


def test_the_python_of_a_card_reads_grey_of_so_many_bits_as_the_run_did(
    shown: Callable[[ModelCard], Image.Image],
) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 12, (9, 9), dtype=np.uint16)
    Image.fromarray(values).save("photo.jpg", format="PNG")
    with Path("photo.jpg").open("rb") as file:
        expected = decode(file, Decoding(max_pixels=1 << 20, bits=12)).image
    assert np.array_equal(shown(dataclasses.replace(CARD, bits=12)), expected)
    Image.new("RGB", (9, 9), "red").save("photo.jpg", format="PNG")
    assert shown(dataclasses.replace(CARD, bits=12)).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("bits", [None, 12])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_python_of_a_card_decodes_in_part_as_the_run_did(
    form: str, bits: int | None, shown: Callable[[ModelCard], Image.Image]
) -> None:
    photo(0, (200, 150)).save("photo.jpg", form)
    asked = Decoding.of(Decoder.fast, EXPECTED, max_pixels=1 << 20, bits=bits)
    with Path("photo.jpg").open("rb") as file:
        expected = decode(file, asked).image
    assert expected.size == ((50, 38) if form == "JPEG" else (200, 150))
    assert np.array_equal(shown(dataclasses.replace(CARD, decoder=Decoder.fast, bits=bits)), expected)


def test_what_a_record_does_not_say_is_unknown(make_record: Callable[..., Record]) -> None:
    facts = _making(dataclasses.replace(make_record(), data=None, train=TrainBlock()), CARD, ["labels=4"])
    assert (facts["images"], facts["steps"]) == ("unknown", "unknown")
