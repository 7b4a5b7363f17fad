from pathlib import Path

import pytest

import tlexp

SMALL = {
    "backbone.image_size": 32,
    "data.per_class": 24,
    "data.test_per_class": 8,
    "data.num_classes": 3,
    "train.limit_steps": 3,
}
"""Settings of a run in well under a second."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder below which a run, a sweep and a study lie; its name has to be quoted."""
    return tmp_path_factory.mktemp("called") / "a, b's"


@pytest.fixture(scope="session")
def result(place: Path) -> tlexp.RunResult:
    """A run, with its weights."""
    return tlexp.run("backbone=tiny", folder=place, tracking="off", labels=10, **SMALL)
