"""Where runs are tracked: which store a URI names, whether it answers, and how its sqlite file comes to be.

MLflow creates its tables in place and unlocked: several processes at once, or a kill in the middle, leave a file that
no later process can open. Here the file is made under a temporary name, under a lock, and renamed when it is whole.
"""

import contextlib
import functools
import glob
import http.client
import json
import os
import re
import shlex
import sqlite3
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from tlexp.errors import TrackingError
from tlexp.secrets import learn, public_uri
from tlexp.tracking.library import load_mlflow

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(?:\?.*)?")
_BEAT_SECONDS = 0.1
"""A process that creates a store touches its lock so often."""
_QUIET_SECONDS = 5
"""One that has not touched it for so long is stopped, or hangs."""
_POLL_SECONDS = 0.05
_BUSY_SECONDS = 20
PROBE_SECONDS = 0.5
SLOW_DISK_SECONDS = 10.0
"""So long one write of this process may take: it waits for the disk, nobody is in its way."""
_NETWORK_FILESYSTEMS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|lustre|gpfs|beegfs|ceph|afs|9p|fuse\.(sshfs|glusterfs|s3fs)"
)


def absolute_uri(uri: str | None) -> str:
    """Return the URI of the store: the given one, else MLFLOW_TRACKING_URI, else mlflow.db of the working folder.

    A relative sqlite path is taken from the working folder and made absolute.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    learn(uri)
    path = sqlite_path(uri)
    if path is None or path.name == ":memory:":
        return uri
    _, mark, query = uri.partition("?")
    return _sqlite_uri(path) + mark + query


def sqlite_path(uri: str) -> Path | None:
    """Return the absolute path of a sqlite store; None for every other kind."""
    match = _SQLITE.fullmatch(uri)
    if match is None:
        return None
    return Path(unquote(match["path"])).absolute()


def serve_command(uri: str) -> str:
    """Return the command that serves a store's web page from this folder; empty for a server, which needs none."""
    if uri.startswith(("http://", "https://")):
        return ""
    usual = uri == absolute_uri("sqlite:///mlflow.db")
    return "mlflow ui" if usual else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def ensure_store(uri: str) -> None:
    """Create a sqlite store that is not there yet; refuse one that this MLflow cannot use. Other kinds pass.

    Raises:
        TrackingError: A store in memory, no SQLite file, another schema, locked for long, or not to be created.
    """
    path = sqlite_path(uri)
    if uri.startswith("sqlite") and (path is None or path.name == ":memory:"):
        raise TrackingError(f"tracking.uri={uri} ends with the process: name a file, e.g. sqlite:///mlflow.db")
    if path is None:
        return
    try:
        if not _is_there(path):
            _create_locked(path)
        _check_schema(path)
    except Timeout as error:
        raise TrackingError(
            f"{path} is under creation by another process, which has not stirred for {_QUIET_SECONDS} s: end that "
            f"process ({_creators(path)}), then run tlexp sync"
        ) from error
    except OSError as error:
        raise TrackingError(f"{path} cannot be created ({error}): name another place with tracking.uri") from error


def network_filesystem(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of network filesystem a path lies on, where SQLite's locks are unreliable; None on local ones."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    best, kind = "", ""
    for line in lines:
        _, point, found = line.split()[:3]
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point)
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind if _NETWORK_FILESYSTEMS.fullmatch(kind) else None


_least_file_seconds = 0.0


@contextlib.contextmanager
def patient_with_files(seconds: float) -> Iterator[None]:
    """Let stores that are files be in other processes' hands for so long, in this process, before they count as stuck.

    For sweeps: of those that share few cores, one may hold a file's lock for seconds without getting on.
    """
    global _least_file_seconds
    before, _least_file_seconds = _least_file_seconds, seconds
    try:
        yield
    finally:
        _least_file_seconds = before


_stuck: set[Path] = set()
"""Stores that a thread of this process holds and does not get on with: they are waited for once."""


class Pulse:
    """Whether a store shows signs of life, asked again and again while somebody waits for it.

    Args:
        uri: Absolute tracking URI.
        file_seconds: So long a file may be in other processes' hands, at least, before it counts as stuck.
    """

    def __init__(self, uri: str, *, file_seconds: float = 0.0) -> None:
        self._uri, self._file_seconds = uri, max(file_seconds, _least_file_seconds)
        self._path = sqlite_path(uri)
        self._seen = self._traces()

    @property
    def can_be_asked(self) -> bool:
        """Whether this kind of store has a way to ask."""
        return self._path is not None or self._uri.startswith(("http://", "https://"))

    def beats(self, seconds: float) -> bool:
        """Return whether the store answers within the time; stores of a kind that cannot be asked always do."""
        if self._path is not None:
            # Other processes at work change the file, before or meanwhile: then it is busy, not stuck.
            free = self.stirs() or self._is_free(self._path, max(seconds, self._file_seconds)) or self.stirs()
            return free or self._is_on_a_slow_disk(self._path)
        if not self.can_be_asked:
            return True
        # In a thread, because looking up a host's name knows no time limit.
        answers: list[bool] = []
        asking = threading.Thread(target=lambda: answers.append(_answers(self._uri, seconds)), daemon=True)
        asking.start()
        asking.join(seconds)
        return answers == [True]

    def _is_free(self, path: Path, seconds: float) -> bool:
        """Return whether the file can be written within the time, or would be created."""
        latest = time.monotonic() + seconds
        while path in _awaited and not _is_there(path):
            if self.stirs():
                return True
            if time.monotonic() > latest:
                return False
            time.sleep(_POLL_SECONDS)
        return _accepts_writes(path, seconds)

    def _is_on_a_slow_disk(self, path: Path) -> bool:
        """Return whether it is this process that writes the file, and gets on with it."""
        if not _is_written_here(path) or path in _stuck:
            return self.stirs()
        latest = time.monotonic() + SLOW_DISK_SECONDS
        while _is_written_here(path) and not self.stirs():
            if time.monotonic() > latest:
                _stuck.add(path)
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def stirs(self) -> bool:
        """Return whether the file was changed since it was last looked at."""
        seen, self._seen = self._seen, self._traces()
        return seen != self._seen

    def _traces(self) -> list[tuple[int, int]]:
        """Return size and time of change of the sqlite file, its journals and the lock of its creation."""
        if self._path is None:
            return []
        files = [self._path.with_name(self._path.name + suffix) for suffix in ("", "-journal", "-wal")]
        return [
            (found.st_size, found.st_mtime_ns) for path in (*files, _lock_path(self._path)) if (found := _stat(path))
        ]


def _sqlite_uri(path: Path) -> str:
    """Return the URI of a sqlite file; % and ? would be read as signs of the URI."""
    return "sqlite:///" + path.as_posix().replace("%", "%25").replace("?", "%3F")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _is_there(path: Path) -> bool:
    """Return whether the file holds anything; an empty file is a database that nobody has begun."""
    found = _stat(path)
    return found is not None and found.st_size > 0


_awaited: set[Path] = set()
"""Stores of which this process waits for the creation by another one."""


def _create_locked(path: Path) -> None:
    """Create the store, unless another process has meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    load_mlflow()  # before others have to wait
    with _creating(path):
        for stale in path.parent.glob(f"{glob.escape(path.name)}.*.tmp*"):
            stale.unlink(missing_ok=True)
        if not _is_there(path):
            temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            try:
                _build(temporary, artifacts=path.parent / "mlruns")
                temporary.replace(path)
            finally:
                for left in path.parent.glob(f"{glob.escape(temporary.name)}*"):
                    left.unlink(missing_ok=True)


@contextlib.contextmanager
def _creating(path: Path) -> Iterator[None]:
    """Hold the lock of a store's creation, and touch it all the while, so that others see that this process is alive.

    Raises:
        Timeout: Another process holds it and does not stir.
    """
    lock = FileLock(_lock_path(path))
    _acquire(lock, path)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_BEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(_lock_path(path))

    threading.Thread(target=beat, name="tlexp-beat", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    """Wait for the lock as long as the process that holds it stirs.

    Raises:
        Timeout: It does not.
    """
    pulse, latest = Pulse(absolute_uri(_sqlite_uri(path))), time.monotonic() + _QUIET_SECONDS
    _awaited.add(path)
    try:
        while True:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=_POLL_SECONDS)
                return
            if pulse.stirs():
                latest = time.monotonic() + _QUIET_SECONDS
            elif time.monotonic() > latest:
                raise Timeout(lock.lock_file)
    finally:
        _awaited.discard(path)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _creators(path: Path) -> str:
    """Return which processes are at a store's creation, in words."""
    found = {name.split(".")[-2] for each in path.parent.glob(f"{glob.escape(path.name)}.*.tmp") if (name := each.name)}
    return f"its number is {', '.join(sorted(found))}" if found else "it holds the lock beside it"


_building = threading.Lock()
"""One store is built at a time: Alembic keeps the one that it is at in its modules, for all threads."""


def _build(path: Path, *, artifacts: Path) -> None:
    """Make a whole store under a name that nobody opens, and leave nothing of it in MLflow's caches."""
    load_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # lazy: keeps --help fast

    uri = _sqlite_uri(path)
    with _building:  # a writer that its run no longer waits for may be at another one
        store = SqlAlchemyStore(uri, str(artifacts))
    store.engine.dispose()
    SqlAlchemyStore._engine_map.pop(uri, None)


def _check_schema(path: Path) -> None:
    """Refuse a file that is no store of the installed MLflow's schema, before MLflow migrates it unasked.

    Raises:
        TrackingError: As said.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        if _is_busy(error):
            raise TrackingError(f"{path} is locked by another process for over {_BUSY_SECONDS} s") from error
        raise TrackingError(
            f"{path} is not a tracking store ({error}): move it away, or name another file with tracking.uri"
        ) from error
    revision = found[0] if found else "none"
    head, known = _revisions()
    if revision == head:
        return
    if revision in known:
        raise TrackingError(
            f"{path} was made by an older MLflow (schema {revision}, now {head}): take a copy of it, then run "
            f"mlflow db upgrade {_sqlite_uri(path)}"
        )
    raise TrackingError(
        f"{path} has schema {revision}, which this MLflow does not know (it has {head}): update mlflow, or name "
        "another file with tracking.uri"
    )


@functools.cache
def _revisions() -> tuple[str | None, set[str]]:
    """Return the schema revision of the installed MLflow, and all that it can upgrade from."""
    load_mlflow()
    import mlflow.store.db_migrations  # lazy: keeps --help fast
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(next(iter(mlflow.store.db_migrations.__path__))))
    return scripts.get_current_head(), {script.revision for script in scripts.walk_revisions()}


def _accepts_writes(path: Path, seconds: float) -> bool:
    """Return False where another process holds the file's write lock all the time; other faults show on use."""
    if not _is_there(path):
        return True
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        return not _is_busy(error)
    return True


def _is_written_here(path: Path, locks: Path = Path("/proc/locks")) -> bool:
    """Return whether it is this process that holds the file's write lock; Linux alone tells.

    Devices are not compared: those of some file systems have two numbers.
    """
    found = _stat(path)
    try:
        lines = [line.split() for line in locks.read_text().splitlines()]
    except OSError:
        return False
    return found is not None and any(
        words[1:5] == ["POSIX", "ADVISORY", "WRITE", str(os.getpid())] and words[5].endswith(f":{found.st_ino}")
        for words in lines
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


_QUESTION = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
"""What every server of MLflow's answers, and only one whose database does; its health page says less."""


def _answers(uri: str, seconds: float) -> bool:
    """Return whether a server of MLflow's answers; refusing a stranger is an answer too."""
    try:
        with urllib.request.urlopen(public_uri(uri).rstrip("/") + _QUESTION, timeout=seconds) as reply:
            return isinstance(json.load(reply), dict)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return False
