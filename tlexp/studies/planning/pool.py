"""Which pretrained networks, at which input sizes, a study screens; what each costs, and what is missing.

An entry is an option of conf/backbone or a timm name, with own weights behind an @ and a pooling behind a +: `tiny`,
`resnet26`, `resnet18@runs:/0123`, `vit_small+avg`. A vision transformer for which no pooling is named has two entries,
its class token and the average of its patches: readings of one network, of which the screen lets one go on. Nothing is
downloaded here, and no network that is kept holds values.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.config import Config
from tlexp.config.backbone import PIXELS, BackboneConfig
from tlexp.config.head import POOLS as POOLINGS
from tlexp.errors import ConfigError, UnknownModelError, WeightsError
from tlexp.experiment.build import Network, build_network, load_start
from tlexp.models import preprocessing
from tlexp.models.backbone import other_pooling, pretrained_cfg, read_otherwise
from tlexp.models.weights import why_missing
from tlexp.paths import conf_options
from tlexp.studies.planning.prior import find_prior
from tlexp.tracking import names

SMALL = ("tiny", "lite0", "lite1", "lite2", "mobilenetv3_large", "efficientnet_b0", "resnet18")
STANDARD = ("lite0", "mobilenetv3_large", "efficientnet_b0", "resnet18", "resnet50", "convnext_tiny", "vit_small",
            "dinov2_small")  # fmt: skip
POOLS = {"small": SMALL, "standard": STANDARD, "any": tuple(dict.fromkeys((*SMALL, *STANDARD)))}
"""Names of pools: up to some 12 million parameters, what is commonly taken, and both."""
_SIZE, _POOLING = "backbone.image_size=", "head.global_pool="
_COPIES = 5
"""Of all parameters that lie in memory when all train: themselves, their start, gradients and two moments of AdamW."""
_BYTES = 4
_GROUPS, _GROUP_ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux tells a process's control groups, and where their limits stand."""
_PACKAGED_LICENCE = "non-commercial (ImageNet)"
"""Of the weights that come with the package, as their README says."""


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """One network of a pool.

    Attributes:
        name: Of it, fit for a file name: what its columns begin with.
        words: Overrides that choose it.
        backbone: What they compose to.
        pooling: timm's of the last map or tokens; None for the network's own.
        network: It, without values.
        parameters: Of the backbone.
        operations: Multiplications that one image takes.
        licence: Of its weights; None where it is not known.
        own_size: Pixels at which its weights were trained; None of own weights, where nobody says.
        prior: Top-1 accuracy on ImageNet, per cent; None where nothing is known, as of another size or pooling.
        reads: Name of the entry that is the same network read by its own pooling; "" where it is that one.
        digest: sha256 of own weights that lie in a file; "" of others, which nobody changes.
    """

    name: str
    words: tuple[str, ...]
    backbone: BackboneConfig
    pooling: str | None
    network: Network
    parameters: int
    operations: int
    licence: str | None
    own_size: int | None
    prior: float | None
    reads: str = ""
    digest: str = ""

    @property
    def computes(self) -> tuple[BackboneConfig, str | None]:
        """What decides its features."""
        return self.backbone, self.pooling

    @property
    def megabytes(self) -> float:
        """Of its weights in float32."""
        return self.parameters * _BYTES / 1e6

    @property
    def facts(self) -> dict[str, str | float | None]:
        """What the page tells of it."""
        return {
            "licence": self.licence,
            "megabytes": self.megabytes,  # rounded once, where it is shown
            "parameters": self.parameters,
            "image_size": self.network.expected.image_size,
            "own_size": self.own_size,
        }


def pool_entries(backbones: Sequence[str], sizes: Sequence[int] = ()) -> dict[str, tuple[str, ...]]:
    """Return the entries that lists mean, each with its overrides: every network at every size, where sizes are named.

    Names of pools stand for theirs; without networks an entry is a size of the one that is chosen anyway.

    >>> pool_entries(["tiny", "tiny"], [64])
    {'tiny-64px': ('backbone=tiny', 'backbone.image_size=64')}
    >>> pool_entries([], [64, 128])
    {'64px': ('backbone.image_size=64',), '128px': ('backbone.image_size=128',)}
    """
    networks = {each: entry_words(each) for text in backbones for each in POOLS.get(text, (text,))} or {"": ()}
    sides: dict[str, tuple[str, ...]] = {f"{size}px": (f"{_SIZE}{size}",) for size in sizes}
    return {
        "-".join(filter(None, (network, side))): (*chosen, *sized)
        for network, chosen in networks.items()
        for side, sized in (sides or {"": ()}).items()
    }


def entry_words(entry: str) -> tuple[str, ...]:
    """Return the overrides that an entry means.

    >>> entry_words("tiny+avg"), entry_words("resnet26@a.pth")
    (('backbone=tiny', 'head.global_pool=avg'), ('backbone=timm', 'backbone.name=resnet26', 'backbone.weights=a.pth'))
    """
    network, _, pooling = entry.rpartition("+")
    network, pooled = (network, (f"{_POOLING}{pooling}",)) if network and pooling in POOLINGS else (entry, ())
    name, _, weights = network.partition("@")
    known = name in conf_options("backbone")
    words = (f"backbone={name}",) if known else ("backbone=timm", f"backbone.name={name}")
    return (*words, *((f"backbone.weights={weights}",) if weights else ()), *pooled)


def find_pool(
    entries: Mapping[str, tuple[str, ...]], compose: Callable[[tuple[str, ...]], Config], *, readings: bool = False
) -> tuple[list[PoolEntry], dict[str, str]]:
    """Return the networks that can be had, the cheapest first, and why the others cannot.

    Args:
        entries: As `pool_entries` returns them.
        compose: From overrides to the configuration of a run.
        readings: Whether a vision transformer has an entry for each of its two readings, its own pooling's first.

    Raises:
        ConfigError: None can be had; the message says why of each. Or no model has a name that was typed.
    """
    found: dict[str, PoolEntry] = {}
    missing: dict[str, str] = {}
    unknown: dict[str, None] = {}
    for entry, words in entries.items():
        try:
            each = _look_up(entry, words, compose(words))
        except UnknownModelError as error:
            unknown |= {f"study.backbones: {error}": None}  # once, of however many sizes
            continue
        except ConfigError as error:
            missing[entry] = error.problems[0]
            continue
        except WeightsError as error:
            missing[entry] = str(error)
            continue
        if isinstance(each, str):
            missing[entry] = each
        elif same := next((other for other in found.values() if other.computes == each.computes), None):
            missing[entry] = f"the same as {same.name}"
        else:
            found[each.name] = each
            if readings and (other := _read_otherwise(each, entries.values())):
                found[other.name] = other
    if unknown:  # mistyped, where all else that is missing may be had elsewhere
        raise ConfigError([*unknown])
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise ConfigError(
            f"study.columns: no network or size can be had here ({reasons}); tiny and lite0 come with the package"
        )
    return sorted(found.values(), key=lambda each: each.operations), missing


def _look_up(entry: str, words: tuple[str, ...], config: Config) -> PoolEntry | str:
    """Return an entry, or why it cannot be had.

    Raises:
        ConfigError: Unknown model, or a size or pooling that it does not take.
        WeightsError: Its own weights cannot be read, or are of another architecture.
    """
    backbone = config.backbone
    if backbone.name == PIXELS:
        return "raw pixels are a control, and no pretrained network"
    if reason := _why_missing(backbone):
        return reason
    network = build_network(config, meta=True)
    parameters = sum(each.numel() for each in network.backbone.parameters())
    if _COPIES * _BYTES * parameters > _memory():
        return f"too large for the memory: {parameters / 1e6:,.0f} million parameters"
    own = backbone.weights is not None
    # Whether they fit the screen would find out seed by seed.
    digest = load_start(config, build_network(config)).digest if own and not _is_elsewhere(backbone) else ""
    own_size = preprocessing(backbone.name, image_size=None).image_size
    sized = any(word.startswith(_SIZE) for word in words)
    pooled = any(word.startswith(_POOLING) for word in words)
    other = sized and backbone.image_size != own_size
    strange = own or pooled or other
    licence = _PACKAGED_LICENCE if backbone.packaged else None
    return PoolEntry(
        name=names.folder_name(entry.replace("@", "-").replace("+", "-")),
        words=words,
        backbone=backbone,
        pooling=config.head.global_pool,
        network=network,
        parameters=parameters,
        operations=sum(unit.operations for unit in network.units),
        licence=licence if own else pretrained_cfg(backbone.name).get("license"),
        own_size=None if own or not backbone.pretrained else own_size,
        prior=None if strange else _top1(backbone.name),
        digest=digest,
    )


def _read_otherwise(entry: PoolEntry, stated: Iterable[tuple[str, ...]]) -> PoolEntry | None:
    """Return an entry's network as its other pooling reads it; None where one is named, or it has a single one."""
    backbone, network = entry.backbone, entry.network
    if entry.pooling is not None:
        return None
    pooling = other_pooling(network.backbone, backbone.name, image_size=network.expected.image_size)
    words = (*entry.words, f"{_POOLING}{pooling}")
    if pooling is None or {*words} in map(set, stated):
        return None
    reading = dataclasses.replace(network, backbone=read_otherwise(network.backbone, backbone.name, pooling))
    return dataclasses.replace(
        entry,
        name=names.folder_name(f"{entry.name}-{pooling}"),
        words=words,
        pooling=pooling,
        network=reading,
        reads=entry.name,
    )


def _why_missing(backbone: BackboneConfig) -> str:
    """Return why the weights cannot be had here, "" if they can; whether a tracking store has a run is not asked."""
    if backbone.weights is None:
        return why_missing(backbone.name)
    return "" if _is_elsewhere(backbone) or Path(backbone.weights).exists() else f"there is no {backbone.weights}"


def _is_elsewhere(backbone: BackboneConfig) -> bool:
    """Return whether own weights lie in a package or a tracking store, and in no file that the user names."""
    return backbone.packaged is not None or str(backbone.weights).startswith("runs:")


def _top1(name: str) -> float | None:
    """Return the prior of a model's pretrained weights; other weights of its architecture say nothing of them."""
    known = find_prior(name)
    return None if known is None else known.top1


def _memory() -> float:
    """Return the bytes of memory that this process may have: the machine's, or what its control groups allow of it."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        whole = math.inf
    return min(whole, *map(_limit, _limit_files()))


def _limit_files() -> list[Path]:
    """Return the files that may limit this process, of its own control group and of all above it, of both versions.

    Inside a container its group may stand at the root under another name: the root's own file is always among them.
    """
    try:
        lines = [line.split(":", 2) for line in _GROUPS.read_text().splitlines()]
    except OSError:
        lines = []
    found = [_GROUP_ROOT / "memory.max", _GROUP_ROOT / "memory" / "memory.limit_in_bytes"]
    for _, controllers, group in lines:
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (found[1].parent, found[1].name) if controllers else (_GROUP_ROOT, found[0].name)
        own = root / group.lstrip("/")
        found += [each / name for each in (own, *own.parents) if root in each.parents]
    return found


def _limit(path: Path) -> float:
    """Return the bytes that a file names; infinity where there is none, or no limit."""
    try:
        return float(path.read_text().replace("max", "inf"))
    except (OSError, ValueError):
        return math.inf
