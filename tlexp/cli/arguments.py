"""What stands on the command line: our own flags, and what Hydra will make of the rest."""

import argparse
from typing import TYPE_CHECKING

from tlexp.config.casting import nearest
from tlexp.errors import ConfigError

if TYPE_CHECKING:
    from tlexp.compose.load import ConfigSource

_OWN = ("--help", "--version", "--debug", "--dry-run", "--json")
"""Flags of the command and its verbs, which Hydra does not know."""
_MODES = ("run", "multirun", "cfg", "info", "shell_completion")


def take(words: list[str], *flags: str) -> bool:
    """Remove the flags from the words; return whether one was there."""
    found = [word for word in words if word in flags]
    words[:] = [word for word in words if word not in flags]
    return bool(found)


def hydra_arguments(words: list[str]) -> argparse.Namespace:
    """Return what Hydra will make of the words.

    Raises:
        ConfigError: Unknown flags, flags that exclude each other, or one that loads code.
    """
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    parser = get_args_parser()
    arguments, left = parser.parse_known_args(words)
    if left:
        raise ConfigError([_stray(word, parser) for word in left])
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


def _stray(word: str, parser: argparse.ArgumentParser) -> str:
    """Return what is wrong with a word that is no flag and no setting in its place."""
    if not word.startswith("-"):
        return f"{word} stands apart from other settings: give all of them in a row, before or behind the flags"
    flag = word.partition("=")[0]
    close = nearest(flag, [*_OWN, *(name for action in parser._actions for name in action.option_strings)])
    return f"{flag} is no flag{close}; see tlexp --help, and --hydra-help for Hydra's own"


def source_of(arguments: argparse.Namespace) -> "ConfigSource":
    """Return where they have configurations searched."""
    from tlexp.compose.load import ConfigSource  # lazy: keeps --help fast

    return ConfigSource(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
