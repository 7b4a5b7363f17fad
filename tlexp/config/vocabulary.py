"""The words of configurations, which cannot be secret: with one of them masked no run could be gone on with."""

from enum import StrEnum

from tlexp.config.root import GROUPS, config_fields
from tlexp.config.timm_names import TABLE
from tlexp.paths import conf_options

_FOLDERS = ("outputs", "multirun", "hydra")


def vocabulary() -> str:
    """Return the names of settings, options, folders and timm's models, and the values of enumerations, line by line.

    >>> all(word in vocabulary() for word in ("backbone.name", "shapes", "test_resnet", "adamw"))
    True
    """
    options = (option for group in [*GROUPS, "experiment"] for option in conf_options(group))
    values = (str(each) for kind in StrEnum.__subclasses__() if kind.__module__.startswith("tlexp.") for each in kind)
    return "\n".join([*config_fields(), *_FOLDERS, *options, *values, TABLE.read_text()])
