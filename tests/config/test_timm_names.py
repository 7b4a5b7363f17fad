import pytest

from tests.composed import composed
from tlexp.config.timm_names import TABLE, is_known
from tlexp.paths import conf_options


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("resnet50", True),
        ("resnet50.a1_in1k", True),
        ("test_resnet.r160_in1k", True),
        ("resnet50.a1_in2k", False),
        ("resnet5", False),
        ("", False),
        ("#", False),
    ],
)
def test_names_with_and_without_tags(name: str, known: bool) -> None:
    assert is_known(name) is known


def test_the_options_of_the_group_are_known() -> None:
    chosen = [composed(f"backbone={name}").config.backbone.name for name in conf_options("backbone") if name != "timm"]
    assert [name for name in chosen if not is_known(name)] == ["pixels"]


def test_the_table_is_small() -> None:
    assert TABLE.stat().st_size < 100_000
