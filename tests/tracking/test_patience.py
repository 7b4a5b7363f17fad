import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tlexp.errors import TrackingError
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.patience import attempt, first_line
from tlexp.tracking.store import sqlite_path


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load_mlflow()


def test_what_the_work_gives_is_returned(store: str) -> None:
    assert attempt(store, lambda: 7) == 7
    assert attempt(store, lambda: time.sleep(0.6)) is None


def test_a_store_that_refuses_says_why(store: str) -> None:
    def refuses() -> None:
        raise ValueError("no room\nmore of it")

    with pytest.raises(TrackingError, match=r"^tracking store sqlite:.*mlflow.db refuses \(no room\)$"):
        attempt(store, refuses)


def test_a_store_that_is_away_is_not_asked_for_anything() -> None:
    asked: list[int] = []
    with pytest.raises(TrackingError, match=r"^tracking store http://127.0.0.1:9 does not answer$"):
        attempt("http://me:secret@127.0.0.1:9", lambda: asked.append(1))
    assert asked == []


def test_work_that_hangs_is_left_behind_within_a_second(store: str, tmp_path: Path) -> None:
    never = threading.Event()
    database = sqlite3.connect(sqlite_path(store) or "", isolation_level=None, check_same_thread=False)

    def hangs() -> None:
        database.execute("BEGIN EXCLUSIVE")
        never.wait(30)

    began = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer any more"):
        attempt(store, hangs)
    assert time.monotonic() - began < 1.0
    never.set()
    database.close()


def test_an_error_without_words_is_named() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(ValueError("x" * 900))) == 200
