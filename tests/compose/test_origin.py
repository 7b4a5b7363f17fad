from pathlib import Path

from tests.composed import composed
from tlexp.compose.origin import origin_of
from tlexp.data import IN_MEMORY, Folder, Shapes, TableFile, TimmSet


def origin(*words: str):
    return origin_of(composed(*words).config.data, image_size=64)


def test_each_source_is_its_own_place() -> None:
    assert origin("data=folder", "data.root=a", "data.follow_links=true") == Folder(root=Path("a"), follow_links=True)
    assert origin("data=folder", "data.root='~/a'") == Folder(root=Path.home() / "a", follow_links=False)
    assert origin("data=csv", "data.root=a.csv") == TableFile(path=Path("a.csv"), columns=None, follow_links=False)
    assert origin("data=digits") is IN_MEMORY["digits"]
    assert isinstance(origin("data=timm", "data.root=a"), TimmSet)


def test_shapes_are_as_large_as_the_backbone_takes_them() -> None:
    shapes = origin("data.per_class=5"), origin("data.size=32")
    assert [(each.size, each.per_class) for each in shapes if isinstance(each, Shapes)] == [(64, 5), (32, 200)]
