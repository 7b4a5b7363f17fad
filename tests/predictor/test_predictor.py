"""The object that applies a trained network: it says what the run said, of whatever it is given."""

import base64
import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photographs import CLASSES, draw_photos, trained
from tlexp.data.decode import Decoding, decode
from tlexp.data.payload import payload_images
from tlexp.errors import BadImagesError, ConfigError, DataError, WeightsError
from tlexp.models.abstention import Abstention
from tlexp.models.export import save_classifier
from tlexp.predictor import Predictor


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(photos, tmp_path_factory.mktemp("run"), "freeze=none", "data.bits=12", "data.max_pixels=300000")


@pytest.fixture(scope="module")
def predictor(run_folder: Path) -> Predictor:
    return Predictor.load(run_folder)


@pytest.mark.parametrize(
    "words",
    [
        ["freeze=none"],
        ["head=mlp"],
        ["head=logreg", "data.prior={cat: 0.9, dog: 0.1}"],
        ["head=knn"],
        ["head=attention"],
        ["head=cosine", "freeze=last"],
    ],
    ids=lambda words: " ".join(words),
)
def test_it_says_of_the_test_images_what_the_run_said_to_the_bit(
    words: list[str], photos: Path, tmp_path: Path
) -> None:
    from tlexp.experiment.export import export

    run = trained(photos, tmp_path / "run", *words)
    export(run, tmp_path / "export", half=False)
    with np.load(run / "predictions.npz") as file:
        expected, typical = file["probability"], file["typicality"]
    assert expected.std() > 0.001
    assert len(np.unique(typical)) > 1
    for place in (run, tmp_path / "export"):
        found = Predictor.load(place)
        scores = found.score(photos / "test")
        assert scores.names == tuple(str(path) for path in sorted(photos.glob("test/*/*")))
        assert np.array_equal(scores.probabilities.astype(np.float32), expected)
        assert np.array_equal(scores.typicalities, typical)
        alone = [found.score(name) for name in scores.names[:2]]
        assert np.array_equal([one.probabilities[0] for one in alone], scores.probabilities[:2]), "beside no other"
        assert np.array_equal([one.typicalities for one in alone], typical[:2, None])


def test_paths_images_and_arrays_are_taken_alike(predictor: Predictor, photos: Path) -> None:
    path = photos / "test" / "cat" / "3.png"
    turned = photos / "test" / "dog" / "2.jpg"
    expected = predictor.probabilities([path, turned])
    with Image.open(path) as image, Image.open(turned) as other:
        assert np.array_equal(predictor.probabilities([image, other]), expected)
    values = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    [one] = predictor.probabilities(values)
    assert np.array_equal(predictor.probabilities(np.stack([values, values])), [one, one])
    grey = values[..., 0]
    assert np.array_equal(
        predictor.probabilities([grey]), predictor.probabilities(np.repeat(grey[..., None], 3, axis=2))
    )
    assert predictor.probabilities([]).shape == (0, 2)
    assert predictor.probabilities(np.zeros((1, 1, 3), np.uint8)).shape == (1, 2)


def test_a_table_names_the_first_three_classes(predictor: Predictor, photos: Path) -> None:
    table = predictor.predict([photos / "test" / "cat" / "3.png", np.zeros((8, 8), np.uint8)])
    columns = ["path", "class", "confidence", "second", "second_confidence", "third", "third_confidence"]
    assert list(table.columns) == [*columns, "typicality"]
    assert list(table["path"]) == [str(photos / "test" / "cat" / "3.png"), "image 1"]
    assert {*table["class"], *table["second"]} == {*CLASSES}
    assert np.allclose(table["confidence"] + table["second_confidence"], 1)
    assert table["third"].isna().all()


def test_what_cannot_be_read_is_named_and_refused_or_left_out(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    good = tmp_path / "in" / "good.png"
    Image.new("RGB", (9, 9)).save(good)
    (tmp_path / "in" / "note.jpg").write_text("a text")
    (tmp_path / "in" / "out.jpg").symlink_to(photos / "test" / "cat" / "1.jpg")
    (tmp_path / "broken.jpg").touch()
    given = [tmp_path / "in", tmp_path / "broken.jpg", np.zeros((4, 4), np.float32)]
    with pytest.raises(BadImagesError) as refused:
        predictor.predict(given)
    assert refused.value.problem == "4 of 5 images cannot be used:"
    assert refused.value.lines == (
        f"{tmp_path}/in/note.jpg: not an image of a supported format",
        f"{tmp_path}/in/out.jpg: a link out of the folder, which --follow-links follows",
        f"{tmp_path}/broken.jpg: the file is empty",
        "image 4: an array (4, 4) of float32: give (H, W, 3) or (H, W) of uint8",
    )
    with pytest.warns(UserWarning, match="left out") as named:
        assert list(predictor.predict(given, on_bad="skip")["path"]) == [str(good)]
    assert [str(each.message) for each in named] == [f"left out: {line}" for line in refused.value.lines]
    with pytest.raises(DataError, match="no image can be read"):
        predictor.predict(tmp_path / "missing.jpg", on_bad="skip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image lies in this folder"):
        predictor.predict(tmp_path / "empty")


def test_an_image_of_more_pixels_than_are_decoded_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    array = np.broadcast_to(np.uint8(0), (20_000, 20_000, 3))  # which takes no memory, unless somebody copies it
    for large in (tmp_path / "large.png", array):
        with pytest.raises(BadImagesError, match=r"20000 x 20000 pixels exceed data\.max_pixels=300000"):
            predictor.predict(large)


def test_images_are_read_as_the_run_read_them(predictor: Predictor, tmp_path: Path) -> None:
    """Of 16-bit grey, the run was told that 12 bits are used."""
    assert predictor.decoding == Decoding(max_pixels=300_000, bits=12)
    values = np.random.default_rng(3).integers(0, 4096, (40, 40), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    with (tmp_path / "grey.png").open("rb") as file:
        expected = np.asarray(decode(file, predictor.decoding).image)
    assert expected.max() > 200, "brighter than with 16 bits"
    assert np.array_equal(predictor.probabilities(tmp_path / "grey.png"), predictor.probabilities(expected))


def test_a_network_that_learned_from_jpegs_in_part_is_asked_of_them_so(photos: Path, tmp_path: Path) -> None:
    large = shutil.copytree(photos, tmp_path / "large")
    for path in large.rglob("*.jpg"):
        with Image.open(path) as image:
            image.resize((image.width * 4, image.height * 4)).save(path, exif=image.getexif())
    run = trained(large, tmp_path / "run", "freeze=none", "data.decoder=fast")
    with np.load(run / "predictions.npz") as file:
        expected = file["probability"]
    found = Predictor.load(run)
    assert np.array_equal(found.probabilities(large / "test").astype(np.float32), expected)
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in sorted(large.glob("test/*/*"))]
    assert np.array_equal(found.probabilities(payload_images(encoded, found.decoding)).astype(np.float32), expected)
    found.decoding = dataclasses.replace(found.decoding, least_side=None)
    assert not np.array_equal(found.probabilities(large / "test").astype(np.float32), expected)


def test_a_card_of_the_exact_decoder_is_read_by_earlier_versions_too(run_folder: Path) -> None:
    assert "decoder" not in json.loads((run_folder / "model.json").read_text())["card"]


def test_a_path_that_leads_nowhere_is_named_as_such(predictor: Predictor, photos: Path) -> None:
    given = [photos / "test", photos / "tset", "no.jpg"]
    with pytest.raises(BadImagesError) as refused:
        predictor.predict(given)
    assert refused.value.problem == "2 of 3 paths lead nowhere:"
    assert refused.value.lines == (f"{photos}/tset: no such file or folder", "no.jpg: no such file or folder")
    assert "--on-bad" not in str(refused.value)
    with pytest.warns(UserWarning, match=r"left out: .*(tset|no\.jpg): "):
        assert len(predictor.predict(given, on_bad="skip")) == 10


@pytest.mark.parametrize("given", [None, 3, b"a.jpg", [None]])
def test_what_is_no_image_is_refused_in_a_sentence(predictor: Predictor, given: object) -> None:
    with pytest.raises(DataError, match=r"image 0 is of type \w+: give paths, images of Pillow's, or arrays"):
        predictor.predict(given)


@pytest.mark.parametrize("device", ["foo", "cuda:x", None, "cuda:99"])
def test_a_device_that_is_none_is_refused(device: str, run_folder: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^device={device}(: must be auto, cpu, mps|.* use device=auto)"):
        Predictor.load(run_folder, device=device)


def test_a_folder_without_a_trained_network_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        Predictor.load(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match=r"holds no model\.json"):
        Predictor.load(tmp_path)
    (tmp_path / "model.json").write_bytes((run_folder / "model.json").read_bytes())
    with pytest.raises(WeightsError, match="is missing or is not the file"):
        Predictor.load(tmp_path)
    with pytest.raises(WeightsError, match="must be runs:/"):
        Predictor.load("runs:/1")


def test_answers_are_left_out_below_the_confidence_that_a_promise_takes(
    predictor: Predictor, run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    known = predictor.card.abstention
    assert known is not None, "the run had out-of-fold predictions"
    assert known.answered[-1] == 4, "its validation images"
    evaluation = json.loads((run_folder / "evaluation.json").read_text())
    assert [(each["promised"], each["threshold"]) for each in evaluation["answering"]][2] == (0.95, None)
    with pytest.raises(ConfigError, match=r"abstain=0.95: the run's 4 out-of-fold .* which takes 59 sure ones"):
        predictor.predict([], abstain=0.95)
    sure = Abstention(thresholds=(0.9, 0.8, 0.5), answered=(20, 40, 90), right=(20, 40, 80))
    unsure = Abstention(thresholds=(0.5,), answered=(4,), right=(0,))
    for name, found, told in (
        ("most", sure, "0.92 is the most that they allow"),
        ("no", unsure, "they allow no promise"),
    ):
        with pytest.raises(
            ConfigError, match=rf"abstain=0.95: .* without a mistake: {told}; a run that learns from more labelled"
        ):
            with_card(predictor, tmp_path / name, found).threshold(0.95)
    for accuracy in (95, float("nan"), "0.95"):
        with pytest.raises(ConfigError, match=f"abstain={accuracy}: must be an accuracy between 0 and 1"):
            predictor.predict([], abstain=accuracy)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kept no out-of-fold predictions"):
        with_card(predictor, tmp_path / "without", None).threshold(0.9)
    confidences = predictor.probabilities(photos / "test").max(axis=1)
    least = float(np.sort(confidences)[5])
    sure = Abstention(thresholds=(least,), answered=(100,), right=(100,))
    table = with_card(predictor, tmp_path / "sure", sure).predict(photos / "test", abstain=np.float32(0.95))  # type: ignore[arg-type]
    assert (table["class"].isna() == (confidences < least)).all()
    assert table["class"].isna().sum() == 5
    asked = predictor.predict(photos / "test")
    assert (table["likeliest"] == asked["class"]).all(), "what it would have been"
    assert "likeliest" not in asked, "where it answers always, that is the class"


def with_card(predictor: Predictor, folder: Path, abstention: Abstention | None) -> Predictor:
    """Return the network with other thresholds, written and read again."""
    card = dataclasses.replace(predictor.card, abstention=abstention)
    save_classifier(predictor._classifier, folder, description=card)
    assert ("abstention" in (folder / "model.json").read_text()) == (abstention is not None)
    return Predictor.load(folder)


def test_images_that_are_typical_of_none_of_the_classes_are_marked(
    predictor: Predictor, run_folder: Path, photos: Path
) -> None:
    """Of 4 validation images, at most 1 in 5 is as far away as none."""
    strange = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    table = predictor.predict([photos / "train" / "cat" / "0.png", strange], outliers=0.2)
    assert list(table["outlier"]) == list(table["typicality"] <= 0.2)
    with pytest.raises(ConfigError, match=r"outliers=0.05: no image can be .* 4 held-out images: ask for 0.2 or more"):
        predictor.predict([], outliers=0.05)
    for level in (5, float("nan"), "0.05", None):
        with pytest.raises(ConfigError, match=f"outliers={level}: must be a share of false alarms between 0 and 1"):
            predictor.require_outliers(level)  # type: ignore[arg-type]
    predictor.require_outliers(np.float32(0.25))  # type: ignore[arg-type]
    alarms = json.loads((run_folder / "evaluation.json").read_text())["false_alarms"]
    with np.load(run_folder / "predictions.npz") as file:
        assert [each["rate"] for each in alarms] == [np.mean(file["typicality"] <= each["level"]) for each in alarms]
    assert not any(each["possible"] for each in alarms)


def test_a_network_that_knows_nothing_typical_says_so(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    """As of a run without folds, or of an earlier version."""
    classifier = copy.copy(predictor._classifier)
    classifier.typicality = None
    save_classifier(classifier, tmp_path, description=predictor.card)
    without = Predictor.load(tmp_path)
    assert without.predict(photos / "test")["typicality"].isna().all()
    with pytest.raises(ConfigError, match=r"outliers=0\.1: the run kept no held-out images that tell what"):
        without.predict(photos / "test", outliers=0.1)


def test_an_unknown_way_with_what_cannot_be_read_is_refused(predictor: Predictor, photos: Path) -> None:
    with pytest.raises(ConfigError, match=r"on_bad=Skip: must be refuse or skip"):
        predictor.predict(photos / "test", on_bad="Skip")  # type: ignore[arg-type]
