"""Every parameter, metric, tag and artifact name that a run carries, spelled once."""

import fnmatch
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tlexp.terminal import short_number

SPLITS = ("train", "val", "test", "rest", "shifted")
SCORES = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")
COSTS = ("seconds", "images_per_second", "peak_bytes", "flops", "trainable_parameters", "total_parameters")
METRICS = (*(f"{split}/{score}" for split in SPLITS for score in SCORES), *(f"cost/{cost}" for cost in COSTS))
"""The flat metrics of a record."""

TAG_KEY = "tlexp.key"
TAG_STUDY = "tlexp.study"
TAG_SWEEP = "tlexp.sweep"
"""Host and folder of a sweep; marks the sweep's own run, which holds its tables and plots."""
TAG_OVERVIEW = "tlexp.overview"
"""When what a sweep's own run holds was written; set last."""
TAG_RUN = "tlexp.run"
"""The name of the run's folder, which is unique: by it a replay finds what is already there."""
TAG_ORIGIN = "tlexp.origin"
"""Of an evaluation: the run or export whose network it is about, as it was named."""
FOUND_BY = (TAG_STUDY, TAG_SWEEP, TAG_RUN)
"""Tags by which runs are searched; their values are `findable`."""
TAG_STATUS = "tlexp.status"
TAG_REASON = "tlexp.reason"
"""Why a run was closed by another process than its own."""
TAG_NOTE = "mlflow.note.content"
"""What MLflow shows as a run's description, in Markdown."""
TAG_VERSION = "tlexp.version"
TAG_GIT_COMMIT = "mlflow.source.git.commit"
TAG_GIT_DIRTY = "tlexp.git_dirty"
TAG_PROCESS = "tlexp.process"
"""Host, pid, boot id and start time of the writing process as JSON: tells a living run from one left behind."""
TAG_USER = "mlflow.user"
TAG_SOURCE_NAME = "mlflow.source.name"
TAG_SOURCE_TYPE = "mlflow.source.type"

SWEEPS_FOLDER = "multirun"
"""Where sweeps and studies have their folders."""
STUDY_FILE = "study.json"
"""What a sweep or a study is about."""
JOB_FILE = "job.json"
"""What an attempt is at, or which column a job of a study does."""
PROCESS_FILE = "process.json"
"""Which process works on an attempt; without it the attempt has not begun."""
CHECKPOINT_FOLDER = "checkpoint"
RECORD_FILE = "record.json"
OVERVIEW_FILE = "overview.json"
"""Of a sweep or a study: what is shown of it in the store."""
CURVES_FILE = "metrics.jsonl"
PREDICTIONS_FILE = "predictions.npz"
PREDICTIONS_TABLE = "predictions.csv"
"""Of a single run: what each test image is taken for, by its name."""
EVALUATION_FILE = "evaluation.json"
CANDIDATES_FILE = "candidates.csv"
COPIES_FILE = "copies.csv"
"""Images that were left out because others are the same; a study has one for all of its runs."""
LEAKS_FILE = "leaks.csv"
"""Images of groups that are both in the training pool and in a given test split; a study has one as well."""
TEST_IMAGES_FILE = "test-images.json"
"""Names of a study's test images, in the order of the predictions."""
BAD_IMAGES_FILE = "bad-images.txt"
"""Files that cannot be used, a line each; in the folder of the run, or where studies lie."""
MODEL_CARD_FILE = "model.json"
MODEL_WEIGHTS_FILE = "model.safetensors"
FIGURES_FOLDER = "figures"
MODEL_FOLDER = "model"
"""Artifact folder of the exported network."""
PYFUNC_MODEL = "classifier"
"""Name of the logged pyfunc model."""

RUN_FILES = (
    CURVES_FILE,
    PREDICTIONS_FILE,
    "predictions-rest.npz",
    "predictions-shifted.npz",
    PREDICTIONS_TABLE,
    "predictions-rest.csv",
    "predictions-shifted.csv",
    EVALUATION_FILE,
    CANDIDATES_FILE,
    COPIES_FILE,
    LEAKS_FILE,
    MODEL_CARD_FILE,
    "*.safetensors",
    f"{FIGURES_FOLDER}/*.png",
)
"""What a record vouches for by digest, as patterns below the run's folder."""

_LONGEST_NAME = 250
_UNSEARCHABLE = frozenset('"`\\%')


def split_metric(split: str, score: str) -> str:
    """Return the name of a score on a split.

    >>> split_metric("test", "accuracy")
    'test/accuracy'
    """
    name = f"{split}/{score}"
    assert name in METRICS, name
    return name


def predictions_file(split: str, name: str = PREDICTIONS_FILE) -> str:
    """Return the name of the file of a held-out split's predictions.

    >>> predictions_file("test"), predictions_file("shifted"), predictions_file("shifted", PREDICTIONS_TABLE)
    ('predictions.npz', 'predictions-shifted.npz', 'predictions-shifted.csv')
    """
    path = Path(name)
    return name if split == "test" else f"{path.stem}-{split}{path.suffix}"


def cost_metric(cost: str) -> str:
    """Return the name of an entry of the cost block.

    >>> cost_metric("seconds")
    'cost/seconds'
    """
    name = f"cost/{cost}"
    assert name in METRICS, name
    return name


def curve_metric(phase: str, fold: int | None, name: str) -> str:
    """Return the name under which a point of a curve is projected into the tracking store.

    >>> curve_metric("final", None, "train/loss"), curve_metric("select", 2, "train/loss")
    ('train/loss', 'select_train_loss_fold2')
    """
    if phase == "final":
        return name
    suffix = "" if fold is None else f"_fold{fold}"
    return f"{phase}_{name.replace('/', '_')}{suffix}"


def stored_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a record's metrics as they are projected into the tracking store, none twice.

    A loss without smoothing and weights is the log loss, and stands for it. MLflow orders its charts by what stands
    before the slash and puts names without one last: there costs belong, behind test, train and val.

    >>> stored_metrics({"test/loss": 0.5, "test/nll": 0.5, "val/loss": 0.5, "val/nll": 0.4, "cost/seconds": 2.0})
    {'test/loss': 0.5, 'val/loss': 0.5, 'val/nll': 0.4, 'cost_seconds': 2.0}
    """
    once = {
        name: value
        for name, value in metrics.items()
        if not (name.endswith("/nll") and metrics.get(name.replace("/nll", "/loss")) == value)
    }
    return {name.replace("/", "_") if name.startswith("cost/") else name: value for name, value in once.items()}


def artifact_folder(name: str) -> str:
    """Return the artifact folder of a file of the run's folder.

    >>> artifact_folder("model.safetensors"), artifact_folder("figures/confusion.png"), artifact_folder("record.json")
    ('model', 'figures', '')
    """
    path = Path(name)
    if path.name == MODEL_CARD_FILE or path.suffix == ".safetensors":
        return MODEL_FOLDER
    return "" if path.parent == Path() else path.parent.as_posix()


def is_run_file(name: str) -> bool:
    """Return whether a name below a run's folder is one of RUN_FILES; none of them leads out of the folder.

    >>> [is_run_file(name) for name in ("figures/a.png", "figures/../a.png", "../a.safetensors", "/a.safetensors")]
    [True, False, False, False]
    """
    parts = name.split("/")
    patterns = (pattern.split("/") for pattern in RUN_FILES)
    return any(len(parts) == len(each) and all(map(fnmatch.fnmatchcase, parts, each)) for each in patterns)


def findable(text: str) -> str:
    r"""Return a name as it stands in tags by which runs are found: what a search cannot spell is escaped.

    >>> findable("2026-11-28-run"), findable("it's 50%\n")
    ('2026-11-28-run', "it's 50%25%0A")
    """
    plain = (char.isprintable() and char not in _UNSEARCHABLE for char in text)
    return "".join(
        char if kept else quote(char.encode("utf-8", "surrogateescape"), safe="")
        for char, kept in zip(text, plain, strict=True)
    )


def study_of(folder: Path) -> str | None:
    """Return the name of the sweep that a run's folder belongs to; None for a single run's.

    >>> study_of(Path("multirun/mine/runs/7ceaab9f03e53f42/001-cff907cc687f")), study_of(Path("outputs/2026-run"))
    ('mine', None)
    """
    parents = folder.parents
    return parents[2].name if len(parents) > 2 and parents[1].name == "runs" else None


def flat_params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool | None]:
    """Return configuration values, nested in groups, as flat parameters with dotted names.

    >>> flat_params({"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "data": {"prior": {"cat": 1.0}}, "labels": "20"})
    {'optim.lr': 0.1, 'optim.betas': '[0.9, 0.99]', 'data.prior': "{'cat': 1.0}", 'labels': '20'}
    """
    flat: dict[str, str | int | float | bool | None] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and prefix:
            flat[f"{prefix}{name}"] = str(dict(value))  # names of classes are not those of settings
        elif isinstance(value, Mapping):
            flat.update(flat_params(value, f"{prefix}{name}."))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat[f"{prefix}{name}"] = str(list(value))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def run_name(config: Mapping[str, Any], point: Mapping[str, str] | None = None) -> str:
    """Return how a run is called in lists: what a sweep or study varied, then what else sets it apart from others.

    >>> config = {"backbone": {"name": "resnet18"}, "freeze": {"policy": "depth", "depth": "3"},
    ...     "head": {"kind": "linear"}, "data": {"source": "shapes"}, "labels": "20", "seed": 0}
    >>> run_name(config)
    'resnet18 freeze=depth:3 linear shapes labels=20 seed=0'
    >>> run_name(config, {"optim.lr": "0.00012345678901234", "seed": "0"})
    'optim.lr=0.0001235 seed=0 resnet18 freeze=depth:3 linear shapes labels=20'
    >>> run_name(config, {"column": "freeze-3", "labels": "20", "seed": "0"})
    'freeze-3 labels=20 seed=0 resnet18 freeze=depth:3 linear shapes'
    """
    point = point or {}
    freeze = config["freeze"]
    stated = [freeze[key] for key in ("depth", "probe_share", "phases", "rank") if freeze.get(key) is not None]
    detail = "".join(f":{each}" for each in [*stated, *freeze.get("units", [])])
    parts = {
        "backbone.name": str(config["backbone"]["name"]),
        "freeze.policy": f"freeze={freeze['policy']}{detail}",
        "head.kind": str(config["head"]["kind"]),
        "data.source": str(config["data"]["source"]),
        "labels": f"labels={config['labels']}",
        "seed": f"seed={config['seed']}",
    }
    varied = [text if key == "column" else f"{key}={short_number(text)}" for key, text in point.items()]
    rest = [text for key, text in parts.items() if not {key, key.partition(".")[0]} & point.keys()]
    return " ".join([*varied, *rest])


def legal_name(name: str) -> str:
    """Return the name with what tracking stores refuse replaced by `_` (they take letters, digits and ` _-./:`).

    >>> legal_name("head.hidden[0]=256")
    'head.hidden_0__256'
    """
    return re.sub(r"[^\w./: -]", "_", name, flags=re.ASCII)[:_LONGEST_NAME]


def folder_name(name: str) -> str:
    """Return a name of a folder that is safe everywhere; different names give different folders.

    >>> folder_name("tlexp"), folder_name("../../etc")
    ('tlexp', 'etc-74ccf3c5')
    """
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:64]
    return slug if slug and slug == name else f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
