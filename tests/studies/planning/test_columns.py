from collections.abc import Sequence

import pytest

from tlexp.config.study import StudyKind
from tlexp.models import build_backbone, find_units, preprocessing
from tlexp.studies.planning.columns import backbone_columns, study_columns


def depths(name: str, stated: Sequence[str] = ()) -> list[int | None]:
    """Return the depths that a study of a backbone compares."""
    size = preprocessing(name).image_size
    units = find_units(build_backbone(name, image_size=size, meta=True), image_size=size)
    columns = study_columns(StudyKind.depths, units, depths=stated, controls=False, backbone=name)
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


def test_a_backbone_among_several_is_screened_by_its_first_column_and_half_frozen_by_operations() -> None:
    size = preprocessing("resnet18").image_size
    units = find_units(build_backbone("resnet18", image_size=size, meta=True), image_size=size)
    columns = backbone_columns("mine", ("backbone=timm", "backbone.name=resnet18"), units)
    assert [(each.name, each.depth) for each in columns] == [
        ("mine-freeze-5", 5), ("mine-freeze-3", 3), ("mine-freeze-0", 0),
    ]  # fmt: skip
    assert columns[0].words == ("backbone=timm", "backbone.name=resnet18", "freeze=all", "head=logreg")
    assert all(each.competes for each in columns)
