import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from tlexp.errors import ConfigError
from tlexp.models import build_backbone, feature_width, preprocessing
from tlexp.models.backbone import other_pooling, pretrained_cfg, read_otherwise


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50.a1_in1k",
        "vit_tiny_patch16_224",
        "vit_base_patch16_siglip_224.webli",
        "inception_v3",
        "test_resnet",
        "vit_small_patch14_dinov2",
    ],
)
def test_preprocessing_is_what_timm_resolves(name: str) -> None:
    with torch.device("meta"):
        expected = resolve_model_data_config(timm.create_model(name))
    found = preprocessing(name)
    assert (3, found.image_size, found.image_size) == tuple(expected["input_size"])
    for key in ("mean", "std", "interpolation", "crop_pct", "crop_mode"):
        assert getattr(found, key) == expected[key]


def test_a_tag_has_a_preprocessing_of_its_own() -> None:
    assert preprocessing("vit_tiny_patch16_384").image_size == 384
    assert preprocessing("resnet50.a1_in1k").crop_pct != preprocessing("resnet50.tv_in1k").crop_pct


def test_overrides_are_applied() -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    found = preprocessing("resnet18", image_size=96, mean=mean, std=std, interpolation="bilinear", crop_pct=0.5)
    assert (found.image_size, found.interpolation, found.crop_pct) == (96, "bilinear", 0.5)
    assert (found.mean, found.std) == (tuple(mean), tuple(std))


@pytest.mark.parametrize("build", [preprocessing, lambda name: build_backbone(name, image_size=64, meta=True)])
def test_unknown_names_are_answered_with_the_nearest(build) -> None:
    with pytest.raises(ConfigError, match=r"=resnt50: timm has no model 'resnt50' \(did you mean resnet50 or resnet50"):
        build("resnt50")
    with pytest.raises(ConfigError, match=r"timm has no model 'lit0' \(did you mean backbone=lite0 or backbone=lite"):
        build("lit0")
    with pytest.raises(ConfigError, match=r"resnet18 has no weights tag 'a1_inlk'; nearest: a1_in1k"):
        build("resnet18.a1_inlk")


def test_a_model_without_a_square_input_asks_for_a_size() -> None:
    with pytest.raises(ConfigError, match=r"1024 x 768, not square: set backbone.image_size"):
        preprocessing("vit_base_patch16_sapiens2")


WIDTHS = [
    ("resnet18", None, 64),
    ("inception_v3", None, 96),
    ("vgg11", None, 64),
    ("mobilenetv3_small_050", None, 64),
    ("deit_tiny_distilled_patch16_224", None, 32),
    ("swin_tiny_patch4_window7_224", None, 32),
    ("crossvit_tiny_240", None, 240),
    ("resnet10t", "catavgmax", 64),
]


@pytest.mark.parametrize(("name", "pool", "size"), WIDTHS)
def test_features_are_vectors_of_the_stated_width(name: str, pool: str | None, size: int) -> None:
    backbone = build_backbone(name, image_size=size, global_pool=pool, meta=True).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(3, 3, size, size, device="meta"))
    assert features.shape == (3, feature_width(backbone))


def test_features_are_the_pre_logits_of_the_whole_model() -> None:
    """The backbone takes the place of `forward_head(pre_logits=True)`."""
    whole = timm.create_model("mobilenetv3_small_050", num_classes=7).eval()
    backbone = build_backbone("mobilenetv3_small_050", image_size=64).eval()
    backbone.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("classifier.")})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), whole.forward_head(whole.forward_features(images), pre_logits=True))


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
def test_a_convolutional_backbone_pools_as_asked(pool: str) -> None:
    backbone = build_backbone("test_resnet", image_size=64, global_pool=pool).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        last = backbone.forward_features(images)
        average, largest = last.mean((2, 3)), last.amax((2, 3))
        expected = {
            "avg": average,
            "max": largest,
            "avgmax": (average + largest) / 2,
            "catavgmax": torch.cat([average, largest], 1),
        }[pool]
        assert feature_width(backbone) == expected.shape[1]
        torch.testing.assert_close(backbone(images), expected)


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_a_transformer_pools_as_asked_and_keeps_its_pretrained_norm(pool: str) -> None:
    backbone = build_backbone("vit_tiny_patch16_224", image_size=32, global_pool=pool).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        tokens = backbone.forward_features(images)
        torch.testing.assert_close(backbone(images), tokens[:, 0] if pool == "token" else tokens[:, 1:].mean(1))
    assert "norm.weight" in backbone.state_dict()
    assert "fc_norm.weight" not in backbone.state_dict()


READINGS = [("test_vit", "avg", 32), ("eva02_tiny_patch14_224", "token", 224), ("xcit_nano_12_p8_224", "avg", 32)]


@pytest.mark.parametrize(("name", "other", "size"), READINGS)
def test_a_class_token_and_the_average_are_read_from_one_pass(name: str, other: str, size: int) -> None:
    """To the bit as each pooling by itself, and the backbone stays as it was."""
    own, alone = (build_backbone(name, image_size=size, global_pool=pool, seed=3).eval() for pool in (None, other))
    assert other_pooling(own, name, image_size=size) == other
    reading, images = read_otherwise(own, name, other), torch.randn(2, 3, size, size)
    with torch.no_grad():
        last = own.forward_features(images)
        assert torch.equal(reading.forward_head(last), alone(images))
        assert torch.equal(own.forward_head(last), own(images))
        assert not torch.equal(reading(images), own(images))
    assert feature_width(reading) == feature_width(own)
    assert {id(each) for each in reading.parameters()} == {id(each) for each in own.parameters()}


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "test_vit2", "test_vit3", "pit_ti_224",
                                  "deit_tiny_distilled_patch16_224", "crossvit_tiny_240"])  # fmt: skip
def test_without_a_class_token_of_its_own_a_backbone_has_one_reading(name: str) -> None:
    size = pretrained_cfg(name)["input_size"][-1]
    backbone = build_backbone(name, image_size=size, meta=True)
    assert other_pooling(backbone, name, image_size=size) is None


@pytest.mark.parametrize(
    ("name", "pool"),
    [("resnet18", "token"), ("vit_tiny_patch16_224", "catavgmax"), ("mobilenetv3_small_050", "catavgmax")],
)
def test_a_pooling_that_the_architecture_lacks_is_refused(name: str, pool: str) -> None:
    with pytest.raises(ConfigError, match=rf"head.global_pool={pool} is not taken by {name}: leave it null"):
        build_backbone(name, image_size=224, global_pool=pool, meta=True)


def test_stochastic_depth_that_the_architecture_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"backbone.drop_path_rate=0.2 is not taken by vgg11: leave it null"):
        build_backbone("vgg11", image_size=64, drop_path_rate=0.2, meta=True)


def test_stochastic_depth_and_dropout_arrive() -> None:
    backbone = build_backbone("swin_tiny_patch4_window7_224", image_size=32, drop_path_rate=0.2, meta=True)
    assert max(getattr(module, "drop_prob", 0) or 0 for module in backbone.modules()) == pytest.approx(0.2)
    backbone = build_backbone("resnet18", image_size=64, drop_rate=0.3, meta=True)
    assert backbone.drop_rate == 0.3


def test_a_fixed_size_is_adapted_where_the_model_can() -> None:
    backbone = build_backbone("vit_tiny_patch16_224", image_size=64).eval()
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 192)


@pytest.mark.parametrize(("name", "size", "own"), [("inception_v3", 32, 299), ("mvitv2_tiny", 16, 224)])
def test_a_size_that_does_not_fit_names_the_one_that_does(name: str, size: int, own: int) -> None:
    with pytest.raises(ConfigError, match=rf"backbone.image_size={size} .*{name}.* {own}"):
        build_backbone(name, image_size=size, meta=True)


def test_weights_depend_on_the_seed_alone_and_leave_the_generators_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_backbone("test_resnet", image_size=64, seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    again = build_backbone("test_resnet", image_size=64, seed=3).state_dict()
    other = build_backbone("test_resnet", image_size=64, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_meta_device_has_names_and_shapes_without_memory() -> None:
    real = build_backbone("test_resnet", image_size=64)
    dry = build_backbone("test_resnet", image_size=64, meta=True)
    assert {n: p.shape for n, p in real.named_parameters()} == {n: p.shape for n, p in dry.named_parameters()}
    assert all(parameter.is_meta for parameter in dry.parameters())
    assert feature_width(real) == feature_width(dry)
    assert isinstance(dry, nn.Module)
