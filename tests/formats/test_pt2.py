"""torch alone runs the file, for every head, and it holds no pickle."""

import pickle
import zipfile
from pathlib import Path

import pytest

from tests.formats.conftest import same_as_the_network, trained
from tlexp.config.head import HeadKind
from tlexp.formats.pt2 import FORMAT


@pytest.mark.parametrize("kind", [HeadKind.attention, HeadKind.knn])
def test_a_program_gives_the_probabilities_of_the_run(
    kind: HeadKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained(kind)
    FORMAT.write(made, tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert not any(content[:2] in (b"\x80\x02", b"\x80\x04", b"PK") for content in held.values())
    monkeypatch.setattr(pickle, "load", lambda *words: pytest.fail("unpickled"))
    same_as_the_network(made, FORMAT.snippet(made.card), tmp_path)
