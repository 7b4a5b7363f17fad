"""The training loop: plain torch, told step by step, and interruptible at each of them.

images (B, 3, S, S) float32 normalised; labels (B,) int64; logits (B, K) float32. Steps count from 1.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from tlexp.errors import DivergedError, Interrupted
from tlexp.models.classifier import Classifier
from tlexp.models.operations import OperationCounter
from tlexp.train.balance import weighted_loss
from tlexp.train.checkpoint import Checkpoint, FitProgress
from tlexp.train.cost import peak_bytes
from tlexp.train.device import kept_generators, seed_generators, within_memory
from tlexp.train.fit_plan import FitPhase, FitPlan, FitReport
from tlexp.train.listener import Listener
from tlexp.train.mix import build_mix
from tlexp.train.optim import build_optimizer, build_schedule
from tlexp.train.predict import Forward, forward, sizes

_CURVE_POINTS = 200
# Reading a loss makes an accelerator wait, so it is read after this many steps or seconds, whichever comes first.
_UNREAD_STEPS = 20
_UNREAD_SECONDS = 0.5


class BatchStream(Protocol):
    """Training batches, already on the device."""

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and labels of a step, 0-based; the same step gives the same batch."""
        ...


Enter = Callable[[int], tuple[Classifier, BatchStream]]
"""Number of a phase, once its units are frozen -> the network that it trains, and its batches."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Looks at a network in the middle of its fit.

    Attributes:
        steps: After which to look.
        look: Does so, in evaluation mode, and draws nothing; told the step.
    """

    steps: frozenset[int]
    look: Callable[[int], None]


def fit(
    classifier: Classifier,
    batches: BatchStream,
    plan: FitPlan,
    *,
    fit_id: str,
    listener: Listener,
    checkpoint: Checkpoint | None,
    enter: Enter | None = None,
    watch: Watch | None = None,
) -> FitReport:
    """Train the classifier in place and return what it took; takes an interrupted fit up where it was.

    Torch's global generators are seeded anew at each step, so that the step number alone says how to go on, and are
    left as they were found.

    Args:
        classifier: The whole network, or one that takes features.
        batches: What it takes, where `enter` says nothing else.
        plan: How it is trained.
        fit_id: Names the fit in the checkpoint.
        listener: Hears of every step, and may ask to stop.
        checkpoint: Where the state is kept; None keeps none.
        enter: Says what a phase trains, and on which batches, once its units are frozen: the classifier, or the same
            one entered behind them. None for the classifier, on those batches, in every phase.
        watch: Looks at the classifier in between, off the clock; the fit goes on as if nobody had looked.

    Raises:
        DivergedError: A loss, or a weight after the last step, is not finite.
        Interrupted: The listener gave a signal; the state is in the checkpoint.
        OutOfMemoryError: The batch does not fit into the device's memory.
        TrainingError: The checkpoint cannot be read or written.
    """
    device = next(classifier.parameters()).device
    with kept_generators(device):
        return _Fit(
            classifier,
            plan,
            device,
            fit_id=fit_id,
            listener=listener,
            checkpoint=checkpoint,
            enter=enter or (lambda number: (classifier, batches)),
            watch=watch,
        ).run()


def on_curve(step: int, steps: int) -> bool:
    """Return whether a curve keeps the step, counted from 1: at most about 200 of them, the first and the last.

    >>> [step for step in range(1, 601) if on_curve(step, 600)][:4]
    [1, 3, 6, 9]
    """
    return step in (1, steps) or step % math.ceil(steps / _CURVE_POINTS) == 0


class _Fit:
    """One fit under way."""

    def __init__(
        self,
        classifier: Classifier,
        plan: FitPlan,
        device: torch.device,
        *,
        fit_id: str,
        listener: Listener,
        checkpoint: Checkpoint | None,
        enter: Enter,
        watch: Watch | None,
    ) -> None:
        if plan.channels_last:
            classifier.to(memory_format=torch.channels_last)
        self.classifier, self.plan, self.device, self.enter = classifier, plan, device, enter
        self.fit_id, self.listener, self.checkpoint, self.watch = fit_id, listener, checkpoint, watch
        self.phases = plan.phases or (FitPhase(steps=plan.steps, depth=classifier.depth),)
        assert sum(phase.steps for phase in self.phases) == plan.steps
        self.mix = build_mix(mixup=plan.mixup, cutmix=plan.cutmix, num_classes=plan.num_classes)
        self.weights = torch.tensor(plan.class_weights, device=device) if plan.class_weights else None
        self.progress = FitProgress()
        self.unread: list[tuple[int, float, torch.Tensor]] = []

    def run(self) -> FitReport:
        begun = self._take_up()
        self.listener.phase(self.fit_id, self.plan.steps)
        for number in range(begun, len(self.phases)):
            if number > begun:
                self._enter(number)
            self._train_phase()
        self._check_weights()
        self.optimizer.zero_grad()  # gradients would hold memory as long as the classifier lives
        return self._report()

    def _take_up(self) -> int:
        """Enter the phase in which the fit was interrupted, as it was then, or the first; return its number."""
        progress = None if self.checkpoint is None else self.checkpoint.progress(self.fit_id)
        if self.checkpoint is None or progress is None:
            self._enter(0)
            return 0
        self.progress = progress
        number = max(0, len(progress.phases) - 1)
        self._freeze(number)
        self.checkpoint.load_state(self.fit_id, self.classifier, self.optimizer)
        return number

    def _enter(self, number: int) -> None:
        """Begin a phase; the optimiser keeps what it knows of parameters that trained before."""
        former = None if number == 0 else self.optimizer.state
        self._freeze(number)
        for parameter in self.parameters:
            if former is not None and parameter in former:
                self.optimizer.state[parameter] = former[parameter]
        if len(self.phases) > 1:
            rates = {"lr": self.lr, "weight_decay": self.weight_decay}
            digests = {"digest_before": self.classifier.frozen_digest(), "digest_after": None}
            self.progress.phases.append({"steps": self.phase.steps, "depth": self.phase.depth, **rates, **digests})

    def _freeze(self, number: int) -> None:
        """Freeze what a phase freezes, with an optimiser over the rest, a schedule of its own, and what it is fed."""
        plan = self.plan
        self.phase = phase = self.phases[number]
        self.before = sum(each.steps for each in self.phases[:number])
        self.lr = plan.lr if phase.lr is None else phase.lr
        self.weight_decay = plan.weight_decay if phase.weight_decay is None else phase.weight_decay
        if phase.depth != self.classifier.depth and self.classifier.units:  # a head alone has nothing to freeze
            self.classifier.refreeze(phase.depth)
        self.classifier.train()
        self.network, self.batches = self.enter(number)
        self.parameters = [parameter for _, parameter in self.classifier.trainable_parameters()]
        self.optimizer = build_optimizer(
            self.classifier,
            name=plan.optimizer,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=plan.momentum,
            layer_decay=plan.layer_decay,
        )
        self.schedule = build_schedule(self.optimizer, schedule=plan.schedule, steps=phase.steps, warmup=plan.warmup)
        self.compiled, self.warm_until = self._compile()

    def _compile(self) -> tuple[Forward, int]:
        """Return the network as the steps run it, compiled where it is to be, and the last step that takes longer."""
        first = self.before + 1  # counts operations
        if not self.plan.compile:
            return self.network, first
        torch.compiler.reset()  # else the eighth network of a process would run as it is, its limit being reached
        return torch.compile(self.network), max(first, self.progress.step) + 1

    def _train_phase(self) -> None:
        """Make the steps of the phase that are left, and see that what it froze is as it was."""
        self.clock = time.perf_counter()
        while self.progress.step < self.before + self.phase.steps:
            self._heed_signal()
            self._advance()
            if self.watch is not None and self.progress.step in self.watch.steps:
                self._let_look(self.watch)
        self._read_losses()
        if len(self.phases) > 1:
            told = self.progress.phases[-1]
            told["digest_after"] = self.classifier.frozen_digest()
            if told["digest_after"] != told["digest_before"]:
                raise AssertionError("frozen parameters or buffers changed during a phase")

    def _advance(self) -> None:
        """Make one step, with what is due after it."""
        step = self.progress.step + 1
        if step == self.before + 1:
            self._first_step(step)
        else:
            self._step(step, self.compiled)
        self.progress.step = step
        waited = time.perf_counter() - self.clock
        bunched = len(self.unread) >= _UNREAD_STEPS or waited > _UNREAD_SECONDS
        if step <= self.warm_until or bunched or _reads_at_once(self.device):
            self._read_losses()
        if self.checkpoint is not None and self.checkpoint.due():
            self._save(self.checkpoint)

    def _let_look(self, watch: Watch) -> None:
        """Let somebody look at the network, after the losses were seen to be finite, off the clock."""
        self._read_losses()
        watch.look(self.progress.step)
        self.classifier.train()
        self.clock = time.perf_counter()

    def _first_step(self, step: int) -> None:
        """Make a phase's first step and count its operations; never compiled, for the counter sees plain ones only."""
        with OperationCounter() as counter:
            self._step(step, self.network)
        flops, total = self.progress.flops, counter.total()
        self.progress.flops = None if flops is None or total is None else flops + total * self.phase.steps

    def _step(self, step: int, network: Forward) -> None:
        """Make one optimiser step; out of memory is told with the size of the batch."""
        seed_generators(self.plan.seed, step, self.device)
        self.schedule.step_update(step - self.before)
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        images, labels = within_memory(
            lambda: self.batches.batch(step - 1), f"the batch of step {step}: use a smaller train.batch_size"
        )
        loss = within_memory(
            lambda: self._update(images, labels, network),
            f"a training step with {sizes(images)}: use train.batch_size={max(2, len(images) // 2)} or a smaller "
            "backbone.image_size",
        )
        self.progress.images += len(images)
        self.unread.append((step, rate, loss))

    def _update(self, images: torch.Tensor, labels: torch.Tensor, network: Forward) -> torch.Tensor:
        """Return the loss before one update of the weights, () on the device."""
        images, targets = self.mix(images, labels)
        logits = forward(network, images, self.plan.autocast)
        loss = weighted_loss(logits, targets, self.weights, label_smoothing=self.plan.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def _read_losses(self) -> None:
        """Read the losses not yet read, tell them and check them; the device is waited for here only."""
        unread, self.unread = self.unread, []
        losses = torch.stack([loss for _, _, loss in unread]).tolist() if unread else []
        self._stamp(warm=len(unread) if unread and unread[0][0] <= self.warm_until else 0)
        for (step, rate, _), loss in zip(unread, losses, strict=True):
            if not math.isfinite(loss):
                raise self._diverged(step, rate, f"the loss is {loss}")
            self.listener.step(step, {"loss": loss, "lr": rate})
            if on_curve(step, self.plan.steps):
                self.progress.curve += [(step, "loss", loss), (step, "lr", rate)]

    def _stamp(self, *, warm: int) -> None:
        """Add the time since the last stamp to the fit's seconds, that of so many steps that take longer apart."""
        now = time.perf_counter()
        self.progress.seconds += now - self.clock
        self.progress.first_seconds += now - self.clock if warm else 0.0
        self.progress.warm_steps += warm
        self.clock = now

    def _check_weights(self) -> None:
        """The last update has no later loss that would show a broken weight."""
        if not bool(torch.stack([parameter.isfinite().all() for parameter in self.parameters]).all()):
            rate = max(group["lr"] for group in self.optimizer.param_groups)
            raise self._diverged(self.plan.steps, rate, "a weight is not finite any more")

    def _diverged(self, step: int, rate: float, what: str) -> DivergedError:
        way_out = f"(optim.lr={self.lr:.3g}): lower optim.lr, e.g. optim.lr={self.lr / 10:.3g}"
        if self.phase.lr is not None:
            way_out = f"({self.lr:.3g} is the default of the head alone): use another optim, or optim.clip_norm=0.1"
        return DivergedError(
            f"{self.fit_id}: {what} at step {step} of {self.plan.steps}, where the learning rate was {rate:.3g} "
            f"{way_out}"
        )

    def _heed_signal(self) -> None:
        signal_number = self.listener.should_stop()
        if signal_number is None:
            return
        self._read_losses()
        if self.checkpoint is not None:
            self._save(self.checkpoint)
        raise Interrupted(signal_number)

    def _save(self, checkpoint: Checkpoint) -> None:
        """Write the state, after the losses were seen to be finite, off the clock."""
        self._read_losses()
        checkpoint.save_state(self.fit_id, self.classifier, self.optimizer, self.progress)
        self.clock = time.perf_counter()

    def _report(self) -> FitReport:
        steps, progress = self.plan.steps, self.progress
        warm = progress.warm_steps if progress.warm_steps < steps else 0
        return FitReport(
            steps=steps,
            seconds=progress.seconds,
            images_per_second=progress.images
            * (steps - warm)
            / steps
            / (progress.seconds - (progress.first_seconds if warm else 0.0)),
            flops=progress.flops,
            peak_bytes=peak_bytes(self.device),
            curve=progress.curve,
            phases=progress.phases,
        )


def _reads_at_once(device: torch.device) -> bool:
    """Return whether reading a number makes nobody wait."""
    return device.type == "cpu"
