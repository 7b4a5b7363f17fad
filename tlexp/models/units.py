"""Units: a backbone's own order of depth, found for any timm model.

A unit is the stem, a stage or a block; parameters that run after the last stage or block form one unit, `neck`. timm's
coarse `group_matcher` says what belongs together. It does not say in which order it runs, puts norms and final
convolutions into the last group, leaves some parameters out, and a few architectures have none. So the backbone is
rehearsed on the meta device, and the groups are put right by the order in which parameters are used.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from timm.models._manipulate import group_with_matcher
from torch import nn

from tlexp.models.rehearsal import Rehearsal

STEM, NECK = "stem", "neck"
_STEM_GROUP, _UNMATCHED = 0, -1


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One step of a backbone's own order of depth.

    Names are relative to the backbone. The units' parameters partition the backbone's parameters, their buffers its
    buffers, their modules its modules; a container that spans several units belongs to the last of them.
    """

    index: int
    name: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    modules: tuple[str, ...]
    size: int
    """How many numbers its parameters are."""
    operations: int
    """Multiply-adds of its part of one image's forward pass: of convolutions, linear layers and attention."""
    shape: tuple[int, ...] | None
    """What crosses behind the unit, without the batch dimension: (C, h, w), (T, C) or (D,); None if several tensors."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Parameters that stand or fall together: all of one group under one module, or one parameter of the root.

    `first` and `last` are the ticks at which the first and the last of them come into use.
    """

    path: str
    group: int
    parameters: tuple[str, ...]
    first: int
    last: int
    root: bool

    @property
    def family(self) -> str:
        """The path without its numbers: blocks.3 and blocks.4 are of one family."""
        return re.sub(r"\d+", "#", self.path)


@dataclass(kw_only=True)
class _Draft:
    """A unit in the making."""

    name: str
    group: int
    parts: list[_Part]


def find_units(backbone: nn.Module, *, image_size: int) -> tuple[Unit, ...]:
    """Return the units of a backbone in forward order; they partition its parameters, buffers and modules.

    A backbone without parameters has none.

    Args:
        backbone: A backbone of `build_backbone`, real or on the meta device; it is left as it was.
        image_size: Side of the square input in pixels.
    """
    if not any(True for _ in backbone.parameters()):
        return ()
    rehearsal = Rehearsal(backbone, image_size=image_size)
    parts, unused = _parts(_groups(backbone), rehearsal.used)
    drafts = _place(_merge_interleaved(parts))
    drafts[-1].parts += unused
    return _finish(backbone, drafts, rehearsal)


def _groups(backbone: nn.Module) -> dict[str, int]:
    """Return the group of each parameter: timm's, or one for each child of the largest container."""
    names = [name for name, _ in backbone.named_parameters()]
    try:
        matcher = backbone.group_matcher(coarse=True)  # type: ignore[operator]
    except (AttributeError, AssertionError):  # no matcher, or only a fine one
        return _groups_by_container(backbone, names)
    # A name that no pattern knows shows which group holds what is not matched.
    probe = "?"
    grouped = group_with_matcher([(name, name) for name in [*names, probe]], matcher, reverse=True)
    return {name: _UNMATCHED if grouped[name] == grouped[probe] else grouped[name] for name in names}


def _groups_by_container(backbone: nn.Module, names: Sequence[str]) -> dict[str, int]:
    """Return one group for each child of the root's largest list of modules."""
    lists: list[tuple[str, nn.Module]] = [
        (name, child) for name, child in backbone.named_children() if isinstance(child, nn.Sequential | nn.ModuleList)
    ] or [("", backbone)]
    largest, container = max(lists, key=lambda item: sum(1 for _ in item[1].parameters()))
    prefixes = [f"{largest}.{name}.".lstrip(".") for name, _ in container.named_children()]
    return {
        name: next((index + 1 for index, prefix in enumerate(prefixes) if name.startswith(prefix)), _UNMATCHED)
        for name in names
    }


def _parts(groups: Mapping[str, int], used: Mapping[str, int]) -> tuple[list[_Part], list[_Part]]:
    """Return the parts in order of use, and those that the forward pass never uses."""
    owners: dict[str, set[int]] = defaultdict(set)
    for name, group in groups.items():
        for prefix in _prefixes(name):
            owners[prefix].add(group)
    members: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, group in groups.items():
        path = next(prefix for prefix in _prefixes(name) if len(owners[prefix]) == 1 or prefix == name)
        members[path, group].append(name)
    parts: list[_Part] = []
    unused: list[_Part] = []
    for (path, group), names in members.items():
        ticks = [used[name] for name in names if name in used]
        first, last = (min(ticks), max(ticks)) if ticks else (0, 0)
        part = _Part(path=path, group=group, parameters=tuple(names), first=first, last=last, root="." not in names[0])
        (parts if ticks else unused).append(part)
    return sorted(parts, key=lambda part: part.first), unused


def _prefixes(name: str) -> list[str]:
    """Return a, a.b and a.b.c of a.b.c."""
    pieces = name.split(".")
    return [".".join(pieces[: end + 1]) for end in range(len(pieces))]


def _merge_interleaved(parts: Sequence[_Part]) -> list[_Part]:
    """Join parts whose parameters come into use by turns: no cut would separate them."""
    merged: list[_Part] = []
    for part in parts:
        if merged and part.first < merged[-1].last:
            before = merged.pop()
            bulk = max((before, part), key=lambda each: len(each.parameters))
            part = replace(
                bulk,
                parameters=before.parameters + part.parameters,
                first=before.first,
                last=max(before.last, part.last),
                root=False,
            )
        merged.append(part)
    return merged


def _place(parts: Sequence[_Part]) -> list[_Draft]:
    """Return the units in the making: runs of solid parts of one group, with the loose parts that run among them."""
    repeated = _repeated(parts)
    end = max((part.first for part in parts if part in repeated), default=0)
    staged = {part.group for part in repeated}
    drafts: list[_Draft] = []
    loose: list[_Part] = []
    for part in parts:
        solid = part in repeated or (_matched(part) and part.group not in staged and (part.first < end or not repeated))
        if not solid:
            loose.append(part)
        elif drafts and drafts[-1].group == part.group:
            drafts[-1].parts += [*loose, part]
            loose = []
        else:
            drafts += _open(drafts, loose, part, repeated=part in repeated)
            loose = []
    if loose:
        drafts.append(_Draft(name=NECK if drafts else STEM, group=_UNMATCHED, parts=loose))
    return _named(drafts)


def _matched(part: _Part) -> bool:
    """A parameter of the root, such as a class token, belongs where it is used, whatever its group."""
    return part.group != _UNMATCHED and not part.root


def _repeated(parts: Sequence[_Part]) -> set[_Part]:
    """Return the stages or blocks: parts of a family that has members in several groups besides the stem's."""
    groups: dict[str, set[int]] = defaultdict(set)
    for part in parts:
        if _matched(part) and part.group != _STEM_GROUP:
            groups[part.family].add(part.group)
    return {part for part in parts if _matched(part) and len(groups[part.family]) > 1}


def _open(drafts: Sequence[_Draft], loose: list[_Part], part: _Part, *, repeated: bool) -> list[_Draft]:
    """Return the draft that the part opens, after settling what ran since the draft before it.

    Loose parts stay with the unit before when it is the stem or shares their group; else they go to the unit which
    they lead into, as the class token of an architecture that appends it halfway.
    """
    opened = _Draft(name="", group=part.group, parts=[part])
    if not drafts:
        if loose and repeated and all(each.group != part.group for each in loose):
            return [_Draft(name=STEM, group=_UNMATCHED, parts=loose), opened]
        opened.parts[:0] = loose
        return [opened]
    before = drafts[-1]
    if len(drafts) == 1 and (before.name == STEM or before.group == _STEM_GROUP):
        kept = next((position for position, each in enumerate(loose) if each.group == part.group), len(loose))
    else:
        kept = max((position + 1 for position, each in enumerate(loose) if each.group == before.group), default=0)
    before.parts += loose[:kept]
    opened.parts[:0] = loose[kept:]
    return [opened]


def _named(drafts: list[_Draft]) -> list[_Draft]:
    """Name each draft as people do: layer3, stages.2, blocks.11; the first of timm's groups is the stem."""
    for position, draft in enumerate(drafts):
        if draft.name:
            continue
        if position == 0 and draft.group == _STEM_GROUP:
            draft.name = STEM
            continue
        parts = [part for part in draft.parts if part.group == draft.group and not part.root]
        sizes = Counter[str]()
        for part in parts:
            sizes[part.family] += len(part.parameters)
        family = sizes.most_common(1)[0][0]
        draft.name = _shared_start([part.path for part in parts if part.family == family])
    return drafts


def _shared_start(paths: Sequence[str]) -> str:
    """Return features.conv4 for features.conv4_1 and features.conv4_2."""
    low, high = min(paths), max(paths)
    length = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:length].rstrip("._")


def _finish(backbone: nn.Module, drafts: Sequence[_Draft], rehearsal: Rehearsal) -> tuple[Unit, ...]:
    """Return the units with what belongs to them besides parameters."""
    owner = {name: index for index, draft in enumerate(drafts) for part in draft.parts for name in part.parameters}
    starts = _starts(owner, len(drafts), rehearsal)
    modules = _owners_of_modules(backbone, owner, starts, rehearsal)
    buffers = {name: _owner_of_buffer(name, owner, modules, starts, rehearsal) for name, _ in backbone.named_buffers()}
    operations = Counter[int]()
    for tick, count in rehearsal.operations.items():
        operations[_unit_at(tick, starts)] += count
    sizes = {name: parameter.numel() for name, parameter in backbone.named_parameters()}
    units = []
    for index, draft in enumerate(drafts):
        crossing = (
            rehearsal.crossing(starts[index + 1]) if index + 1 < len(drafts) else [tuple(rehearsal.features.shape)]
        )
        one = len(crossing) == 1 and crossing[0][:1] == rehearsal.features.shape[:1]
        units.append(
            Unit(
                index=index,
                name=draft.name,
                parameters=tuple(name for name in sizes if owner[name] == index),
                buffers=tuple(name for name, unit in buffers.items() if unit == index),
                modules=tuple(name for name, unit in modules.items() if unit == index),
                size=sum(size for name, size in sizes.items() if owner[name] == index),
                operations=operations[index],
                shape=crossing[0][1:] if one else None,
            )
        )
    return tuple(units)


def _starts(owner: Mapping[str, int], count: int, rehearsal: Rehearsal) -> list[int]:
    """Return the tick at which each unit begins: its first module starts or its first own parameter is used."""
    ticks: list[list[int]] = [[] for _ in range(count)]
    for name, unit in owner.items():
        if name in rehearsal.used:
            ticks[unit].append(rehearsal.used[name])
    span = _spans(owner)
    for name, tick in rehearsal.started.items():
        units = span.get(name, set())
        if len(units) == 1:
            ticks[min(units)].append(tick)
    return [0, *(min(each) for each in ticks[1:])]


def _spans(owner: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the units whose parameters stand under each module that has any."""
    spans: dict[str, set[int]] = defaultdict(set)
    for name, unit in owner.items():
        for prefix in ["", *_prefixes(name)[:-1]]:
            spans[prefix].add(unit)
    return spans


def _owners_of_modules(
    backbone: nn.Module, owner: Mapping[str, int], starts: Sequence[int], rehearsal: Rehearsal
) -> dict[str, int]:
    """Return the unit of each module.

    A module without parameters (dropout, drop-path, pooling) belongs to the unit that surrounds it, else to the one
    during which it runs, so that it is in eval whenever that unit is frozen.
    """
    spans = _spans(owner)
    last = len(starts) - 1
    owners: dict[str, int] = {}
    for name, _ in backbone.named_modules():
        if name in spans:
            owners[name] = max(spans[name])
            continue
        around = next((spans[prefix] for prefix in reversed(_prefixes(name)[:-1]) if prefix in spans), set())
        if len(around) == 1:
            owners[name] = min(around)
        else:
            owners[name] = _unit_at(rehearsal.started[name], starts) if name in rehearsal.started else last
    return owners


def _owner_of_buffer(
    name: str, owner: Mapping[str, int], modules: Mapping[str, int], starts: Sequence[int], rehearsal: Rehearsal
) -> int:
    """Return the unit of a buffer: its module's where that has parameters of its own, else the first that uses it."""
    module, _, _ = name.rpartition(".")
    if module and module in modules:
        return modules[module]
    return _unit_at(rehearsal.used[name], starts) if name in rehearsal.used else len(starts) - 1


def _unit_at(tick: int, starts: Sequence[int]) -> int:
    """Return the unit that runs at a tick."""
    return bisect_right(starts, tick) - 1
