import pytest

from tlexp.config.freeze import FreezePolicy
from tlexp.errors import ConfigError
from tlexp.models import Unit, freeze_depth


def units(*names: str) -> list[Unit]:
    return [Unit(index=i, name=name, parameters=(), buffers=(), modules=(), shape=None) for i, name in enumerate(names)]


RESNET = units("stem", "layer1", "layer2", "layer3", "layer4")
VIT = units("stem", "blocks.0", "blocks.1", "neck")


@pytest.mark.parametrize(
    ("policy", "depth", "of", "expected"),
    [
        ("none", None, RESNET, 0),
        ("all", None, RESNET, 5),
        ("last", None, RESNET, 4),
        ("last", None, VIT, 2),
        ("depth", "0", RESNET, 0),
        ("depth", "5", RESNET, 5),
        ("depth", "all", RESNET, 5),
        ("depth", "0.5", RESNET, 3),
        ("depth", "layer2", RESNET, 3),
        ("depth", "blocks.1", VIT, 3),
        ("depth", "neck", VIT, 4),
    ],
)
def test_depth(policy: str, depth: str | None, of: list[Unit], expected: int) -> None:
    assert freeze_depth(FreezePolicy(policy), depth, of, backbone="b") == expected


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        ("14", r"freeze.depth=14 is out of range for b: 0..5 \(stem, layer1, layer2, layer3, layer4\)"),
        ("layer9", r"freeze.depth=layer9 is not a unit of b: 0..5 \(stem, layer1, layer2, layer3, layer4\)"),
        ("1.0", r"freeze.depth=1.0: must be a whole number of units"),
        (None, r"freeze.depth is missing: b has units 0..5 \(stem"),
    ],
)
def test_refusals_list_the_units(depth: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        freeze_depth(FreezePolicy.depth, depth, RESNET, backbone="b")
