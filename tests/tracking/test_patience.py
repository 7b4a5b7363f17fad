import sqlite3
import threading
import time

import pytest

from tlexp.errors import TrackingError
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.patience import Patience, attempt, first_line
from tlexp.tracking.store import Pulse, sqlite_path


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


def test_a_server_that_is_slow_is_not_away_for_who_has_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pulse, "beats", lambda self, seconds: seconds > 1.5)
    assert attempt("http://127.0.0.1:9", lambda: 7, seconds=10) == 7
    with pytest.raises(TrackingError, match=r"does not answer$"):
        attempt("http://127.0.0.1:9", lambda: 7)


def test_work_that_hangs_is_left_behind_within_the_time_that_a_slow_disk_has(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlexp.tracking.store.SLOW_DISK_SECONDS", 0.1)
    never = threading.Event()
    database = sqlite3.connect(sqlite_path(store) or "", isolation_level=None, check_same_thread=False)

    def hangs() -> None:
        database.execute("BEGIN EXCLUSIVE")
        never.wait(30)

    began = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer any more"):
        attempt(store, hangs)
    assert time.monotonic() - began < 3.0
    monkeypatch.setattr("tlexp.tracking.store.SLOW_DISK_SECONDS", 30)
    with pytest.raises(TrackingError, match="does not answer"):
        attempt(store, hangs)  # it was waited for once
    assert time.monotonic() - began < 6.0
    never.set()
    database.close()


def test_an_error_without_words_is_named() -> None:
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(ValueError("x" * 900))) == 200


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Never(threading.Event):
    """Something that is never done, waited for on that clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.now += timeout
        return self.is_set()


def test_a_server_has_one_budget_for_all_that_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    patience = Patience("http://127.0.0.1:9", seconds=0.8, clock=clock)

    def beats(pulse: Pulse, seconds: float) -> bool:
        clock.now += 0.3
        return True

    monkeypatch.setattr(Pulse, "beats", beats)
    assert patience.asks()
    assert patience.left == pytest.approx(0.5)
    never = Never(clock)
    assert not patience.outlasts(never)
    assert clock.now == pytest.approx(0.8)
    assert not patience.outlasts(never)
    assert clock.now == pytest.approx(0.8)
    never.set()
    assert patience.outlasts(never), "what is done is not waited for"


def test_time_that_is_not_spent_at_the_store_is_free() -> None:
    clock = Clock()
    patience = Patience("http://127.0.0.1:9", seconds=0.8, clock=clock)
    assert not patience.outlasts(Never(clock), at_store=lambda: clock.now > 10)
    assert clock.now == pytest.approx(10.8, abs=0.1)


def test_a_file_is_waited_for_as_long_as_it_shows_signs_of_life(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    signs = iter([True] * 100 + [False])
    monkeypatch.setattr(Pulse, "beats", lambda pulse, seconds: next(signs))
    assert not Patience(store, seconds=0.8, clock=clock).outlasts(Never(clock))
    assert clock.now > 20


def test_what_the_work_itself_says_is_said_as_it_is(store: str) -> None:
    def refuses() -> None:
        raise TrackingError("with its way out")

    with pytest.raises(TrackingError, match=r"^with its way out$"):
        attempt(store, refuses)
