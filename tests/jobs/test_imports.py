import gc
import sys

import pytest

from tlexp.jobs.imports import large_imports


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether garbage was collected when all that is there was passed over, each time."""
    found: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: found.append(gc.isenabled()))
    return found


def test_nothing_is_collected_meanwhile_and_what_was_imported_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, freezes: list[bool]
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with large_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert freezes == [False]


def test_a_process_that_has_all_of_it_goes_on_as_before(monkeypatch: pytest.MonkeyPatch, freezes: list[bool]) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with large_imports():
        assert gc.isenabled()
    assert not freezes


def test_it_ends_with_an_import_that_fails(monkeypatch: pytest.MonkeyPatch, freezes: list[bool]) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(ImportError), large_imports():
        raise ImportError
    assert gc.isenabled()
    assert freezes == [False]
