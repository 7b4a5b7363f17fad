"""Tables of groups are taken as people write them, and rows that cannot be used are named."""

from pathlib import Path

import pytest

from tlexp.data.group_table import read_group_table
from tlexp.errors import DataError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "path,group\na,x\na,y\nb,\n ,z\nc\n",
            "4 rows cannot be used:\n  line 3: a is of group y, in line 2 of x\n  line 4:",
        ),
        (
            "path,group\na,x\na,y\nb,\n,z\nc\n",
            "line 4: its group is empty\n  line 5: its path is empty\n  line 6: 1 cells",
        ),
        ("path,group\na,x\na,y\n", "\nMend or remove them; an image that stands for itself has a group of its own"),
        ("path,group\n", "has no rows below its header"),
        ("", "it needs a header path,group and a row per image"),
        ("path\na\n", "one column alone; it needs a header path,group"),
        (b"path,group\n\xff,x\n", "is no CSV file in UTF-8"),
        ('path,group\n"a,x\n', "is no CSV file in UTF-8"),
        ("path,group\n" + "a,\n" * 12, "... and 2 more"),
    ],
)
def test_rows_that_cannot_be_used_are_counted_with_the_first_ones(text: str | bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as error:
        read_group_table(path)
    assert str(error.value).startswith(f"data.group={path}")
    assert told in str(error.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data.group=.*groups.csv cannot be read: No such file or directory; it needs a"
    ):
        read_group_table(tmp_path / "groups.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_group_table(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "path,group\na/1.png,x\n\nb/2.png, y \na/1.png,x\n",
        "nr,group,path\n1,x,a/1.png\n2,y,./b/2.png\n",
        "image;patient;age\na/1.png;x;4\nb/2.png;y;5\n",
        "\ufefffile\tpatient\na/1.png\tx\nb/2.png\ty\n",
    ],
)
def test_tables_are_taken_as_people_write_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding="utf-8")
    assert read_group_table(path).of == {"a/1.png": "x", "b/2.png": "y"}


def test_names_are_those_that_a_run_prints(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text('path,group\na\\\\b.png,x\n"c\td.png","y\x1b[31m"\n')
    assert read_group_table(path).of == {"a\\\\b.png": "x", "c\\td.png": "y\\x1b[31m"}
