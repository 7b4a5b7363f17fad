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
            "UnknownModelError: backbone.name=resnet5: timm has no model 'resnet5' (did you mean resnet",
        ),
        (
            "backbone=timm backbone.name=resnet50.a9",
            "ConfigError: backbone.name=resnet50.a9: resnet50 has no weights tag",
        ),
        (
            "backbone=resnet18 backbone.crop_pct=0.01",
            "ConfigError: backbone.crop_pct=0.01: images would be resized to 22,400 pixels before they are cropped to "
            "224, and 16,384 is the most: use 0.0137 or more, or null for the model's own",
        ),
        (
            "backbone=pixels backbone.crop_pct=0.1 backbone.image_size=2048",
            "ConfigError: backbone.crop_pct=0.1: images would be resized to 20,480 pixels",
        ),
    ],
)
def test_what_could_not_begin_is_refused(words: str, text: str, photos: Photos) -> None:
    photos(cat=10, dog=20)
    photos("others", all=3)
    assert text in refused("labels=2", *words.split())


def test_what_more_images_are_is_said_of_photographs_and_of_rendered_ones(photos: Photos) -> None:
    photos(cat=10, dog=20)
    read, rendered = (
        "files that cannot be read, and copies, will not count",
        "data.per_class=9 says how many are rendered",
    )
    told = refused(*FOLDER, "labels=100")
    assert told.endswith(f" or more images; {read}")
    assert rendered.partition("=")[0] not in told
    told = refused("labels=10", "data.per_class=9")
    assert told.endswith(f" or more images; {rendered}")
    assert read not in told


def test_a_study_skips_budgets_that_the_images_do_not_allow(photos: Photos) -> None:
    photos(cat=5, dog=5)
    assert refused(*FOLDER, "study=quick", "study.labels=[2,500]", "labels=300") == ""
    assert "does not exist" in refused("study=quick", "data=folder", "data.root=wrong")


def test_weights_of_other_kinds_are_left_to_the_run(photos: Photos) -> None:
    root = photos("weights", any=1)
    for words in ([f"backbone.weights={root}"], [f"backbone.weights='runs:/{'0' * 32}'"], ["backbone=pixels"]):
        assert refused(*words) == ""
    assert refused("backbone.pretrained=false", "backbone.weights='tlexp:tiny'") == ""


def test_the_smallest_crop_that_a_network_takes_passes() -> None:
    assert refused("backbone=resnet18", "backbone.crop_pct=0.0137") == ""


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


def test_groups_are_looked_at_before_anything_is_opened(photos: Photos, tmp_path: Path) -> None:
    root = photos(cat=10, dog=10)
    rows = [f"{path.relative_to(root)},{int(path.stem) // 2}" for path in sorted(root.glob("*/*.jpg"))]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(["path,group", *rows]))
    assert refused(*FOLDER, "data.group=groups.csv") == ""
    assert refused(*FOLDER, "labels=100", "data.group=groups.csv") == ""  # how many are left is seen in the run
    for words, told in (
        ("data.group=none.csv", "DataError: data.group=none.csv cannot be read: No such file or directory"),
        ("data.group=folder:1", "DataError: one group holds all images of class cat (10 images), dog (10 images), and"),
        ("data.group=folder:3", "DataError: data.group=folder:3 gives no group to 20 of the 20 images of data.root="),
        ("data.group='pattern:^x'", "DataError: data.group=pattern:^x gives no group to 20 of the 20 images"),
    ):
        assert refused(*FOLDER, words).startswith(told)
    table.write_text("\n".join(["path,group", *rows[1:], "cat/77.jpg,1"]))
    assert "misses 1 of the 20 images" in refused(*FOLDER, "data.group=groups.csv")
    table.write_text("\n".join(["path,group", *rows, "cat/77.jpg,1"]))
    assert "names 1 images that data.root=" in refused(*FOLDER, "data.group=groups.csv")


def test_a_column_of_groups_is_looked_for_at_once(photos: Photos) -> None:
    root = photos(cat=4, dog=4)
    rows = [f"{path.relative_to(root)},{path.parent.name},{path.stem}" for path in root.glob("*/*.jpg")]
    (root / "labels.csv").write_text("\n".join(["path,label,patient", *rows]))
    words = ["data=csv", "data.root=photos/labels.csv", "labels=2"]
    assert refused(*words, "data.group=column:patient") == ""
    assert "has no column patents (did you mean patient" in refused(*words, "data.group=column:patents")


def test_groups_of_other_folders_are_looked_at_too(photos: Photos, tmp_path: Path) -> None:
    root = photos(cat=4, dog=4)
    photos("others", sea=3)
    photos("drawn", cat=2, dog=2, neither=2)
    rows = [f"{path.relative_to(root)},{path.stem}" for path in root.glob("*/*.jpg")]
    words = [*FOLDER, "data.group=groups.csv", "data.neither=others", "data.shifted=drawn"]
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(["path,group", *rows]))
    assert "misses 3 of the 3 images of data.neither=others: neither:sea/0.jpg" in refused(*words)
    rows += [f"neither:sea/{number}.jpg,{number}" for number in range(3)]
    table.write_text("\n".join(["path,group", *rows]))
    assert "misses 6 of the 6 images of data.shifted=drawn: shifted:cat/0.jpg" in refused(*words)
