"""Where runs are sent and what is written outside their folders, as far as nobody typed it.

A file of settings or the words of a run's folder may come from anybody. A server that they choose would be sent the
run, and whatever variable its address names; so they choose a place below the working folder, in plain words.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from tlexp.compose.hydra_node import is_below, stated_values
from tlexp.compose.leaves import leaves
from tlexp.secrets import kept_uri

STORE = "tracking.uri"
PLACES = (STORE, "cache.dir")
"""Settings that name a place outside a run's folder."""
_SQLITE = re.compile(r"sqlite:///([^?#%]+)")


def filed_problems(composed: DictConfig, words: Sequence[Override]) -> list[str]:
    """Return why files may not name the places that they name.

    Args:
        composed: Of files and words, nothing of it resolved.
        words: Those of the command line; what they state, files do not.
    """
    typed = {key for word in words for key in _stated(word)}
    values = dict(leaves(OmegaConf.to_container(composed, resolve=False)))
    return list(_problems({key: values[key] for key in PLACES if key in values and key not in typed}))


def kept_problems(kept: Sequence[Override], given: Sequence[Override]) -> list[str]:
    """Return why the words of an interrupted run may not name the places that they name.

    Args:
        kept: Of its folder.
        given: Those of the command line, which come later.
    """
    typed = {key for word in given for key in _stated(word)}
    return [
        problem
        for word in kept
        for problem in _problems({key: value for key, value in _stated(word).items() if key not in typed})
    ]


def typed_again(shown: Mapping[str, Any]) -> list[str]:
    """Return the words for what a configuration that is read from a file needs besides, quoted for the shell.

    >>> print(*typed_again({"tracking": {"uri": "http://host"}, "cache": {"dir": "kept"}}))
    'tracking.uri="http://host"'
    """
    values = {key: value for key, value in leaves(shown) if key in PLACES and any(_problems({key: value}))}
    public = {key: kept_uri(value) if key == STORE else value for key, value in values.items()}
    return [
        shlex.quote(f"{key}={QuotedString(text=value, quote=Quote.double).with_quotes()}")
        for key, value in public.items()
    ]


def _stated(word: Override) -> dict[str, Any]:
    """Return the places that a word states."""
    if word.is_delete():
        return {}
    return {key: value for key, value in stated_values(word) if key in PLACES}


def _problems(stated: Mapping[str, Any]) -> Iterator[str]:
    for key, value in stated.items():
        if key != STORE and not _is_plain(value):
            yield (
                f"{key}={value}: a file or a run's folder may only name a folder below the working one, in plain "
                f"words; if you mean this one, say {key}= on the command line"
            )
        elif key == STORE and not _is_near(value):
            yield (
                f"{key}={value}: a file or a run's folder may only name a store below the working folder, such as "
                f"sqlite:///mlflow.db, for it could send your runs and variables anywhere; if you mean this one, say "
                f"{key}= on the command line, or set MLFLOW_TRACKING_URI to it"
            )


def _is_near(uri: Any) -> bool:
    """Return whether a file of the working folder is named, or the store that is used by default."""
    if uri is not None and uri == os.environ.get("MLFLOW_TRACKING_URI"):
        return True
    match = _SQLITE.fullmatch(uri) if isinstance(uri, str) else None
    return uri is None or (match is not None and _is_plain(match[1]))


def _is_plain(folder: Any) -> bool:
    return folder is None or (is_below(folder) and "${" not in folder)
