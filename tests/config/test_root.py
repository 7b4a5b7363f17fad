import dataclasses
import json
from typing import Any

import pytest

from tlexp.config import GROUPS, Config, config_fields, config_key, config_values
from tlexp.config.freeze import FreezeNorm, FreezePolicy
from tlexp.config.head import HeadConfig, HeadKind
from tlexp.config.optim import DEFAULT_RATES, FROZEN_MAP, FROZEN_MLP, SCRATCH, Optimizer
from tlexp.config.train import ClassWeights
from tlexp.learn.learner import solved_candidates


def _config() -> Config:
    config = Config()
    config.backbone.name = "resnet18"
    return config


def _other(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [*value, 3]
    return "something else"


NEVER_KEY = {
    "data.memory_bytes", "data.download", "data.class_names", "data.recheck",
    "train.checkpoint_seconds", "train.save_weights", "train.progress",
    "tracking.enabled", "tracking.uri", "tracking.experiment", "tracking.figures", "tracking.log_model",
    "tracking.system_metrics", "tracking.wait_seconds", "resume",
    "cache.mode", "cache.dir", "cache.max_bytes",
    *(name for name in config_fields() if name.startswith("study.")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(config_fields()))
def test_the_key_changes_with_every_setting_that_can_change_a_result_and_with_no_other(name: str) -> None:
    config, changed = _config(), _config()
    group, _, field = name.rpartition(".")
    holder = getattr(changed, group) if group else changed
    special: dict[str, Any] = {"labels": "30", "freeze.depth": "3", "optim.name": Optimizer.sgd}
    setattr(holder, field, special.get(name, _other(getattr(holder, field))))
    assert (config_key(config) == config_key(changed)) == (name in NEVER_KEY)


def test_the_key_changes_with_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config_key(Config())
    monkeypatch.setattr("tlexp.config.root.PROTOCOL", -1)
    assert config_key(Config()) != before


def test_the_key_sees_values_not_spellings() -> None:
    one, other = _config(), _config()
    one.labels, other.labels = "0.10", ".1"
    one.freeze.depth, other.freeze.depth = "0.50", "0.5"
    one.data.seed, other.data.seed = None, other.seed
    assert config_key(one) == config_key(other)
    forth, back = (Config(head=HeadConfig(units=units)) for units in (["layer3", "layer4"], ["layer4", "layer3"]))
    assert config_key(forth) == config_key(back)


def test_values_are_plain_json_and_every_setting_is_documented() -> None:
    json.dumps(config_values(_config()))
    assert all(entry.metadata["doc"].endswith(".") for entry in config_fields().values())
    assert {name.split(".")[0] for name in config_fields() if "." in name} == set(GROUPS)


def test_every_policy_and_optimiser_has_default_rates() -> None:
    rows = {policy.rates_as for policy in FreezePolicy}
    assert set(DEFAULT_RATES) == {
        (row, name) for row in (*rows, SCRATCH, FROZEN_MLP, FROZEN_MAP) for name in Optimizer
    }, "a new policy says in _RATES_AS of config/freeze.py whose rates it has"


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (HeadKind.linear, FreezePolicy.all),
        (HeadKind.mlp, FROZEN_MLP),
        (HeadKind.flatten_mlp, FROZEN_MAP),
        (HeadKind.attention, FROZEN_MAP),
    ],
)
def test_default_rates_on_a_frozen_backbone_follow_what_the_head_sees(kind: HeadKind, row: str) -> None:
    config = _config()
    config.head.kind = kind
    assert config.default_rates == config.probe_rates == DEFAULT_RATES[row, Optimizer.adamw]


def test_default_rates_follow_the_start_and_give_way_to_stated_ones() -> None:
    config = _config()
    config.freeze.policy = FreezePolicy.last
    tuned = config.default_rates
    config.backbone.pretrained = False
    scratch = config.default_rates
    assert scratch.lr > tuned.lr
    config.optim.lr = 0.5
    assert config.default_rates == dataclasses.replace(scratch, lr=0.5)


@pytest.mark.parametrize(
    ("head", "trials", "decay", "compares"),
    [
        ("linear", 0, None, False),
        ("linear", 1, None, False),
        ("linear", 2, None, True),
        ("logreg", 0, None, True),
        ("ridge", 1, None, False),
        ("logreg", 0, 0.1, False),
        ("knn", 0, None, True),
        ("nearest_mean", 0, None, False),
        ("nearest_mean", 7, None, False),
    ],
)
def test_it_says_whether_several_settings_are_compared(
    head: str, trials: int, decay: float | None, compares: bool
) -> None:
    config = _config()
    config.head.kind, config.tune.trials, config.optim.weight_decay = HeadKind(head), trials, decay
    assert config.compares is compares
    choices = solved_candidates(config.head.kind, trials=trials, weight_decay=decay, smallest=20)[1]
    assert not config.head.kind.solved or (len(choices) > 1) is compares


@pytest.mark.parametrize(("trials", "refused"), [(0, False), (1, False), (2, True)])
def test_what_is_not_validated_cannot_be_compared(trials: int, refused: bool) -> None:
    config = _config()
    config.tune.trials, config.tune.validate = trials, False
    assert bool(config.tune.problems()) is refused


def test_a_head_that_is_solved_on_folds_is_solved_again_on_the_whole() -> None:
    config = _config()
    config.freeze.policy, config.head.kind, config.train.refit = FreezePolicy.all, HeadKind.logreg, False
    assert config.problems() == [
        "train.refit=false needs a head that is trained, such as head=linear: head=logreg knows none"
    ]


def test_all_problems_are_found_at_once() -> None:
    config = Config()
    config.backbone.std = [0.0, 1.0, 1.0]
    config.head.hidden = [4]
    config.data.per_class = 0
    config.optim.lr = -1.0
    config.train.device = "gpu"
    config.tune.lr = [1.0, 0.1]
    config.labels = "0"
    config.seed = -1
    problems = "\n".join(config.problems())
    for key in (
        "backbone.name", "backbone.std", "head.hidden", "data.per_class", "optim.lr", "tune.lr",
        "labels", "seed",
    ):  # fmt: skip
        assert key in problems, key


def test_kept_norms_need_a_pretrained_start() -> None:
    config = _config()
    config.freeze.norm = FreezeNorm.keep
    assert not config.problems()
    config.backbone.pretrained = False
    [problem] = config.problems()
    assert "freeze.norm=keep" in problem
    assert "backbone.pretrained=false" in problem


def test_features_of_moving_norms_are_named_as_moving() -> None:
    config = _config()
    for norm, moves in ((FreezeNorm.follow, False), (FreezeNorm.keep, False), (FreezeNorm.update, True)):
        config.freeze.norm = norm
        assert ("freeze.norm=update" in str(config.moving)) == moves
        assert (config.moving is not None) == moves


@pytest.mark.parametrize(
    ("pretrained", "weights", "allowed"),
    [(False, None, True), (False, "tlexp:tiny", True), (True, None, False), (False, "photos.pth", False)],
)
def test_calibration_needs_random_weights(pretrained: bool, weights: str | None, allowed: bool) -> None:
    config = _config()
    config.backbone.pretrained, config.backbone.weights, config.backbone.calibrate = pretrained, weights, True
    problems = config.problems()
    assert bool(problems) != allowed
    assert all("backbone.calibrate=true prepares random weights" in problem for problem in problems)
    config.freeze.norm = FreezeNorm.keep
    assert config.problems() == problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("freeze.policy", FreezePolicy.none),
        ("freeze.policy", FreezePolicy.last),
        ("backbone.weights", "photos.pth"),
        ("backbone.weights", "tlexp:tiny"),
        ("backbone.calibrate", True),
        ("backbone.drop_rate", 0.1),
        ("backbone.drop_path_rate", 0.1),
        ("head.global_pool", "max"),
    ],
)
def test_raw_pixels_refuse_what_needs_a_network(name: str, value: Any) -> None:
    config = Config()
    config.backbone.name = "pixels"
    for pretrained in (True, False):
        config.backbone.pretrained = pretrained
        assert not config.problems()
    group, _, field = name.partition(".")
    setattr(getattr(config, group), field, value)
    [problem] = config.problems()
    assert problem.startswith(f"freeze={value}" if name == "freeze.policy" else f"{name}={value}")
    assert "backbone=pixels" in problem


@pytest.mark.parametrize("head", HeadKind)
def test_class_weights_need_a_loss(head: HeadKind) -> None:
    config = _config()
    config.head.kind, config.train.class_weights = head, ClassWeights.balanced
    config.head.hidden = [8] if head.hidden_layers else []
    told = (
        f"train.class_weights=balanced needs a head with a loss: head={head} has none; use head=logreg or head=ridge, "
        "or leave it out"
    )
    assert (told in config.problems()) == (head in (HeadKind.knn, HeadKind.nearest_mean))
