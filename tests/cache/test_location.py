from pathlib import Path

import platformdirs
import pytest

from tlexp.cache.location import cache_folder


def test_the_stated_folder_comes_first_then_the_environment_then_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLEXP_CACHE_DIR", "/somewhere/cache")
    assert cache_folder("/elsewhere") == Path("/elsewhere")
    assert cache_folder("~/mine") == Path.home() / "mine"
    assert cache_folder() == Path("/somewhere/cache")
    monkeypatch.setenv("TLEXP_CACHE_DIR", "")
    assert cache_folder() == platformdirs.user_cache_path("tlexp")
