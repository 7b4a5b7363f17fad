import base64
import io
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tlexp.paths import csv_bytes, publish, publish_json
from tlexp.secrets import guard, keep_secret, learn, learn_values, masked, masked_values
from tlexp.terminal import aligned


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("http://me:hunter2@host:5000/x", "http://me:***@host:5000/x"),
        ("see 'http://me:p@ss@host', or me@host", "see 'http://me:***@host', or me@host"),
        ("postgresql+psycopg2://me:a/b?c#d@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("see postgresql://me:a@b/c?d#e@host/db, or me@host", "see postgresql://me:***@host/db, or me@host"),
        ("postgresql://me:5432/a@host/db", "postgresql://me:***@host/db"),
        ("postgresql://h:5432/db is away, says me@host", "postgresql://h:5432/db is away, says me@host"),
        ("postgresql://h:5432/db?password=a@b/c", "postgresql://h:5432/db?password=***"),
        ("http://a:one@x,postgresql://b:t@w/o@y/z", "http://a:***@x,postgresql://b:***@y/z"),
        ("https://0123456789abcdef@host", "https://***@host"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("http://host:5000/a@b http://host/a:b@c", "http://host:5000/a@b http://host/a:b@c"),
        ("http://me:${oc.env:PASSWORD}@host", "http://me:${oc.env:PASSWORD}@host"),
        ("http://me:${oc.env:HALF}half@host", "http://me:***@host"),
        ("http://a:one@x,http://b:two@y", "http://a:***@x,http://b:***@y"),
        ("http://host?api_key=12345&user=me&Token=a", "http://host?api_key=***&user=me&Token=***"),
        ("Authorization: Basic bWU6eA== and {'password': 'abc'}", "Authorization: Basic *** and {'password': '***'}"),
        ("sqlite:////tmp/mlflow.db key=value tokens=3", "sqlite:////tmp/mlflow.db key=value tokens=3"),
        ("see photos/password=1/x.png: bad", "see photos/password=1/x.png: bad"),
        ("class token: 197, token=mean", "class token: 197, token=mean"),
        ("cookie: 12 images, pass: 3, the key=3", "cookie: 12 images, pass: 3, the key=3"),
        ("HF_TOKEN=abc store.token=abc {'token': 'abc'}", "HF_TOKEN=*** store.token=*** {'token': '***'}"),
        ("http://h/token=a/b?token=a", "http://h/token=a/b?token=***"),
        ("http://h/x?sv=1&sig=a%2Fb&se=2", "http://h/x?sv=1&sig=***&se=2"),
        ("http://h/x?X-Amz-Credential=a&X-Amz-Signature=b", "http://h/x?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("http://h/x?key=a&amp;pass=b", "http://h/x?key=***&amp;pass=***"),
        ("Cookie: a=b; c=d\nSet-Cookie: e=f; Secure\nx", "Cookie: ***\nSet-Cookie: ***\nx"),
        ("store --password x --token=y --verbose", "store --password *** --token=*** --verbose"),
        ("postgresql+psycopg://me:ab c@h/db, me@host", "postgresql+psycopg://me:***@h/db, me@host"),
        ("postgresql://h:5432 is away, says me@host", "postgresql://h:5432 is away, says me@host"),
        ("api_key='a b' secret=\"it's so\" x", "api_key='***' secret=\"***\" x"),
        ('"{\\"password\\": \\"a b\\"}"', '"{\\"password\\": \\"***\\"}"'),
        ("{'Authorization': 'Bearer a.b'}", "{'Authorization': 'Bearer ***'}"),
    ],
)
def test_what_is_secret_by_its_place(text: str, public: str) -> None:
    assert masked(text) == public
    assert masked(public) == public


def test_a_secret_is_found_in_every_form() -> None:
    secret = "s3/cr+t \"é'&<x"
    keep_secret(secret, shown="${oc.env:NAME}", user="me")
    forms = [
        secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], secret.replace('"', '\\"'),
        secret.replace("&", "&amp;").replace("<", "&lt;"), secret.replace("'", "''"),
        base64.b64encode(secret.encode()).decode(), base64.b64encode(f"me:{secret}".encode()).decode(),
    ]  # fmt: skip
    for form in forms:
        assert "s3" not in masked(f"x{form}x"), form
        assert form not in masked(f"x{form}x"), form
    assert masked(f"a {secret} b") == "a ${oc.env:NAME} b"


def test_every_line_of_a_secret_is_one() -> None:
    keep_secret("-----BEGIN\nsecondline\n")
    assert masked("secondline -----BEGIN") == "*** ***"
    assert masked("-----BEGIN secondline") == "***"


def test_the_words_of_a_command_line_are_searched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    guard(["--password", "first one", "store.api_key=second one", "store.uri=postgresql://me:third one@h"])
    assert masked("first one, second one, third one") == "***, ***, ***"


def test_short_values_are_no_secrets_elsewhere() -> None:
    learn("http://me:short@host")
    assert masked("short") == "short"
    assert masked("http://me:short@host") == "http://me:***@host"


def test_what_a_text_states_is_looked_for_elsewhere() -> None:
    learn("http://me:hunter%21two@host?token=abcdef12")
    learn_values({"store": {"secret_key": ["no"], "api_key": "ghijkl34", "of": ["http://me:mnopqr@host"]}})
    assert masked("hunter!two hunter%21two abcdef12 ghijkl34 mnopqr") == "*** *** *** *** ***"


def test_nested_values_keep_their_numbers_and_keys() -> None:
    keep_secret("abcdef")
    assert masked_values({"abcdef": ("abcdef", 1.5, None, True), "password": "x"}) == {
        "abcdef": ["***", 1.5, None, True],
        "password": "***",
    }


def test_threads_learn_while_others_mask() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: keep_secret(f"secret-{number}-x") or masked("secret-0-x"), range(60)))
    finally:
        sys.setswitchinterval(interval)
    assert masked(" ".join(f"secret-{number}-x" for number in range(60))) == " ".join(["***"] * 60)


def test_a_record_factory_of_others_goes_on_working(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def theirs(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = logging.LogRecord(*arguments, **more)
        record.request = "of theirs"
        return record

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(theirs)
    try:
        guard(["--password", "hunter2"])
        first = logging.getLogRecordFactory()
        guard()
        assert logging.getLogRecordFactory() is first
        record = logging.Logger("own").makeRecord("own", logging.INFO, "f", 1, "%s", ("hunter2",), None)
        assert (record.getMessage(), record.__dict__["request"]) == ("***", "of theirs")
    finally:
        logging.setLogRecordFactory(before)


def test_nothing_known_costs_nothing() -> None:
    text = "tlexp " * 1000
    assert masked(text) is text


def test_files_are_written_without(tmp_path: Path) -> None:
    keep_secret("0.12345")
    publish(tmp_path / "a.txt", "rate 0.12345")
    publish_json(tmp_path / "a.json", {"rate": 0.12345, "word": "0.12345"}, indent=None)
    assert (tmp_path / "a.txt").read_text() == "rate ***"
    assert (tmp_path / "a.json").read_text() == '{"rate": 0.12345, "word": "***"}\n'
    assert csv_bytes([("rate", "0.12345")]) == b"rate,***\n"
    assert aligned([["a", "0.12345"]]) == ["a  ***"]


def test_streams_and_logs_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setenv("MY_TOKEN", "from-the-shell")
    guard(["tracking.uri=http://me:hunter2@host"])
    guard()
    print("hunter2", "from-the-shell")
    logger = logging.Logger("own")
    logger.addHandler(logging.StreamHandler(shown))
    logger.warning("%s at 100 %%", "hunter2")
    try:
        raise ValueError("hunter2")
    except ValueError:
        logger.exception("hunter2")
    sys.stderr.writelines(["hunter2\n"])
    text = shown.getvalue() + errors.getvalue()
    assert "hunter2" not in text
    assert "from-the-shell" not in text
    assert shown.getvalue().startswith("*** ${oc.env:MY_TOKEN}\n*** at 100 %\n***\nTraceback")
    assert not sys.stdout.isatty()
