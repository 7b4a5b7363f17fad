import pytest

from tlexp.compose import load
from tlexp.paths import conf_options
from tlexp.plan import build_plan, plan_table


@pytest.mark.parametrize("name", ["resnet18", "vit_small", "mobilenetv3_large"])
@pytest.mark.parametrize("freeze", ["none", "all", "last", "depth"])
def test_the_plan_adds_up(name: str, freeze: str) -> None:
    plan = build_plan(load([f"backbone={name}", f"freeze={freeze}"]).config)
    units = plan["units"]
    assert [unit["index"] for unit in units] == list(range(len(units)))
    assert [unit["trainable"] for unit in units] == [index >= plan["depth"] for index in range(len(units))]
    assert sum(unit["parameters"] for unit in units) == plan["backbone_parameters"]
    trainable = sum(unit["parameters"] for unit in units if unit["trainable"]) + plan["head_parameters"]
    assert plan["trainable_parameters"] == trainable
    assert plan["total_parameters"] == plan["backbone_parameters"] + plan["head_parameters"]


@pytest.mark.parametrize("name", [option for option in conf_options("backbone") if option not in ("timm", "pixels")])
def test_every_backbone_option_builds(name: str) -> None:
    plan = build_plan(load([f"backbone={name}", "freeze=last"]).config)
    assert 0 < plan["trainable_parameters"] < plan["total_parameters"]


def test_everything_frozen_leaves_the_new_softmax() -> None:
    plan = build_plan(load(["backbone=vgg16", "freeze=all"]).config)
    assert plan["trainable_parameters"] == plan["head_parameters"] == 4096 * 6 + 6
    assert plan["backbone_parameters"] == 134_260_544


def test_units_tell_shapes_and_batchnorm() -> None:
    units = build_plan(load(["backbone=resnet18", "freeze=last"]).config)["units"]
    assert [unit["name"] for unit in units] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert [unit["shape"] for unit in units] == [[64, 56, 56], [64, 56, 56], [128, 28, 28], [256, 14, 14], [512]]
    assert [unit["norm"] for unit in units] == ["eval"] * 4 + ["train"]


def test_norms_say_what_moves_their_statistics() -> None:
    for norm, expected in (("keep", ["eval"] * 5), ("update", ["train"] * 5)):
        units = build_plan(load(["backbone=resnet18", "freeze=last", f"freeze.norm={norm}"]).config)["units"]
        assert [unit["norm"] for unit in units] == expected


def test_the_table_for_people() -> None:
    table = plan_table(build_plan(load(["freeze=depth", "freeze.depth=layer1"]).config))
    assert "2 of 5 units frozen" in table
    assert table.count("frozen") == 3
    assert all(len(line) <= 100 for line in table.splitlines())


def test_raw_pixels_have_no_units_and_a_head_to_train() -> None:
    plan = build_plan(load(["backbone=pixels", "freeze=all"]).config)
    assert (plan["units"], plan["depth"], plan["backbone_parameters"]) == ([], 0, 0)
    assert plan["trainable_parameters"] == plan["total_parameters"] == 768 * 6 + 6
    assert "0 of 0 units frozen" in plan_table(plan)
