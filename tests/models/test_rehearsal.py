import pytest
import torch
from torch import Tensor, nn

from tlexp.models import build_backbone, rehearsal
from tlexp.models.rehearsal import Rehearsal


def told(backbone: nn.Module) -> object:
    found = Rehearsal(backbone, image_size=64)
    crossing = [found.crossing(tick) for tick in range(max(found.operations) + 1)]
    return found.started, found.used, found.operations, crossing, found.features.shape, found.features.stride()


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_normalisations_tell_the_same_whether_their_arithmetic_is_done(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone(name, image_size=64, meta=True)
    quickly = told(backbone)
    monkeypatch.setattr(rehearsal, "_keeps_shape", lambda *_: False)
    assert told(backbone) == quickly


@pytest.mark.parametrize("wrong", [nn.BatchNorm2d(4), nn.LayerNorm(4)])
def test_a_normalisation_that_does_not_fit_is_refused(wrong: nn.Module) -> None:
    class Misfit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = wrong

        def forward(self, images: Tensor) -> Tensor:
            normed: Tensor = self.norm(torch.relu(images))
            return normed

    with pytest.raises(RuntimeError):
        Rehearsal(Misfit(), image_size=8)
