"""Whatever changes a row changes the key, and no setting may be forgotten; what changes no row leaves the key alone."""

import copy
import dataclasses
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cache.conftest import a_key
from tlexp.cache.key import (
    IMAGE_SETTINGS,
    IRRELEVANT_SETTINGS,
    CutKey,
    cut_key,
    device_kind,
    key_settings,
    library_versions,
)
from tlexp.config import Config, Preprocessing, config_fields
from tlexp.config.data import Decoder
from tlexp.config.head import HeadKind
from tlexp.models import preprocessing

PREPROCESSING = {f"preprocessing.{entry.name}" for entry in dataclasses.fields(Preprocessing)}
ROLES = {**key_settings(), **IMAGE_SETTINGS, **IRRELEVANT_SETTINGS}
"""Every setting, or whole group, and what it has to do with a row of features."""
CPU = torch.device("cpu")


def other_values(value: Any) -> list[Any]:
    """Return values that differ from a field's in one way each."""
    if isinstance(value, tuple):
        changed = [
            (*value[:place], other, *value[place + 1 :])
            for place, each in enumerate(value)
            for other in other_values(each)
        ]
        return [other for other in (*changed, value[::-1], value[:-1]) if other != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 1.0000001 + 1e-9]
    return ["other", 0] if value is None else [None, value + "x"]


CHANGES = [
    (entry.name, other)
    for entry in dataclasses.fields(CutKey)
    for other in other_values(getattr(a_key(), entry.name))
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_every_change_of_a_field_misses(name: str, value: Any) -> None:
    assert a_key(**{name: value}).digest != a_key().digest


def test_there_are_forty_changes_that_miss_and_all_differ() -> None:
    digests = {a_key(**{name: value}).digest for name, value in CHANGES}
    assert len(digests) == len(CHANGES) >= 40


def test_the_key_is_pinned() -> None:
    assert a_key().digest == "0b2f481ddaeffe1df6be706950f4895c9bd09f953f9eb7737ec4742f6c04a17d"
    assert a_key(mean=(0.1, 0.2, 0.3)).digest == a_key().digest
    assert a_key(crop_pct=7 / 8).digest == a_key().digest
    assert set(a_key().values()) == {entry.name for entry in dataclasses.fields(CutKey)}


def test_every_setting_has_a_role() -> None:
    settings = set(config_fields()) | PREPROCESSING
    forgotten = {name for name in settings if name not in ROLES and name.partition(".")[0] not in ROLES}
    assert not forgotten, f"say in tlexp/cache/key.py what {forgotten} have to do with a row of features"
    groups = {name for name in ROLES if "." not in name} - {"cache"}
    assert groups <= {name.partition(".")[0] for name in config_fields()}
    assert {name for name in ROLES if "." in name} <= settings
    assert len(ROLES) == len(key_settings()) + len(IMAGE_SETTINGS) + len(IRRELEVANT_SETTINGS), "has two roles"


def test_every_role_has_its_reason() -> None:
    assert all(ROLES.values())


# --- the same for whole configurations

KEYED: dict[str, Any] = {
    "backbone.name": "test_vit2",
    "backbone.image_size": 96,
    "backbone.mean": [0.1, 0.2, 0.3],
    "backbone.std": [0.1, 0.2, 0.3],
    "backbone.interpolation": "nearest",
    "backbone.crop_pct": 0.5,
    "head.global_pool": "max",
    "head.kind": HeadKind.flatten_mlp,
    "head.units": ["blocks.1"],
    "data.decoder": Decoder.fast,
    "train.channels_last": False,
    "train.deterministic": True,
}
"""Another value for each setting that reaches the key through the configuration alone."""
BY_ARGUMENT = {
    "backbone.pretrained",
    "backbone.calibrate",
    "backbone.weights",
    "train.precision",
    "train.device",
    "augment.kind",
}
"""Settings that reach it through an argument; each has a test below."""


def key_of(config: Config, **changes: Any) -> str:
    stated = config.backbone
    expected = preprocessing(
        stated.name,
        image_size=stated.image_size,
        mean=stated.mean,
        std=stated.std,
        interpolation=stated.interpolation,
        crop_pct=stated.crop_pct,
    )
    arguments: dict[str, Any] = {"weights": "w", "width": 512, "device": CPU, "autocast": None}
    return cut_key(config, changes.pop("expected", expected), **{**arguments, **changes}).digest


def plain() -> Config:
    config = Config()
    config.backbone.name = "test_vit"
    return config


def with_value(name: str, value: Any) -> Config:
    config = copy.deepcopy(plain())
    group, _, field = name.rpartition(".")
    setattr(getattr(config, group) if group else config, field, value)
    return config


def test_every_setting_in_the_key_is_tried() -> None:
    keyed = key_settings().keys() - PREPROCESSING
    assert keyed == KEYED.keys() | BY_ARGUMENT


@pytest.mark.parametrize(("name", "value"), KEYED.items())
def test_a_setting_in_the_key_misses(name: str, value: Any) -> None:
    assert key_of(with_value(name, value)) != key_of(plain())


@pytest.mark.parametrize("kind", [kind for kind in HeadKind if not kind.sees_map])
def test_heads_that_see_the_same_features_hit(kind: HeadKind) -> None:
    assert key_of(with_value("head.kind", kind)) == key_of(plain())


@pytest.mark.parametrize("field", sorted(PREPROCESSING))
def test_what_the_backbone_expects_misses(field: str) -> None:
    expected = preprocessing("test_vit")
    name = field.partition(".")[2]
    value = getattr(expected, name)
    if isinstance(value, tuple):
        other: Any = tuple(each + 0.1 for each in value)
    else:
        other = f"{value}x" if isinstance(value, str) else value / 2
    changed = dataclasses.replace(expected, **{name: other})
    assert key_of(plain(), expected=changed) != key_of(plain(), expected=expected)


@pytest.mark.parametrize(
    "changes",
    [{"weights": "v"}, {"width": 511}, {"device": torch.device("mps")}, {"autocast": torch.bfloat16}, {"view": 0}],
    ids=lambda changes: next(iter(changes)),
)
def test_an_argument_misses(changes: dict[str, Any]) -> None:
    assert key_of(plain(), **changes) != key_of(plain())


def test_views_miss_each_other_and_the_clean_image_hits_whatever_the_augmentation() -> None:
    light, crop = with_value("augment.kind", "light"), with_value("augment.kind", "crop")
    views = [(light, 0, 0), (light, 1, 0), (light, 0, 1), (crop, 0, 0)]
    assert len({key_of(config, view=view, view_seed=seed) for config, view, seed in views}) == 4
    assert key_of(light) == key_of(plain()) == key_of(plain(), view_seed=5)


def other_setting(value: Any, name: str) -> Any:
    """Return another value of a setting; it need not be a sensible one."""
    if isinstance(value, Enum):
        return next(other for other in type(value) if other is not value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [1] if isinstance(value, list) else "/elsewhere" if "root" in name else "0.5"


HITS = [
    name
    for name, entry in config_fields().items()
    if {name, name.partition(".")[0]} & (IMAGE_SETTINGS | IRRELEVANT_SETTINGS).keys()
]


@pytest.mark.parametrize("name", HITS)
def test_a_setting_that_changes_no_row_hits(name: str) -> None:
    config = plain()
    for part in name.split("."):
        config = getattr(config, part)
    assert key_of(with_value(name, other_setting(config, name))) == key_of(plain())


def test_there_are_twelve_settings_that_hit() -> None:
    assert len(HITS) >= 12


def test_the_libraries_are_those_that_compute() -> None:
    versions = dict(each.split() for each in library_versions())
    assert set(versions) == {"torch", "torchvision", "timm", "pillow", "numpy"}
    assert all(versions.values())


def test_another_library_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(plain())
    monkeypatch.setattr("tlexp.cache.key.library_versions", lambda: ("torch 1.0",))
    assert key_of(plain()) != before


def test_another_cpu_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(plain())
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "SVE")
    assert key_of(plain()) != before


@pytest.mark.parametrize("number", ["data.decode.DECODER", "cache.key.PROTOCOL", "cache.key.CHUNK"])
def test_another_number_of_ours_misses(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(plain())
    monkeypatch.setattr(f"tlexp.{number}", 10**6)
    assert key_of(plain()) != before


def test_a_folder_that_moved_hits(tmp_path: Path) -> None:
    assert key_of(with_value("data.root", str(tmp_path))) == key_of(plain())


def test_rows_of_a_gpu_say_that_float32_was_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    assert device_kind(torch.device("cuda", 0)) == "cuda NVIDIA A100 without TF32"
