import gc
import sys

import pytest

from tlexp.jobs.imports import large_imports


def test_nothing_is_collected_meanwhile_and_what_was_imported_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = gc.get_freeze_count()
    with large_imports():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_a_process_that_has_all_of_it_goes_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    before = gc.get_freeze_count()
    with large_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_it_ends_with_an_import_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(ImportError), large_imports():
        raise ImportError
    assert gc.isenabled()
