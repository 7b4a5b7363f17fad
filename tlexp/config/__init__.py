"""The configuration: one file and one dataclass per group of `conf/`, pure Python, no framework."""

from tlexp.config.preprocessing import Preprocessing
from tlexp.config.protocol import PROTOCOL
from tlexp.config.root import GROUPS, Config, config_fields, config_key, config_values, key_values, run_values

__all__ = [
    "GROUPS",
    "PROTOCOL",
    "Config",
    "Preprocessing",
    "config_fields",
    "config_key",
    "config_values",
    "key_values",
    "run_values",
]
