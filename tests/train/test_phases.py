"""A fit in phases: one count of steps, each phase with its own freeze depth and schedule, moments that are kept."""

import dataclasses
import signal
from copy import deepcopy
from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from tlexp.config.freeze import FreezeNorm
from tlexp.config.optim import Optimizer, Schedule
from tlexp.errors import DivergedError, Interrupted
from tlexp.models import Classifier, build_backbone, feature_width, find_units
from tlexp.train import Checkpoint, FitPhase, Listener, fit
from tlexp.train import loop as loop_module

MODELS = {"test_resnet": 64, "test_vit": 32, "test_convnext": 64, "test_efficientnet": 64, "swin": 32}


@cache
def backbone(name):
    size = MODELS[name]
    if name != "swin":
        network = build_backbone(name, image_size=size)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = timm.create_model(
                "swin_tiny_patch4_window7_224",
                img_size=size,
                window_size=4,
                embed_dim=16,
                depths=(1, 1, 1, 1),
                num_heads=(1, 1, 2, 2),
                num_classes=0,
            )
    return network, find_units(network, image_size=size)


def build(name, depth=0, *, norm=FreezeNorm.follow):
    network, units = backbone(name)
    network = deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        head = nn.Linear(network.num_features if name == "swin" else feature_width(network), 3)
    return Classifier(network, nn.Sequential(nn.Dropout(0.2), head), units, min(depth, len(units)), norm=norm)


class ImageBatches:
    def __init__(self, size):
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(6) % 3
        self.images = torch.randn(6, 3, size, size, generator=generator) + self.labels[:, None, None, None]
        self.asked = []

    def batch(self, step):
        self.asked.append(step)
        chosen = torch.randperm(6, generator=torch.Generator().manual_seed(step))[:4]
        return self.images[chosen], self.labels[chosen]


class Watcher(Listener):
    """Remembers steps, and the classifier's bits after each; asks to stop before step `stop_before`."""

    def __init__(self, classifier=None, stop_before=None):
        self.classifier, self.stop_before, self.steps, self.bits, self.phases = classifier, stop_before, [], [], []

    def phase(self, title, steps):
        self.phases.append((title, steps))

    def step(self, step, values):
        self.steps.append((step, values))
        if self.classifier is not None:
            self.bits.append(bits(self.classifier))

    def should_stop(self):
        return signal.SIGTERM if self.stop_before == len(self.steps) + 1 else None


def run(classifier, batches, plan, *, listener=None, checkpoint=None):
    return fit(classifier, batches, plan, fit_id="final", listener=listener or Listener(), checkpoint=checkpoint)


def bits(classifier):
    return {name: tensor.clone() for name, tensor in classifier.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def three(units):
    """The head alone at a rate of its own, then half of the units, then all."""
    half = units // 2
    return (
        FitPhase(steps=2, depth=units, lr=3e-2, weight_decay=0.2),
        FitPhase(steps=3, depth=half),
        FitPhase(steps=2, depth=0),
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("depth", [0, 2, 99])
@pytest.mark.broad(2)
def test_one_phase_is_a_plain_fit_to_the_bit(build_plan, name, depth):
    plan, plain, phased = build_plan(steps=3), build(name, depth), build(name)
    start = bits(plain)
    reports = [
        run(plain, ImageBatches(MODELS[name]), plan),
        run(
            phased,
            ImageBatches(MODELS[name]),
            dataclasses.replace(plan, phases=(FitPhase(steps=3, depth=plain.depth),)),
        ),
    ]
    assert changed(bits(plain), bits(phased)) == set()
    assert changed(start, bits(plain))
    assert reports[0].curve == reports[1].curve
    assert reports[0].flops == reports[1].flops


@pytest.mark.parametrize("norm", list(FreezeNorm))
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.broad(2)
def test_a_phase_leaves_every_bit_of_what_it_freezes_and_moves_the_rest(build_plan, name, norm):
    classifier = build(name, norm=norm)
    units = classifier.units
    watcher = Watcher(classifier)
    phases = three(len(units))
    start = bits(classifier)
    report = run(classifier, ImageBatches(MODELS[name]), build_plan(steps=7, phases=phases, lr=3e-2), listener=watcher)
    ends = [start, watcher.bits[1], watcher.bits[4], watcher.bits[6]]
    statistics = {n for n in start if n.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    for phase, before, after, told in zip(phases, ends[:-1], ends[1:], report.phases, strict=True):
        moved = changed(before, after)
        frozen = {f"backbone.{n}" for unit in units[: phase.depth] for n in (*unit.parameters, *unit.buffers)}
        exempt = statistics if norm is FreezeNorm.update else set()
        assert not moved & frozen - exempt
        trained = {f"backbone.{n}" for unit in units[phase.depth :] for n in unit.parameters}
        for unit in units[phase.depth :]:
            assert moved & {f"backbone.{n}" for n in unit.parameters}, unit.name
        assert {"head.1.weight", "head.1.bias"} <= moved <= trained | statistics | {"head.1.weight", "head.1.bias"}
        assert bool(moved & statistics & frozen) == bool(norm is FreezeNorm.update and frozen & statistics)
        if norm is FreezeNorm.keep:
            assert not moved & statistics
        assert (told["steps"], told["depth"]) == (phase.steps, phase.depth)
        assert told["digest_before"] == told["digest_after"]
        of_phase = build(name, phase.depth, norm=norm)
        of_phase.load_state_dict(after)
        assert told["digest_after"] == of_phase.frozen_digest()
    assert classifier.depth == 0


def test_the_probe_phase_is_a_wholly_frozen_fit_of_as_many_steps(build_plan):
    phased, probe = build("test_resnet"), build("test_resnet", 99)
    watcher = Watcher(phased)
    run(phased, ImageBatches(64), build_plan(steps=7, phases=three(5)), listener=watcher)
    run(probe, ImageBatches(64), build_plan(steps=2, lr=3e-2, weight_decay=0.2))
    assert changed(watcher.bits[1], bits(probe)) == set()


RESUMED = [
    {"optimizer": Optimizer.adamw, "mixup": 0.3, "layer_decay": 0.7},
    {"optimizer": Optimizer.sgd, "channels_last": True},
    {"optimizer": Optimizer.adam, "autocast": torch.bfloat16},
]


@pytest.mark.parametrize("norm", [FreezeNorm.follow, FreezeNorm.update])
@pytest.mark.parametrize("changes", RESUMED, ids=["adamw-mix", "sgd-channels-last", "adam-bf16"])
@pytest.mark.broad(5)
def test_interrupted_at_any_step_of_any_phase_and_resumed_gives_the_same_bits(tmp_path, build_plan, changes, norm):
    check_resume(tmp_path, build_plan(steps=7, phases=three(5), **changes), "test_resnet", norm)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "test_resnet"])
@pytest.mark.broad(3)
def test_every_family_goes_on_in_every_phase(tmp_path, build_plan, name):
    units = len(backbone(name)[1])
    check_resume(tmp_path, build_plan(steps=7, phases=three(units)), name, FreezeNorm.follow, stops=(2, 3, 5, 6, 7))


def check_resume(tmp_path, plan, name, norm, stops=range(1, 8)):
    whole = build(name, norm=norm)
    heard = Watcher()
    report = run(whole, ImageBatches(MODELS[name]), plan, listener=heard)
    for stop in stops:
        checkpoint = Checkpoint(tmp_path / str(stop), key="k", seconds=0)
        first, second, resumed = Watcher(stop_before=stop), Watcher(), build(name, norm=norm)
        with pytest.raises(Interrupted):
            run(build(name, norm=norm), ImageBatches(MODELS[name]), plan, listener=first, checkpoint=checkpoint)
        phase = sum(stop > sum(each.steps for each in plan.phases[: i + 1]) for i in range(3))
        depth = plan.phases[phase].depth
        behind = {f"backbone.{n}" for unit in resumed.units[depth:] for n in unit.parameters}
        for key, parameter in resumed.named_parameters():
            if key in behind or key.startswith("head."):
                nn.init.constant_(parameter, 0.7)  # what is stored must overwrite all of it
        again = Checkpoint(tmp_path / str(stop), key="k", seconds=0)
        resumed_report = run(resumed, ImageBatches(MODELS[name]), plan, listener=second, checkpoint=again)
        assert changed(bits(whole), bits(resumed)) == set(), stop
        assert first.steps + second.steps == heard.steps
        assert (resumed_report.curve, resumed_report.flops) == (report.curve, report.flops)
        assert resumed_report.phases == report.phases


def test_a_state_written_at_the_end_of_a_phase_goes_on_to_the_next(tmp_path, build_plan):
    class Killed(Watcher):
        def step(self, step, values):
            super().step(step, values)
            if step == 3:
                raise KeyboardInterrupt

    plan = build_plan(steps=7, phases=three(5))
    whole, resumed = build("test_resnet"), build("test_resnet")
    report = run(whole, ImageBatches(64), plan)
    with pytest.raises(KeyboardInterrupt):
        run(
            build("test_resnet"),
            ImageBatches(64),
            plan,
            listener=Killed(),
            checkpoint=Checkpoint(tmp_path, key="k", seconds=1e-9),
        )
    heard = Watcher()
    again = run(resumed, ImageBatches(64), plan, listener=heard, checkpoint=Checkpoint(tmp_path, key="k", seconds=0))
    assert heard.steps[0][0] == 3  # the state of step 2, the last of the first phase, was the last
    assert changed(bits(whole), bits(resumed)) == set()
    assert again.phases == report.phases


def test_steps_are_counted_on_and_every_phase_has_a_schedule_of_its_own(build_plan):
    phases = (
        FitPhase(steps=10, depth=5, lr=0.3, weight_decay=0.0),
        FitPhase(steps=5, depth=2),
        FitPhase(steps=20, depth=0),
    )
    classifier, batches, heard = build("test_resnet"), ImageBatches(64), Watcher()
    report = run(classifier, batches, build_plan(steps=35, phases=phases, lr=1e-3), listener=heard)
    assert heard.phases == [("final", 35)]
    assert [step for step, _ in heard.steps] == list(range(1, 36))
    assert batches.asked == list(range(35))
    rates = [values["lr"] for _, values in heard.steps]
    for steps, peak, told in ((10, 0.3, rates[:10]), (5, 1e-3, rates[10:15]), (20, 1e-3, rates[15:])):
        alone = Watcher()
        run(build("test_resnet", 99), ImageBatches(64), build_plan(steps=steps, lr=peak), listener=alone)
        assert told == [values["lr"] for _, values in alone.steps]
    assert report.curve == [(step, name, values[name]) for step, values in heard.steps for name in ("loss", "lr")]
    assert [(told["lr"], told["weight_decay"]) for told in report.phases] == [(0.3, 0.0), (1e-3, 1e-2), (1e-3, 1e-2)]


@pytest.mark.parametrize("optimizer", list(Optimizer))
def test_moments_are_kept_and_new_parameters_begin(build_plan, optimizer):
    """One optimiser over all parameters, of which frozen ones have no gradient, does the same."""
    constant = {"schedule": Schedule.constant, "warmup": 0.0, "clip_norm": None, "weight_decay": 0.0}
    phases = tuple(dataclasses.replace(phase, lr=None, weight_decay=None) for phase in three(5))
    plan = build_plan(steps=7, phases=phases, optimizer=optimizer, lr=1e-3, **constant)
    ours, plain = build("test_resnet"), build("test_resnet")
    for each in (ours, plain):
        each.head[0].p = 0.0
    run(ours, ImageBatches(64), plan)
    parameters = list(plain.parameters())
    single = {
        Optimizer.adamw: lambda: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0),
        Optimizer.adam: lambda: torch.optim.Adam(parameters, lr=1e-3),
        Optimizer.sgd: lambda: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True),
    }[optimizer]()
    batches, step = ImageBatches(64), 0
    for phase in phases:
        plain.refreeze(phase.depth)
        plain.train()
        for _ in range(phase.steps):
            images, labels = batches.batch(step)
            step += 1
            single.zero_grad()
            F.cross_entropy(plain(images), labels).backward()
            single.step()
    assert changed(bits(ours), bits(plain)) == set()


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_the_optimiser_of_a_phase_holds_what_trains_in_it_at_the_rate_of_its_layer(
    monkeypatch, build_plan, layer_decay
):
    made, original = [], loop_module.build_optimizer

    def watched(classifier, **options):
        optimizer = original(classifier, **options)
        made.append((optimizer, [name for name, _ in classifier.trainable_parameters()]))
        return optimizer

    monkeypatch.setattr(loop_module, "build_optimizer", watched)
    classifier = build("test_convnext")
    units = classifier.units
    changes = {"schedule": Schedule.constant, "warmup": 0.0, "lr": 1e-3, "layer_decay": layer_decay}
    run(classifier, ImageBatches(64), build_plan(steps=7, phases=three(len(units)), **changes))
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    for phase, (optimizer, trained) in zip(three(len(units)), made, strict=True):
        held = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
        behind = {f"backbone.{n}" for unit in units[phase.depth :] for n in unit.parameters}
        assert held.keys() == behind | {"head.1.weight", "head.1.bias"} == set(trained)
        assert len(optimizer.state) == len(held)
        for unit in units[phase.depth :]:
            scale = 1.0 if layer_decay is None else layer_decay ** (len(units) - unit.index)
            rates = [held[f"backbone.{n}"] for n in unit.parameters]
            assert rates == pytest.approx([1e-3 * scale] * len(rates))
        assert held["head.1.weight"] == pytest.approx(phase.lr or 1e-3)


def test_operations_add_up_over_the_phases(build_plan):
    phases = three(5)
    whole = run(build("test_resnet"), ImageBatches(64), build_plan(steps=7, phases=phases)).flops
    one = [run(build("test_resnet", phase.depth), ImageBatches(64), build_plan(steps=1)).flops for phase in phases]
    assert whole == sum(phase.steps * flops for phase, flops in zip(phases, one, strict=True))


@pytest.mark.slow
def test_a_compiled_network_goes_through_its_phases_alike(build_classifier, build_batches, build_plan):
    found = []
    for compiled in (False, True):
        classifier = build_classifier(dropout=0.0)
        classifier.backbone.stage1[3].p = 0.0
        plan = build_plan(steps=7, phases=three(3), optimizer=Optimizer.sgd, compile=compiled)
        run(classifier, build_batches(), plan)
        found.append(bits(classifier))
    for name, tensor in found[0].items():
        assert torch.allclose(found[1][name], tensor, rtol=1e-3, atol=1e-4), name


def test_a_phase_that_changes_what_it_freezes_is_an_error_of_ours(build_plan):
    classifier = build("test_resnet")

    class Vandal(Listener):
        @torch.no_grad()
        def step(self, step, values):
            if step == 4:
                next(classifier.backbone.parameters()).add_(1)

    with pytest.raises(AssertionError, match="frozen parameters or buffers changed during a phase"):
        run(classifier, ImageBatches(64), build_plan(steps=7, phases=three(5)), listener=Vandal())


def test_a_probe_that_diverges_does_not_blame_the_rate_of_the_backbone(build_plan):
    batches = ImageBatches(64)
    good = batches.batch

    def broken(step):
        images, labels = good(step)
        return images * (float("nan") if step in breaks else 1.0), labels

    batches.batch = broken
    breaks = {1}
    with pytest.raises(DivergedError, match=r"at step 2 of 7.*\(0\.03 is the default of the head alone\): use another"):
        run(build("test_resnet"), batches, build_plan(steps=7, phases=three(5)))
    breaks = {4}
    with pytest.raises(DivergedError, match=r"at step 5 of 7.*\(optim\.lr=0\.01\): lower optim\.lr"):
        run(build("test_resnet"), batches, build_plan(steps=7, phases=three(5)))
