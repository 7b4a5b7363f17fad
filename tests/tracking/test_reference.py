"""A trained network is found by what people call it, and what is said of it stands beside its run."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tlexp
from tlexp.errors import TrackingError, WeightsError
from tlexp.models import Classifier, HeadOptions, ModelCard, build_backbone, find_units, preprocessing, save_classifier
from tlexp.tracking import Record, publish_record, replay
from tlexp.tracking.blocks import TrackingBlock
from tlexp.tracking.reference import Home, home_of, resolve_model

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
Make = Callable[..., Record]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network whose answers differ."""
    backbone = build_backbone("pixels", image_size=8)
    head = HeadOptions(init="normal").build(backbone, 2, seed=0)  # type: ignore[arg-type]
    card = ModelCard(backbone="pixels", preprocessing=preprocessing("pixels", image_size=8), classes=("cat", "dog"))
    folder = tmp_path_factory.mktemp("network")
    save_classifier(Classifier(backbone, head, find_units(backbone, image_size=8), 0), folder, description=card)
    return folder


@pytest.fixture
def run(network: Path, tmp_path: Path, make_record: Make) -> Path:
    """The folder of a finished run, as the store would have it."""
    folder = tmp_path / "run"
    shutil.copytree(network, folder)
    publish_record(folder, make_record())
    return folder


def test_a_tracked_run_and_a_registered_model_predict_as_the_folder_does(
    run: Path, store: str, make_record: Make
) -> None:
    from mlflow import MlflowClient

    from tlexp.tracking import read_record

    replay(read_record(run), run, uri=store, experiment="mine")
    client = MlflowClient(tracking_uri=store, registry_uri=store)
    [made] = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    client.create_registered_model("pets")
    client.create_model_version("pets", f"{made.info.artifact_uri}/model", run_id=made.info.run_id)
    expected = tlexp.load(run).probabilities(IMAGES)
    assert expected.std() > 0.001
    for text in (f"runs:/{made.info.run_id}", "models:/pets/1"):
        found = tlexp.load(text, tracking=store)
        assert np.array_equal(found.probabilities(IMAGES), expected)
        assert home_of(text, uri=store) == Home(uri=store, experiment="mine")
    for text in ("models:/pets/2", "models:/elks/1", "models:/m-0"):
        with pytest.raises(WeightsError, match=rf"{text}: tracking store .* does not give it \(.*not found"):
            tlexp.load(text, tracking=store)
    with pytest.raises(TrackingError, match=r"models:/pets/2: tracking store .* does not tell its run"):
        home_of("models:/pets/2", uri=store)


def test_a_registered_model_of_others_is_refused(store: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    (tmp_path / "mlruns" / "other").mkdir(parents=True)
    (tmp_path / "mlruns" / "other" / "MLmodel").touch()
    client = MlflowClient(tracking_uri=store, registry_uri=store)
    client.create_registered_model("other")
    client.create_model_version("other", (tmp_path / "mlruns" / "other").as_uri())
    with pytest.raises(WeightsError, match=r"other/1 holds no model\.json: it was not logged by a run of tlexp"):
        resolve_model("models:/other/1", uri=store)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("model.onnx", "it is a model in the format onnx, .* name the run that it was made from, or what tlexp export"),
        ("model.pt2", "it is a model in the format pt2"),
        ("config.json", "it is a model in the format timm"),
        ("MLmodel", "it is a model of MLflow's that no run of tlexp logged"),
        ("notes.txt", r"train\.save_weights=false or has not ended, or this is the folder of something else"),
    ],
)
def test_a_folder_without_a_network_of_ours_is_told_by_what_it_is(file: str, told: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    with pytest.raises(WeightsError, match=rf"holds no model\.json, so no trained network: .*{told}"):
        resolve_model(str(tmp_path), uri=None)


def test_a_model_of_mlflow_s_that_holds_ours_is_taken(network: Path, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").touch()
    shutil.copytree(network, tmp_path / "artifacts")
    assert resolve_model(str(tmp_path), uri=None) == tmp_path / "artifacts"


def test_what_is_said_of_a_run_stands_beside_it_and_a_record_names_no_store(
    tmp_path: Path, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.db").touch()
    plain = make_record()

    def home(name: str, named: str | None = None, **tracking: object) -> Home | None:
        config = plain.config | {"tracking": plain.config["tracking"] | tracking}
        block = TrackingBlock(uri=str(tracking["uri"]), run_id="1") if "uri" in tracking else None
        (tmp_path / name).mkdir()
        publish_record(tmp_path / name, dataclasses.replace(plain, config=config, tracking=block))
        return home_of(name, uri=named)

    assert home("usual", experiment="mine") == Home(uri=None, experiment="mine")
    assert home("off", enabled=False) is None
    assert home("told", "http://x", enabled=False) == Home(uri="http://x", experiment="tlexp")
    assert home("here", uri=f"sqlite:///{tmp_path}/mlflow.db") == Home(uri=None, experiment="tlexp")
    assert home("gone", uri="sqlite:////nowhere/mlflow.db") == Home(uri=None, experiment="tlexp"), "moved since"
    for name, uri in (("server", "http://me:pass@host:5000"), ("file", f"sqlite:///{tmp_path}/there.db")):
        with pytest.raises(
            TrackingError, match=rf"{name} stands in tracking store \S+(host:5000|there.db), .* --uri"
        ) as told:
            home(name, uri=uri)
        assert "pass" not in str(told.value)
        assert home_of(name, uri=uri) == Home(uri=uri, experiment="tlexp")
    (tmp_path / "export").mkdir()
    assert home_of("export", uri=None) == Home(uri=None, experiment="tlexp")
