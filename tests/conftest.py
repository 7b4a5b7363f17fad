import gc
import importlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tlexp.experiment.run import Outcome
    from tlexp.train import Listener

# Two test processes share two cores; more threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
# Interpreters that tests start find the package compiled by the first of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Nobody's cache is read or filled; tests that want one of their own name it.
os.environ["TLEXP_CACHE_DIR"] = tempfile.mkdtemp(prefix="tlexp-cache-")
# What is tested is imported late: the process that only hands tests out would wait seconds for it.

SMALL = [
    "backbone=tiny",
    "backbone.image_size=32",
    "data.per_class=24",
    "data.test_per_class=8",
    "data.num_classes=3",
    "labels=10",
    "train.limit_steps=6",
    "tracking=off",
    "tracking.figures=false",
]
"""Settings of a whole run in well under a second."""

Start = Callable[..., "Outcome"]
LONGEST = ("tests/studies/test_study", "tests/sweeps/test_sweeper", "tests/faults", "tests/experiment")
"""What takes longest is begun first, so that two test processes end at the same time."""
SLOW_SECONDS = 3600
"""What a long harness may take: it is counted in kills, bits or studies, and a busy machine is no fault of theirs."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected: nearly all that is made stays, and it is a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before the short run leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most cases of broad tests to the long run, give each long one its hour, and begin with the longest.

    The limit of all other tests is for those that hang.
    """
    cases: Counter[str] = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        broad = item.get_closest_marker("broad")
        if broad and cases[name] % broad.args[0]:
            item.add_marker(pytest.mark.slow)
        cases[name] += 1
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """Let tests share what is dear, and garbage collections pass over all imports, which is a third of a small run."""
    for sharing, needed in (("tests.composed", "tlexp.compose.load"), ("tests.backbones", "tlexp.experiment.build")):
        if needed in sys.modules:
            importlib.import_module(sharing).share()
    gc.collect()
    gc.freeze()


def probability_bits(folder: Path) -> bytes:
    """Return what a run predicts of the test split, to compare to the last bit."""
    with np.load(folder / "predictions.npz") as file:
        return bytes(file["probability"].tobytes())


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """Secrets of one test are looked for in no other."""
    from tlexp.secrets import forget

    yield
    forget()


def beside(words: Sequence[str], settings: Sequence[str]) -> list[str]:
    """Return the settings of a small run that go with the given words: only shapes are as many as one likes."""
    elsewhere = any(word.startswith("data=") and word != "data=shapes" for word in words)
    return [word for word in settings if not (elsewhere and word.startswith("data."))]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("TLEXP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Do a small run with the given words in a new folder `name` of the test's own."""
    from tests.composed import load
    from tlexp.experiment.run import run
    from tlexp.train import Listener

    def started(
        *words: str, name: str = "run", listener: "Listener | None" = None, study: str | None = None
    ) -> "Outcome":
        loaded = load((*beside(words, SMALL), *words))
        folder = tmp_path / name
        folder.mkdir()
        return run(
            loaded.config,
            shown=loaded.shown,
            folder=folder,
            listener=listener or Listener(),
            overrides=list(words),
            study=study,
        )

    return started


@pytest.fixture(scope="session")
def ready_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole store, made once, for it takes seconds."""
    from tlexp.tracking.store import ensure_store

    path = tmp_path_factory.mktemp("ready") / "mlflow.db"
    ensure_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(ready_store: Path, tmp_path: Path) -> str:
    """The URI of a store of one's own."""
    shutil.copy(ready_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
