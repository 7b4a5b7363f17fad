from collections.abc import Callable

import pytest

from tlexp.config import Config, config_values
from tlexp.jsonfile import to_json
from tlexp.tracking import Record, RunStatus, environment


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(**changes: object) -> Record:
        values = {
            "key": "",
            "status": RunStatus.finished,
            "reason": None,
            "overrides": [],
            "config": config_values(Config()),
            "seeds": {"seed": 0, "data": 0},
            "freeze": {"policy": "none"},
            "data": {
                "digest": "cd" * 32,
                "classes": ["circle", "square", "star", "triangle"],
                "counts": {},
                "skipped": [],
            },
            "train": {"steps": 3, "selection": None, "outside_protocol": []},
            "metrics": {},
            "tracking": None,
            "environment": to_json(environment("cpu")),
            "started": "2026-01-01T00:00:00+00:00",
            "ended": "2026-01-01T00:01:00+00:00",
        }
        return Record.of(values | changes)

    return make
