"""Jobs that are handed to a scheduler and go on without the command that submitted them.

<sweep>/.submitted/<name>.json    the jobs of one submission, in their order; <name> is what the scheduler calls it

Which of them are over is told by their leases and, where it answers, by the scheduler's queue.
"""

import math
import re
import subprocess
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from omegaconf import DictConfig

from tlexp.errors import ConfigError
from tlexp.jobs.lease import LeaseWatch, give_up
from tlexp.jobs.progress import say
from tlexp.jsonfile import read_json
from tlexp.paths import in_words, publish_json
from tlexp.tracking.environment import program

POLL_SECONDS = 1.0
_QUEUE_SECONDS = 5.0
"""Between two questions to the scheduler."""
_ANSWER_SECONDS = 30.0
_LARGEST = 1000
"""Jobs of one array; Slurm takes a thousand unless it is set up otherwise."""
_PLUGIN = "hydra_plugins.hydra_submitit_launcher."
_SHARED = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
           "stderr_to_stdout")  # fmt: skip
"""Settings that submitit has for every executor; others are the executor's own."""


def submits(config: DictConfig) -> bool:
    """Return whether the chosen launcher hands jobs over to a scheduler."""
    return str(config.hydra.launcher._target_).startswith(_PLUGIN)


def submit(launcher: Any, words: Sequence[Sequence[str]], jobs: Sequence[Path], root: Path) -> None:
    """Submit jobs, many at once, and write down which, before they are: this process may end at any moment.

    Args:
        launcher: Hydra's, of the submitit plugin; it is what a job calls.
        words: The overrides of each job.
        jobs: Their folders.
        root: Of the sweep.

    Raises:
        ConfigError: The scheduler refused them.
    """
    for first in range(0, len(jobs), _LARGEST):
        name = f"{launcher.params['name']}-{uuid.uuid4().hex[:12]}"
        some = [path.relative_to(root).as_posix() for path in jobs[first : first + _LARGEST]]
        submission = {"cluster": launcher._EXECUTOR, "jobs": some}
        publish_json(_lists(root) / f"{name}.json", submission, indent=None)
        _hand_over(launcher, name, words[first : first + _LARGEST], first)


def _lists(root: Path) -> Path:
    """Return the folder of the submissions; what lies beside them is pickled, so nobody else may write there."""
    for folder in (root / ".submitit", root / ".submitted"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root / ".submitted"


def _hand_over(launcher: Any, name: str, words: Sequence[Sequence[str]], first: int) -> None:
    """Submit as the launcher itself does, but wait for nothing: results are read from the jobs' folders."""
    import submitit  # lazy: an extra

    settings = launcher.params | {"name": name}
    folder, cluster = settings.pop("submitit_folder"), launcher._EXECUTOR
    own = {f"{cluster}_{key}": settings.pop(key) for key in ("max_num_timeout",) if key in settings}
    state = Singleton.get_state()
    calls = [(list(each), "hydra.sweep.dir", first + place, str(place), state) for place, each in enumerate(words)]
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **own)
        executor.update_parameters(
            **{key if key in _SHARED else f"{cluster}_{key}": value for key, value in settings.items()}
        )
        executor.map_array(launcher, *zip(*calls, strict=True))
    except (RuntimeError, ValueError, NameError, TypeError, subprocess.SubprocessError) as error:  # each has its own
        raise ConfigError(
            f"hydra/launcher=submitit_{cluster}: no job was submitted: {in_words(error)}; see hydra.launcher.*"
        ) from error


class SubmittedJobs:
    """Submitted jobs of a sweep, looked at again and again until all are over.

    Args:
        root: Of the sweep.
        jobs: Folders of those that are looked at; all that were submitted when None.
    """

    def __init__(self, root: Path, jobs: Iterable[Path] | None = None) -> None:
        self._lists = list((root / ".submitted").glob("*.json"))
        self._jobs: dict[tuple[str, int], Path] = {}
        self._of_slurm: set[Path] = set()
        for path in self._lists:
            submission = read_json(path)
            folders = [root / job for job in submission["jobs"]]
            self._jobs |= {(path.stem, place): folder for place, folder in enumerate(folders)}
            self._of_slurm |= set(folders) if submission["cluster"] == "slurm" else set()
        self._watches = {folder: LeaseWatch(folder) for folder in (self._jobs.values() if jobs is None else jobs)}
        self._queued: set[Path] | None = None
        self._asked = -math.inf

    @property
    def left(self) -> list[Path]:
        """Those that are not over yet."""
        return list(self._watches)

    def look(self) -> list[Path]:
        """Return those that are over since the last look; one that died is given up, so that it cannot begin again."""
        for watch in self._watches.values():
            watch.look()
        self._ask()
        over = [folder for folder, watch in self._watches.items() if self._is_over(folder, watch)]
        for folder in over:
            del self._watches[folder]
        return over

    def under_way(self) -> dict[Path, bool]:
        """Return those that are not over as far as can be seen at once, each with whether it runs; none is given up."""
        for watch in self._watches.values():
            watch.look()
        self._ask()
        return {
            folder: watch.number > 0 and not (watch.state is not None and watch.state.left)
            for folder, watch in self._watches.items()
            if not _says_over(folder, watch) and self._may_go_on(folder, watch)
        }

    def give_up(self) -> None:
        """Let those that have not begun not begin any more."""
        for folder, watch in self._watches.items():
            if not watch.number:
                give_up(folder)

    def forget(self) -> None:
        """Forget submissions of which every job is over."""
        for path in self._lists:
            path.unlink(missing_ok=True)

    def _is_over(self, folder: Path, watch: LeaseWatch) -> bool:
        if _says_over(folder, watch):
            return True
        return not self._may_go_on(folder, watch) and give_up(folder)

    def _may_go_on(self, folder: Path, watch: LeaseWatch) -> bool:
        """Return whether a job waits, works, or may yet be started again by its scheduler."""
        if self._queued is not None and folder in self._of_slurm:
            if folder in self._queued:
                return True
            if not watch.number:
                return False
        if watch.state is not None and watch.state.left:
            return False
        return not watch.silent

    def _ask(self) -> None:
        """Ask the scheduler what it has in its queue, now and then."""
        if self._of_slurm and time.monotonic() - self._asked > _QUEUE_SECONDS:
            queue = _queue()
            self._queued = None if queue is None else {self._jobs[each] for each in queue & self._jobs.keys()}
            self._asked = time.monotonic()


def _says_over(folder: Path, watch: LeaseWatch) -> bool:
    return not folder.is_dir() or (watch.state is not None and watch.state.over)


def await_submitted(root: Path) -> None:
    """Wait for jobs that an earlier command submitted and that are not over: they are not submitted again.

    Raises:
        Interrupted: A signal asked to end; the jobs go on.
    """
    jobs = SubmittedJobs(root)
    jobs.look()
    if jobs.left:
        say(f"note: {len(jobs.left)} jobs that were submitted before are not over; waiting for them")
    while jobs.left:
        time.sleep(POLL_SECONDS)
        jobs.look()
    jobs.forget()


def _queue() -> set[tuple[str, int]] | None:
    """Return name and place of each job in Slurm's queue; None where it does not answer."""
    squeue = program("squeue")
    if squeue is None:
        return None
    command = [squeue, "--noheader", "--array", "--me", "--format=%i %j"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = (re.fullmatch(r"\s*\d+(?:_(\d+))? (.*)", line) for line in answer.stdout.splitlines())
    return {(each[2].strip(), int(each[1] or 0)) for each in found if each}
