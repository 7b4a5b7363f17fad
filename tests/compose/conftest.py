"""What composes is tested as it is."""

import pytest

from tests.composed import LOAD
from tlexp.compose.checked_loader import CheckedLoader


@pytest.fixture(autouse=True)
def composed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shared with other tests."""
    monkeypatch.setattr(CheckedLoader, "_load_configuration_impl", LOAD)
