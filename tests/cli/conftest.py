import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp import cli

Run = Callable[..., int]


@pytest.fixture
def tlexp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, in an empty folder; return its exit status."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tlexp", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run
