"""The units of every family of timm partition its tensors, in the order in which the forward pass uses them."""

from functools import cache

import pytest
import torch
from timm.models import is_model_in_modules, list_modules, list_pretrained
from torch import nn

from tlexp.models import Classifier, Unit, build_backbone, find_units, preprocessing

FAMILIES = {
    "beit": "beit_base_patch16_224",
    "byoanet": "eca_halonext26ts",
    "byobnet": "mobileone_s1",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "convnext_pico",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla60x_c",
    "dpn": "dpn68",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "mobilenetv2_050",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_100",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "mambaout_femto",
    "maxxvit": "coatnext_nano_rw_224",
    "metaformer": "poolformer_s12",
    "mlp_mixer": "resmlp_12_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_300m",
    "mobilevit": "mobilevitv2_050",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny_jx",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnety_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "resnet10t",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls60",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s1",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_ns_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "vit_tiny_patch16_224",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "vit_srelpos_small_patch16_224",
    "vision_transformer_sam": "samvit_base_patch16",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
"""A small architecture with pretrained weights for each module of timm that has any."""

QUICK = (
    "beit",
    "cait",
    "coat",
    "convit",
    "convnext",
    "csatv2",
    "densenet",
    "deit",
    "eva",
    "hrnet",
    "maxxvit",
    "metaformer",
    "mobilenetv3",
    "naflexvit",
    "nfnet",
    "pit",
    "rdnet",
    "resnet",
    "selecsls",
    "swin_transformer",
    "vgg",
    "vision_transformer",
    "xception",
    "xcit",
)
"""Families of the default run: those with root tokens, late tokens, odd or no matchers, and one of each other kind."""

NAMED = {
    "resnet18": "stem layer1 layer2 layer3 layer4",
    "vit_tiny_patch16_224": f"stem {' '.join(f'blocks.{i}' for i in range(12))} neck",
    "swin_tiny_patch4_window7_224": "stem layers.0 layers.1 layers.2 layers.3 neck",
    "convnext_atto": "stem stages.0 stages.1 stages.2 stages.3 neck",
    "mobilenetv3_large_100": "stem blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 blocks.5 blocks.6 neck",
    "densenet121": "stem features.denseblock1 features.denseblock2 features.denseblock3 features.denseblock4 neck",
    "hrnet_w18_small": "stem layer1 stage2 stage3 stage4 neck",
    "metaformer:poolformer_s12": "stem stages.0 stages.1 stages.2 stages.3 neck",
    "pit_ti_224": "stem transformers.0 transformers.1 transformers.2 neck",
    "csatv2": "stem stages.0 stages.1 stages.2 stages.3 neck",
    "rdnet_tiny": f"stem {' '.join(f'dense_stages.{i}' for i in range(7))} neck",
}


@cache
def dry(name: str, **options: object) -> tuple[nn.Module, tuple[Unit, ...], int]:
    size = preprocessing(name).image_size
    backbone = build_backbone(name, image_size=size, meta=True, **options)
    return backbone, find_units(backbone, image_size=size), size


def call_order(backbone: nn.Module, size: int) -> list[str]:
    """The modules that own parameters, in the order of their first call: an account that owes nothing to find_units."""
    order: list[str] = []
    names = {module: name for name, module in backbone.named_modules() if module._parameters}
    hooks = [module.register_forward_pre_hook(lambda each, _: order.append(names[each])) for module in names]
    with torch.no_grad():
        backbone.eval()(torch.empty(2, 3, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(order))


def check_laws(name: str) -> None:
    backbone, units, size = dry(name)
    for kind, found in (
        ("parameters", dict(backbone.named_parameters())),
        ("buffers", dict(backbone.named_buffers())),
        ("modules", dict(backbone.named_modules())),
    ):
        listed = [each for unit in units for each in getattr(unit, kind)]
        assert len(listed) == len(set(listed)), f"{kind} in two units"
        assert set(listed) == set(found), f"{kind} left out or invented"
    assert all(unit.parameters for unit in units)
    assert [unit.index for unit in units] == list(range(len(units)))
    assert len({unit.name for unit in units}) == len(units) >= 3
    assert units[0].name == "stem"
    owner = {each: unit.index for unit in units for each in unit.parameters}
    sequence = [
        owner[f"{module}.{each}"]
        for module in call_order(backbone, size)
        if module  # the root's own tokens are used later than the root is called
        for each, _ in backbone.get_submodule(module).named_parameters(recurse=False)
    ]
    assert sequence == sorted(sequence), "units are not in the order of the forward pass"

    head = nn.Linear(4, 3)
    frozen = Classifier(backbone, head, units, len(units))
    assert {each for each, _ in frozen.trainable_parameters()} == {"head.weight", "head.bias"}
    assert not any(module.training for module in frozen.train().backbone.modules())
    free = Classifier(backbone, head, units, 0)
    assert len(free.trainable_parameters()) == len(list(free.parameters()))
    assert all(module.training for module in free.train().modules())


@pytest.mark.parametrize("family", QUICK)
@pytest.mark.broad(3)
def test_laws_hold(family: str) -> None:
    check_laws(FAMILIES[family])


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in QUICK])
def test_laws_hold_for_the_other_families(family: str) -> None:
    check_laws(FAMILIES[family])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_family_with_weights_is_walked() -> None:
    pretrained = {name.split(".")[0] for name in list_pretrained()}
    families = {each for each in list_modules() if any(is_model_in_modules(name, [each]) for name in pretrained)}
    for family in sorted(families - FAMILIES.keys()):  # newer than this table
        check_laws(next(name for name in sorted(pretrained) if is_model_in_modules(name, [family])))
    assert len(families) >= 98


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.broad(2)
def test_names_are_those_people_use(name: str) -> None:
    assert " ".join(unit.name for unit in dry(name.rpartition(":")[2])[1]) == NAMED[name]


@pytest.mark.parametrize(
    ("name", "neck"),
    [
        ("vgg16", {"pre_logits.fc1.weight", "pre_logits.fc1.bias", "pre_logits.fc2.weight", "pre_logits.fc2.bias"}),
        ("mobilenetv3_large_100", {"conv_head.weight", "conv_head.bias"}),
        ("vit_tiny_patch16_224", {"norm.weight", "norm.bias"}),
        ("vit_small_patch14_reg4_dinov2", {"norm.weight", "norm.bias"}),
        ("convnext_atto", {"head.norm.weight", "head.norm.bias"}),
        ("efficientnet_b0", {"conv_head.weight", "bn2.weight", "bn2.bias"}),
    ],
)
def test_what_runs_after_the_last_stage_is_the_neck(name: str, neck: set[str]) -> None:
    last = dry(name)[1][-1]
    assert (last.name, set(last.parameters)) == ("neck", neck)


@pytest.mark.parametrize("name", ["vit_base_patch16_siglip_224", "maxvit_rmlp_pico_rw_256", "hrnet_w18_small"])
def test_a_pretrained_pooling_or_final_convolution_is_not_the_head(name: str) -> None:
    backbone, units, _ = dry(name)
    classifier = Classifier(backbone, nn.Linear(4, 3), units, len(units))
    assert sum(parameter.numel() for _, parameter in classifier.trainable_parameters()) == 4 * 3 + 3


@pytest.mark.parametrize(
    ("name", "token", "unit"),
    [
        ("vit_tiny_patch16_224", "cls_token", "stem"),
        ("vit_small_patch14_reg4_dinov2", "reg_token", "stem"),
        ("deit_tiny_distilled_patch16_224", "dist_token", "stem"),
        ("cait_xxs24_224", "cls_token", "blocks_token_only.0"),
        ("xcit_nano_12_p8_224", "cls_token", "cls_attn_blocks.0"),
        ("convit_tiny", "cls_token", "blocks.10"),
    ],
)
def test_root_tokens_belong_to_the_unit_that_uses_them_first(name: str, token: str, unit: str) -> None:
    assert [each.name for each in dry(name)[1] if token in each.parameters] == [unit]


def test_modules_without_parameters_belong_to_the_unit_during_which_they_run() -> None:
    units = dry("vit_tiny_patch16_224", drop_path_rate=0.1)[1]
    owner = {module: unit.name for unit in units for module in unit.modules}
    assert owner["pos_drop"] == owner["patch_drop"] == "stem"
    assert owner["blocks.3.drop_path1"] == "blocks.3"
    assert (owner["blocks"], owner[""]) == ("blocks.11", "neck")
    owner = {module: unit.name for unit in dry("resnet18")[1] for module in unit.modules}
    assert (owner["maxpool"], owner["global_pool"]) == ("stem", "layer4")


def test_shapes_are_those_of_a_real_run() -> None:
    backbone = build_backbone("resnet18", image_size=64).eval()
    units = find_units(backbone, image_size=64)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("maxpool", "layer1", "layer2", "layer3"):
        backbone.get_submodule(name).register_forward_hook(
            lambda _, __, made, name=name: shapes.__setitem__(name, tuple(made.shape[1:]))
        )
    features = backbone(torch.zeros(2, 3, 64, 64))
    assert [unit.shape for unit in units] == [*shapes.values(), tuple(features.shape[1:])]


def test_two_branches_have_no_single_shape() -> None:
    assert [unit.shape is None for unit in dry("crossvit_tiny_240")[1]] == [True, True, True, True, False]


def test_a_real_backbone_has_the_units_of_a_dry_one_and_is_left_as_it_was() -> None:
    real = build_backbone("test_resnet", image_size=64)
    real.layer1.eval()
    state = {name: tensor.clone() for name, tensor in real.state_dict().items()}
    modes = [module.training for module in real.modules()]
    dry_one = build_backbone("test_resnet", image_size=64, meta=True)
    assert find_units(real, image_size=64) == find_units(dry_one, image_size=64)
    assert modes == [module.training for module in real.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in real.state_dict().items())


def test_modules_with_two_names_keep_their_tensors() -> None:
    backbone = build_backbone("coat_tiny", image_size=64)
    find_units(backbone, image_size=64)
    assert not any(parameter.is_meta for parameter in backbone.parameters())
    with torch.no_grad():
        assert backbone.eval()(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_operations_are_the_multiply_adds_that_paper_and_pencil_give() -> None:
    def stage(side: int, wide: int) -> int:
        half = wide // 2  # the first convolution and the shortcut halve the map and double the channels
        return side**2 * (9 * half * wide + 3 * 9 * wide * wide + half * wide)

    counted = [unit.operations for unit in dry("resnet18")[1]]
    expected = [112**2 * 64 * 3 * 7**2, 4 * 56**2 * 9 * 64 * 64, stage(28, 128), stage(14, 256), stage(7, 512)]
    assert counted == expected
    tokens, width = 14**2 + 1, 384
    projections = (3 + 1 + 4 + 4) * tokens * width**2  # query, key and value; out; and both layers of the MLP
    attention = 2 * tokens**2 * width  # query by key, weights by value
    counted = [unit.operations for unit in dry("vit_small_patch16_224")[1]]
    assert counted == [14**2 * width * 3 * 16**2, *[projections + attention] * 12, 0]


def test_sizes_are_those_of_the_parameters() -> None:
    backbone, units, _ = dry("vgg16")
    assert sum(unit.size for unit in units) == sum(each.numel() for each in backbone.parameters())
    assert units[0].size == 3 * 3 * 3 * 64 + 64
