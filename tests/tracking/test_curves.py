import json
import math
import resource
import signal
from pathlib import Path

import pytest

from tlexp.errors import TrackingError
from tlexp.tracking import MetricsLog, Point, read_points


def write(path: Path, steps: range) -> None:
    with MetricsLog(path) as log:
        for step in steps:
            log.write(phase="final", fold=None, step=step, values={"train/loss": 1 / (step + 1)})


def test_points_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(phase="select", fold=2, step=7, values={"train/loss": 0.1, "val/loss": 0.2})
        assert read_points(path) == [  # already there while the log is open
            Point(phase="select", fold=2, step=7, name="train/loss", value=0.1),
            Point(phase="select", fold=2, step=7, name="val/loss", value=0.2),
        ]
    assert set(json.loads(path.read_text().splitlines()[0])) == {"phase", "fold", "step", "name", "value"}


def test_a_missing_file_has_no_points(tmp_path: Path) -> None:
    assert read_points(tmp_path / "metrics.jsonl") == []


def test_a_torn_end_loses_one_point_and_appending_goes_on_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(3))
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        assert [point.step for point in read_points(path)] == [0, 1]
        write(path, range(2, 5))
        assert [point.step for point in read_points(path)] == [0, 1, 2, 3, 4]


def test_steps_written_again_after_a_resume_count_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(4))
    write(path, range(2, 6))
    assert [point.step for point in read_points(path)] == [0, 1, 2, 3, 4, 5]


def test_what_json_does_not_have_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(phase="final", fold=None, step=0, values={"a": math.nan, "b": math.inf, "c": 1.0})
    assert [point.name for point in read_points(path)] == ["c"]


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"phase": "final"}', '"text"', '{"a": 1}'])
def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1))
    path.write_text(path.read_text() + line + "\n" + path.read_text())
    with pytest.raises(TrackingError, match="line 2 is no point of a curve"):
        read_points(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_told_once_with_the_file() -> None:
    log = MetricsLog(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left") as error:
        log.write(phase="final", fold=None, step=1, values={"train/loss": 1.0})
    assert error.value.filename == "/dev/full"
    log.close()


def test_a_line_that_a_full_disk_takes_in_part_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    write(path, range(2))
    whole = path.read_bytes()
    with MetricsLog(path) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 30, before[1]))
        try:
            with pytest.raises(OSError, match="File too large") as error:
                log.write(phase="final", fold=None, step=2, values={"train/loss": 0.5})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
    assert error.value.filename == str(path)
    assert path.read_bytes() == whole
