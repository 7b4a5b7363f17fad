"""Training and measuring."""

from tlexp.train.allocator import give_back_freed_memory, keep_freed_memory
from tlexp.train.answering import Answering, measure_answering
from tlexp.train.balance import PerClass, weigh_classes
from tlexp.train.checkpoint import Checkpoint, FinishedFit, copy_checkpoint
from tlexp.train.cost import peak_bytes, reset_peak
from tlexp.train.device import (
    autocast_dtype,
    choose_device,
    computes_bf16,
    deterministic,
    settle_process,
    spared,
    within_memory,
)
from tlexp.train.fit_plan import FitPhase, FitPlan, FitReport, FoldFit
from tlexp.train.heads import CANDIDATES, solve
from tlexp.train.listener import Listener
from tlexp.train.loop import Watch, fit, on_curve
from tlexp.train.many import supports, train_many
from tlexp.train.metrics import Evaluation, evaluate, measure, to_probabilities
from tlexp.train.outliers import FalseAlarms, measure_false_alarms
from tlexp.train.predict import Beside, map_features, predict, predict_beside
from tlexp.train.problem import Fitted, Problem

__all__ = [
    "CANDIDATES",
    "Answering",
    "Beside",
    "Checkpoint",
    "Evaluation",
    "FalseAlarms",
    "FinishedFit",
    "FitPhase",
    "FitPlan",
    "FitReport",
    "Fitted",
    "FoldFit",
    "Listener",
    "PerClass",
    "Problem",
    "Watch",
    "autocast_dtype",
    "choose_device",
    "computes_bf16",
    "copy_checkpoint",
    "deterministic",
    "evaluate",
    "fit",
    "give_back_freed_memory",
    "keep_freed_memory",
    "map_features",
    "measure",
    "measure_answering",
    "measure_false_alarms",
    "on_curve",
    "peak_bytes",
    "predict",
    "predict_beside",
    "reset_peak",
    "settle_process",
    "solve",
    "spared",
    "supports",
    "to_probabilities",
    "train_many",
    "weigh_classes",
    "within_memory",
]
