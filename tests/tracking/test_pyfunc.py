import dataclasses
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tlexp.data.transforms import fit_image, normalise
from tlexp.models.backbone import build_backbone, feature_width, preprocessing
from tlexp.models.classifier import Classifier
from tlexp.models.export import HeadOptions, ModelCard, save_classifier
from tlexp.models.head import build_head
from tlexp.models.prior import PriorShift
from tlexp.models.units import find_units
from tlexp.tracking import DatasetInfo, PyfuncModel, RunStatus, Tracker
from tlexp.tracking.library import load_mlflow

CLASSES = ("circle", "star", "a$b c")
NAME = "test_resnet"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, ModelCard, Path]:
    folder = tmp_path_factory.mktemp("exported")
    expected = preprocessing(NAME, image_size=64)
    backbone = build_backbone(NAME, image_size=64)
    options = HeadOptions()
    shape = vars(options) | {"in_features": feature_width(backbone), "num_classes": len(CLASSES), "seed": 0}
    classifier = Classifier(backbone, build_head(**shape), find_units(backbone, image_size=64), 0).eval()
    with torch.no_grad():
        for weight in classifier.head.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(0))
    card = ModelCard(backbone=NAME, preprocessing=expected, classes=CLASSES, head=options)
    save_classifier(classifier, folder, description=card)
    return classifier, card, folder


@pytest.fixture(scope="module")
def logged(
    ready_store: Path, exported: tuple[Classifier, ModelCard, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any]:
    """The store and the model that a run logged."""
    store = f"sqlite:///{shutil.copy(ready_store, tmp_path_factory.mktemp('store') / 'mlflow.db')}"
    tracker = Tracker(store, experiment="tlexp", warn=pytest.fail)
    load_mlflow(models=True)
    tracker.start(run_name="r", params={}, tags={}, dataset=DatasetInfo(name="n", digest="d", source="s"))
    model = PyfuncModel(folder=exported[2], classes=CLASSES)
    done = tracker.finish(status=RunStatus.finished, metrics={}, files=[], model=model)
    assert done is not None
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    outputs = client.get_run(done.run_id).outputs.model_outputs
    assert len(outputs) == 1
    return store, client.get_logged_model(outputs[0].model_id)


def test_the_logged_model_is_ready_and_holds_no_pickle(logged: tuple[str, Any]) -> None:
    model = logged[1]
    assert str(model.status) == "READY"
    folder = Path(model.artifact_location.removeprefix("file://"))  # as it was logged: tests below load it from here
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds <= {"", ".py", ".json", ".safetensors", ".yaml", ".yml", ".txt", ".toml", ".j2", ".csv"}
    assert "torch==" in (folder / "requirements.txt").read_text()
    assert (folder / "code" / "tlexp" / "__init__.py").is_file()


def test_the_logged_model_predicts_raw_images_without_pickle(
    logged: tuple[str, Any], exported: tuple[Classifier, ModelCard, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setattr(pickle, "load", lambda *words: pytest.fail("unpickled"))
    classifier, card, _ = exported
    images = np.random.default_rng(0).integers(0, 256, (33, 80, 70, 3), dtype=np.uint8)
    table = mlflow.pyfunc.load_model(logged[1].artifact_location).predict(images)
    assert list(table.columns) == list(CLASSES)
    assert np.allclose(table.sum(axis=1), 1)
    fitted = np.stack([fit_image(Image.fromarray(image), card.preprocessing) for image in images])
    batch = normalise(torch.from_numpy(fitted).permute(0, 3, 1, 2), card.preprocessing.mean, card.preprocessing.std)
    with torch.no_grad():
        expected = classifier(batch).softmax(dim=1).numpy()
    assert np.allclose(table.to_numpy(), expected, atol=1e-5)
    assert table.to_numpy().std() > 0.01


def test_what_is_not_an_image_batch_is_refused(logged: tuple[str, Any]) -> None:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    model = mlflow.pyfunc.load_model(logged[1].artifact_location)
    with pytest.raises(MlflowException):
        model.predict(np.zeros((2, 64, 64), dtype=np.uint8))
    with pytest.raises(MlflowException):
        model.predict(np.zeros((2, 64, 64, 3), dtype=np.float32))


def test_a_served_model_predicts_for_the_frequencies_where_it_is_used(
    exported: tuple[Classifier, ModelCard, Path], tmp_path: Path
) -> None:
    load_mlflow(models=True)
    from tlexp.predictor.served import ServedClassifier

    classifier, card, folder = exported
    shift = PriorShift(wanted=(0.7, 0.2, 0.1), trained=(0.2, 0.2, 0.6))
    save_classifier(classifier, tmp_path, description=dataclasses.replace(card, prior=shift))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    found = []
    for place in (folder, tmp_path):
        served = ServedClassifier()
        served.load_context(SimpleNamespace(artifacts={"model.json": str(place / "model.json")}))
        found.append(served.predict(None, images).to_numpy())
    wanted = found[0] * np.array(shift.wanted) / np.array(shift.trained)
    assert np.allclose(found[1], wanted / wanted.sum(axis=1, keepdims=True))


def test_a_served_model_divides_its_logits_by_the_temperature_before_it_corrects_them(
    exported: tuple[Classifier, ModelCard, Path], tmp_path: Path
) -> None:
    load_mlflow(models=True)
    from tlexp.predictor.served import ServedClassifier

    classifier, card, _ = exported
    shift = PriorShift(wanted=(0.7, 0.2, 0.1), trained=(0.2, 0.2, 0.6))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    found = []
    for name, prior, temperature in (("plain", None, 1.0), ("cooled", None, 0.5), ("both", shift, 0.5)):
        described = dataclasses.replace(card, prior=prior, temperature=temperature)
        save_classifier(classifier, tmp_path / name, description=described)
        served = ServedClassifier()
        served.load_context(SimpleNamespace(artifacts={"model.json": str(tmp_path / name / "model.json")}))
        found.append(served.predict(None, images).to_numpy())
    cooled = found[0] ** 2  # 1 / 0.5
    assert np.allclose(found[1], cooled / cooled.sum(axis=1, keepdims=True))
    both = cooled * np.array(shift.wanted) / np.array(shift.trained)
    assert np.allclose(found[2], both / both.sum(axis=1, keepdims=True))
