from pathlib import Path

import pytest

from tlexp.data.split_folders import find_splits
from tlexp.data.walk import Naming
from tlexp.errors import DataError


def found(root: Path, *, stated: bool = False) -> list[str | None]:
    pool, held_out, _ = find_splits(Naming(root=root), stated=stated)
    return [None if path is None else path.relative_to(root).as_posix() for path in (pool, held_out)]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["cat/1.png", "dog/1.png"], [".", None]),
        (["Training/cat/1.png"], ["Training", None]),
        (["trn/cat/1.png", "dev/cat/1.png", "Tst/cat/1.png", "docs/notes.txt"], ["trn", "Tst"]),
        (["plane/1.png", "train/1.png"], [".", None]),
        (["train/a/1.png", "notes/1.txt"], ["train", None]),
    ],
)
def test_splits_are_found_by_what_their_names_mean(names: list[str], splits: list[str | None], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == splits


def test_a_class_may_be_called_as_a_split_is_where_the_user_says_so(tmp_path: Path) -> None:
    for name in ("valid", "invalid"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="has valid beside other folders and no train folder"):
        found(tmp_path)
    assert found(tmp_path, stated=True) == [".", None]
