"""What stands on the command line: our own flags, and what Hydra will make of the rest."""

import argparse
from typing import TYPE_CHECKING

from tlexp.errors import ConfigError

if TYPE_CHECKING:
    from tlexp.compose import Source


def take(words: list[str], *flags: str) -> bool:
    """Remove the flags from the words; return whether one was there."""
    found = [word for word in words if word in flags]
    words[:] = [word for word in words if word not in flags]
    return bool(found)


def hydra_arguments(words: list[str]) -> argparse.Namespace:
    """Return what Hydra will make of the words."""
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    arguments = get_args_parser().parse_args(words)
    if arguments.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun loads a pickle, which may hold code: use resume=RUN instead")
    arguments.config_name = arguments.config_name or "config"
    return arguments


def source_of(arguments: argparse.Namespace) -> "Source":
    """Return where they have configurations searched."""
    from tlexp.compose import Source  # lazy: keeps --help fast

    return Source(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
