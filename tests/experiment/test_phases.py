"""Policies that go through phases, as whole runs: what they equal, what they record, how they go on and are refused."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.composed import load
from tests.conftest import probability_bits
from tests.experiment.conftest import Stopper
from tlexp.errors import ConfigError, Interrupted
from tlexp.experiment.plan import build_plan, plan_table
from tlexp.experiment.run import Outcome
from tlexp.models import Classifier, load_classifier
from tlexp.tracking import read_record

Start = Callable[..., Outcome]
PHASED = {
    "lpft": (["freeze=lpft"], [(3, 5), (3, 0)]),
    "gradual": (["freeze=gradual", "freeze.phases=3"], [(2, 5), (2, 2), (2, 0)]),
}
"""Words, and (steps, depth) of each phase of the small run's 6 steps on 5 units."""


def same_weights(one: Path, other: Path) -> bool:
    states = [load_classifier(folder)[0].state_dict() for folder in (one, other)]
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


ALONE = [
    (["freeze=lpft", "freeze.probe_share=1"], "all"),
    (["freeze=lpft", "freeze.probe_share=0"], "none"),
    (["freeze=gradual", "freeze.phases=1"], "none"),
]
AUGMENTS = ["none", "light"]
RATES = [[], ["optim.lr=1e-2"], ["tune.trials=2"]]
QUICK = {(0, 0, 0), (0, 1, 2), (1, 1, 1), (1, 0, 2), (2, 0, 1), (2, 1, 0)}
"""Each pair of policy and augmentation once, and each policy with two of the rates."""


@pytest.mark.parametrize(
    ("phased", "plain", "augment", "rates"),
    [
        pytest.param(*ALONE[i], AUGMENTS[j], RATES[k], marks=() if (i, j, k) in QUICK else pytest.mark.slow)
        for i, j, k in itertools.product(range(3), range(2), range(3))
    ],
)
@pytest.mark.broad(2)
def test_one_phase_alone_is_the_policy_that_it_is(
    phased: list[str], plain: str, augment: str, rates: list[str], start: Start, tmp_path: Path
) -> None:
    words = [f"augment={augment}", "head.init=normal", *rates]
    one = start(*phased, *words, name="phased").record
    other = start(f"freeze={plain}", *words, name="plain").record
    assert probability_bits(tmp_path / "phased") == probability_bits(tmp_path / "plain")
    assert same_weights(tmp_path / "phased", tmp_path / "plain")
    assert one.train.selection.winner == other.train.selection.winner
    assert [getattr(one.freeze, name) for name in ("depth", "units", "digest_before")] == [
        getattr(other.freeze, name) for name in ("depth", "units", "digest_before")
    ]
    curves = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("phased", "plain")]
    assert curves[0] == curves[1]


def test_half_a_probe_is_two_phases(start: Start, tmp_path: Path) -> None:
    start("freeze=lpft", name="lpft")
    start("freeze=gradual", "freeze.phases=2", name="gradual")
    assert probability_bits(tmp_path / "lpft") == probability_bits(tmp_path / "gradual")


@pytest.mark.parametrize("head", [["head=linear"], ["head=mlp", "head.hidden=[8]", "head.dropout=0.3"]])
@pytest.mark.parametrize("optim", ["adamw", "sgd"])
@pytest.mark.broad(3)
def test_the_probe_phase_is_freeze_all_of_as_many_steps(
    head: list[str], optim: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates, batches and bits: what the frozen network saw once and kept, and what it sees again, are the same."""
    heads: list[dict[str, torch.Tensor]] = []
    refreeze = Classifier.refreeze

    def spied(self: Classifier, depth: int, *rest: Any, **named: Any) -> None:
        heads.append({name: tensor.clone() for name, tensor in self.head.state_dict().items()})
        refreeze(self, depth, *rest, **named)

    words = [*head, f"optim={optim}", "tune.validate=false"]
    start("freeze=all", "train.limit_steps=3", *words, name="all")
    expected = load_classifier(tmp_path / "all")[0].head.state_dict()
    monkeypatch.setattr(Classifier, "refreeze", spied)
    start("freeze=lpft", "optim.lr=1e-5", *words, name="lpft")
    assert [all(torch.equal(head[name], expected[name]) for name in expected) for head in heads[-2:]] == [
        False,  # as the fit begins
        True,  # as its second phase begins
    ]


@pytest.mark.parametrize("policy", PHASED)
def test_the_record_tells_what_each_phase_froze_and_that_it_stayed(policy: str, start: Start, tmp_path: Path) -> None:
    words, expected = PHASED[policy]
    start(*words, "optim.lr=2e-4")
    freeze = json.loads((tmp_path / "run" / "record.json").read_text())["freeze"]
    assert (freeze["policy"], freeze["depth"], freeze["units"]) == (policy, 0, [])
    assert [(phase["steps"], phase["depth"]) for phase in freeze["phases"]] == expected
    assert all(phase["digest_before"] == phase["digest_after"] for phase in freeze["phases"])
    assert len({phase["digest_before"] for phase in freeze["phases"]}) == len(expected)
    assert [phase["lr"] for phase in freeze["phases"]] == [3e-3] + [2e-4] * (len(expected) - 1)
    assert {phase["weight_decay"] for phase in freeze["phases"][1:]} == {0.05}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["phase"] == "final" and line["name"] == "train/loss"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_policy_without_phases_records_none(start: Start) -> None:
    assert start("freeze=last").record.freeze.phases is None


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("policy", PHASED)
@pytest.mark.broad(2)
def test_every_family_goes_through_its_phases(policy: str, name: str, start: Start, tmp_path: Path) -> None:
    words = ["backbone=timm", f"backbone.name={name}", "backbone.pretrained=false"]
    phases = start(*words, *PHASED[policy][0], "labels=2", "tune.validate=false").record.freeze.phases
    depths = [phase.depth for phase in phases]
    assert depths == sorted(set(depths), reverse=True)
    assert depths[-1] == 0
    assert all(phase.digest_before == phase.digest_after for phase in phases)


@pytest.mark.parametrize(
    ("policy", "questions"),
    [  # in every phase and between them, of both candidates and the final fit
        ("lpft", (17,)),
        ("gradual", (4,)),
        pytest.param("lpft", (0, 2, 3, 4, 9, 15, 20), marks=pytest.mark.slow),
        pytest.param("gradual", (0, 2, 3, 9, 15, 17, 20), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    policy: str, questions: tuple[int, ...], start: Start, tmp_path: Path
) -> None:
    words = [*PHASED[policy][0], "tune.trials=2", "tune.search=around", "augment=light", "backbone.drop_rate=0.2"]
    whole = start(*words, name="whole").record
    for question in questions:
        cut, resumed = f"cut{question}", f"resumed{question}"
        with pytest.raises(Interrupted):
            start(*words, name=cut, listener=Stopper(question))
        assert read_record(tmp_path / cut).status == "killed"
        record = start(*words, f"resume={tmp_path / cut}", name=resumed).record
        assert probability_bits(tmp_path / "whole") == probability_bits(tmp_path / resumed), question
        assert record.freeze == whole.freeze
        curves = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", resumed)]
        assert curves[0] == curves[1]


@pytest.mark.parametrize("policy", PHASED)
def test_every_fit_begins_at_the_same_start(policy: str, start: Start, tmp_path: Path) -> None:
    start(*PHASED[policy][0], "labels=3", name="selected")
    start(*PHASED[policy][0], "labels=3", "tune.validate=false", name="alone")
    assert same_weights(tmp_path / "selected", tmp_path / "alone")


@pytest.mark.parametrize("policy", PHASED)
def test_a_candidate_that_diverges_in_a_phase_spoils_no_other(policy: str, start: Start) -> None:
    words = ["optim=sgd", "tune.trials=3", "tune.lr=[1e-3,1e12]", "optim.clip_norm=null", "labels=10"]
    record = start(*PHASED[policy][0], *words).record
    losses = [trial.loss for trial in record.train.selection.trials]
    assert None in losses
    assert losses[0] is not None
    assert record.status == "finished"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["freeze=gradual", "freeze.phases=7"],
            r"freeze\.phases=7 is out of range for test_resnet: 1\.\.6, .*phases=6",
        ),
        (["freeze=gradual", "freeze.phases=4", "train.limit_steps=3"], r"freeze\.phases=4: .* of 3 steps .*\.phases=3"),
        (["freeze=lpft", "train.limit_steps=1"], r"freeze\.probe_share=0\.5: .* of 1 steps they would have 1, 0"),
        (["freeze=lpft", "freeze.probe_share=0.01"], r"freeze\.probe_share=0\.01: .* of 6 steps they would have 0, 6"),
    ],
)
def test_more_phases_than_units_or_steps_are_refused(words: list[str], message: str, start: Start) -> None:
    with pytest.raises(ConfigError, match=message):
        start(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["freeze=none", "freeze.phases=3"], r"freeze\.phases=3 needs freeze=gradual, but freeze=none"),
        (["freeze=lpft", "freeze.phases=3"], r"freeze\.phases=3 needs freeze=gradual, but freeze=lpft"),
        (
            ["freeze=gradual", "freeze.probe_share=0.3"],
            r"freeze\.probe_share=0\.3 needs freeze=lpft, but freeze=gradual",
        ),
        (["freeze=gradual", "freeze.depth=3"], r"freeze\.depth=3 needs freeze=depth, but freeze=gradual"),
        (["freeze=gradual", "freeze.phases=null"], r"freeze\.phases is missing: freeze=gradual needs it, e\.g\."),
        (["freeze=lpft", "freeze.probe_share=null"], r"freeze\.probe_share is missing: freeze=lpft needs it, e\.g\."),
        (["freeze=gradual", "freeze.phases=0"], r"freeze\.phases=0: must be at least 1"),
        (["freeze=lpft", "freeze.probe_share=1.5"], r"freeze\.probe_share=1\.5: must be in \[0, 1\]"),
        (["freeze=lpft", "head.init=probe"], r"head\.init=probe solves the linear probe that freeze=lpft trains"),
        (["freeze=lpft", "head=logreg"], r"head=logreg is solved on features .* freeze=lpft trains layers"),
        (["freeze=gradual", "cache=on", "augment=light"], r"cache\.mode=on, but augment=light draws new images"),
        (["freeze=bias", "cache=on"], r"cache\.mode=on, but freeze=bias trains layers"),
    ],
)
def test_settings_that_contradict_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(words)


@pytest.mark.parametrize("policy", PHASED)
def test_the_plan_tells_the_phases(policy: str) -> None:
    words, expected = PHASED[policy]
    plan = build_plan(load(["backbone=tiny", *words]).config)
    shares = [phase["share"] for phase in plan["phases"]]
    assert shares == pytest.approx([steps / 6 for steps, _ in expected])
    assert [phase["depth"] for phase in plan["phases"]] == [depth for _, depth in expected]
    for phase in plan["phases"]:
        alone = build_plan(load(["backbone=tiny", "freeze=depth", f"freeze.depth={phase['depth']}"]).config)
        assert phase["trainable_parameters"] == alone["trainable_parameters"]
    assert plan["trainable_parameters"] == plan["total_parameters"]
    table = plan_table(plan)
    assert "0 of 5 units wholly frozen in the end" in table
    assert (
        f"phase 1: {shares[0]:.1%} of the steps, 5 of 5 units frozen, {plan['head_parameters']:,} parameters" in table
    )


def test_a_policy_without_phases_is_one_phase_of_the_plan() -> None:
    plan = build_plan(load(["backbone=tiny", "freeze=last"]).config)
    assert plan["phases"] == [{"share": 1.0, "depth": 4, "trainable_parameters": plan["trainable_parameters"]}]
    assert "phase" not in plan_table(plan)
