"""Commands in processes of their own, forked from one that has done the imports, which take longer than the rest."""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

from tlexp import cli

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.imports"])


class Command:
    """A command that runs in a process group of its own, as `subprocess.Popen` would have it."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._streams = Path(tempfile.mkdtemp(prefix="tlexp-command-"))
        self._process = _FORKS.Process(target=_command, args=(folder, words, self._streams), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what was written to stdout and stderr."""
        self._process.join(timeout)
        texts = [self._streams / name for name in ("1", "2")]
        output, errors = (text.read_text() if text.exists() else "" for text in texts)
        assert self.returncode is not None, f"runs on after {timeout} s\n{errors}"
        return output, errors


def _command(folder: Path, words: tuple[str, ...], streams: Path) -> None:
    os.setsid()
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(os.open(streams / str(stream), os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = ["tlexp", *words]
    cli.main()
