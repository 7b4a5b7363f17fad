"""Why a sweep or study that is named by its settings starts anew: the protocol or a default is another than before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlexp.errors import ConfigError
from tlexp.jobs.files import read_about
from tlexp.jobs.folder import show_setting
from tlexp.secrets import masked_values
from tlexp.tracking import names


def predecessor_note(folder: Path, about: Mapping[str, Any]) -> str | None:
    """Return a sentence on the folder that the same command would have gone on with, before settings changed.

    Args:
        folder: Of a sweep or a study; one that is there goes on and has none.
        about: What it is about, as its study.json will say.
    """
    if (folder / names.STUDY_FILE).exists():
        return None
    about = masked_values(about)
    others = sorted(folder.parent.glob(f"*/{names.STUDY_FILE}"), key=lambda path: (-path.stat().st_mtime, path))
    changes = {path.parent: changed for path in others if (changed := _changes(path.parent, about))}
    if not changes:
        return None
    before = min(changes, key=lambda path: len(changes[path]))
    return f"{folder} starts anew beside {before}, for runs of different settings are not mixed: " + ", ".join(
        changes[before]
    )


def _changes(folder: Path, about: Mapping[str, Any]) -> list[str]:
    """Return which settings a folder of the same command began with; none where it is of another, or holds none."""
    try:
        before = read_about(folder)
        fixed, swept, command = before["fixed"], before["swept"], _command(before)
    except (ConfigError, OSError, KeyError, TypeError, AttributeError):
        return []
    if command is None or command != _command(about) or swept != about["swept"]:
        return []
    now = about["fixed"]
    changed = [name for name in {**fixed, **now} if fixed.get(name) != now.get(name)]
    return [f"{name} was {show_setting(fixed.get(name))} and is {show_setting(now.get(name))}" for name in changed]


def _command(about: Mapping[str, Any]) -> Any:
    """Return what was typed, as far as a folder says it."""
    return about.get("stated", about.get("study", {}).get("command"))
