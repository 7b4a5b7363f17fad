import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tlexp.config.head import Activation, HeadInit, HeadKind, HeadNorm
from tlexp.models import build_head
from tlexp.models.attention import AttentionPool


def test_a_zero_head_starts_at_log_of_the_number_of_classes() -> None:
    head = build_head(kind=HeadKind.linear, in_features=8, num_classes=7, seed=0)
    loss = F.cross_entropy(head(torch.randn(32, 8)), torch.randint(7, (32,)))
    assert loss.item() == pytest.approx(math.log(7), abs=1e-6)


@pytest.mark.parametrize("kind", sorted(set(HeadKind) - {HeadKind.knn, HeadKind.cosine}))
def test_a_normal_head_draws_its_last_layer_with_a_hundredth(kind: HeadKind) -> None:
    head = build_head(kind=kind, in_features=200, num_classes=100, hidden=[200], init=HeadInit.normal, seed=0)
    last = head[-1]
    assert isinstance(last, nn.Linear)
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not last.bias.any()


def test_the_seed_decides_and_the_global_generator_stays() -> None:
    def build(seed: int) -> dict[str, torch.Tensor]:
        options = {"hidden": [5], "init": HeadInit.normal}
        return build_head(kind=HeadKind.mlp, in_features=4, num_classes=3, seed=seed, **options).state_dict()

    before = torch.get_rng_state()
    first = build(1)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert all(torch.equal(first[name], tensor) for name, tensor in build(1).items())
    assert not torch.equal(first["0.weight"], build(2)["0.weight"])


@pytest.mark.parametrize("scale", [None, 4.0])
@pytest.mark.parametrize("init", [HeadInit.zero, HeadInit.normal])
def test_a_cosine_is_the_cosine_times_its_scale(init: HeadInit, scale: float | None) -> None:
    head = build_head(kind=HeadKind.cosine, in_features=9, num_classes=5, init=init, scale=scale, seed=2)
    features = torch.randn(6, 9)
    weight = head.state_dict()["0.weight"]
    cosines = F.cosine_similarity(features[:, None], weight[None], dim=2)
    assert torch.allclose(head(features), (scale or 10) * cosines, atol=1e-5)
    assert torch.allclose(head(features), head(7 * features), atol=1e-5)
    assert {name for name, _ in head.named_parameters()} == {"0.weight"} | ({"0.log_scale"} if scale is None else set())


def test_a_zero_cosine_starts_at_log_of_the_number_of_classes_and_its_classes_part() -> None:
    head = build_head(kind=HeadKind.cosine, in_features=8, num_classes=7, seed=0)
    labels = torch.randint(7, (32,))
    loss = F.cross_entropy(head(torch.randn(32, 8)), labels)
    assert loss.item() == pytest.approx(math.log(7), abs=1e-5)
    loss.backward()
    gradient = head.get_parameter("0.weight").grad
    assert gradient is not None
    assert len(gradient.unique(dim=0)) == 7


def test_attention_pools_tokens_of_the_row_whatever_their_order() -> None:
    options = {"kind": HeadKind.attention, "in_features": 5 * 16, "num_classes": 3, "init": HeadInit.normal}
    head = build_head(tokens=5, seed=1, **options).eval()  # type: ignore[arg-type]
    rows = torch.randn(4, 5, 16)
    logits = head(rows.flatten(1))
    assert logits.shape == (4, 3)
    assert torch.allclose(logits, head(rows.flip(1).flatten(1)), atol=1e-6)
    assert not torch.allclose(logits, head(rows.flip(2).flatten(1)), atol=1e-3)


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("norm", HeadNorm)
def test_an_mlp_has_its_layers_in_order(activation: Activation, norm: HeadNorm) -> None:
    head = build_head(
        kind=HeadKind.mlp,
        in_features=8,
        num_classes=3,
        hidden=[6, 5],
        activation=activation,
        norm=norm,
        dropout=0.5,
        seed=0,
    )
    assert [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)] == [
        (8, 6),
        (6, 5),
        (5, 3),
    ]
    names = [type(layer).__name__.lower() for layer in head]
    assert names.count("dropout") == 2
    assert names.count(activation.value) == 2
    assert sum(norm.value in name for name in names) == (0 if norm is HeadNorm.none else 2)
    assert head(torch.randn(4, 8)).shape == (4, 3)


def test_dropout_stands_before_a_linear_head() -> None:
    head = build_head(kind=HeadKind.linear, in_features=8, num_classes=3, dropout=0.5, seed=0)
    assert [type(layer) for layer in head] == [nn.Dropout, nn.Linear]


@pytest.mark.parametrize("kind", sorted(set(HeadKind) - {HeadKind.knn}))
def test_the_head_computes_in_float32_inside_autocast(kind: HeadKind) -> None:
    head = build_head(kind=kind, in_features=64, num_classes=3, hidden=[16], init=HeadInit.normal, seed=0).eval()
    features = torch.randn(4, 64)
    plain = head(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head(features)
        assert head(features.bfloat16()).dtype is torch.float32
    assert inside.dtype is torch.float32
    assert torch.equal(plain, inside)


def test_attention_pools_normalised_tokens_in_any_order() -> None:
    pool, tokens = AttentionPool(6, 16), torch.randn(3, 6, 16)
    pooled = pool(tokens.flatten(1))
    assert pooled.shape == (3, 16)
    torch.testing.assert_close(pool(3 * tokens.flatten(1)), pooled, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pool(tokens.flip(1).flatten(1)), pooled)
    assert not torch.allclose(pool(tokens.mT.flatten(1)), pooled, atol=1e-2)
