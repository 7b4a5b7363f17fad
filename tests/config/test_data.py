from typing import Any

import pytest

from tlexp.config.data import DataConfig, DataSource, Decoder
from tlexp.config.group import OnLeak

FOLDER, CSV = DataSource.folder, DataSource.csv


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
        (
            {"train": "a", "test": "b"},
            [
                "data.train=a needs data=folder: data=shapes knows none",
                "data.test=b needs data=folder: data=shapes knows none",
            ],
        ),
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
        (
            {"source": FOLDER, "root": "r", "size": 64},
            [
                "data.size=64 needs data=shapes: data=folder knows none; what the network sees is "
                "backbone.image_size, and study=sizes compares several"
            ],
        ),
        ({"size": 64, "per_class": 20, "test_per_class": 9, "num_classes": 3, "noise": 0.2, "clutter": 1}, []),
        ({"source": FOLDER, "root": "r", "per_class": 200, "num_classes": 6, "noise": 0.1, "clutter": 4}, []),
        (
            {"source": DataSource.digits, "per_class": 20, "num_classes": 3, "noise": 0.2, "clutter": 1},
            [
                "data.per_class=20 needs data=shapes: data=digits knows none; labels=20 learns from so "
                "many of each class",
                "data.num_classes=3 needs data=shapes: data=digits knows none; data.classes=[...] takes "
                "some of the classes",
                "data.noise=0.2 needs data=shapes: data=digits knows none",
                "data.clutter=1 needs data=shapes: data=digits knows none",
            ],
        ),
        (
            {"bits": 12},
            ["data.bits=12 needs data=folder or data=csv or data=timm: data=shapes knows none"],
        ),
        ({"source": CSV, "root": "r", "decoder": Decoder.fast}, []),
        ({"noise": 2}, ["data.noise=2: must be 0..1"]),
        (
            {"decoder": Decoder.fast, "columns": ["a", "b"]},
            [
                "data.decoder=fast needs data=folder or data=csv or data=timm: data=shapes knows none",
                "data.columns=['a', 'b'] needs data=csv or data=timm: data=shapes knows none",
            ],
        ),
        ({"source": FOLDER, "root": "r", "group": "groups.csv", "on_leak": OnLeak.move}, []),
        ({"source": CSV, "root": "r", "group": "column:patient"}, []),
        (
            {"source": FOLDER, "root": "r", "on_leak": OnLeak.list},
            ["data.on_leak=list needs data.group: without groups there is nothing that could leak"],
        ),
        (
            {"group": "folder:1"},
            [
                "data.group=folder:1 needs images with names, data=folder, data=csv or data=timm: each image of "
                "data=shapes stands for itself; leave data.group out"
            ],
        ),
        (
            {"source": DataSource.digits, "group": "groups.csv"},
            [
                "data.group=groups.csv needs images with names, data=folder, data=csv or data=timm: each image of "
                "data=digits stands for itself; leave data.group out"
            ],
        ),
        (
            {"source": FOLDER, "root": "r", "group": "column:patient"},
            ["data.group=column:patient needs data=csv: data=folder has no columns; write a table of path,group"],
        ),
        (
            {"source": CSV, "root": "r", "group": "column:patient", "neither": "n", "shifted": "s"},
            [
                "data.group=column:patient beside data.neither and data.shifted: the images there stand in no row; "
                "write a table of path,group for all of them"
            ],
        ),
        (
            {"source": FOLDER, "root": "r", "group": "folder:0"},
            [
                "data.group=folder:0: must be a whole number from 1 to 20: 1 is the folder that holds the image, 2 the "
                "one above it"
            ],
        ),
    ],
)
def test_settings_are_refused_where_they_mean_nothing(given: dict[str, Any], problems: list[str]) -> None:
    config = DataConfig(**given)
    assert [*config.foreign_problems(), *config.problems()] == problems
