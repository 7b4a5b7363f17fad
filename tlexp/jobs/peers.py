"""The commands that go through one search at the same time, on one host or several, each with a lease.

<sweep>/.commands/<12 hex>/    of a command: process.json, and its lease; removed when it ends, or is given up

What they decide is decided under the sweep's lock, which each holds for a moment; leases say who lives meanwhile.
"""

import contextlib
import shutil
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tlexp.errors import TrainingError
from tlexp.jobs.lease import Lease, LeaseWatch, take_lease
from tlexp.jobs.progress import say
from tlexp.jobs.submission import POLL_SECONDS
from tlexp.jsonfile import read_json
from tlexp.tracking import names
from tlexp.tracking.environment import write_identity

_COMMANDS = ".commands"


class Peers:
    """Those at work on a sweep; as a context manager, with this command among them.

    Args:
        root: The sweep's folder.

    Attributes:
        name: Of this command.
    """

    def __init__(self, root: Path) -> None:
        self.name = uuid.uuid4().hex[:12]
        self._root, self._folder = root, root / _COMMANDS
        self._watches: dict[str, LeaseWatch] = {}

    @property
    def stop(self) -> Path:
        """The file at which the runs of this command end: who takes it for dead makes it."""
        return _stop(self._root, self.name)

    def others(self) -> list[str]:
        """Return the other commands that are at work, as far as can be known."""
        found = [path.name for path in self._folder.glob("*") if path.name != self.name]
        return [name for name in found if not self.is_gone(name)]

    def is_gone(self, name: str) -> bool:
        """Return whether a command has ended, is dead, or was silent for too long; then its runs are made to end."""
        folder = self._folder / name
        if not folder.is_dir():
            return True
        watch = self._watches.setdefault(name, LeaseWatch(folder))
        watch.look()
        if not watch.silent:
            return False
        _stop(self._root, name).touch()
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def require_place(self) -> None:
        """Refuse to go on where this command was taken for dead.

        Raises:
            TrainingError: It was.
        """
        if not self._own.is_dir():
            raise TrainingError(
                "this command had not stirred for so long that another one took its trials over; typed again it goes on"
            )

    def __enter__(self) -> Self:
        self._own.mkdir(parents=True)
        write_identity(self._own / names.PROCESS_FILE)
        lease = take_lease(self._own)
        assert lease is not None  # the folder is new and this command's own
        self._lease: Lease = lease.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lease.end(over=True)
        shutil.rmtree(self._own, ignore_errors=True)

    @property
    def _own(self) -> Path:
        return self._folder / self.name


def await_peers(root: Path) -> None:
    """Wait until no command is at work on a search with others: one without its database does not know of them.

    Raises:
        Interrupted: A signal asked to end.
    """
    peers = Peers(root)
    if count := len(peers.others()):
        say(f"note: {count} commands with hydra.sweeper.storage are at work on {root}; waiting for them")
    while peers.others():
        time.sleep(POLL_SECONDS)


def command_hosts(root: Path) -> set[str]:
    """Return the hosts that commands of a shared search are at work on, as far as can be told at once."""
    folders = [folder for folder in (root / _COMMANDS).glob("*") if not LeaseWatch(folder).silent]
    found = set()
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):  # it ends, or begins, in this moment
            found.add(str(read_json(folder / names.PROCESS_FILE).get("host")))
    return found


def _stop(root: Path, name: str) -> Path:
    return root.absolute() / f".stop-{name}"
