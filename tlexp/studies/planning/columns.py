"""The columns of a study, as `study.columns` states them: what competes, and what stands beside it.

A column is the overrides that make a run one of it. An entry of the list is written out as `NAME (TITLE): OVERRIDES`
(`NAME?` where a backbone may not allow it), or names one of `RECIPES`, whose columns follow from the backbone's units
or do not compete. In a written one `{first}` stands for the block behind the stem, `{last}` for the last four units,
and `{phases}` for the phases of gradual unfreezing.

In a study of depths every column starts from its replicate's tuned probe and keeps the pretrained BatchNorm statistics,
so that depth is the only difference. Depths that nobody states lie evenly by operations, for late stages hold most
parameters and early ones take most of the time.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tlexp.config.depth import nearest_depth, parse_depth, resolve_depth
from tlexp.config.head import HeadKind
from tlexp.config.study import ENTRANTS
from tlexp.errors import ConfigError
from tlexp.models.units import NECK, Unit
from tlexp.studies.analysis.table import BESIDE, LONGER, Column, Role
from tlexp.studies.planning.pool import PoolEntry

FROZEN = ("freeze=all", "head=logreg")
PROBE_FIRST = ("head=linear", "head.init=probe", "freeze.norm=keep")
RAW_PIXELS = ("backbone=pixels", "backbone.image_size=null", *FROZEN)  # at its own size, whatever a preset states
RANDOM = ("backbone.pretrained=false", "backbone.weights=null")
_WRITTEN = re.compile(r"(?P<name>[\w.-]+)(?P<optional>\?)?(?: \((?P<title>.+)\))?: (?P<words>.+)")
_CLOSED = ("ridge", "nearest_mean", "knn")
_LAST_UNITS = 4
"""As many as DINOv2's linear probes read (Oquab et al. 2023, arXiv 2304.07193)."""
SHARES = (0.25, 0.5, 0.75)
"""Of the backbone's operations that the inner depths freeze, as near as its units allow, where none are stated."""
_HALF = 0.5
"""Of the operations, what a backbone among several freezes between all and nothing."""
PHASES = 4
"""Of gradual unfreezing, as in its preset; fewer where the backbone has fewer units."""


@dataclass(frozen=True, kw_only=True)
class ColumnBasis:
    """What columns are made for.

    Attributes:
        backbone: Its name, for messages.
        units: Its units in forward order.
        depths: `study.depths`.
        pool: The networks, or sizes, that are screened.
    """

    backbone: str
    units: Sequence[Unit]
    depths: Sequence[str] = ()
    pool: Sequence[PoolEntry] = ()


def study_columns(stated: Sequence[str], basis: ColumnBasis, *, controls: bool) -> list[Column]:
    """Return the columns of a study, in their order.

    Args:
        stated: `study.columns`.
        basis: What they are made for.
        controls: Whether those that do not compete are among them.

    Raises:
        ConfigError: A depth that the backbone does not have, an unknown recipe, a column without a head.
    """
    found: list[Column] = []
    problems: list[str] = []
    for text in stated:
        try:
            found += RECIPES[text](basis) if text in RECIPES else [_written(text, basis.units)]
        except ConfigError as error:
            problems += error.problems
    twice = {column.name for column in found if [each.name for each in found].count(column.name) > 1}
    problems += [f"study.columns: {name} stands there twice: give one another name" for name in sorted(twice)]
    if problems:
        raise ConfigError(problems)
    return [column for column in found if controls or column.competes]


def _written(text: str, units: Sequence[Unit]) -> Column:
    """Return the column that an entry spells out."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ConfigError(
            f'study.columns: {text}: write NAME: OVERRIDES, e.g. "direct: freeze=none head=linear", or one of '
            f"{', '.join(RECIPES)}"
        )
    for place, value in _places(units).items():
        text = text.replace(place, value)
    [(name, optional, title, words)] = _WRITTEN.findall(text)
    heads = [word for word in words.split() if word.startswith("head=")]
    if len(heads) != 1 or heads[0].removeprefix("head=") not in [*HeadKind]:
        raise ConfigError(f"study.columns: {name}: a column names one head, head= and one of {', '.join(HeadKind)}")
    return Column(
        name=name, title=title or words, role=Role.way, depth=None, words=tuple(words.split()), optional=bool(optional)
    )


def _places(units: Sequence[Unit]) -> Mapping[str, str]:
    """Return what stands for units in columns that are written out."""
    names = [unit.name for unit in units]
    return {
        "{first}": names[:2][-1] if names else "stem",  # as "block 1" of Lee et al. 2022, arXiv 2210.11466
        "{last}": ",".join([name for name in names if name != NECK][-_LAST_UNITS:]),
        "{phases}": str(min(PHASES, len(names) + 1)),
    }


def _depth_columns(basis: ColumnBasis) -> list[Column]:
    names = [unit.name for unit in basis.units]
    return [_depth(depth, names) for depth in _depths(basis.depths, basis.units, basis.backbone)]


def _entrant_columns(basis: ColumnBasis) -> list[Column]:
    """Return those of each entrant: wholly frozen, which screens it, half frozen, and not at all, or depths as stated.

    Raises:
        ConfigError: A stated depth that one of the networks does not have.
    """
    columns = []
    for entry in basis.pool:
        units = entry.network.units
        inner = [nearest_depth(_HALF, [unit.operations for unit in units]), 0]
        if basis.depths:
            inner = _depths(basis.depths, units, entry.name)[::-1]
        for depth in dict.fromkeys((len(units), *inner)):
            column = _depth(depth, [unit.name for unit in units])
            columns.append(
                dataclasses.replace(
                    column,
                    name=f"{entry.name}-{column.name}",
                    title=f"{entry.name}: {column.title}",
                    role=Role.way,
                    words=(*entry.words, *column.words),
                    entrant=entry.name,
                    optional=True,
                )
            )
    return columns


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


def _closed(_: ColumnBasis) -> list[Column]:
    return [
        Column(name=name, title=BESIDE[name], role=Role.closed, depth=None, words=("freeze=all", f"head={name}"))
        for name in _CLOSED
    ]


def _control(role: Role, name: str, *words: str) -> Callable[[ColumnBasis], list[Column]]:
    """Return the recipe of a column that only shows what the others are worth."""
    return lambda _: [Column(name=name, title=BESIDE[name], role=role, depth=None, words=words)]


_SCRATCH = (*RANDOM, "freeze=none", "head=linear")
RECIPES: Mapping[str, Callable[[ColumnBasis], list[Column]]] = {
    "depths": _depth_columns,
    ENTRANTS: _entrant_columns,
    "closed": _closed,
    "scratch": _control(Role.scratch, "scratch", *_SCRATCH),
    "scratch-long": _control(Role.scratch_long, "scratch-long", *(*_SCRATCH, f"train.longer={LONGER}")),
    "random": _control(Role.random, "random", *(*RANDOM, "backbone.calibrate=true", *FROZEN)),
    "pixels": _control(Role.pixels, "pixels", *RAW_PIXELS),
}
"""Columns that depend on the backbone's units or on what is screened, and those that do not compete."""
