from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tlexp.errors import ConfigError
from tlexp.models import build_backbone, find_units, preprocessing
from tlexp.studies.planning.columns import ColumnBasis, study_columns

SIZE = preprocessing("resnet18").image_size
NETWORK = SimpleNamespace(units=find_units(build_backbone("resnet18", image_size=SIZE, meta=True), image_size=SIZE))


def depths(name: str, stated: Sequence[str] = ()) -> list[int | None]:
    """Return the depths that a study of a backbone compares."""
    size = preprocessing(name).image_size
    units = find_units(build_backbone(name, image_size=size, meta=True), image_size=size)
    basis = ColumnBasis(backbone=name, units=units, depths=stated)
    columns = study_columns(["depths", "pixels"], basis, controls=False)
    return [column.depth for column in columns]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", [0, 2, 3, 4, 5]),  # after 7, 32, 55 and 77 % of the operations
        ("vit_small_patch16_224", [0, 4, 7, 10, 14]),
        ("convnext_tiny", [0, 2, 3, 4, 6]),
    ],
)
def test_depths_that_nobody_states_lie_evenly_by_operations(name: str, expected: list[int]) -> None:
    assert depths(name) == expected


def test_stated_depths_stay_as_they_are() -> None:
    assert depths("resnet18", ["all", "1", "0.5", "layer2"]) == [1, 3, 5]


def test_an_entrant_is_screened_by_its_first_column_and_half_frozen_by_operations() -> None:
    entry: Any = SimpleNamespace(name="mine", words=("backbone=timm", "backbone.name=resnet18"), network=NETWORK)
    columns = study_columns(["entrants"], ColumnBasis(backbone="", units=(), pool=[entry]), controls=False)
    assert [(each.name, each.depth) for each in columns] == [
        ("mine-freeze-5", 5), ("mine-freeze-3", 3), ("mine-freeze-0", 0),
    ]  # fmt: skip
    assert columns[0].words == ("backbone=timm", "backbone.name=resnet18", "freeze=all", "head=logreg")
    assert all(each.competes and each.entrant == "mine" for each in columns)


@pytest.mark.parametrize(
    ("stated", "expected"), [(["all"], [5]), (["0", "0.5"], [5, 3, 0]), (["layer2", "all"], [5, 3]), (["0"], [5, 0])]
)
def test_what_screens_an_entrant_is_among_its_depths_whichever_are_stated(
    stated: list[str], expected: list[int]
) -> None:
    entry: Any = SimpleNamespace(name="mine", words=("backbone=resnet18",), network=NETWORK)
    basis = ColumnBasis(backbone="", units=(), depths=stated, pool=[entry])
    assert [each.depth for each in study_columns(["entrants"], basis, controls=False)] == expected


@pytest.mark.parametrize(
    ("text", "name", "title", "words"),
    [
        ("direct: freeze=none head=linear", "direct", "freeze=none head=linear", ("freeze=none", "head=linear")),
        (
            "a-1? ({first} alone: or (so)): freeze=surgical freeze.units=[{first}] head=linear",
            "a-1", "layer1 alone: or (so)", ("freeze=surgical", "freeze.units=[layer1]", "head=linear"),
        ),
        (
            "units: freeze=all head=logreg head.units=[{last}]", "units", None,
            ("freeze=all", "head=logreg", "head.units=[layer1,layer2,layer3,layer4]"),
        ),
        ("steps: freeze=gradual freeze.phases={phases} head=linear", "steps", None,
         ("freeze=gradual", "freeze.phases=4", "head=linear")),
    ],
)  # fmt: skip
def test_a_column_is_written_as_name_title_and_overrides(
    text: str, name: str, title: str | None, words: tuple[str, ...]
) -> None:
    [column] = study_columns([text], ColumnBasis(backbone="", units=NETWORK.units), controls=True)
    assert (column.name, column.title, column.words) == (name, title or " ".join(words), words)
    assert column.optional == ("?" in text)


def test_all_that_is_wrong_with_columns_is_said_at_once() -> None:
    stated = ["scratch", "dephts", "a: freeze=all", "b: freeze=all head=linaer", "scratch: freeze=none head=linear"]
    with pytest.raises(ConfigError) as refused:
        study_columns(stated, ColumnBasis(backbone="", units=()), controls=True)
    told = refused.value.problems
    assert "study.columns: dephts: write NAME: OVERRIDES" in told[0]
    assert "or one of depths, entrants, closed, scratch" in told[0]
    assert told[1].startswith("study.columns: a: a column names one head, head= and one of linear")
    assert told[2].startswith("study.columns: b: a column names one head")
    assert told[3] == "study.columns: scratch stands there twice: give one another name"
