"""What must stay as it is, in files under data/: `TLEXP_WRITE_PINS=1 pytest tests/pins` writes them anew.

They change where what they hold is meant to change, and never because modules are arranged in another way.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.composed import load
from tests.conftest import SMALL
from tlexp.experiment.run import run
from tlexp.train import Listener

DATA = Path(__file__).parent / "data"


def stored(name: str, text: str) -> str:
    """Return a pinned text; where pins are written, what it is now."""
    path = DATA / name
    if "TLEXP_WRITE_PINS" in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return path.read_bytes().decode()


def stored_values(name: str, values: Any) -> Any:
    """Return pinned JSON values; where pins are written, what they are now."""
    return json.loads(stored(name, json.dumps(values, indent=1, ensure_ascii=False) + "\n"))


def names_of(value: Any) -> Any:
    """Return JSON values with types in place of leaves, and lists with what their elements are, each kind once.

    >>> names_of({"a": [1, 2], "b": {"c": None}, "d": [{"e": 1}, {"f": ""}]})
    {'a': ['int'], 'b': {'c': 'null'}, 'd': [{'e': 'int'}, {'f': 'str'}]}
    """
    if isinstance(value, dict):
        return {name: names_of(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return list(_distinct(names_of(inner) for inner in value).values())
    return "null" if value is None else type(value).__name__


def _distinct(kinds: Iterable[Any]) -> dict[str, Any]:
    return dict(sorted((json.dumps(kind), kind) for kind in kinds))


class Runs:
    """Tiny runs, each done once, whichever pins look at it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: dict[str, Path] = {}

    def folder(self, words: str) -> Path:
        """Return the folder of the run with these words, each of which adds to the small settings."""
        if words not in self._done:
            loaded = load([*SMALL, f"cache.dir={self._folder / 'cache'}", *words.split()])
            folder = self._folder / str(len(self._done))
            folder.mkdir()
            run(loaded.config, shown=loaded.shown, folder=folder, listener=Listener(), overrides=words.split())
            self._done[words] = folder
        return self._done[words]

    def record(self, words: str) -> dict[str, Any]:
        """Return the record of the run with these words."""
        found: dict[str, Any] = json.loads((self.folder(words) / "record.json").read_text())
        return found


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("pins"))
