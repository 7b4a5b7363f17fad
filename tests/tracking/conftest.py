import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tlexp.config import Config, config_values
from tlexp.tracking import Record, RunStatus
from tlexp.tracking.store import sqlite_path


@pytest.fixture
def held() -> Callable[[str], AbstractContextManager[None]]:
    """Hold a store's file in another process, which does nothing with it."""

    @contextlib.contextmanager
    def holding(uri: str) -> Iterator[None]:
        path = sqlite_path(uri)
        code = "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None); "
        code += "held.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, str(path)]  # ends as its input does
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield

    return holding


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(**changes: object) -> Record:
        values = {
            "key": "ab" * 32,
            "status": RunStatus.finished,
            "reason": None,
            "overrides": ["labels=5"],
            "config": config_values(Config()) | {"optim": {"lr": 1e-3}, "labels": "5"},
            "seeds": {"seed": 0, "data": 0},
            "freeze": {"policy": "all", "depth": 1, "units": ["stem"], "digest_before": "a", "digest_after": "a"},
            "data": {"digest": "cd" * 32, "classes": ["circle", "star"], "counts": {}, "skipped": []},
            "train": {"steps": 3, "selection": None},
            "metrics": {"test/accuracy": 0.5, "train/loss": 0.1},
            "tracking": None,
            "environment": {
                "python": "3.11.7",
                "platform": "Linux",
                "packages": {"tlexp": "0.1.0"},
                "device": "cpu",
                "cpu_count": 2,
                "process": {"host": "elsewhere", "pid": 1, "boot_id": "x", "started": 1},
                "git": {"commit": "f" * 40, "dirty": True},
                "user": "me",
            },
            "started": "2026-01-01T00:00:00+00:00",
            "ended": "2026-01-01T00:01:00+00:00",
        }
        return Record.of(values | changes)

    return make
