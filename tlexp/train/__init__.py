"""Training and measuring."""

from tlexp.train.checkpoint import Checkpoint, Outcome
from tlexp.train.device import autocast_dtype, choose_device, deterministic
from tlexp.train.listener import Listener
from tlexp.train.loop import fit, on_curve
from tlexp.train.metrics import Evaluation, evaluate, measure, to_probabilities
from tlexp.train.plan import FitPlan, FitReport
from tlexp.train.predict import predict

__all__ = [
    "Checkpoint",
    "Evaluation",
    "FitPlan",
    "FitReport",
    "Listener",
    "Outcome",
    "autocast_dtype",
    "choose_device",
    "deterministic",
    "evaluate",
    "fit",
    "measure",
    "on_curve",
    "predict",
    "to_probabilities",
]
