from collections.abc import Callable
from pathlib import Path

import pytest

from tests.composed import composed
from tlexp.compose import preflight
from tlexp.compose.preflight import Preflight
from tlexp.errors import DataError, TlexpError

Photos = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Photos:
    """Make a folder for each class with so many empty files: nobody opens them."""
    monkeypatch.chdir(tmp_path)

    def made(name: str = "photos", **classes: int) -> Path:
        for kind, count in classes.items():
            (tmp_path / name / kind).mkdir(parents=True)
            for number in range(count):
                (tmp_path / name / kind / f"{number}.jpg").touch()
        return tmp_path / name

    return made


def refused(*words: str) -> str:
    """Return what is said of the words, with the kind of error; "" where they pass."""
    try:
        Preflight().check(composed(*words).config)
    except TlexpError as error:
        return f"{type(error).__name__}: {error}"
    return ""


FOLDER = ("data=folder", "data.root=photos", "labels=2")


def test_usable_images_pass(photos: Photos) -> None:
    photos(cat=5, dog=5)
    assert refused(*FOLDER) == ""
    assert refused(*FOLDER, "labels=all") == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("data=folder data.root=wrong", "DataError: data.root=wrong does not exist; data.root needs one folder per"),
        ("data=csv data.root=wrong.csv", "DataError: data.root=wrong.csv cannot be read: No such file"),
        (
            "data=folder data.root=photos labels=100",
            "DataError: labels=100: cat has 10 images, of which a fifth is held out for testing: 8 are left, but each "
            "class needs 100 images in the training pool; so it is with dog (16); use labels=8 or less",
        ),
        ("data=folder data.root=photos data.classes=[cat,dgo]", "DataError: data.classes: dgo (did you mean dog?) not"),
        ("data=folder data.root=photos data.neither=none", "DataError: data.neither=none does not exist; it needs a"),
        ("data=folder data.root=photos data.shifted=none", "DataError: data.shifted=none does not exist"),
        (
            "data=folder data.root=photos data.shifted=others",
            " has other classes than the run: missing cat, dog; extra all; it needs one folder",
        ),
        ("data=timm data.root=photos data.neither=none", "DataError: data.neither=none does not exist"),
        ("labels=300", "DataError: labels=300: each class needs 300 images in the training pool, but these have fewer"),
        ("backbone.weights=mine.pth", "WeightsError: backbone.weights=mine.pth: there is no such file; name a"),
        (
            "backbone=timm backbone.name=resnet5",
            "ConfigError: backbone.name=resnet5: timm has no model 'resnet5'; near",
        ),
        (
            "backbone=timm backbone.name=resnet50.a9",
            "ConfigError: backbone.name=resnet50.a9: resnet50 has no weights tag",
        ),
    ],
)
def test_what_could_not_begin_is_refused(words: str, text: str, photos: Photos) -> None:
    photos(cat=10, dog=20)
    photos("others", all=3)
    assert text in refused("labels=2", *words.split())


def test_a_study_skips_budgets_that_the_images_do_not_allow(photos: Photos) -> None:
    photos(cat=5, dog=5)
    assert refused(*FOLDER, "study=quick", "study.labels=[2,500]", "labels=300") == ""
    assert "does not exist" in refused("study=quick", "data=folder", "data.root=wrong")


def test_weights_of_other_kinds_are_left_to_the_run(photos: Photos) -> None:
    root = photos("weights", any=1)
    for words in ([f"backbone.weights={root}"], [f"backbone.weights='runs:/{'0' * 32}'"], ["backbone=pixels"]):
        assert refused(*words) == ""
    assert refused("backbone.pretrained=false", "backbone.weights='tlexp:tiny'") == ""


def test_a_name_that_the_table_lacks_may_be_one_of_a_newer_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "is_known", lambda name: False)
    assert refused() == ""


def test_the_images_of_many_configurations_are_listed_once(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(cat=5, dog=5)
    looks: list[str] = []
    count = preflight.count_images
    monkeypatch.setattr(preflight, "count_images", lambda data: looks.append(data.root or "") or count(data))
    several = Preflight()
    for words in ("seed=0", "data.seed=1", "data.source_seed=1", "freeze=none", "labels=4"):
        several.check(composed(*FOLDER, words).config)
    with pytest.raises(DataError):
        several.check(composed(*FOLDER, "labels=5").config)
    assert looks == ["photos"]


def test_a_share_that_copies_would_change_is_not_judged(photos: Photos) -> None:
    photos("photos/train", cat=20, dog=20)
    photos("photos/test", cat=20, dog=20)  # empty files, so all but one of each may be copies
    photos("others", all=28)
    assert refused("data=folder", "data.root=photos", "data.neither=others", "labels=20") == ""


def test_shares_of_classes_that_are_not_there_are_refused_at_once(photos: Photos) -> None:
    photos(cat=9, dog=9)
    assert refused(*FOLDER, "data.prior={cat:0.5,dog:0.5}") == ""
    assert "did you mean dog?" in refused(*FOLDER, "data.prior={cat:0.5,dogg:0.5}")
