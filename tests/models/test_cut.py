"""A cut backbone is the whole one: the same features, the same gradients, for every family of timm that can be cut."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.test_units import FAMILIES
from tlexp.errors import ConfigError
from tlexp.models import Unit, build_backbone, find_units, preprocessing
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError, in_modes

REFUSED = {
    "eva": "torch.fx cannot follow it (TraceError",
    "gemma4_vit": "torch.fx cannot follow it (TraceError",
    "twins": "torch.fx cannot follow it (TraceError",
}
"""Families that cannot be cut, and why."""

QUICK = (
    "convit",
    "hrnet",
    "levit",
    "mobilenetv3",
    "nfnet",
    "repghost",
    "resnet",
)
"""Families of the default run, one of each kind.

Late tokens (convit), several branches (hrnet), followed necks (mobilenetv3), tokens that become maps (levit),
standardised weights (nfnet), branches that are added (repghost), and plain ones.
"""

Network = tuple[nn.Module, tuple[Unit, ...], int]


def build(name: str, **options: Any) -> Network:
    """Return a backbone for the smallest images that it takes."""
    own = preprocessing(name).image_size
    for size in (*(size for size in (64, 56, 128) if size < own), own):
        try:
            backbone = build_backbone(name, image_size=size, **options)
        except ConfigError:
            continue
        return backbone, find_units(backbone, image_size=size), size
    raise AssertionError(name)


@cache
def images(size: int, count: int = 5) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def still(units: tuple[Unit, ...], depth: int) -> set[str]:
    return {name for unit in units[:depth] for name in unit.modules}


def close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    scale = float(expected.abs().max())
    return found.shape == expected.shape and float((found - expected).abs().max()) <= tolerance * max(scale, 1e-12)


def check_evaluation(network: Network, cut: Cut, prefix: Callable[[Tensor], list[Tensor]]) -> None:
    """Whatever the size of the batch, the parts give what the whole gives."""
    backbone, units, size = network
    with in_modes(backbone, still(units, len(units))), torch.no_grad():
        for count in (1, 2, 5):
            [rows] = prefix(images(size)[:count])
            assert rows.shape == (count, cut.width)
            assert rows.dtype is cut.dtype
            assert close(cut.suffix(rows, training=False), backbone(images(size)[:count]), 1e-5)


def check_training(network: Network, cut: Cut, prefix: Callable[[Tensor], list[Tensor]]) -> None:
    """With the same seed, the suffix drops what the whole drops, and its gradients are the whole's."""
    backbone, units, size = network
    with in_modes(backbone, still(units, len(units))), torch.no_grad():
        [rows] = prefix(images(size))
    outputs, gradients = [], []
    with in_modes(backbone, still(units, cut.depth)):
        for run in (lambda: backbone(images(size)), lambda: cut.suffix(rows.clone(), training=True)):
            backbone.zero_grad()
            torch.manual_seed(0)
            features = run()
            (features * torch.linspace(-1, 1, features.shape[1])).sum().backward()
            outputs.append(features.detach())
            trained = {name for unit in units[cut.depth :] for name in unit.parameters}
            gradients.append({n: p.grad for n, p in backbone.named_parameters() if n in trained})
        backbone.zero_grad()
    assert close(outputs[1], outputs[0], 1e-5)
    whole, parts = gradients
    assert {name for name, grad in whole.items() if grad is not None} == {n for n, g in parts.items() if g is not None}
    scale = max(float(grad.abs().max()) for grad in whole.values() if grad is not None)
    for name, grad in whole.items():
        if grad is not None:
            assert float((parts[name] - grad).abs().max()) <= 1e-4 * scale, name


def check_family(family: str) -> None:
    """All boundaries are cut; the laws are checked behind the first, one in the middle and the last.

    Behind every boundary `cut` itself compares the parts with the whole, for three images.
    """
    network = backbone, units, size = build(FAMILIES[family])
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    attributes = set(vars(backbone))
    if family in REFUSED:
        with pytest.raises(CutError, match=re.escape(REFUSED[family])):
            Cutter(backbone, units, images(size, 3))
        return
    cutter = Cutter(backbone, units, images(size, 3))
    depths = range(1, len(units))
    cuts = {depth: cutter.cut(depth) for depth in depths}
    assert set(vars(backbone)) == attributes
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone.state_dict().items())
    some = {1, len(units) // 2, len(units) - 1}
    chosen = [cut for depth, cut in cuts.items() if depth in some]
    prefixes = {cut.depth: cutter.prefix([cut]) for cut in chosen}
    with in_modes(backbone, still(units, len(units))), torch.no_grad():
        together = cutter.prefix(chosen)(images(size))
        for cut, rows in zip(chosen, together, strict=True):
            assert torch.equal(rows, prefixes[cut.depth](images(size))[0])
    for cut in chosen:
        check_evaluation(network, cut, prefixes[cut.depth])
    for cut in chosen:  # running statistics move
        check_training(network, cut, prefixes[cut.depth])
    assert backbone.state_dict().keys() == state.keys()


@pytest.mark.parametrize("family", [*QUICK, "twins"])
def test_a_cut_backbone_is_the_whole(family: str) -> None:
    check_family(family)


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in (*QUICK, "twins")])
def test_the_other_families_are_the_whole_too(family: str) -> None:
    check_family(family)


def test_most_families_can_be_cut() -> None:
    assert set(REFUSED) <= set(FAMILIES)
    assert len(FAMILIES) - len(REFUSED) >= 85


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = nn.Linear(3 * 16**2, 8), nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer(self.stem(images.flatten(1)))
        return features


def two_units(network: nn.Module) -> tuple[Unit, ...]:
    parts = {name: [key for key, _ in network.named_parameters() if key.startswith(name)] for name in ("stem", "layer")}
    return tuple(
        Unit(
            index=place,
            name=name,
            parameters=tuple(own),
            buffers=(),
            modules=(name,),
            size=0,
            operations=0,
            shape=None,
        )
        for place, (name, own) in enumerate(parts.items())
    )


@pytest.mark.parametrize("autocast", [True, False])
def test_rounding_of_half_precision_is_no_reason_against_a_cut(autocast: bool) -> None:
    """Kernels that go by the batch round otherwise; what is summed in float32 then carries the noise of bfloat16."""

    def round_by_batch(module: nn.Module, inputs: tuple[Tensor], made: Tensor) -> Tensor:
        return made.float() + 3e-3 * made.abs().max() * (len(made) == 2)

    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        torch.manual_seed(0)
        network = TwoLayers()
        network.stem.register_forward_hook(round_by_batch)
        cutter = Cutter(network, two_units(network), images(16, 3))
        if autocast:
            assert cutter.cut(1).dtype is torch.float32
        else:
            with pytest.raises(CutError, match="depends on the other images"):
                cutter.cut(1)
