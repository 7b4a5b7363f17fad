import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.composed import composed
from tlexp.config import Config
from tlexp.errors import ConfigError
from tlexp.experiment.build import build_network
from tlexp.paths import conf_options
from tlexp.studies.planning import pool
from tlexp.studies.planning.pool import POOLS, find_pool, pool_entries


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")


@pytest.fixture
def compose() -> Callable[[tuple[str, ...]], Config]:
    return lambda words: composed(*words, "freeze=all", "head=logreg").config


def test_pools_name_options_of_the_backbone_group() -> None:
    assert {name for each in POOLS.values() for name in each} <= set(conf_options("backbone"))
    assert tuple(pool_entries(["any"])) == POOLS["any"]
    assert tuple(pool_entries(["small", "tiny", "vgg16"])) == (*POOLS["small"], "vgg16")


def test_each_network_is_taken_at_each_size(compose: Callable[[tuple[str, ...]], Config]) -> None:
    """What ImageNet's results say is of the network's own size."""
    found, missing = find_pool(pool_entries(["lite0", "tiny"], [64, 224]), compose)
    assert [each.name for each in found] == ["tiny-64px", "lite0-64px", "tiny-224px", "lite0-224px"]
    assert {each.name: each.prior for each in found if each.prior} == {"lite0-224px": 74.846}
    assert [each.facts["image_size"] for each in found] == [64, 64, 224, 224]
    assert missing == {}


def test_what_a_network_costs_is_told_of_the_size_that_runs(compose: Callable[[tuple[str, ...]], Config]) -> None:
    """Stated for all of them, `backbone.image_size` is no part of an entry; positions of a transformer are fewer."""
    entries = pool_entries(["lite0", "deit_tiny_patch16_224@tlexp:tiny"])
    native, _ = find_pool(entries, compose)
    small, _ = find_pool(entries, lambda words: compose(("backbone.image_size=64", *words)))
    assert [each.facts["image_size"] for each in (*native, *small)] == [224, 224, 64, 64]
    assert all(12 * few.operations < many.operations * 1.1 for few, many in zip(small, native, strict=True))
    assert (native[0].parameters, native[1].parameters) == (small[0].parameters, small[1].parameters + 180 * 192)


def test_sizes_that_a_network_does_not_take_are_named(compose: Callable[[tuple[str, ...]], Config]) -> None:
    def of_one(words: tuple[str, ...]) -> Config:
        return compose(("backbone=timm", "backbone.name=mvitv2_tiny", "backbone.weights=tlexp:tiny", *words))

    found, missing = find_pool(pool_entries([], [16, 224]), of_one)
    assert [each.name for each in found] == ["224px"]
    assert missing["16px"].startswith("backbone.image_size=16 ")


def test_the_cheapest_comes_first_and_what_cannot_be_had_is_named(compose: Callable[[tuple[str, ...]], Config]) -> None:
    found, missing = find_pool(pool_entries(["lite0", "tiny", "resnet18", "pixels"]), compose)
    assert [each.name for each in found] == ["tiny", "lite0"]
    assert missing["resnet18"] == "its weights are not here, and HF_HUB_OFFLINE is set"
    assert "control" in missing["pixels"]


def test_a_mistyped_network_beside_others_is_refused(compose: Callable[[tuple[str, ...]], Config]) -> None:
    with pytest.raises(ConfigError) as caught:
        find_pool(pool_entries(["tiny", "lit0", "resnet5000", "pixels"], [32, 64]), compose)
    [near, far] = caught.value.problems
    assert "study.backbones: backbone.name=lit0: timm has no model 'lit0' (did you mean backbone=lite0 " in near
    assert "no model 'resnet5000'" in far


def test_an_entry_has_what_the_bill_tells(compose: Callable[[tuple[str, ...]], Config]) -> None:
    [lite0], _ = find_pool(pool_entries(["lite0"]), compose)
    assert (lite0.prior, lite0.licence, round(lite0.megabytes)) == (74.846, "apache-2.0", 13)
    assert lite0.facts["megabytes"] == lite0.megabytes, "13.48 is 13 on the page, as it is in the bill"
    assert lite0.facts["image_size"] == 224
    [tiny], _ = find_pool(pool_entries(["tiny"]), compose)
    assert tiny.prior is None
    assert tiny.licence == "non-commercial (ImageNet)"


def test_the_same_network_twice_is_taken_once(compose: Callable[[tuple[str, ...]], Config]) -> None:
    found, missing = find_pool(pool_entries(["lite0", "tf_efficientnet_lite0"]), compose)
    assert [each.name for each in found] == ["lite0"]
    assert missing == {"tf_efficientnet_lite0": "the same as lite0"}


def test_a_pooling_of_its_own_is_an_entry_that_the_labels_choose_among(
    compose: Callable[[tuple[str, ...]], Config],
) -> None:
    """What ImageNet's results say is of the network's own pooling."""
    entries = pool_entries(["test_vit@tlexp:tiny", "test_vit@tlexp:tiny+avg", "lite0+max", "lite0+token"])
    found, missing = find_pool(entries, compose)
    assert list(missing) == ["lite0+token"]
    assert missing["lite0+token"].startswith("head.global_pool=token is not taken by tf_efficientnet_lite0")
    assert [(each.backbone.name, each.pooling, "-avg" in each.name) for each in found] == [
        ("test_vit", None, False), ("test_vit", "avg", True), ("tf_efficientnet_lite0", "max", False),
    ]  # fmt: skip
    assert found[-1].prior is None


def test_a_vision_transformer_is_read_in_two_ways_unless_one_is_named(
    compose: Callable[[tuple[str, ...]], Config],
) -> None:
    """ImageNet's results say of the network what they say; without a class token there is one way."""
    entries = pool_entries(["deit_tiny_patch16_224@tlexp:tiny", "eva02_tiny_patch14_224@tlexp:tiny", "lite0"])
    found, _ = find_pool(entries, compose, readings=True)
    assert [(each.backbone.name, each.pooling) for each in found] == [
        ("tf_efficientnet_lite0", None),
        ("deit_tiny_patch16_224", None),
        ("deit_tiny_patch16_224", "avg"),
        ("eva02_tiny_patch14_224", None),
        ("eva02_tiny_patch14_224", "token"),
    ]
    assert [(each.name, each.reads) for each in found if each.reads] == [
        (f"{found[1].name}-avg", found[1].name),
        (f"{found[3].name}-token", found[3].name),
    ]
    own, other = found[1:3]
    assert compose(other.words).head.global_pool == "avg"
    assert (other.operations, other.parameters, other.prior) == (own.operations, own.parameters, own.prior)
    by_hand = pool_entries(["test_vit@tlexp:tiny", "test_vit@tlexp:tiny+avg"])
    assert [each.reads for each in find_pool(by_hand, compose, readings=True)[0]] == ["", ""]
    chosen, _ = find_pool(pool_entries(["test_vit@tlexp:tiny+max"]), compose, readings=True)
    assert [each.pooling for each in chosen] == ["max"]


def test_a_network_that_memory_cannot_hold_is_left_out(
    compose: Callable[[tuple[str, ...]], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_memory", lambda: 20e6)
    found, missing = find_pool(pool_entries(["tiny", "lite0"]), compose)
    assert [each.name for each in found] == ["tiny"]
    assert missing["lite0"] == "too large for the memory: 3 million parameters"


def test_own_weights_that_are_not_there_or_do_not_fit_are_named(
    compose: Callable[[tuple[str, ...]], Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, network in {"own.pth": "tiny", "other.pth": "lite0"}.items():
        torch.save(build_network(compose((f"backbone={network}",))).backbone.state_dict(), name)
    Path("torn.pth").write_bytes(Path("own.pth").read_bytes()[:999])
    Path("empty.pth").touch()
    names = ("own.pth", "lost.pth", "other.pth", "torn.pth", "empty.pth", "runs:/01")
    found, missing = find_pool(pool_entries([f"tiny@{name}" for name in names]), compose)
    assert [each.backbone.weights for each in found] == ["own.pth", "runs:/01"]
    assert list(missing) == ["tiny@lost.pth", "tiny@other.pth", "tiny@torn.pth", "tiny@empty.pth"]
    assert missing["tiny@lost.pth"] == "there is no lost.pth"
    assert missing["tiny@other.pth"].startswith("file other.pth does not fit test_resnet: ")
    assert all(missing[f"tiny@{name}.pth"].startswith(f"weights file {name}.pth: ") for name in ("torn", "empty"))


@pytest.mark.parametrize(
    ("groups", "limit"),
    [
        ("", "memory.max"),
        ("0::/\n", "memory.max"),
        ("0::/user.slice/job_7\n", "user.slice/memory.max"),
        ("0::/user.slice/job_7\n", "user.slice/job_7/memory.max"),
        ("0::/docker/there_is_none\n", "memory.max"),
        ("5:cpu:/\n4:hugetlb,memory:/slurm/job_7\n0::/\n", "memory/slurm/job_7/memory.limit_in_bytes"),
    ],
)
def test_the_memory_is_what_the_control_groups_of_the_process_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str, limit: str
) -> None:
    """A batch system limits a group below the root's."""
    machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    (tmp_path / "cgroup").write_text(groups)
    (tmp_path / limit).parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(pool, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(pool, "_GROUP_ROOT", tmp_path)
    for text, expected in (("4096\n", 4096.0), ("max\n", machine), (f"{2**62}\n", machine)):
        (tmp_path / limit).write_text(text)
        assert pool._memory() == expected
    (tmp_path / "cgroup").unlink()
    (tmp_path / limit).unlink()
    assert pool._memory() == machine


def test_a_pool_of_nothing_is_refused_with_the_reasons(compose: Callable[[tuple[str, ...]], Config]) -> None:
    with pytest.raises(ConfigError, match=r"can be had here \(resnet18: its weights are not .*\)"):
        find_pool(pool_entries(["resnet18"]), compose)


def test_weights_that_never_knew_the_classes_are_no_favourite() -> None:
    """Other weights of their architecture say nothing of them."""
    assert pool._top1("vit_base_patch16_224.mae") is None
    assert pool._top1("tf_efficientnet_lite0") == 74.846
