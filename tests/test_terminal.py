import io
import sys

import pytest

from tlexp.terminal import aligned, one_line, plain_stream, plain_streams, show

HOSTILE = {
    "escape": "\x1b[2J",
    "title": "\x1b]0;mine\x07",
    "end of line": "cat\nerror: not mine",
    "return": "cat\rdog",
    "backspace": "cat\b\b\bdog",
    "C1": "\x9b2J",
    "delete": "\x7f",
    "turned": "\u202egpj.exe",
    "isolate": "\u2066x\u2069",
    "no width": "ca\u200bt",
    "line separator": "a\u2028b",
    "no UTF-8": "caf\udce9",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_one_line_shows_what_it_escapes(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert "\\" in line
    assert one_line(line) == line
    assert line.encode("ascii")


def test_columns_stay_below_each_other_whatever_letters_take() -> None:
    names = [
        "bee",
        "\u871c\u8702",
        "cafe\u0301",
        "ant \U0001f41c",
        "\u2665",
        "\u2665\ufe0f",
        "\u1112\u1161\u11ab",
        "\uff21",
    ]
    assert [line.partition("|")[0] for line in aligned([[name, "|"] for name in names])] == [
        name + " " * blanks for name, blanks in zip(names, (5, 4, 4, 2, 7, 7, 6, 6), strict=True)
    ]
    assert aligned([[name, "|"] for name in names], right=[0])[1] == "  \u871c\u8702  |"


def test_words_in_any_language_and_backslashes_stay() -> None:
    for text in ("Füße", "猫", "C:\\cats", "a  b", ""):
        assert one_line(text) == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_plain_stream_lets_no_escape_pass(text: str) -> None:
    stream = io.StringIO()
    print(f"<{text}>", file=plain_stream(stream))
    assert stream.getvalue().replace("\n", "").isprintable()


def test_a_bar_returns_to_the_start_of_its_line() -> None:
    stream = io.StringIO()
    plain = plain_stream(stream)
    assert plain.write("\rhalf\rhidden") == 12
    print("\tloading", end="\r", file=plain)
    assert stream.getvalue() == "\rhalf\\rhidden\tloading\r"
    assert not plain.isatty()


def test_all_that_is_printed_goes_through_one(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with plain_streams():
        print("\x1b[31mred")
        print("\x1b[31mred", file=sys.stderr)
    assert sys.stdout is before
    assert capsys.readouterr() == ("\\x1b[31mred\n",) * 2


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show("cat\nnote: mine", "dog")
    show("elk\r", error=True)
    assert capsys.readouterr() == ("cat\\nnote: mine\ndog\n", "elk\\r\n")


def test_cells_stay_in_their_columns() -> None:
    assert aligned([["a\nb", "1"], ["c", "2"]]) == ["a\\nb  1", "c     2"]
