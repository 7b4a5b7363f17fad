"""The report of made-up studies: texts but for the last digits of long decimals, and the tree of the page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.pins.conftest import DATA, stored
from tests.studies.conftest import CONTROLS, DEPTHS, STRENGTH, a_table, leave_undrawn
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.report.report import write_report
from tlexp.studies.report.summary import summary

FLAT = {column.name: (1.4 if column.depth == 5 else 0.5, 0.9 * (column.depth != 5)) for column in DEPTHS}
TABLES = {
    "decided": {
        "columns": (*DEPTHS, *CONTROLS),
        "strength": STRENGTH | FLAT,
        "seeds": 10,
        "failed": (),
        "waiting": (),
        "missing": (),
        "margin": 0.02,
    },
    "incomplete": {},
}
"""One that recommends for some budgets, and one with gaps that recommends for none."""
TEXT = (".md", ".csv", ".json", ".txt")
VOID = ("meta", "br", "hr", "img", "input", "link", "col", "wbr")


class Tree(HTMLParser):
    """One line for each tag and each text, indented by depth; of a drawing only that it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if "svg" in self._open:
            self._enter(tag)
            return
        shown = [] if tag == "svg" else [f"{name}={' '.join((value or '').split())}" for name, value in sorted(attrs)]
        shown = ["src=data" if each.startswith("src=data:") else each for each in shown]
        self._line(" ".join([f"<{tag}>", *shown]))
        self._enter(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if data.strip() and "svg" not in self._open:
            self._line(" ".join(data.split()))

    def handle_decl(self, decl: str) -> None:
        self._line(f"<!{decl}>".lower())

    def _enter(self, tag: str) -> None:
        if tag not in VOID:
            self._open.append(tag)

    def _line(self, text: str) -> None:
        self.lines.append(" " * len(self._open) + text)


def tree(page: str) -> str:
    parser = Tree()
    parser.feed(page)
    parser.close()
    return "\n".join(parser.lines) + "\n"


def rounded(text: str) -> str:
    """Return a text with its long decimals to nine digits: the last ones are the processor's."""
    return re.sub(r"-?\d+\.\d{9,}(?:e-?\d+)?", lambda match: f"{float(match[0]):.9g}", text)


def test_a_page_is_compared_by_what_it_says_and_not_by_how_it_is_spelled() -> None:
    one = '<p class="a" id=b>x <b>y</b>\n z<br></p><svg><path d="1"/></svg><img src="data:image/png;base64,AA">'
    same = '<p id="b"  class="a">x\n<b>y</b> z<br/></p><svg width="3"><text>no</text></svg><img src="data:,">'
    assert tree(one) == tree(same)
    for other in ('class="c"', "", 'title="x" class="a"'):
        assert tree(one.replace('class="a"', other)) != tree(one)
    assert tree(one.replace("<svg>", "<div>").replace("</svg>", "</div>")) != tree(one)
    assert tree(one.replace(">y<", ">Y<")) != tree(one)


@pytest.mark.parametrize("name", TABLES)
def test_a_report_says_what_it_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_undrawn(monkeypatch)
    findings = analyse(a_table(**TABLES[name]))
    files = {path.name: path for path in write_report(tmp_path, findings)}
    texts = {file: path.read_bytes().decode() for file, path in files.items() if path.suffix in TEXT}
    texts["index.tree.txt"] = tree(files["index.html"].read_text())
    texts["files.txt"] = "\n".join(sorted(files)) + "\n"
    texts["summary.txt"] = summary(findings, tmp_path).replace(str(tmp_path), "FOLDER") + "\n"
    for file, text in texts.items():
        assert rounded(text) == rounded(stored(f"report/{name}/{file}", text)), file
    assert {path.name for path in (DATA / "report" / name).iterdir()} == set(texts)
