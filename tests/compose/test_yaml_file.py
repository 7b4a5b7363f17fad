import os
from pathlib import Path

import pytest
import yaml

from tlexp.compose.yaml_file import LARGEST, build, read_text
from tlexp.errors import ConfigError


def told(folder: Path, text: str | bytes) -> str:
    """Return what is said of a file, behind its name; "" where it is read."""
    path = folder / "a.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    try:
        build(read_text(path), path)
    except ConfigError as error:
        return str(error).removeprefix(f"{path}:").strip()  # else the name stays, and does not fit
    return ""


def test_plain_files_are_read(tmp_path: Path) -> None:
    assert told(tmp_path, "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, z: !!str 3}\nc: ${a.x}\n") == ""
    assert told(tmp_path, "") == ""
    assert told(tmp_path, "a: [" + "1," * 9000 + "1]") == ""


DOUBLED = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [ls]", "2: the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !mine 1", "1: the tag !mine makes an object; a configuration holds plain values: remove the tag"),
        ("a: 1\nb: " + "[" * 10_000, "2: more than 20 levels of nesting; no setting has so many: write fewer"),
        (DOUBLED, "12: more than 10,000 values, with all that aliases (*name) stand for; write fewer"),
        ("a: &a [*a]", "1: *a stands inside what it names, or before it; write the values there"),
        ("a: [1\nb: :", "2: no valid YAML, "),
        ("a: 1\na: 2", "2: no valid YAML, found duplicate key a; mend the line, or name another file"),
        (
            "a: ${oc.decode:x}",
            "1: ${oc.decode:...} is no way to a value; write ${SETTING}",
        ),
        ("a: " + "${oc.env:A," * 30, "1: more than 20 brackets inside each other; write fewer"),
        ("a: " + "9" * 5000, "1: a value of more than 3,000 signs; no setting takes so many: write fewer"),
        (b"a: \xff", "is no text in UTF-8 (invalid start byte, byte 3); save it as one"),
        ("x" * (LARGEST + 1), "has more than 100,000 bytes; a file of settings is smaller: name another one"),
        ("5", "Invalid loaded object type: int; a file of settings holds lines such as `labels: 20`"),
    ],
)
def test_others_are_refused_with_line_rule_and_way_out(text: str | bytes, problem: str, tmp_path: Path) -> None:
    assert told(tmp_path, text).startswith(problem)


def test_a_bomb_is_not_gone_through_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    parse = yaml.parse

    def counted(*arguments, **named):
        for event in parse(*arguments, **named):
            seen.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    assert told(tmp_path, DOUBLED)
    assert told(tmp_path, "[" * 10_000)
    assert len(seen) < 200


def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read \(not a regular file\)"):
        read_text(tmp_path / "a.yaml")
