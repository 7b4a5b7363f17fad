"""Which runs of a sweep others have in hand in this moment; nothing is written and nobody is given up."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tlexp.jobs.folder import Attempt
from tlexp.jobs.peers import command_hosts
from tlexp.jobs.submission import SubmittedJobs
from tlexp.tracking.environment import is_alive


def under_way(root: Path, attempts: Iterable[Attempt]) -> Mapping[str, str]:
    """Return the runs that others have in hand, by the names of their folders: `queued`, `running on HOST`.

    A process of this host is asked for by its number; one of another host is taken to live while a command that shares
    the search has its lease from there. How old a lease is nobody knows who looks once, for no clocks are compared.

    Args:
        root: The sweep's folder.
        attempts: At its runs.
    """
    hosts, submitted = command_hosts(root), SubmittedJobs(root).under_way()
    words = {folder.parent.name: "running" if runs else "queued" for folder, runs in submitted.items()}
    for attempt in attempts:
        process, run = attempt.process, attempt.folder.parent.name
        if attempt.record is not None or process is None or words.get(run) == "queued":
            continue
        host = str(process.get("host"))
        if run in words or attempt.is_at_work or (is_alive(process) is None and host in hosts):
            words[run] = f"running on {host}"
    return words
