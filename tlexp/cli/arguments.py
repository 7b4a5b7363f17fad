"""What stands on the command line: our own flags, and what Hydra will make of the rest."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Never

from tlexp.config import GROUPS, config_fields
from tlexp.config.casting import nearest
from tlexp.errors import ConfigError

if TYPE_CHECKING:
    from tlexp.compose.load import ConfigSource

OWN = ("--help", "--hydra-help", "--version", "--debug", "--dry-run", "--cfg", "--json", "--folder")
"""Flags that `tlexp --help` names."""
_NEVER = ("--run", "--experimental-rerun")
"""Flags of Hydra's that nobody is sent to: a run needs none, and the other is refused."""
_MODES = ("run", "multirun", "cfg", "info", "shell_completion")


def take(words: list[str], *flags: str) -> bool:
    """Remove the flags from the words; return whether one was there."""
    found = [word for word in words if word in flags]
    words[:] = [word for word in words if word not in flags]
    return bool(found)


def take_value(words: list[str], flag: str) -> str | None:
    """Remove a flag and its value from the words, and return the value; None where it is not there.

    >>> words = ["data=folder", "--folder", "here", "data.root=photos"]
    >>> take_value(words, "--folder"), words
    ('here', ['data=folder', 'data.root=photos'])

    Raises:
        ConfigError: It has no value, or stands there twice.
    """
    places = [place for place, word in enumerate(words) if word.partition("=")[0] == flag]
    if not places:
        return None
    place = places[0]
    _, sign, value = words[place].partition("=")
    behind = [] if sign else words[place + 1 : place + 2]
    value = value if sign else "".join(behind)
    if not value or value.startswith("-") or len(places) > 1:
        raise ConfigError(f"{flag} takes one value, once: {flag}=PATH")
    del words[place : place + 1 + len(behind)]
    return value


def hydra_arguments(words: list[str]) -> argparse.Namespace:
    """Return what Hydra will make of the words.

    Raises:
        ConfigError: Unknown flags, flags that exclude each other, or one that loads code.
    """
    from hydra._internal.utils import get_args_parser  # lazy: keeps --help fast

    parser = get_args_parser()
    arguments, left = parser.parse_known_args(words)
    if left:
        raise ConfigError([_stray(word, words, parser) for word in left])
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


def _stray(word: str, words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return what is wrong with a word that is no flag and no setting in its place."""
    if not word.startswith("-"):
        return f"{word} stands apart from other settings: give all of them in a row, before or behind the flags"
    flag, sign, value = word.partition("=")
    if settings := _settings(flag):
        behind = [*words[words.index(word) + 1 :], "-"][0]
        stated = value if sign else "VALUE" if behind.startswith("-") or "=" in behind else behind
        forms = " or ".join(f"{key}={stated}" for key in settings)
        return f"{flag} is no flag: a setting is given without dashes, {forms}"
    others = [name for action in parser._actions for name in action.option_strings if name not in _NEVER]
    close = nearest(flag, OWN) or nearest(flag, others)
    return f"{flag} is no flag{close}; see tlexp --help, and --hydra-help for Hydra's own"


def _settings(flag: str) -> list[str]:
    """Return the settings or groups that a word with dashes in front may be meant for."""
    name = flag.lstrip("-").replace("-", "_")
    known = [*GROUPS, "experiment", *config_fields()]
    return [key for key in known if key == name] or [key for key in known if key.partition(".")[2] == name]


class VerbParser(argparse.ArgumentParser):
    """The words behind a verb; what is wrong with them is told as all mistakes are."""

    def parse_args(self, words: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """Return what the words say.

        Raises:
            ConfigError: They do not fit the verb.
        """
        arguments, left = self.parse_known_args(words)
        if left:
            flag = left[0].partition("=")[0]
            close = nearest(flag, [name for action in self._actions for name in action.option_strings])
            self.error(f"{flag} does not belong here{close}")
        return arguments

    def error(self, message: str) -> Never:
        """Raise what is wrong.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")


def source_of(arguments: argparse.Namespace) -> "ConfigSource":
    """Return where they have configurations searched."""
    from tlexp.compose.load import ConfigSource  # lazy: keeps --help fast

    return ConfigSource(name=arguments.config_name, path=arguments.config_path, search=arguments.config_dir)
