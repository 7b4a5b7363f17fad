from typing import Any

import pytest

from tlexp.config.data import DataConfig, DataSource

FOLDER = DataSource.folder


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"source": FOLDER, "train": "a"}, []),
        ({"source": FOLDER, "train": "a", "test": "b"}, []),
        (
            {"source": FOLDER, "root": "r", "train": "a", "test": "b"},
            ["data.root=r beside data.train=a data.test=b: name one folder, or training and test folder"],
        ),
        ({"source": FOLDER, "test": "b"}, ["data.test=b needs data.train=DIR, the folder of the training images"]),
        (
            {"source": DataSource.csv, "root": "r.csv", "train": "a"},
            ["data.train=a needs data=folder: data=csv knows none"],
        ),
        ({"train": "a", "test": "b"}, ["data.train=a data.test=b needs data=folder: data=shapes knows none"]),
        (
            {"source": FOLDER, "train": ""},
            ["data.train= names no folder: give one, e.g. data.train=photos/train, or leave it out"],
        ),
        (
            {"source": FOLDER, "root": "r", "class_names": ""},
            ["data.class_names= names no file: give one, e.g. data.class_names=names.csv, or leave it out"],
        ),
        ({"source": FOLDER, "root": "r", "bits": 12}, []),
        ({"source": FOLDER, "root": "r", "bits": 7}, ["data.bits=7: must be 8..16, or null for all 16"]),
        ({"bits": 12}, ["data.bits=12 needs image files: data=shapes reads none"]),
    ],
)
def test_settings_of_files_are_refused_where_they_mean_nothing(given: dict[str, Any], problems: list[str]) -> None:
    assert DataConfig(**given).problems() == problems
