"""The notebook for people: its cells run one after the other, and what each ends with is shown as a page."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studies.conftest import leave_undrawn, leave_unmeasured

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "tlexp.ipynb"


def cells() -> Iterator[dict[str, Any]]:
    """Yield the cells of code."""
    yield from (cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code")


def shown(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return what it ends with; None where that is no expression."""
    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_no_outputs_are_stored() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


def test_every_cell_runs_and_shows_what_it_ends_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    leave_undrawn(monkeypatch)
    leave_unmeasured(monkeypatch)
    names: dict[str, Any] = {}
    ended = [shown("".join(cell["source"]), names) for cell in cells()]
    pages = [each._repr_html_() for each in ended if hasattr(each, "_repr_html_")]
    assert len(pages) == 9
    assert all(page.startswith("<") for page in pages)
    assert len(names["table"]) == 2
    assert set(ended[-1]["status"]) == {"finished"}
