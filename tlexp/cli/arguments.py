"""What stands on the command line: our own flags, and what Hydra will make of the rest."""

import argparse
from typing import TYPE_CHECKING

from tlexp.errors import ConfigError

if TYPE_CHECKING:
    from tlexp.compose import Source

_MODES = ("run", "multirun", "cfg", "info", "shell_completion")


def take(words: list[str], *flags: str) -> bool:
    """Remove the flags from the words; return whether one was there."""
    found = [word for word in words if word in flags]
    words[:] = [word for word in words if word not in flags]
    return bool(found)


def hydra_arguments(words: list[str]) -> argparse.Namespace:
    """Return what Hydra will make of the words.

    Raises:
        ConfigError: Flags that exclude each other, or one that loads code.
    """
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    arguments = get_args_parser().parse_args(words)
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun loads a pickle, which may hold code: use resume=RUN instead")
    asked = [f"--{flag}" for flag in _MODES if getattr(arguments, flag) not in (None, False)]
    if len(asked) > 1:
        raise ConfigError(
            f"{' and '.join(asked)} exclude each other: --cfg and --info show one configuration, so leave -m out and "
            "give each setting one value; -m --dry-run shows the runs of a sweep"
        )
    if arguments.resolve and not arguments.cfg:
        raise ConfigError("--resolve fills in what --cfg shows: add --cfg job, or leave it out")
    arguments.config_name = arguments.config_name or "config"
    return arguments


def source_of(arguments: argparse.Namespace) -> "Source":
    """Return where they have configurations searched."""
    from tlexp.compose import Source  # lazy: keeps --help fast

    return Source(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
