"""The network: backbone, weights, units of depth, freezing and head."""

from tlexp.models.backbone import build_backbone, feature_shape, feature_width, preprocessing
from tlexp.models.calibration import CALIBRATED, calibrate
from tlexp.models.classifier import Classifier
from tlexp.models.export import ExportedModel, HeadOptions, ModelCard, load_classifier, save_classifier
from tlexp.models.freeze import Freezing, freeze_depth, frozen_told, resolve_freezing
from tlexp.models.head import build_head
from tlexp.models.norms import keeps_statistics
from tlexp.models.phases import Phase, freeze_phases, phase_steps
from tlexp.models.units import Unit, find_units
from tlexp.models.weights import WeightsOrigin, load_weights

__all__ = [
    "CALIBRATED",
    "Classifier",
    "ExportedModel",
    "Freezing",
    "HeadOptions",
    "ModelCard",
    "Phase",
    "Unit",
    "WeightsOrigin",
    "build_backbone",
    "build_head",
    "calibrate",
    "feature_shape",
    "feature_width",
    "find_units",
    "freeze_depth",
    "freeze_phases",
    "frozen_told",
    "keeps_statistics",
    "load_classifier",
    "load_weights",
    "phase_steps",
    "preprocessing",
    "resolve_freezing",
    "save_classifier",
]
