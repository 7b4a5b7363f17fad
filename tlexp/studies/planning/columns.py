"""The columns of each kind of study: what competes, and what stands beside it.

A column is the overrides that make a run one of it. In a study of depths every one starts from its replicate's tuned
probe and keeps the pretrained BatchNorm statistics, so that depth is the only difference. Depths that nobody states lie
evenly by operations, for late stages hold most parameters and early ones take most of the time.
"""

import dataclasses
from collections.abc import Sequence

from tlexp.config.depth import nearest_depth, parse_depth, resolve_depth
from tlexp.config.head import HeadKind
from tlexp.config.study import StudyKind
from tlexp.errors import ConfigError
from tlexp.models.units import NECK, Unit
from tlexp.studies.analysis.table import Column, Role

FROZEN = ("freeze=all", "head=logreg")
PROBE_FIRST = ("head=linear", "head.init=probe", "freeze.norm=keep")
RAW_PIXELS = ("backbone=pixels", "backbone.image_size=null", *FROZEN)  # at its own size, whatever a preset states
RANDOM = ("backbone.pretrained=false", "backbone.weights=null")
_SOLVED = {
    "logreg": "logistic regression",
    "ridge": "ridge regression",
    "nearest_mean": "nearest mean",
    "knn": "nearest neighbours",
}
_TRAINED = {
    HeadKind.mlp: "a hidden layer",
    HeadKind.cosine: "cosines",
    HeadKind.attention: "attention over the last map or tokens",
    HeadKind.flatten_mlp: "a hidden layer on the flattened map",
}
_LAST_UNITS = 4
"""As many as DINOv2's linear probes read (Oquab et al. 2023, arXiv 2304.07193)."""
_OPTIONAL = {StudyKind.policies: ("norm", "bias", "lora"), StudyKind.heads: None, StudyKind.backbones: None}
"""Columns that not every backbone allows, and of which one needs a package; None for all of a study."""
SHARES = (0.25, 0.5, 0.75)
"""Of the backbone's operations that the inner depths freeze, as near as its units allow, where none are stated."""
_HALF = 0.5
"""Of the operations, what a backbone among several freezes between all and nothing."""
PHASES = 4
"""Of gradual unfreezing, as in its preset; fewer where the backbone has fewer units."""
LONGER = 4
"""The second network from scratch trains for this multiple of the protocol's steps."""


def study_columns(
    kind: StudyKind, units: Sequence[Unit], *, depths: Sequence[str], controls: bool, backbone: str
) -> list[Column]:
    """Return the columns of a study, those that compete first.

    Args:
        kind: What is compared.
        units: The backbone's units in forward order.
        depths: Those that are compared, as in freeze.depth; where none are stated, none, all and those of `SHARES`.
        controls: Whether controls stand beside them.
        backbone: Its name, for messages.

    Raises:
        ConfigError: A depth that the backbone does not have.
    """
    names = [unit.name for unit in units]
    if kind is StudyKind.depths:
        columns = [_depth(depth, names) for depth in _depths(depths, units, backbone)]
        return columns + (_closed() + _scratch() + _others() if controls else [])
    if kind is StudyKind.frozen:
        return [_head(name, title, Role.way) for name, title in _SOLVED.items()] + (_others() if controls else [])
    if kind is StudyKind.heads:
        return _heads(names) + (_others() if controls else [])
    return _policies(names) + (_scratch()[:1] if controls else [])


def backbone_columns(name: str, words: Sequence[str], units: Sequence[Unit]) -> list[Column]:
    """Return the columns of one of several backbones: wholly frozen, which screens it, half frozen, and not at all.

    Args:
        name: Of the backbone among the others.
        words: Overrides that choose it.
        units: Its units in forward order.
    """
    half = nearest_depth(_HALF, [unit.operations for unit in units])
    depths = dict.fromkeys((len(units), half, 0))
    columns = [_depth(depth, [unit.name for unit in units]) for depth in depths]
    return [
        dataclasses.replace(
            column,
            name=f"{name}-{column.name}",
            title=f"{name}: {column.title}",
            role=Role.way,
            words=(*words, *column.words),
        )
        for column in columns
    ]


def raw_pixels() -> Column:
    """Return the control that no network has a share in."""
    return _others()[-1]


def may_be_left_out(kind: StudyKind, column: str) -> bool:
    """Return whether a column that the backbone does not allow is left out, with the reason, or ends the study."""
    optional = _OPTIONAL.get(kind, ())
    return optional is None or column in optional


def _depths(stated: Sequence[str], units: Sequence[Unit], backbone: str) -> list[int]:
    if not stated:
        inner = {nearest_depth(share, [unit.operations for unit in units]) for share in SHARES}
        return sorted({0, *inner, len(units)})
    problems, found = [], set()
    for text in stated:
        try:
            found.add(resolve_depth(parse_depth(text), [unit.name for unit in units], backbone=backbone))
        except ValueError as error:
            problems.append(str(error).replace("freeze.depth", "study.depths"))
    if problems:
        raise ConfigError(problems)
    return sorted(found)


def _depth(depth: int, units: Sequence[str]) -> Column:
    count = len(units)
    if depth == count:
        title = f"all {count} units frozen: a linear probe"
        return Column(name=f"freeze-{depth}", title=title, role=Role.depth, depth=depth, words=FROZEN)
    title = f"{depth} of {count} units frozen (to {units[depth - 1]})" if depth else "none frozen: full fine-tuning"
    overrides = ("freeze=depth", f"freeze.depth={depth}", *PROBE_FIRST)
    return Column(name=f"freeze-{depth}", title=title, role=Role.depth, depth=depth, words=overrides)


def _closed() -> list[Column]:
    titles = {name: title for name, title in _SOLVED.items() if name != "logreg"}
    return [_head(name, f"all frozen, {title}", Role.closed) for name, title in titles.items()]


def _head(name: str, title: str, role: Role) -> Column:
    return Column(name=name, title=title, role=role, depth=None, words=("freeze=all", f"head={name}"))


def _heads(units: Sequence[str]) -> list[Column]:
    """Return every head on the frozen backbone, and logistic regression on the last units side by side."""
    trained = [_head(name, f"trained: {title}", Role.way) for name, title in _TRAINED.items()]
    last = [name for name in units if name != NECK][-_LAST_UNITS:]
    overrides = (*FROZEN, f"head.units=[{','.join(last)}]")
    title = f"logistic regression on the last {len(last)} units"
    beside = [Column(name="units", title=title, role=Role.way, depth=None, words=overrides)] if last else []
    return [_head(name, title, Role.way) for name, title in _SOLVED.items()] + beside + trained


def _scratch() -> list[Column]:
    overrides = (*RANDOM, "freeze=none", "head=linear")
    long = (*overrides, f"train.longer={LONGER}")
    return [
        Column(name="scratch", title="from scratch", role=Role.scratch, depth=None, words=overrides),
        Column(
            name="scratch-long",
            title=f"from scratch, {LONGER} x the steps",
            role=Role.scratch_long,
            depth=None,
            words=long,
        ),
    ]


def _others() -> list[Column]:
    random = (*RANDOM, "backbone.calibrate=true", *FROZEN)
    return [
        Column(name="random", title="random frozen features", role=Role.random, depth=None, words=random),
        Column(name="pixels", title="raw pixels", role=Role.pixels, depth=None, words=RAW_PIXELS),
    ]


def _policies(units: Sequence[str]) -> list[Column]:
    trained = ("head=linear", "freeze.norm=keep")
    gradual = ("freeze=gradual", f"freeze.phases={min(PHASES, len(units) + 1)}")
    first = units[:2][-1] if units else "stem"  # behind the stem, as "block 1" of Lee et al. 2022, arXiv 2210.11466
    ways = {
        "frozen": ("frozen: a linear probe", FROZEN),
        "frozen-norm": ("frozen, BatchNorm adapts", ("freeze=all", "freeze.norm=update", "head=linear")),
        "probe-first": ("linear probe first, then all layers", ("freeze=none", *PROBE_FIRST)),
        "lpft": ("linear probe in half of the steps, then all layers", ("freeze=lpft", *trained)),
        "gradual": ("layers unfrozen from the top", (*gradual, *trained)),
        "surgical": (f"{first} alone", ("freeze=surgical", f"freeze.units=[{first}]", *trained)),
        "norm": ("scale and shift of norms alone", ("freeze=norm", *trained)),
        "bias": ("biases alone", ("freeze=bias", *trained)),
        "lora": ("low-rank adapters", ("freeze=lora", *trained)),
        "direct": ("all layers at once", ("freeze=none", *trained)),
        "direct-norm": ("all layers at once, BatchNorm adapts", ("freeze=none", "head=linear")),
    }
    return [
        Column(name=name, title=title, role=Role.way, depth=None, words=overrides)
        for name, (title, overrides) in ways.items()
    ]
