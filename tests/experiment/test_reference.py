"""What an export is compared with: the run's own test images, else others, which is said."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Start
from tlexp.data import index
from tlexp.experiment.reference import reference
from tlexp.formats import Trained
from tlexp.models import load_classifier
from tlexp.train import Listener


def test_a_network_answers_for_the_runs_test_images_as_the_run_did(start: Start, tmp_path: Path) -> None:
    record = start("head=logreg", "labels=4").record
    classifier, described = load_classifier(tmp_path / "run")
    trained = Trained(classifier=classifier, card=described.card, folder=tmp_path / "run")
    said = reference(record, trained, Listener())
    assert said.told == "24 test images of the run, by the predictions that it wrote"
    with np.load(tmp_path / "run" / "predictions.npz") as predictions:
        assert np.array_equal(said.probabilities, predictions["probability"])
    elsewhere = dataclasses.replace(record, environment=dataclasses.replace(record.environment, device="cuda (A)"))
    other = dataclasses.replace(record, data=dataclasses.replace(record.data, digest="0" * 64))
    changed = dataclasses.replace(trained, folder=shutil.copytree(tmp_path / "run", tmp_path / "changed"))
    (changed.folder / "predictions.npz").write_bytes(b"")
    for told, made in ((elsewhere, trained), (other, trained), (record, changed)):
        again = reference(told, made, Listener())
        assert again.told == "24 test images of the run, asked again"
        np.testing.assert_allclose(again.probabilities, said.probabilities, atol=1e-6)


def test_images_that_are_gone_are_replaced_by_random_ones_and_it_is_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    for place in range(20):
        path = tmp_path / "photos" / "ab"[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), place * 9, np.uint8)).save(path)
    record = start("data=folder", f"data.root={tmp_path / 'photos'}", "labels=all", "cache=off").record
    moved = record.config | {"data": record.config["data"] | {"root": "${oc.env:PHOTOS}"}}
    record = dataclasses.replace(record, config=moved)
    classifier, described = load_classifier(tmp_path / "run")
    trained = Trained(classifier=classifier, card=described.card, folder=tmp_path / "run")
    monkeypatch.setenv("PHOTOS", str(tmp_path / "photos"))
    monkeypatch.setattr(index, "RACY", 0)  # what was just written would be kept nowhere
    assert reference(record, trained, Listener()).told == "4 test images of the run, by the predictions that it wrote"
    assert not cache.exists(), "the run was to leave nothing there, and so is what reads its images again"
    shutil.rmtree(tmp_path / "photos")
    said = reference(record, trained, Listener())
    assert said.told == "64 random images, as the run's test images cannot be read again"
    assert said.probabilities.shape == (64, 2)
