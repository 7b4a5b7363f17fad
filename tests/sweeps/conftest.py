import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.composed import composed
from tlexp.compose.load import Composed
from tlexp.config import config_key
from tlexp.jobs.outcome import JobOutcome
from tlexp.tracking import Record, RunStatus, environment
from tlexp.tracking.blocks import Checkout, FreezeBlock, Seeds, TrackingBlock, TrainBlock

Swept = Callable[..., list[JobOutcome]]
ENVIRONMENT = dataclasses.replace(
    environment("cpu"), packages={"tlexp": "0.1.0"}, git=Checkout(commit="abcdef0" + "1" * 33, dirty=False)
)


_PLAIN = re.compile(r"(seed|labels)=(0|[1-9]\d*)")


def _composed(words: Sequence[str]) -> Composed:
    """Return the configuration of the words; those of other seeds and label counts alone are not composed anew."""
    given = dict(word.split("=") for word in words if _PLAIN.fullmatch(word))
    changes: dict[str, Any] = {**given, **({"seed": int(given["seed"])} if "seed" in given else {})}
    found = composed(*(word for word in words if not _PLAIN.fullmatch(word)))
    return Composed(config=dataclasses.replace(found.config, **changes), shown=found.shown | changes)


def swept_run(
    number: int,
    point: Mapping[str, str],
    metrics: Mapping[str, float] | None,
    *,
    folder: Path,
    status: RunStatus = RunStatus.finished,
    reason: str | None = None,
    fixed: Sequence[str] = (),
) -> JobOutcome:
    """Return a point's run as if it had been done; without metrics it has no record."""
    words = (*fixed, *(f"{key}={value}" for key, value in point.items()))
    loaded = _composed(words)
    key = config_key(loaded.config)
    record = None
    if metrics is not None:
        record = Record(
            key=key,
            status=status,
            reason=reason,
            overrides=list(words),
            config=loaded.shown,
            seeds=Seeds(seed=loaded.config.seed, data=loaded.config.data_seed),
            freeze=FreezeBlock(policy=str(loaded.config.freeze.policy)),
            data=None,
            train=TrainBlock(outside_protocol=()),
            metrics=dict(metrics),
            tracking=TrackingBlock(uri="sqlite:///mlflow.db", run_id=f"{number:032x}"),
            environment=ENVIRONMENT,
            started="2026-01-01T00:00:00+00:00",
            ended="2026-01-01T00:01:00+00:00",
        )
    return JobOutcome(
        number=number,
        point=dict(point),
        overrides=words,
        key=key,
        folder=folder / "runs" / key[:16] / f"attempt{number}",
        status=status,
        reason=reason,
        record=record,
    )


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    """Do a grid: `measure(point)` gives a run's metrics, or (status, reason), or None for a point that has not run."""

    def done(
        axes: Mapping[str, Sequence[str]], measure: Callable[[dict[str, str]], object], *fixed: str
    ) -> list[JobOutcome]:
        runs = []
        for number, values in enumerate(itertools.product(*axes.values())):
            point = dict(zip(axes, values, strict=True))
            found = measure(point)
            if isinstance(found, Mapping):
                run = swept_run(number, point, found, folder=tmp_path, fixed=fixed)
            elif isinstance(found, tuple):
                run = swept_run(number, point, None, folder=tmp_path, status=found[0], reason=found[1], fixed=fixed)
            else:
                run = swept_run(number, point, None, folder=tmp_path, status=None, fixed=fixed)  # type: ignore[arg-type]
            runs.append(run)
        return runs

    return done
