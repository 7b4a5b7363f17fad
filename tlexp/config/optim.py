"""`conf/optim`: the optimiser, its schedule, and the stated defaults of each freeze policy."""

from dataclasses import dataclass
from enum import StrEnum

from tlexp.config.freeze import FreezePolicy
from tlexp.config.setting import setting


class Optimizer(StrEnum):
    """timm's names of the optimisers on offer."""

    adamw = "adamw"
    adam = "adam"
    sgd = "sgd"


class Schedule(StrEnum):
    """How the learning rate falls after warm-up."""

    cosine = "cosine"
    constant = "constant"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak learning rate and weight decay of one candidate."""

    lr: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One candidate of a head that is solved: what it has to choose, if anything."""

    weight_decay: float | None = None
    neighbours: int | None = None

    @property
    def strength(self) -> float:
        """What the head is solved with; of more, the solution is simpler."""
        return self.weight_decay or self.neighbours or 0


# One rate for frozen and unfrozen networks is meaningless: the best ones differ by orders of magnitude
# (Kumar et al. 2022, arXiv 2202.10054). These are starting points for a single run; `tune.trials` searches. Those of
# adamw and none, all, last and depth are the best of three that were compared, or lose little (bench_rates); depth's is
# a third of its best one, at which a start from the probe with kept norms, as in studies, may collapse.
# adam was not compared: its learning rates are adamw's, for its steps are.
SCRATCH = "scratch"
"""Row for networks that start from random weights and are not wholly frozen."""
FROZEN_MLP = "all, mlp"
"""Row for hidden layers on a frozen backbone: no convex problem, so a smaller step."""
FROZEN_MAP = "all, flatten_mlp or attention"
"""Row for hidden layers or attention on a whole frozen map: many times the inputs, each of which moves a unit by the
rate. At ten times the rate attention is no more accurate on photographs of two kinds, at five times the loss or more.
"""
DEFAULT_RATES: dict[tuple[str, Optimizer], Rates] = {
    (FreezePolicy.all, Optimizer.adamw): Rates(lr=3e-3, weight_decay=1e-2),
    (FreezePolicy.all, Optimizer.adam): Rates(lr=3e-3, weight_decay=1e-6),
    (FreezePolicy.all, Optimizer.sgd): Rates(lr=5e-2, weight_decay=1e-6),
    (FROZEN_MLP, Optimizer.adamw): Rates(lr=1e-3, weight_decay=1e-2),
    (FROZEN_MLP, Optimizer.adam): Rates(lr=1e-3, weight_decay=1e-6),
    (FROZEN_MLP, Optimizer.sgd): Rates(lr=3e-2, weight_decay=1e-6),
    (FROZEN_MAP, Optimizer.adamw): Rates(lr=1e-4, weight_decay=1e-2),
    (FROZEN_MAP, Optimizer.adam): Rates(lr=1e-4, weight_decay=1e-6),
    (FROZEN_MAP, Optimizer.sgd): Rates(lr=3e-3, weight_decay=1e-6),
    (FreezePolicy.last, Optimizer.adamw): Rates(lr=5e-4, weight_decay=5e-2),
    (FreezePolicy.last, Optimizer.adam): Rates(lr=5e-4, weight_decay=1e-6),
    (FreezePolicy.last, Optimizer.sgd): Rates(lr=1e-2, weight_decay=1e-4),
    (FreezePolicy.depth, Optimizer.adamw): Rates(lr=1e-3, weight_decay=5e-2),
    (FreezePolicy.depth, Optimizer.adam): Rates(lr=1e-3, weight_decay=1e-6),
    (FreezePolicy.depth, Optimizer.sgd): Rates(lr=5e-3, weight_decay=1e-4),
    (FreezePolicy.none, Optimizer.adamw): Rates(lr=1e-3, weight_decay=5e-2),
    (FreezePolicy.none, Optimizer.adam): Rates(lr=1e-3, weight_decay=1e-6),
    (FreezePolicy.none, Optimizer.sgd): Rates(lr=3e-3, weight_decay=1e-4),
    # Of norm, bias and lora, which share this row, no rate was measured. Papers on transformers of text give few
    # parameters a larger rate than all: BitFit searches biases at 1e-4 .. 1e-3 where full fine-tuning has 1e-5 .. 5e-5
    # (arXiv 2106.10199), LoRA takes 2e-4 .. 5e-4 (arXiv 2106.09685). Here none's own is as large already; whether
    # these should have more is open. Scales, shifts and biases never decay: the decay is that of adapters and the head.
    (FreezePolicy.norm, Optimizer.adamw): Rates(lr=1e-3, weight_decay=1e-2),
    (FreezePolicy.norm, Optimizer.adam): Rates(lr=1e-3, weight_decay=1e-6),
    (FreezePolicy.norm, Optimizer.sgd): Rates(lr=3e-2, weight_decay=1e-6),
    (SCRATCH, Optimizer.adamw): Rates(lr=1e-3, weight_decay=5e-2),
    (SCRATCH, Optimizer.adam): Rates(lr=1e-3, weight_decay=1e-6),
    (SCRATCH, Optimizer.sgd): Rates(lr=5e-2, weight_decay=5e-4),
}


@dataclass
class OptimConfig:
    """The optimiser. What is null comes from the freeze policy's row of the table of default rates."""

    name: Optimizer = setting(Optimizer.adamw, "adamw, adam or sgd (with Nesterov momentum).")
    lr: float | None = setting(
        None,
        "Peak learning rate, (0, inf); null takes the freeze policy's default. A phase of freeze=lpft or gradual that "
        "trains the head alone keeps the default of freeze=all, as it does its weight decay.",
    )
    weight_decay: float | None = setting(None, "Weight decay, [0, inf); null takes the freeze policy's default.")
    momentum: float = setting(0.9, "Momentum of sgd, [0, 1).")
    layer_decay: float | None = setting(
        None, "Factor on the learning rate per unit away from the head, (0, 1]; null for one rate everywhere."
    )
    schedule: Schedule = setting(
        Schedule.cosine,
        "cosine (to zero) or constant, after the warm-up; each phase of freeze=lpft or gradual begins a new one.",
    )
    warmup: float = setting(0.1, "Fraction of the steps with a linearly rising rate, [0, 1).")
    clip_norm: float | None = setting(1.0, "Largest gradient norm, (0, inf); null does not clip.")

    def problems(self) -> list[str]:
        """Return every broken rule of this group."""
        found = []
        if self.lr is not None and not 0 < self.lr < float("inf"):
            found.append(f"optim.lr={self.lr}: must be positive and finite, or null for the policy's default")
        if self.weight_decay is not None and not 0 <= self.weight_decay < float("inf"):
            found.append(f"optim.weight_decay={self.weight_decay}: must be at least 0, or null")
        if not 0 <= self.momentum < 1:
            found.append(f"optim.momentum={self.momentum}: must be in [0, 1)")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            found.append(f"optim.layer_decay={self.layer_decay}: must be in (0, 1], or null")
        if not 0 <= self.warmup < 1:
            found.append(f"optim.warmup={self.warmup}: must be in [0, 1)")
        if self.clip_norm is not None and not self.clip_norm > 0:
            found.append(f"optim.clip_norm={self.clip_norm}: must be positive, or null for no clipping")
        return found
