"""Where a run took place: versions, machine, commit, and which process it was."""

import functools
import getpass
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tlexp.paths import PACKAGE, VERSION, publish
from tlexp.tracking.blocks import Checkout, Environment, Process

_LIBRARIES = (
    "torch", "torchvision", "timm", "numpy", "pillow", "safetensors", "scikit-learn", "scipy",
    "mlflow", "optuna", "hydra-core",
)  # fmt: skip
_GIT_SECONDS = 5
_GIT_NEEDS = ("HOME", "PATH", "SYSTEMROOT", "USERPROFILE")
"""The environment variables that git keeps: where its user's settings lie, and what it is made of."""


def environment(device: str) -> Environment:
    """Return what a record says about its surroundings; holds no environment variable.

    Args:
        device: The device in words, e.g. "cpu" or "cuda (NVIDIA H100)".
    """
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={"tlexp": VERSION} | {name: found for name in _LIBRARIES if (found := _installed(name))},
        device=device,
        cpu_count=os.cpu_count(),
        git=_own_checkout(),
        user=_user(),
        process=Process(**process_identity()),
    )


def checkout(package: Path = PACKAGE) -> Checkout | None:
    """Return commit and dirty flag of the checkout the package runs from; None outside one or without git."""
    # An installed package may lie inside a stranger's checkout (.venv/lib/...), whose commit says nothing about us.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    described = _git(package, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    if described is None:
        return None
    commit, _, mark = described.partition("-")
    return Checkout(commit=commit, dirty=mark == "dirty")


def process_identity() -> dict[str, Any]:
    """Return what names this process among all that ever ran: a pid alone is given out again."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": pid,
        "started": _started(pid),
    }


def write_identity(path: Path) -> None:
    """Write down which process this is; as it is, for others compare it with what they find of their own host.

    Raises:
        OSError: As `publish` has it.
    """
    publish(path, json.dumps(process_identity()).encode())


def is_alive(identity: dict[str, Any]) -> bool | None:
    """Return whether a process still runs; None where that cannot be known.

    That is so on another host, without /proc, in another container (which may bear its host's name and numbers its
    processes for itself), and where other users' processes are hidden.
    """
    here = process_identity()
    if here["started"] is None or any(identity.get(name) != here[name] for name in ("host", "machine")):
        return None
    if identity.get("boot_id") != here["boot_id"]:
        return False
    pid, started = identity.get("pid"), identity.get("started")
    if identity.get("pid_namespace") != here["pid_namespace"] or not isinstance(pid, int) or started is None:
        return None
    stat = _stat(pid)
    if stat is None:
        return None if _exists(pid) else False
    # Dead, but its parent has not asked for its status yet: then the entry stays.
    return stat[0] not in ("Z", "X") and int(stat[19]) == started


@functools.cache
def _own_checkout() -> Checkout | None:
    """Return the commit that this process runs: of the moment it is first asked for, soon after the code is loaded."""
    return checkout()


@functools.cache
def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None where git is missing, refuses or takes too long.

    Git runs what its variables and some settings name, and a working folder may be anybody's.
    """
    git = program("git")
    if git is None:
        return None
    command = [git, "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(folder), *arguments]
    kept = {name: os.environ[name] for name in _GIT_NEEDS if name in os.environ}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
            env=kept | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def program(name: str) -> str | None:
    """Return a program's absolute path; none that lies in the working folder, or is found by a relative path."""
    here = Path.cwd().resolve()
    places = [Path(place) for place in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    above = here == Path(here.anchor)  # then everything lies in it
    trusted = [each for each in places if each.is_absolute() and (above or not each.resolve().is_relative_to(here))]
    return shutil.which(name, path=os.pathsep.join(map(str, trusted)))


def _user() -> str | None:
    """Return the login name; containers may run under a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _machine() -> str | None:
    """Return a digest of the machine's id, which tells hosts of one name apart; the id itself is not for others."""
    try:
        number = Path("/etc/machine-id").read_text().strip()
    except OSError:
        return None
    return hashlib.sha256(f"tlexp {number}".encode()).hexdigest()[:16] if number else None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """Return a process' start in clock ticks after boot, the 22nd field of its stat; None without it."""
    stat = _stat(pid)
    return None if stat is None else int(stat[19])


def _stat(pid: int) -> list[str] | None:
    """Return the fields of a process' stat from the third on, its state; None where there is none to read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold blanks and brackets itself.
    return text.rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    """Return whether a process of that number runs, even one whose /proc entry is hidden from us."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
