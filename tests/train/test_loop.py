import contextlib
import math
import signal
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.train.conftest import BATCH
from tests.waiting import DEVICE, counting
from tlexp.config.optim import Optimizer, Schedule
from tlexp.errors import DivergedError, Interrupted, OutOfMemoryError
from tlexp.train import Checkpoint, FitPhase, Listener, Watch, fit, loop
from tlexp.train.optim import build_optimizer


class Recorder(Listener):
    """Remembers what it hears; asks to stop before step `stop_before`."""

    def __init__(self, stop_before=None):
        self.phases, self.steps, self.asked, self.stop_before = [], [], 0, stop_before

    def phase(self, title, steps):
        self.phases.append((title, steps))

    def step(self, step, values):
        self.steps.append((step, values))

    def should_stop(self):
        self.asked += 1
        return signal.SIGTERM if self.stop_before == len(self.steps) + 1 else None


def run(classifier, batches, plan, *, listener=None, checkpoint=None):
    return fit(classifier, batches, plan, fit_id="final", listener=listener or Listener(), checkpoint=checkpoint)


def bits(classifier):
    return {name: tensor.clone() for name, tensor in classifier.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_training_lowers_the_loss_and_tells_every_step(build_classifier, build_batches, build_plan):
    listener, classifier = Recorder(), build_classifier(dropout=0.0)
    classifier.backbone.stage1[3].p = 0.0
    report = run(classifier, build_batches(), build_plan(steps=40, lr=3e-2), listener=listener)
    losses = [values["loss"] for _, values in listener.steps]
    rates = [values["lr"] for _, values in listener.steps]
    assert listener.phases == [("final", 40)]
    assert [step for step, _ in listener.steps] == list(range(1, 41))
    assert listener.asked == 40
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert rates[:8] == pytest.approx([3e-2 * step / 8 for step in range(1, 9)])
    assert 0 < rates[-1] < 1e-3
    assert report.steps == 40
    assert report.seconds > 0
    assert report.images_per_second > 0
    assert report.peak_bytes > 10**7
    assert report.curve == [(s, name, v[name]) for s, v in listener.steps for name in ("loss", "lr")]


@pytest.mark.parametrize("depth", [0, 1])
def test_a_fit_that_is_looked_at_is_the_same_to_the_bit(build_classifier, build_batches, build_plan, depth):
    plain, looked_at, seen = build_classifier(depth), build_classifier(depth), []

    def look(step):
        looked_at.eval()
        with torch.no_grad():
            seen.append((step, looked_at(build_batches().images).sum().item()))

    expected = run(plain, build_batches(), build_plan())
    listener = Recorder()
    found = fit(
        looked_at, build_batches(), build_plan(), fit_id="final", listener=listener, checkpoint=None,
        watch=Watch(steps=frozenset({2, 5, 6, 7}), look=look),
    )  # fmt: skip
    assert same(bits(plain), bits(looked_at))
    assert found.curve == expected.curve
    assert [step for step, _ in seen] == [2, 5, 6]
    assert len({value for _, value in seen}) == 3
    assert looked_at.training


def test_a_look_is_off_the_clock(build_classifier, build_batches, build_plan):
    watch = Watch(steps=frozenset({2}), look=lambda step: time.sleep(1))
    report = fit(
        build_classifier(), build_batches(), build_plan(), fit_id="f", listener=Listener(), checkpoint=None, watch=watch
    )
    assert report.seconds < 1


@pytest.mark.parametrize("steps", [1, 199, 200, 201, 450])
def test_the_curve_is_thinned_but_keeps_both_ends(build_classifier, build_batches, build_plan, steps):
    curve = run(build_classifier(3), build_batches(), build_plan(steps=steps)).curve
    told = [step for step, name, _ in curve if name == "loss"]
    assert told == [step for step, name, _ in curve if name == "lr"]
    assert (told[0], told[-1]) == (1, steps)
    assert told == sorted(set(told))
    assert min(steps, 100) <= len(told) <= 202


def test_one_step_at_depth_zero_is_plain_training_to_the_bit(build_classifier, build_batches, build_plan):
    plan = build_plan(steps=1, optimizer=Optimizer.sgd, clip_norm=None, warmup=0.0, schedule=Schedule.constant)
    ours = build_classifier(dropout=0.0)
    ours.backbone.stage1[3].p = 0.0
    plain = build_classifier(dropout=0.0)
    plain.backbone.stage1[3].p = 0.0
    run(ours, build_batches(), plan)

    network = nn.Sequential(plain.backbone, plain.head).train()
    decayed = [p for n, p in network.named_parameters() if p.ndim > 1 and n != "0.token"]
    others = [p for n, p in network.named_parameters() if p.ndim <= 1 or n == "0.token"]
    groups = [{"params": others, "weight_decay": 0.0}, {"params": decayed, "weight_decay": plan.weight_decay}]
    optimizer = torch.optim.SGD(groups, lr=plan.lr, momentum=0.9, nesterov=True)
    images, labels = build_batches().batch(0)
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()
    assert same(bits(ours), bits(plain))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_zero_initialised_head_starts_at_ln_k(build_classifier, build_batches, build_plan, smoothing):
    listener = Recorder()
    run(build_classifier(zero=True), build_batches(), build_plan(label_smoothing=smoothing), listener=listener)
    assert listener.steps[0][1]["loss"] == pytest.approx(math.log(3), rel=1e-6)


def test_label_smoothing_enters_the_loss(build_classifier, build_batches, build_plan):
    listener, classifier = Recorder(), build_classifier(3, dropout=0.0)
    images, labels = build_batches().batch(0)
    with torch.no_grad():
        expected = float(F.cross_entropy(classifier(images), labels, label_smoothing=0.3))
    run(classifier, build_batches(), build_plan(steps=1, label_smoothing=0.3), listener=listener)
    assert listener.steps[0][1]["loss"] == pytest.approx(expected, rel=1e-6)


def test_every_step_draws_its_own_dropout(build_classifier, build_batches, build_plan):
    dropped, classifier = [], build_classifier(3, dropout=0.5, width=64)
    classifier.head[0].register_forward_hook(lambda module, inputs, output: dropped.append(str((output == 0).tolist())))
    batches = build_batches()
    same_batch = batches.batch(0)
    batches.batch = lambda step: same_batch
    run(classifier, batches, build_plan(steps=5))
    assert len(set(dropped)) == 5


def test_a_batch_larger_than_the_data_still_trains(build_classifier, build_batches, build_plan):
    listener = Recorder()
    before = build_classifier(3)
    after = build_classifier(3)
    report = run(after, build_batches(batch_size=64, images=6), build_plan(steps=5), listener=listener)
    assert (report.steps, len(listener.steps)) == (5, 5)
    assert not same(bits(before), bits(after))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_frozen_units_keep_every_bit_and_the_others_move(build_classifier, build_batches, build_plan, depth):
    classifier = build_classifier(depth)
    before = bits(classifier)
    digest = classifier.frozen_digest()
    run(classifier, build_batches(), build_plan(steps=3, weight_decay=0.5))
    after = bits(classifier)
    frozen = {f"backbone.{n}" for u in classifier.units[:depth] for n in (*u.parameters, *u.buffers)}
    assert classifier.frozen_digest() == digest
    assert {name for name in before if torch.equal(before[name], after[name])} == frozen


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(build_classifier, build_batches, build_plan):
    results = []
    for global_seed, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(global_seed)
        classifier = build_classifier()
        run(classifier, build_batches(), build_plan(seed=seed, mixup=0.2, cutmix=0.5))
        results.append(bits(classifier))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


@pytest.mark.parametrize("stop", [None, 3])
def test_the_global_generator_is_left_as_found(build_classifier, build_batches, build_plan, stop):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    if stop is None:
        run(build_classifier(), build_batches(), build_plan())
    else:
        with pytest.raises(Interrupted):
            run(build_classifier(), build_batches(), build_plan(), listener=Recorder(stop))
    assert torch.equal(torch.rand(3), expected)


RESUMED = [
    {"optimizer": Optimizer.adamw, "mixup": 0.3, "cutmix": 0.3, "layer_decay": 0.7},
    {"optimizer": Optimizer.sgd, "channels_last": True},
    {"optimizer": Optimizer.adam, "autocast": torch.bfloat16, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("changes", RESUMED, ids=["adamw-mix", "sgd-channels-last", "adam-bf16"])
def test_interrupted_at_any_step_and_resumed_gives_the_same_bits(
    tmp_path, build_classifier, build_batches, build_plan, depth, changes
):
    plan = build_plan(steps=6, **changes)
    whole = build_classifier(depth)
    whole_listener = Recorder()
    report = run(whole, build_batches(), plan, listener=whole_listener)
    for stop in range(1, 7):
        checkpoint = Checkpoint(tmp_path / str(stop), key="k", seconds=0)
        first, second = Recorder(stop), Recorder()
        with pytest.raises(Interrupted) as caught:
            run(build_classifier(depth), build_batches(), plan, listener=first, checkpoint=checkpoint)
        resumed = build_classifier(depth)
        for name, parameter in resumed.trainable_parameters():
            nn.init.constant_(parameter, 7.0 if "weight" in name else 1.0)  # what is stored must overwrite all of it
        again = Checkpoint(tmp_path / str(stop), key="k", seconds=0)
        resumed_report = run(resumed, build_batches(), plan, listener=second, checkpoint=again)
        assert caught.value.signal_number == signal.SIGTERM
        assert same(bits(whole), bits(resumed)), stop
        assert first.steps + second.steps == whole_listener.steps
        assert (resumed_report.curve, resumed_report.flops) == (report.curve, report.flops)


def test_checkpoints_fall_due_by_time(tmp_path, build_classifier, build_batches, build_plan):
    checkpoint = Checkpoint(tmp_path, key="k", seconds=1e-9)
    saved = []
    checkpoint.save_state = lambda fit_id, classifier, optimizer, progress: saved.append(progress.step)
    run(build_classifier(), build_batches(), build_plan(steps=4), checkpoint=checkpoint)
    assert saved == [1, 2, 3, 4]


def test_a_killed_fit_goes_on_from_its_last_state(tmp_path, build_classifier, build_batches, build_plan):
    class Killed(Recorder):
        def step(self, step, values):
            super().step(step, values)
            if step == 4:
                raise KeyboardInterrupt

    whole, resumed = build_classifier(), build_classifier()
    run(whole, build_batches(), build_plan())
    with pytest.raises(KeyboardInterrupt):
        run(
            build_classifier(),
            build_batches(),
            build_plan(),
            listener=Killed(),
            checkpoint=Checkpoint(tmp_path, key="k", seconds=1e-9),
        )
    listener = Recorder()
    run(resumed, build_batches(), build_plan(), listener=listener, checkpoint=Checkpoint(tmp_path, key="k", seconds=0))
    assert listener.steps[0][0] == 4  # the state of step 3 was the last
    assert same(bits(whole), bits(resumed))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_loss_that_is_not_finite_names_its_step(
    tmp_path, monkeypatch, build_classifier, build_batches, build_plan, at_once
):
    monkeypatch.setattr("tlexp.train.loop._reads_at_once", lambda device: at_once)
    batches = build_batches()
    good = batches.batch
    batches.batch = lambda step: (good(step)[0] * (float("nan") if step == 3 else 1.0), good(step)[1])
    listener = Recorder()
    checkpoint = Checkpoint(tmp_path, key="k", seconds=1e-9)
    with pytest.raises(DivergedError) as caught:
        run(build_classifier(), batches, build_plan(), listener=listener, checkpoint=checkpoint)
    assert str(caught.value).startswith("final: the loss is nan at step 4 of 6, where the learning rate was")
    assert str(caught.value).endswith("(optim.lr=0.01): lower optim.lr, e.g. optim.lr=0.001")
    assert [step for step, _ in listener.steps] == [1, 2, 3]
    stored = Checkpoint(tmp_path, key="k", seconds=0)
    plan, fresh = build_plan(), build_classifier()
    optimizer = build_optimizer(
        fresh, name=plan.optimizer, lr=plan.lr, weight_decay=0.01, momentum=0.9, layer_decay=None
    )
    assert stored.load_state("final", fresh, optimizer).step == 3  # a broken state is never stored


def test_losses_read_late_name_the_same_step(monkeypatch, build_classifier, build_batches, build_plan):
    """On an accelerator losses are read in bunches; the step that is named stays exact."""
    batches, listener, told = build_batches(), Recorder(), []
    good = batches.batch

    def batch(step):
        told.append(len(listener.steps))
        images, labels = good(step)
        return images * (float("nan") if step == 27 else 1.0), labels

    batches.batch = batch
    monkeypatch.setattr("tlexp.train.loop._reads_at_once", lambda device: False)
    monkeypatch.setattr("tlexp.train.loop._UNREAD_SECONDS", 1e9)
    with pytest.raises(DivergedError, match="the loss is nan at step 28 of 60"):
        run(build_classifier(), batches, build_plan(steps=60), listener=listener)
    assert told == [0] + [1] * 20 + [21] * 20
    assert [step for step, _ in listener.steps] == list(range(1, 28))


def test_weights_broken_by_the_last_step_are_seen(build_classifier, build_batches, build_plan):
    plan = build_plan(steps=1, lr=1e38, optimizer=Optimizer.sgd, momentum=0.0, clip_norm=None, weight_decay=1e30)
    with pytest.raises(DivergedError, match="a weight is not finite any more at step 1 of 1"):
        run(build_classifier(), build_batches(), plan)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_out_of_memory_tells_sizes_and_the_way_out(build_classifier, build_batches, build_plan, error):
    classifier = build_classifier()

    def full(module, inputs):
        raise error

    classifier.head.register_forward_pre_hook(full)
    with pytest.raises(OutOfMemoryError) as caught:
        run(classifier, build_batches(), build_plan())
    expected = "out of memory: a training step with 4 images of 8x8 pixels on cpu: use train.batch_size=2"
    assert str(caught.value).startswith(expected)
    assert caught.value.__context__ is None  # it would keep the step's tensors alive


def test_the_cpus_own_failed_allocation_is_recognised(build_classifier, build_batches, build_plan):
    classifier = build_classifier()
    classifier.head.register_forward_pre_hook(lambda module, inputs: torch.empty(2**60))
    with pytest.raises(OutOfMemoryError, match=r"use train\.batch_size=2"):
        run(classifier, build_batches(), build_plan())


def test_other_runtime_errors_pass_unchanged(build_classifier, build_batches, build_plan):
    classifier = build_classifier()

    def broken(module, inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    classifier.head.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(classifier, build_batches(), build_plan())


def test_clipping_bounds_the_update(build_classifier, build_batches, build_plan):
    changes = {"steps": 1, "optimizer": Optimizer.sgd, "momentum": 0.0, "weight_decay": 0.0, "warmup": 0.0, "lr": 1.0}
    moved = {}
    for clip in (None, 1e-3):
        before, classifier = build_classifier(), build_classifier()
        run(classifier, build_batches(), build_plan(clip_norm=clip, schedule=Schedule.constant, **changes))
        pairs = zip(before.parameters(), classifier.parameters(), strict=True)
        moved[clip] = math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in pairs))
    assert moved[None] > 0.1
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)


def test_the_loss_is_float32_under_autocast(monkeypatch, build_classifier, build_batches, build_plan):
    computed, losses, original = set(), set(), F.cross_entropy

    def loss(logits, *args, **kwargs):
        losses.add(logits.dtype)
        return original(logits, *args, **kwargs)

    classifier = build_classifier()
    classifier.backbone.stem[0].register_forward_hook(lambda module, inputs, output: computed.add(output.dtype))
    monkeypatch.setattr(F, "cross_entropy", loss)
    run(classifier, build_batches(), build_plan(steps=2, autocast=torch.bfloat16))
    assert (computed, losses) == ({torch.bfloat16}, {torch.float32})


def test_mixing_changes_the_training_and_keeps_the_loss_finite(build_classifier, build_batches, build_plan):
    losses = {}
    for mixup, cutmix in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        listener = Recorder()
        plan = build_plan(mixup=mixup, cutmix=cutmix, label_smoothing=0.1)
        run(build_classifier(), build_batches(), plan, listener=listener)
        losses[mixup, cutmix] = tuple(values["loss"] for _, values in listener.steps)
    assert len(set(losses.values())) == 4


def test_flops_count_forward_and_backward_of_every_step(build_classifier, build_batches, build_plan):
    batches = build_batches(batch_size=32, images=33)  # a whole chunk: a frozen backbone pads smaller batches
    flops = {depth: run(build_classifier(depth), batches, build_plan()).flops for depth in range(4)}
    area, width, batch, steps = 64, 6, 32, 6
    stem, stage = 2 * 27 * width * area * batch, 2 * 9 * width * width * (area // 4) * batch
    head = 2 * width * 3 * batch
    assert flops[3] == steps * (stem + 2 * stage + 2 * head)  # forward everywhere, the head's weight gradient
    assert flops[0] == steps * 3 * (stem + 2 * stage + head)  # the token needs the gradient of the images, too
    assert flops[0] > flops[1] > flops[2] > flops[3]


def test_a_formula_that_fails_leaves_the_flops_unknown(monkeypatch, build_classifier, build_batches, build_plan):
    def broken(*args, **kwargs):
        raise ValueError("no formula for this shape")

    registry = dict.fromkeys(torch.utils.flop_counter.flop_registry, broken)
    monkeypatch.setattr("tlexp.models.operations.flop_registry", registry)
    with_fault, without = build_classifier(), build_classifier()
    report = run(with_fault, build_batches(), build_plan())
    monkeypatch.undo()
    run(without, build_batches(), build_plan())
    assert report.flops is None
    assert same(bits(with_fault), bits(without))


def test_saved_activations_fall_with_freeze_depth(build_classifier, build_batches):
    def saved_bytes(depth):
        classifier, total = build_classifier(depth).train(), 0

        def pack(tensor):
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            classifier(build_batches().batch(0)[0])
        return total

    totals = [saved_bytes(depth) for depth in range(4)]
    assert totals == sorted(set(totals), reverse=True)
    assert totals[3] < 0.1 * totals[0]


def test_gradients_are_released_at_the_end(build_classifier, build_batches, build_plan):
    classifier = build_classifier()
    run(classifier, build_batches(), build_plan())
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.slow
def test_a_compiled_network_trains_alike(build_classifier, build_batches, build_plan):
    results = []
    for compiled in (False, True):
        classifier = build_classifier(1, dropout=0.0)
        classifier.backbone.stage1[3].p = 0.0
        run(classifier, build_batches(), build_plan(steps=3, optimizer=Optimizer.sgd, compile=compiled))
        results.append(bits(classifier))
    assert all(torch.allclose(results[0][name], results[1][name], rtol=1e-3, atol=1e-4) for name in results[0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mixup": 0.2, "class_weights": (1.0, 2.0, 0.5)},
        {"cutmix": 1.0, "optimizer": Optimizer.sgd},
        {"clip_norm": None, "label_smoothing": 0.1},
    ],
    ids=["plain", "mixup", "cutmix", "smoothed"],
)
def test_between_two_readings_no_step_waits_for_the_device(
    build_classifier, build_batches, build_plan, monkeypatch, changes
):
    """The pretended one has no numbers: whoever asked for one would fail."""
    read, batches = [], build_batches()
    images, labels = batches.images[:BATCH].to(DEVICE), batches.labels[:BATCH].to(DEVICE)
    batches.batch = lambda step: (images, labels)

    def read_losses(self):
        read.append(self.progress.step)
        self.unread = []

    monkeypatch.setattr(loop, "kept_generators", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(loop, "forward", lambda network, images, autocast: network(images))  # meta knows no autocast
    monkeypatch.setattr(loop, "_UNREAD_SECONDS", 1000)
    for name, stand_in in (("_read_losses", read_losses), ("_check_weights", str), ("_report", str)):
        monkeypatch.setattr(loop._Fit, name, stand_in)
    classifier, plan = build_classifier().to(DEVICE), build_plan(steps=45, **changes)
    with counting() as waits:
        run(classifier, batches, plan)
    assert read == [1, 21, 41, 45]
    assert waits.waited_for == []


@pytest.mark.parametrize("phases", [(5,), (3, 4)])
def test_a_compiled_fit_begins_anew_and_its_compiling_is_no_training(
    build_classifier, build_batches, build_plan, monkeypatch, phases
):
    """The first step of each phase counts operations, the second compiles."""
    done, now = [], [0.0]

    def compiled(network):
        done.append("compile")
        seconds = iter([100.0])

        def run(images):
            now[0] += next(seconds, 1.0)
            return network(images)

        return run

    monkeypatch.setattr(torch.compiler, "reset", lambda: done.append("reset"))
    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    plan = build_plan(
        steps=sum(phases),
        compile=True,
        phases=tuple(FitPhase(steps=steps, depth=1) for steps in phases) if len(phases) > 1 else (),
    )
    report = run(build_classifier(1), build_batches(), plan)
    assert done == ["reset", "compile"] * len(phases)
    assert report.images_per_second == pytest.approx(BATCH)
