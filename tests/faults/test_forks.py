"""Forks stand in for processes of their own, which have no lock of anybody's."""

import threading
import time
from pathlib import Path

from tests.faults.forks import finish, import_all


def test_a_fork_waits_for_writers_that_a_test_before_left_with_a_lock(tmp_path: Path) -> None:
    lock, held = threading.Lock(), threading.Event()

    def write() -> None:
        with lock:
            held.set()
            time.sleep(1)

    def take() -> None:
        assert lock.acquire(timeout=5)

    import_all()  # else the lock is let go before there is a fork
    threading.Thread(target=write, name="tlexp-tracking", daemon=True).start()
    held.wait()
    finish(tmp_path, "--help", first=take)
