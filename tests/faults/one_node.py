"""A cluster of one node in a temporary folder: munged, slurmctld and slurmd as root, two fake GPUs."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
CONFIGURATION = """\
ClusterName=trial
GresTypes=gpu
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])


def missing() -> str:
    """Return what is missing for such a cluster; nothing where it can be had."""
    if os.geteuid() != 0:
        return "a cluster of one node needs root"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"Slurm is not installed ({', '.join(lacking)}): apt-get install slurmctld slurmd slurm-client munge"
    return "" if importlib.util.find_spec("submitit") else "pip install 'tlexp[slurm]'"


@dataclass
class Cluster:
    """A cluster that is up.

    Attributes:
        folder: Of its files.
        environment: With which its commands are called.
    """

    folder: Path
    environment: dict[str, str]

    def ask(self, *words: str) -> str:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    def queue(self) -> dict[str, str]:
        """Return job -> state, of arrays each task."""
        lines = self.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def start_node(self) -> None:
        subprocess.run(["slurmd", "-c"], env=self.environment, check=True)

    def kill_node(self) -> None:
        """End the daemon of the node; jobs go on without it."""
        _end(self.folder / "slurmd.pid", signal.SIGKILL)

    def start_again(self, job: str) -> None:
        """Let a job that was put back into the queue begin without the two minutes that Slurm waits."""
        for _ in range(100):
            if self.queue().get(job) == "PENDING":
                break
            time.sleep(0.2)
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")


@contextmanager
def one_node(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """Let a cluster live in a folder, which anybody may enter."""
    environment = os.environ | {"PATH": _PATH, "SLURM_CONF": f"{folder}/slurm.conf"}
    cluster = Cluster(folder, environment)
    for name in ("munge", "state", "spool", "devices"):
        (folder / name).mkdir()
    _write_configuration(folder, cpus)
    subprocess.run(
        [
            "runuser", "-u", "munge", "--", shutil.which("munged", path=_PATH) or "munged",
            *(f"--{option}={folder}/munge/{name}" for option, name in (
                ("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"),
                ("seed-file", "seed"),
            )),
        ],
        check=True,
    )  # fmt: skip
    try:
        subprocess.run(["slurmctld"], env=environment, check=True)
        cluster.start_node()
        for _ in range(300):
            if "idle" in cluster.ask("sinfo", "--noheader", "--format=%T"):
                break
            time.sleep(0.1)
        yield cluster
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, capture_output=True)
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            _end(folder / name, signal.SIGTERM)


def _write_configuration(folder: Path, cpus: int) -> None:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    host = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=ports, cpus=cpus)
    (folder / "slurm.conf").write_text(text)
    for number in range(2):
        os.mknod(folder / "devices" / f"gpu{number}", 0o20666, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/devices/gpu[0-1]\n")
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    (folder / "munge" / "key").chmod(0o400)
    for path in (folder / "munge", folder / "munge" / "key"):
        shutil.chown(path, "munge", "munge")
    (folder / "munge").chmod(0o755)
    while folder != folder.parent:  # munge's socket is reached through all of them
        folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
        if folder == Path("/tmp"):
            break


def _end(pid_file: Path, number: int) -> None:
    """Send a daemon a signal and wait until it is gone."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, number)
    except (OSError, ValueError):
        return
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
