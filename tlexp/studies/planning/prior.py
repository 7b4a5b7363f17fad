"""What is known of pretrained networks before anybody looks at the images: their accuracy on ImageNet.

Over eleven data sets a static list of networks ranks them better than any score of transferability (arXiv 2510.06448).
"""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from timm.models import split_model_name_tag

from tlexp.models.backbone import pretrained_cfg

TABLE = Path(__file__).with_name("prior.csv")
"""Distilled from timm's own results; the first lines name source and licence."""


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What timm's results say of one network with one set of weights.

    Attributes:
        top1: Accuracy on ImageNet-1k, per cent.
        image_size: Side of the square input that it was measured at, in pixels.
        parameters: Of the network with its classifier, in millions.
    """

    top1: float
    image_size: int
    parameters: float


def find_prior(name: str) -> Prior | None:
    """Return what is known of a timm model name; None where its weights never knew ImageNet's classes.

    >>> find_prior("resnet50.a1_in1k").top1, find_prior("vit_small_patch14_dinov2.lvd142m")
    (80.382, None)

    Args:
        name: With or without a tag; without one it means timm's default weights.

    Raises:
        ConfigError: timm has no such model.
    """
    architecture, tag = split_model_name_tag(name)
    return _table().get(f"{architecture}.{tag or pretrained_cfg(name).get('tag')}")


@functools.cache
def _table() -> dict[str, Prior]:
    with TABLE.open(newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            row["model"]: Prior(
                top1=float(row["top1"]), image_size=int(row["img_size"]), parameters=float(row["param_count"])
            )
            for row in rows
        }
