import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from tlexp.jsonfile import from_json, parse_json, read_json, to_json


class Kind(StrEnum):
    cat = "cat"
    dog = "dog"


@dataclass(frozen=True, kw_only=True)
class Inner:
    kind: Kind
    spread: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    count: int
    inner: Inner
    loss: float | None
    points: list[tuple[int, str]]
    more: dict[str, Any]
    note: str | None = None


WHOLE = {
    "name": "a", "count": 1, "inner": {"kind": "cat", "spread": [1, 2.5]}, "loss": None, "points": [[1, "x"]],
    "more": {"any": [None, {}]},
}  # fmt: skip


def test_what_is_written_is_read_back() -> None:
    found = from_json(Outer, WHOLE, "it", strict=True)
    assert found.inner == Inner(kind=Kind.cat, spread=(1, 2.5))
    assert found.points == [(1, "x")]
    assert to_json(found) == WHOLE, "what is None and was not written before is left out"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": 1}, "it.name is 1, not str"),
        ({"count": True}, "it.count is True, not int"),
        ({"count": 1.5}, "it.count is 1.5, not int"),
        ({"loss": "low"}, "it.loss is 'low', not float"),
        ({"inner": []}, "it.inner is [], not a block of values"),
        ({"inner": {"kind": "elk"}}, "it.inner.kind is 'elk', none of cat, dog"),
        ({"inner": {"kind": []}}, "it.inner.kind is [], none of cat, dog"),
        ({"inner": {}}, "it.inner lacks kind"),
        ({"inner": {"kind": "cat", "spread": [1]}}, "it.inner.spread has 1 items, not 2"),
        ({"points": {"a": 1}}, "it.points is {'a': 1}, not list"),
        ({"points": [[1, 2]]}, "it.points[0][1] is 2, not str"),
        ({"more": [1] * 1000}, "it.more is [1, 1, "),
        ({"mood": 1}, "it has 'mood', which this version does not know"),
        ({"inner": {"kind": "cat", "mood": 1}}, "it.inner has 'mood', which"),
    ],
)
def test_another_type_is_named_with_its_place(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(TypeError) as error:
        from_json(Outer, WHOLE | change, "it", strict=True)
    assert str(error.value).startswith(rule)
    assert len(str(error.value)) < 120


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"text", "Expecting value"),
        (b"[]", "it holds no JSON object"),
        (b'{"a": NaN}', "it holds NaN, which is no number of JSON"),
        (b'{"a": -Infinity}', "it holds -Infinity, which"),
        (b'{"a": 1e999}', "it holds 1e999, which"),
        (b'{"a": 1, "a": 2}', "it names 'a' twice"),
        (b"\xff\xfe{}", "'utf-8' codec can't decode"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"\0" * 100, "Expecting value"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_every_damage_is_a_value_error_in_words(content: bytes, rule: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared below
        read_json(tmp_path / "a.json")
    assert str(error.value).startswith(rule)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="it is not a regular file"):
            read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")
    monkeypatch.setattr("tlexp.jsonfile._MOST_BYTES", 10)
    (tmp_path / "large").write_text('{"a": 123456}')
    with pytest.raises(ValueError, match="it has 13 bytes, of which at most 10 are read"):
        read_json(tmp_path / "large")


def test_text_is_parsed_alike() -> None:
    assert parse_json('{"a": [1, 2.5, null, "\\ud800"]}') == {"a": [1, 2.5, None, "\ud800"]}
