import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp.errors import TrackingError
from tlexp.tracking import Record, RunStatus, publish_record, read_record
from tlexp.tracking.record import left_out, point_of, require_vouched

CONTRACT = {
    "schema", "key", "status", "reason", "overrides", "config", "seeds", "freeze", "data", "train", "metrics", "files",
    "tracking", "environment", "started", "ended", "checksum", "notes",
}  # fmt: skip
Make = Callable[..., Record]


def test_what_is_published_is_read_back(tmp_path: Path, make_record: Make) -> None:
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(b"png")
    (tmp_path / "stray.log").write_text("grows later")
    data = {"digest": "cd" * 32, "classes": [], "counts": {}, "skipped": ["caf\udce9.jpg", "日本\n.png"]}
    record = make_record(metrics={"test/accuracy": 1 / 3}, data=data)
    path = publish_record(tmp_path, record)
    assert path == tmp_path / "record.json"
    found = read_record(tmp_path)
    assert found == read_record(path)
    assert set(found.files) == {"model.json", "figures/a.png"}
    assert (found.metrics, found.data, found.status) == (record.metrics, record.data, RunStatus.finished)


def test_the_file_has_exactly_the_fields_of_the_contract(tmp_path: Path, make_record: Make) -> None:
    values = json.loads(publish_record(tmp_path, make_record()).read_text())
    assert set(values) == CONTRACT
    assert values["schema"] == 1


def test_a_run_of_a_sweep_states_its_point(tmp_path: Path, make_record: Make) -> None:
    assert point_of(tmp_path) is None
    for content, point in (
        ('{"point": {"optim.lr": "0.1"}}', {"optim.lr": "0.1"}),
        ("[]", None),
        ('{"point": 1}', None),
    ):
        (tmp_path / "job.json").write_text(content)
        assert point_of(tmp_path) == point
    values = json.loads(publish_record(tmp_path, make_record(point={"optim.lr": "0.1"})).read_text())
    assert set(values) == CONTRACT | {"point"}
    assert read_record(tmp_path).point == {"optim.lr": "0.1"}


def test_the_statuses_are_those_of_the_contract() -> None:
    assert [status.value for status in RunStatus] == ["finished", "failed", "diverged", "oom", "pruned", "killed"]


def test_records_are_immutable(tmp_path: Path, make_record: Make) -> None:
    before = publish_record(tmp_path, make_record()).read_bytes()
    with pytest.raises(TrackingError, match="exists already, and records are immutable"):
        publish_record(tmp_path, make_record(status=RunStatus.failed))
    assert (tmp_path / "record.json").read_bytes() == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_left_out_and_noted(
    tmp_path: Path, make_record: Make, value: float
) -> None:
    path = publish_record(tmp_path, make_record(metrics={"test/loss": value, "test/accuracy": 0.5}, notes=["first"]))
    json.loads(path.read_text(), parse_constant=lambda sign: pytest.fail(sign))
    found = read_record(path)
    assert found.metrics == {"test/accuracy": 0.5}
    assert found.notes == ["first", f"test/loss is {value} and is left out"]


def same_values(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_every_change_of_a_value_is_noticed(tmp_path: Path, make_record: Make) -> None:
    path = publish_record(tmp_path, make_record())
    content = path.read_bytes()
    draw = random.Random(0)
    for place in draw.sample(range(len(content)), 300):
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(7)
        path.write_bytes(changed)
        if not same_values(changed, content):  # white space between values may differ
            with pytest.raises(TrackingError, match=r"record\.json"):
                read_record(path)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "it holds no JSON object"),
        ("{}", "is not the record of a run"),
        ('{"checksum": "x", "schema": 2}', "has schema 2, this version reads 1: update tlexp"),
        ('{"checksum": "x", "schema": 1}', "was changed after it was written"),
    ],
)
def test_what_is_no_record_is_refused_with_a_way_out(tmp_path: Path, content: str, rule: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(TrackingError, match=rule) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="is missing: name the folder of a run that has ended"):
        read_record(tmp_path)


def test_a_file_that_the_record_does_not_vouch_for_is_refused(tmp_path: Path, make_record: Make) -> None:
    require_vouched(tmp_path, "model.json")  # no record: no run
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "metrics.jsonl").touch()
    publish_record(tmp_path, make_record())
    require_vouched(tmp_path, "model.json")
    require_vouched(tmp_path, "predictions.npz")  # whoever needs it sees that it is gone
    (tmp_path / "model.json").write_text("other")
    (tmp_path / "predictions.npz").write_text("new")
    for name in ("model.json", "predictions.npz"):
        with pytest.raises(TrackingError, match=rf"{name} is not the file that record.json beside it vouches for"):
            require_vouched(tmp_path, name)


def test_links_are_not_vouched_for_and_what_is_not_is_named(tmp_path: Path, make_record: Make) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run" / "model.json").write_text("{}")
    (tmp_path / "run" / "copies.csv").symlink_to(tmp_path / "secret")
    record = read_record(publish_record(tmp_path / "run", make_record()))
    assert list(record.files) == ["model.json"]
    (tmp_path / "run" / "late.safetensors").touch()
    assert left_out(tmp_path / "run", record) == ("copies.csv", "late.safetensors")


def test_what_finished_or_was_pruned_needs_no_repetition() -> None:
    assert [status for status in RunStatus if status.is_final] == [RunStatus.finished, RunStatus.pruned]
