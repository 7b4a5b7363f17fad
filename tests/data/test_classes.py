import re

import pytest

from tlexp.config import Config, config_key
from tlexp.config.data import DataSource
from tlexp.data.classes import choose_classes, with_nearest
from tlexp.data.decode import printable
from tlexp.errors import DataError

FOUND = ("cat", "cow", "dog")


def test_a_name_with_a_comma_is_told_from_two_names() -> None:
    message = 'data.classes: x, "y, z" not in here, which has 3 classes: "a, b", c, d,e'
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        choose_classes(["a, b", "c", "d,e"], ["x", "y, z", "c"], where="here")


@pytest.mark.parametrize(
    ("wanted", "chosen"), [(None, FOUND), (["dog", "cat"], ("cat", "dog")), (["cat", "dog"], ("cat", "dog"))]
)
def test_chosen_classes_keep_the_order_of_the_source(wanted: list[str] | None, chosen: tuple[str, ...]) -> None:
    assert choose_classes(FOUND, wanted, where="here") == chosen


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (["-cow"], None),
        (["-dgo"], "data.classes: dgo (did you mean dog?) not in here, which has 3 classes: cat, cow, dog"),
        (["-cow", "rat"], "data.classes: rat (did you mean cat?) not in here, which has 3 classes: cat, cow, dog"),
        (
            ["cat", "-cow"],
            "data.classes takes cat and leaves out cow: name those to take, or those to leave out, each after a minus",
        ),
        (["-cow", "-cat"], "data.classes leaves dog of here, and 2 are needed: it has cat, cow, dog"),
        (["-cow", "-cat", "-dog"], "data.classes leaves no class of here, and 2 are needed: it has cat, cow, dog"),
    ],
)
def test_classes_are_left_out_after_a_minus(wanted: list[str], problem: str | None) -> None:
    if problem is None:
        assert choose_classes(FOUND, wanted, where="here") == ("cat", "dog")
        return
    with pytest.raises(DataError, match=f"^{re.escape(problem)}$"):
        choose_classes(FOUND, wanted, where="here")


def test_a_minus_may_begin_the_name_of_a_class() -> None:
    found = ("-cow", "cat", "cow", "dog")
    assert choose_classes(found, ["-cow", "cat"], where="here") == ("-cow", "cat")
    assert choose_classes(found, ["--cow"], where="here") == ("cat", "cow", "dog")
    with pytest.raises(DataError, match="leaves -cow of here, and 2 are needed"):
        choose_classes(found, ["-cow"], where="here")


def test_one_class_is_enough_beside_images_of_none() -> None:
    assert choose_classes(FOUND, ["-cow", "-cat"], where="here", at_least=1) == ("dog",)


@pytest.mark.parametrize("minus", ["", "-"])
def test_a_name_with_other_blanks_than_a_class_is_shown_with_it_in_quotes(minus: str) -> None:
    with pytest.raises(DataError) as error:
        choose_classes(["Katze \u2665", "dog", "elk"], [f"{minus}Katze  \u2665"], where="photos")
    told = 'data.classes: "Katze  \u2665" (did you mean "Katze \u2665"? other blanks stand in it) not in photos, '
    assert str(error.value).startswith(told)
    assert with_nearest("Katze  \u2665", ["dog", "Katze \u2665"]) in told


def test_unknown_classes_are_all_named_with_the_nearest() -> None:
    with pytest.raises(DataError) as error:
        choose_classes(FOUND, ["cat", "dogs", "horse"], where="data.root=photos")
    assert str(error.value) == (
        "data.classes: dogs (did you mean dog?), horse not in data.root=photos, which has 3 classes: cat, cow, dog"
    )


@pytest.mark.parametrize("kind", [DataSource.folder, DataSource.csv, DataSource.digits, DataSource.shapes])
def test_a_run_of_some_classes_sees_only_them(kind: DataSource, write, opened) -> None:
    root = None
    if kind.example:
        names = [f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "abc" for i in range(4)]
        root = write(*names)
        (root / "train" / "b" / "bad.png").write_text("not an image, and nobody looks")
        if kind is DataSource.csv:
            lines = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in (*names, "train/b/bad.png")]
            root = root / "labels.csv"
            root.write_text("\n".join(["path,label,split", *lines]))
    wanted = {"digits": ["7", "3"], "shapes": ["triangle", "circle"]}.get(kind, ["c", "a"])
    whole = opened(root, kind=kind, **({"on_bad": "skip"} if root else {}))
    some = opened(root, kind=kind, classes=wanted)
    order = [name for name in whole.classes if name in wanted]
    assert list(some.classes) == order
    assert opened(root, kind=kind, classes=wanted[::-1]).digest == some.digest != whole.digest
    for part, images in ((some.pool, whole.pool), (some.held_out, whole.held_out)):
        expected = {
            (name, whole.classes[label], images.digest(i))
            for i, (name, label) in enumerate(zip(images.names, images.labels, strict=True))
            if whole.classes[label] in wanted
        }
        found = {
            (name, some.classes[label], part.digest(i))
            for i, (name, label) in enumerate(zip(part.names, part.labels, strict=True))
        }
        assert found == expected
        assert part.read(0).tobytes() == images.read(images.names.index(part.names[0])).tobytes()
    left_out = [f"-{name}" for name in whole.classes if name not in wanted]
    assert opened(root, kind=kind, classes=left_out).digest == some.digest
    with pytest.raises(DataError, match=r"data.classes: zebra not in data"):
        opened(root, kind=kind, classes=[*wanted, "zebra"])


def test_splits_may_differ_in_classes_that_are_not_used(write, opened) -> None:
    root = write(*(f"train/{name}/0.png" for name in "abc"), *(f"test/{name}/0.png" for name in "abd"))
    with pytest.raises(DataError, match="has other classes"):
        opened(root)
    assert opened(root, classes=["a", "b"]).classes == ("a", "b")
    with pytest.raises(DataError, match="missing c; both need the same class folders"):
        opened(root, classes=["a", "c"])


def test_the_order_in_which_classes_are_asked_for_is_no_other_run() -> None:
    keys = []
    for classes in (None, ["a", "b"], ["b", "a"], ["a", "c"]):
        config = Config()
        config.data.classes = classes
        keys.append(config_key(config))
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("cat", "Cat", "cat and Cat"),
        ("cat", printable("cat\u200b"), r"cat and cat\u200b"),
        ("hot dog", printable("hot\u00a0dog"), r"hot dog and hot\xa0dog"),
        ("cat", "cat ", "cat and cat "),
        ("stra\u00dfe", "STRASSE", r"stra\xdfe and STRASSE"),
        ("fi", "\ufb01", r"fi and \ufb01"),
        ("cat", "c\u034fat", r"cat and c\u034fat"),
        (printable("a\\n"), printable("a\\n\u2060"), r"a\\n and a\\n\u2060"),
    ],
)
def test_classes_that_look_the_same_are_shown_with_escapes(one: str, other: str, shown: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"here: classes {shown} differ only in case, blanks, invisible")):
        choose_classes([one, "dog", other], None, where="here")
    assert choose_classes([one, "dog", other], [one, "dog"], where="here") == (one, "dog")


def test_classes_that_look_different_stay() -> None:
    names = ["cafe", "caf\u00e9", printable("a\n"), printable("a\\n"), "a n", "\u0441at", "cat", "1", "10"]
    assert choose_classes(names, None, where="here") == tuple(names)
