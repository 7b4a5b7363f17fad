"""Why a sweep or study that is named by its settings starts anew: the protocol or a default is another than before."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tlexp.errors import ConfigError
from tlexp.jobs.folder import read_about, show_setting
from tlexp.tracking import names


def predecessor_note(folder: Path, about: Mapping[str, Any], stated: Iterable[str]) -> str | None:
    """Return a sentence on the folder that the same command would have gone on with, before settings changed.

    Args:
        folder: Of a sweep or a study; one that is there goes on and has none.
        about: What it is about, as its study.json will say.
        stated: Settings and groups that the command line states. They tell whether the command is the same where a
            folder does not hold its own.
    """
    if (folder / names.STUDY_FILE).exists():
        return None
    keys = tuple(stated)
    others = sorted(folder.parent.glob(f"*/{names.STUDY_FILE}"), key=lambda path: -path.stat().st_mtime)
    changes = {path.parent: changed for path in others if (changed := _changes(path.parent, about, keys))}
    if not changes:
        return None
    before = min(changes, key=lambda path: len(changes[path]))
    return f"{folder} starts anew beside {before}, for runs of different settings are not mixed: " + ", ".join(
        changes[before]
    )


def _changes(folder: Path, about: Mapping[str, Any], stated: tuple[str, ...]) -> list[str]:
    """Return which settings a folder of the same command began with; none where it is of another one."""
    try:
        before = read_about(folder)
        fixed, swept, command = before["fixed"], before["swept"], _command(before)
    except (ConfigError, OSError, KeyError, TypeError, AttributeError):
        return []
    now = about["fixed"]
    changed = [name for name in {**fixed, **now} if fixed.get(name) != now.get(name)]
    if command is None:
        same = not any(name == key or name.startswith(f"{key}.") for name in changed for key in stated)
    else:
        same = command == _command(about)
    if not same or swept != about["swept"]:
        return []
    return [f"{name} was {show_setting(fixed.get(name))} and is {show_setting(now.get(name))}" for name in changed]


def _command(about: Mapping[str, Any]) -> Any:
    """Return what was typed, as far as a folder says it."""
    return about.get("stated", about.get("study", {}).get("command"))
