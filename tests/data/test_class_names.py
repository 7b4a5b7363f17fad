from pathlib import Path

import pytest

from tlexp.config import Config
from tlexp.config.data import DataSource
from tlexp.data.class_names import read_class_names
from tlexp.errors import DataError
from tlexp.experiment.images import count_classes, open_images
from tlexp.models import preprocessing
from tlexp.train import Listener

MONKEYS = """\
Label, Latin Name            , Common Name                   , Train Images , Validation Images
n0         , alouatta_palliata\t, mantled_howler                , 131          , 26

n1         , erythrocebus_patas\t, patas_monkey                  , 139          , 28
n2         , cacajao_calvus\t, bald_uakari                   , 137          , 27
"""
SYNSETS = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn01484850 great white shark\n"


def names_of(tmp_path: Path, text: str, *classes: str) -> tuple[str, ...]:
    path = tmp_path / "names.csv"
    path.write_bytes(text.encode())
    return read_class_names(path).of(classes)


def refused(tmp_path: Path, text: str, *classes: str) -> str:
    with pytest.raises(DataError) as error:
        names_of(tmp_path, text, *classes)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "classes", "names"),
    [
        (MONKEYS, ("n0", "n2"), ("mantled_howler", "bald_uakari")),
        (SYNSETS, ("n01440764", "n01484850"), ("tench, Tinca tinca", "great white shark")),
        ("a,ant\nb,bee\n", ("b", "a"), ("bee", "ant")),
        ("a\tant\r\nb\tbee\r\n", ("a", "b"), ("ant", "bee")),
        ("a;ant;1\nb;bee;2\n", ("a", "b"), ("ant", "bee")),
        ("\ufeffname,label\nant,a\nbee,b\n", ("a", "b"), ("ant", "bee")),
        ("class_id,class_name,count\na,ant,3\nb,bee,3\n", ("a", "b"), ("ant", "bee")),
        ('folder,title\na,"ant, red"\nb,bee\n', ("a", "b"), ("ant, red", "bee")),
        ("id,label\n0,zero\n1,one\n", ("0", "1"), ("zero", "one")),
        ("label,name\nlabel,tag\nother,rest\n", ("label", "other"), ("tag", "rest")),
        ("a ant\nb bee\n", ("a", "b"), ("ant", "bee")),
        ("id,file name,common\na,1.png,ant\nb,2.png,bee\n", ("a", "b"), ("ant", "bee")),
        ("id,filename,class name\na,1.png,ant\nb,2.png,bee\n", ("a", "b"), ("ant", "bee")),
        ("a\u0308,ant\nB,bee\n", ("\u00e4", "b"), ("ant", "bee")),
        ("A,other\na,ant\nb,bee,\n", ("a", "b"), ("ant", "bee")),
        ("b,bee\na,ant\na,ant\nc,cow\n", ("a", "b"), ("ant", "bee")),
    ],
)
def test_tables_are_read_as_they_are_published(
    text: str, classes: tuple[str, ...], names: tuple[str, ...], tmp_path: Path
) -> None:
    assert names_of(tmp_path, text, *classes) == names


def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path) -> None:
    where = f"data.class_names={tmp_path}/names.csv"
    assert refused(tmp_path, "a,ant\nb,bee\n", "a", "c", "d") == (
        f"{where} has no line for 2 of 3 classes: c, d; it needs two columns, class and name, separated by commas, "
        "tabs or blanks; its first class is a, in line 1"
    )
    assert f"{where}: line 3 gives no name to class b;" in refused(tmp_path, "a,ant\n\nb,\n", "a", "b")
    assert f"{where}: lines 1 and 3 name class a in two ways" in refused(tmp_path, "a,ant\nb,bee\na,aunt\n", "a", "b")
    assert f"{where}: lines 1 and 2 give the same name, Ant and ant" in refused(tmp_path, "a,Ant\nb,ant\n", "a", "b")
    cut = refused(tmp_path, "a,ant\nb,bee, red\n", "a", "b")
    assert (
        cut == f"{where}: line 2 has more than the 2 cells of others; put quotes around a name that holds the separator"
    )
    cut = refused(tmp_path, "id,name\na,ant, red\nb,bee, red\n", "a", "b")
    assert f"{where}: line 2 has more than the 2 cells of the header; put quotes" in cut
    assert "gives no name to class a" in refused(tmp_path, "id,file name\na,1.png\n", "a")
    assert f"{where} is no table: field larger" in refused(tmp_path, '{"a":"' + "x" * 140_000 + '"}', "a")
    assert f"{where} is empty;" in refused(tmp_path, "\n\n", "a")
    with pytest.raises(DataError, match=r"absent.csv cannot be read: No such file or directory; it needs two columns"):
        read_class_names(tmp_path / "absent.csv")
    (tmp_path / "names.csv").write_bytes(b"a,\xff\n")
    with pytest.raises(DataError, match=r"names.csv is no text in UTF-8"):
        read_class_names(tmp_path / "names.csv")


@pytest.fixture
def config(write, tmp_path: Path) -> Config:
    root = write(*(f"{name}/{number}.png" for name in ("n0", "n1", "n2") for number in range(5)))
    (root / "labels.csv").write_text(
        "path,label\n" + "".join(f"{path.relative_to(root)},{path.parent.name}\n" for path in sorted(root.glob("*/*")))
    )
    (tmp_path / "names.csv").write_text(MONKEYS)
    config = Config()
    config.data.source, config.data.root = DataSource.folder, str(root)
    config.data.class_names = str(tmp_path / "names.csv")
    return config


@pytest.mark.parametrize("source", [source for source in DataSource if source.example])
def test_every_source_shows_them_and_keeps_its_labels(source: DataSource, config: Config) -> None:
    config.data.source = source
    if source is DataSource.csv:
        config.data.root += "/labels.csv"
    expected = preprocessing("test_resnet")
    named = open_images(config, expected, Listener())
    assert named.classes == ("mantled_howler", "patas_monkey", "bald_uakari")
    assert count_classes(config, expected) == 3
    config.data.class_names = None
    plain = open_images(config, expected, Listener())
    assert plain.classes == ("n0", "n1", "n2")
    assert plain.digest == named.digest
    assert plain.pool.names == named.pool.names
    assert plain.pool.labels.tolist() == named.pool.labels.tolist()


def test_they_join_classes_that_are_left_out_neither_and_a_shifted_set(config: Config, write, tmp_path: Path) -> None:
    write(*(f"../others/{number}.png" for number in range(5)), *(f"../far/n{label}/x.png" for label in range(3)))
    config.data.classes, config.data.neither = ["n2", "n0"], str(tmp_path / "others")
    source = open_images(config, preprocessing("test_resnet"), Listener())
    assert source.classes == ("mantled_howler", "bald_uakari", "neither")
    config.data.classes, config.data.neither, config.data.shifted = None, None, str(tmp_path / "far")
    assert len(open_images(config, preprocessing("test_resnet"), Listener()).shifted.names) == 3


def test_a_name_that_means_neither_is_refused(config: Config, write, tmp_path: Path) -> None:
    write(*(f"../others/{number}.png" for number in range(5)))
    config.data.neither = str(tmp_path / "others")
    Path(config.data.class_names).write_text("n0,Neither\nn1,b\nn2,c\n")
    with pytest.raises(DataError, match=r"neither is the name of the class of data.neither"):
        open_images(config, preprocessing("test_resnet"), Listener())


def test_missing_names_are_told_before_an_image_is_read(config: Config) -> None:
    Path(config.data.class_names).write_text("n0,a\nn1,b\n")
    next(Path(config.data.root).glob("n0/*")).write_text("not read")
    for ask in (
        lambda: open_images(config, preprocessing("test_resnet"), Listener()),
        lambda: count_classes(config, preprocessing("test_resnet")),
    ):
        with pytest.raises(DataError, match="has no line for 1 of 3 classes: n2"):
            ask()
