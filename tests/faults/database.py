"""A PostgreSQL of one's own in a temporary folder, and an MLflow server on it; both can be stopped and started."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "planted-pass-4711"
_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))


def missing() -> str:
    """Return what is missing for such a database; nothing where it can be had."""
    if os.geteuid() != 0:
        return "a PostgreSQL of the tests' own needs root, to run as its user"
    if not (_PROGRAMS / "initdb").exists():
        return "PostgreSQL is not installed: apt-get install postgresql"
    return "" if importlib.util.find_spec("psycopg") else "pip install 'tlexp[postgresql]'"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Database:
    """A PostgreSQL in a folder, with a user `team` whose password is asked for.

    Attributes:
        folder: Of its data.
        port: On the loopback.
    """

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def uri(self) -> str:
        """Without the password, which libraries take from PGPASSWORD."""
        return f"postgresql://team@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        for left in reversed(range(20)):  # what was left of one that was stopped in a hurry may take a moment to go
            try:
                self._as_user(
                    "pg_ctl", "-w", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-o", options, "start"
                )
                return
            except subprocess.CalledProcessError:
                if not left:
                    raise
                time.sleep(0.5)

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._as_user("pg_ctl", "-w", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    def create(self) -> None:
        shutil.chown(self.folder, "postgres")
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = ["-U", "team", "--auth=scram-sha-256", f"--pwfile={secret}", "-D", f"{self.folder}/data"]
        self._as_user("initdb", "--no-sync", *words)
        secret.unlink()

    def ask(self, question: str) -> list[tuple[object, ...]]:
        """Return what a question gives; nothing for a command."""
        import psycopg

        connection = psycopg.connect(self.uri, password=PASSWORD, autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(question.encode())
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _as_user(self, program: str, *words: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(_PROGRAMS / program), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", stdin=subprocess.DEVNULL)


@contextmanager
def database() -> Iterator[Database]:
    """Let a database live, in a folder to which its user finds the way; pytest closes its own to others."""
    with tempfile.TemporaryDirectory(prefix="tlexp-database-") as folder:
        made = Database(Path(folder))
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.stop()


@dataclass
class Server:
    """An MLflow server on a database.

    Attributes:
        store: The database.
        folder: Of its artifacts and its log.
        port: On the loopback.
    """

    store: Database
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return (self.folder / "server.log").read_text()

    def start(self, seconds: float = 120) -> bool:
        """Start it; return whether it answers, False where it ended."""
        words = ["server", "--workers", "2", "--host", "127.0.0.1", "--port", str(self.port)]
        words += ["--backend-store-uri", self.store.uri, "--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {
            "PGPASSWORD": PASSWORD, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        with (self.folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        for _ in range(int(seconds * 5)):
            with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.2)
        raise AssertionError(self.said)

    def stop(self) -> None:
        """Kill it with its workers."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
