"""The keys of rows of features: those that lie in the caches of earlier runs are found by them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.composed import composed
from tests.conftest import Start
from tests.pins.conftest import stored_values
from tlexp.cache import Store
from tlexp.cache import key as keys
from tlexp.cache.key import cut_key
from tlexp.models import preprocessing

INNER: dict[str, Any] = {"cut": "layer2 > [0]", "dtype": torch.bfloat16, "width": 2048}
VIEW: dict[str, Any] = {"view": 1, "view_seed": 3}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "features": ("", {}),
    "inner cut": ("freeze=depth freeze.depth=2", INNER),
    "view": ("augment=light cache.views=2", VIEW),
    "bfloat16": ("train.precision=bf16", {"autocast": torch.bfloat16}),
    "pooling": ("head.global_pool=max", {}),
    "whole map": ("head=flatten_mlp", {}),
    "attention": ("head=attention", {}),
    "units": ("head.units=[layer4,layer2]", {}),
    "image": ("backbone.image_size=32 backbone.mean=[0.1,0.2,0.3] backbone.interpolation=nearest", {}),
    "crop": ("backbone=resnet18 backbone.crop_pct=0.5", {}),
    "kernels": ("train.deterministic=true train.channels_last=false", {}),
    "pixels": ("backbone=pixels", {}),
}
RUNS = {
    "features": "",
    "views": "augment=light cache.views=2",
    "cut": "freeze=depth freeze.depth=2",
    "phases": "freeze=gradual freeze.phases=3",
    "units": "head.units=[layer2,layer4]",
}
HERE = ["cache=on", "train.device=cpu", "train.limit_steps=3", "labels=4", "tune.validate=false"]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries and machine are the same everywhere."""
    monkeypatch.setattr(keys, "library_versions", lambda: ("torch 1",))
    monkeypatch.setattr(keys, "device_kind", lambda device: "cpu PLAIN")


def test_settings_have_the_cut_keys_that_they_had() -> None:
    found = {}
    for name, (words, arguments) in CASES.items():
        config = composed(*words.split()).config
        stated = config.backbone
        expected = preprocessing(
            stated.name,
            image_size=stated.image_size,
            mean=stated.mean,
            std=stated.std,
            interpolation=stated.interpolation,
            crop_pct=stated.crop_pct,
        )
        given = {"weights": "ab" * 32, "width": 512, "device": torch.device("cpu"), "autocast": None, **arguments}
        key = cut_key(config, expected, **given)
        found[name] = {"digest": key.digest, **key.values()}
    assert found["features"]["libraries"] == ("torch 1",)
    digests = {name: key["digest"] for name, key in found.items()}
    assert digests == stored_values("cut-keys.json", digests)


def test_runs_keep_their_rows_under_the_keys_that_they_had(start: Start, tmp_path: Path) -> None:
    found = {}
    for name, words in RUNS.items():
        folder = tmp_path / "cache" / name
        start(*words.split(), *HERE, f"cache.dir={folder}", name=name)
        found[name] = sorted(entry.cut for entry in Store(folder, max_bytes=10**9).entries())
    assert found == stored_values("cut-keys-of-runs.json", found)
