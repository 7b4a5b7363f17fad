import pytest

from tests.composed import load
from tlexp.data import Counts
from tlexp.experiment.build import build_classifier, build_network
from tlexp.experiment.plan import build_plan, plan_table
from tlexp.paths import conf_options

PARTS = ("surgical", "norm", "bias", "lora")


@pytest.mark.parametrize("name", ["resnet18", "vit_small", "mobilenetv3_large"])
@pytest.mark.parametrize("freeze", ["none", "all", "last", "depth"])
@pytest.mark.broad(3)
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


@pytest.mark.parametrize(
    ("name", "freeze"),
    [
        *(("resnet18", freeze) for freeze in PARTS),
        ("vit_small", "norm"),
        ("vit_small", "lora"),
        ("convnext_tiny", "surgical"),
        pytest.param("vit_small", "surgical", marks=pytest.mark.slow),
        pytest.param("vit_small", "bias", marks=pytest.mark.slow),
        *(pytest.param("convnext_tiny", freeze, marks=pytest.mark.slow) for freeze in PARTS[1:]),
    ],
)
@pytest.mark.broad(3)
def test_parts_of_units_are_counted(name: str, freeze: str) -> None:
    config = load([f"backbone={name}", f"freeze={freeze}", *(["freeze.units=[stem]"] if freeze == "surgical" else [])])
    plan, whole = build_plan(config.config), build_plan(load([f"backbone={name}", "freeze=none"]).config)
    network = build_network(config.config, meta=True)
    classifier = build_classifier(config.config, network, 6)
    trained = sum(each.numel() for _, each in classifier.trainable_parameters())
    assert plan["trainable_parameters"] == trained
    assert plan["total_parameters"] == sum(each.numel() for each in classifier.parameters())
    assert plan["head_parameters"] + sum(unit["trainable_parameters"] for unit in plan["units"]) == trained
    assert [unit["trainable"] for unit in plan["units"]] == [unit["trainable_parameters"] > 0 for unit in plan["units"]]
    adapters = trained - plan["head_parameters"] if freeze == "lora" else 0
    assert plan["total_parameters"] - adapters == whole["total_parameters"]
    frozen = network.freezing.frozen_units(network.units)
    assert [unit["name"] for unit in plan["units"] if not unit["trainable"]] == frozen
    assert f"{len(frozen)} of {len(plan['units'])} units wholly frozen" in plan_table(plan)


def test_counts_that_can_be_worked_out_by_hand() -> None:
    def trained(freeze: str) -> int:
        plan = build_plan(load(["backbone=resnet18", *freeze.split()]).config)
        return plan["trainable_parameters"] - plan["head_parameters"]

    channels = 64 + 4 * 64 + 5 * 128 + 5 * 256 + 5 * 512  # norms of stem and layers, each with a downsampling one
    assert trained("freeze=norm") == 2 * channels
    assert trained("freeze=bias") == channels
    assert trained("freeze=surgical freeze.units=[stem]") == 3 * 64 * 49 + 2 * 64
    units = build_plan(load(["backbone=vit_small", "freeze=lora", "freeze.rank=2"]).config)["units"]
    wide, narrow = 4 * 384, 384
    per_block = 2 * ((narrow + 3 * narrow) + (narrow + narrow) + 2 * (narrow + wide))
    assert [unit["trainable_parameters"] for unit in units] == [0, *[per_block] * 12, 0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("freeze=depth", "freeze.depth=0.5 freezes 3 of 5 units: 6.1 % of the backbone's parameters, 54.7 % of its"),
        ("freeze=last", "freeze=last freezes 4 of 5 units: 24.9 % of the backbone's parameters, 77.3 % of its"),
        (
            "freeze=depth freeze.by=parameters freeze.depth=0.2",
            "freeze.depth=0.2 freeze.by=parameters freezes 4 of 5 units: 24.9 % of the backbone's parameters",
        ),
        (
            "freeze=depth freeze.by=operations freeze.depth=0.3",
            "freeze.depth=0.3 freeze.by=operations freezes 2 of 5 units: 1.4 % of the backbone's parameters, 32.0 % of",
        ),
    ],
)
def test_a_depth_says_what_share_it_freezes(words: str, told: str) -> None:
    plan = build_plan(load(["backbone=resnet18", *words.split()]).config)
    assert told in plan_table(plan)
    frozen = plan["units"][: plan["depth"]]
    for name in ("parameters", "operations"):
        assert plan["frozen"][name] == sum(unit[name] for unit in frozen) / plan[f"backbone_{name}"]


def test_a_policy_without_a_depth_asked_for_none() -> None:
    plan = build_plan(load(["freeze=all"]).config)
    assert plan["frozen"] == {"asked": None, "parameters": 1.0, "operations": 1.0}
    assert " freezes " not in plan_table(plan)


def test_norms_say_what_moves_their_statistics() -> None:
    for norm, expected in (("keep", ["eval"] * 5), ("update", ["train"] * 5)):
        units = build_plan(load(["backbone=resnet18", "freeze=last", f"freeze.norm={norm}"]).config)["units"]
        assert [unit["norm"] for unit in units] == expected
    for freeze, expected in (("norm", "train"), ("bias", "eval"), ("lora", "eval")):
        units = build_plan(load(["backbone=resnet18", f"freeze={freeze}"]).config)["units"]
        assert {unit["norm"] for unit in units} == {expected}


def test_the_table_for_people() -> None:
    table = plan_table(build_plan(load(["backbone=tiny", "freeze=depth", "freeze.depth=layer1"]).config))
    assert "2 of 5 units wholly frozen" in table
    assert table.count("frozen") == 3
    assert all(len(line) <= 110 for line in table.splitlines())


def test_raw_pixels_have_no_units_and_a_head_to_train() -> None:
    plan = build_plan(load(["backbone=pixels", "freeze=all"]).config)
    assert (plan["units"], plan["depth"], plan["backbone_parameters"]) == ([], 0, 0)
    assert plan["trainable_parameters"] == plan["total_parameters"] == 768 * 6 + 6
    assert "0 of 0 units wholly frozen" in plan_table(plan)


def test_a_plan_tells_what_an_image_of_each_class_counts() -> None:
    counts = Counts(classes=("cat", "dog"), pool=(30, 10), held_out=(5, 5), split_off=False)
    words = ["backbone=tiny", "labels=all"]
    plain = build_plan(load(words).config, counts)
    weighed = build_plan(load([*words, "train.class_weights=balanced"]).config, counts)
    assert "class_weights" not in plain["images"]
    assert weighed["images"]["class_weights"] == {"cat": 40 / 60, "dog": 2.0}
    assert plan_table(weighed).splitlines()[-1] == "in the loss an image counts 0.667 to 2, by its class"
