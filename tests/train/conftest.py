"""A small network of three units with what makes resuming hard: BatchNorm, dropout, a token, a head with dropout."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tlexp.config.optim import Optimizer, Schedule
from tlexp.models.classifier import Classifier
from tlexp.models.units import Unit
from tlexp.train import FitPlan

CLASSES, IMAGES, SIZE, BATCH = 3, 12, 8, 4


class SmallNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 3, SIZE, SIZE))
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.3)
        )
        self.stage2 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())

    def no_weight_decay(self) -> set[str]:
        return {"token"}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.stage2(self.stage1(self.stem(images + self.token))).mean((2, 3))


def small_units(net: SmallNet) -> tuple[Unit, ...]:
    found = []
    for index, name in enumerate(("stem", "stage1", "stage2")):
        parameters = [key for key, _ in net.named_parameters() if key.startswith(f"{name}.")]
        buffers = [key for key, _ in net.named_buffers() if key.startswith(f"{name}.")]
        modules = [key for key, _ in net.named_modules() if key == name or key.startswith(f"{name}.")]
        found.append(
            Unit(
                index=index,
                name=name,
                parameters=tuple((["token"] if name == "stem" else []) + parameters),
                buffers=tuple(buffers),
                modules=tuple(modules),
                size=0,
                operations=0,
                shape=None,
            )
        )
    return tuple(found)


class SmallBatches:
    """ImageBatches from (seed, step) alone; classes differ in brightness."""

    def __init__(self, *, batch_size: int = BATCH, images: int = IMAGES, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(images) % CLASSES
        noise = torch.randn(images, 3, SIZE, SIZE, generator=generator)
        self.images = noise + self.labels[:, None, None, None]
        self.size, self.seed = min(batch_size, images), seed

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        chosen = torch.randperm(len(self.labels), generator=generator)[: self.size]
        return self.images[chosen], self.labels[chosen]


@pytest.fixture
def build_classifier() -> Callable[..., Classifier]:
    def build(depth: int = 0, *, seed: int = 0, zero: bool = False, dropout: float = 0.2, width: int = 6) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = SmallNet(width)
            linear = nn.Linear(width, CLASSES)
        if zero:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        return Classifier(net, nn.Sequential(nn.Dropout(dropout), linear), small_units(net), depth)

    return build


@pytest.fixture
def build_plan() -> Callable[..., FitPlan]:
    def build(**changes: Any) -> FitPlan:
        values: dict[str, Any] = {
            "steps": 6,
            "num_classes": CLASSES,
            "seed": 0,
            "optimizer": Optimizer.adamw,
            "lr": 1e-2,
            "weight_decay": 1e-2,
            "momentum": 0.9,
            "layer_decay": None,
            "schedule": Schedule.cosine,
            "warmup": 0.2,
            "clip_norm": 1.0,
            "label_smoothing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
            "autocast": None,
            "compile": False,
            "channels_last": False,
        }
        return FitPlan(**(values | changes))

    return build


@pytest.fixture
def build_batches() -> Callable[..., SmallBatches]:
    return SmallBatches


@pytest.fixture
def draw_rows() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Return features (n, d) float32 of k overlapping classes, with unequal axes and far from 0, and labels (n,)."""

    def draw(n: int, d: int, k: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(n)[torch.randperm(n, generator=generator)] % k
        means = 0.7 * torch.randn(k, d, generator=generator)
        axes = torch.linspace(0, -2, d).exp()
        return (means[labels] + torch.randn(n, d, generator=generator)) * axes + 3, labels

    return draw
