"""Jobs that are handed to a scheduler and go on without the command that submitted them.

<sweep>/.submitted/<name>.json    the jobs of one submission, in their order; <name> is what the scheduler calls it

Which of them are over is told by their leases and by the scheduler's queue. While that does not answer, a job of which
no lease tells may wait in it: after a while such jobs are given up, so that they cannot begin behind others' backs.
"""

import math
import re
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from omegaconf import DictConfig

from tlexp.errors import ConfigError
from tlexp.jobs.lease import LAPSE_SECONDS, LeaseWatch, give_up
from tlexp.jobs.progress import WaitingLine, say
from tlexp.jsonfile import read_json
from tlexp.paths import in_words, publish_json
from tlexp.terminal import duration
from tlexp.tracking.environment import program

POLL_SECONDS = 1.0
_QUEUE_SECONDS = 5.0
"""Between two questions to the scheduler."""
_ANSWER_SECONDS = 30.0
_UNANSWERED_SECONDS = 600.0
"""So long a queue that does not answer is waited for: schedulers are started anew now and then."""
_LARGEST = 1000
"""Jobs of one array; Slurm takes a thousand unless it is set up otherwise."""
_SLURM, _ASKS = "slurm", "squeue"
_PLUGIN = "hydra_plugins.hydra_submitit_launcher."
_SHARED = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
           "stderr_to_stdout")  # fmt: skip
"""Settings that submitit has for every executor; others are the executor's own."""


def submits(config: DictConfig) -> bool:
    """Return whether the chosen launcher hands jobs over to a scheduler."""
    return str(config.hydra.launcher._target_).startswith(_PLUGIN)


def require_queue(launcher: str) -> None:
    """Refuse Slurm where nobody can ask what became of jobs.

    Args:
        launcher: Its class, or the name of its executor.

    Raises:
        ConfigError: As said.
    """
    if _SLURM in launcher.lower() and program(_ASKS) is None:
        raise ConfigError(
            f"hydra/launcher=submitit_slurm: no job was submitted: {_ASKS} is not in the PATH, and nothing else tells "
            "which jobs wait in Slurm's queue: type the command where it is, or add its folder to PATH"
        )


def submit(launcher: Any, words: Sequence[Sequence[str]], jobs: Sequence[Path], root: Path) -> None:
    """Submit jobs, many at once, and write down which, before they are: this process may end at any moment.

    Args:
        launcher: Hydra's, of the submitit plugin; it is what a job calls.
        words: The overrides of each job.
        jobs: Their folders.
        root: Of the sweep.

    Raises:
        ConfigError: The scheduler refused them, or cannot be asked what became of them.
    """
    require_queue(launcher._EXECUTOR)
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
            f"hydra/launcher=submitit_{cluster}: {f'only {first} jobs were' if first else 'no job was'} submitted: "
            f"{in_words(error)}; see hydra.launcher.*"
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
            self._of_slurm |= set(folders) if submission["cluster"] == _SLURM else set()
        self._watches = {folder: LeaseWatch(folder) for folder in (self._jobs.values() if jobs is None else jobs)}
        self._queued: dict[Path, str] | None = None
        self._asked, self._answered = -math.inf, time.monotonic()
        self._may_answer, self._gave_up = True, False

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
        self._may_answer = False  # who looks once waits for no queue: leases and processes tell the rest
        return {
            folder: watch.number > 0 and not (watch.state is not None and watch.state.left)
            for folder, watch in self._watches.items()
            if not _says_over(folder, watch) and self._may_go_on(folder, watch)
        }

    def line(self) -> str:
        """Return how those that are not over stand, in the scheduler's words where it answers."""
        counts = Counter(self._stands(folder, watch) for folder, watch in self._watches.items())
        said = ", ".join(f"{count} {stands}" for stands, count in sorted(counts.items()))
        quiet = f"; {self._unasked()}" if self._queued is None and self._of_slurm & self._watches.keys() else ""
        return f"waiting for {len(self._watches)} job{'s' * (len(self._watches) != 1)}: {said}{quiet}"

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
        if self._may_go_on(folder, watch) or not give_up(folder):
            return False
        if self._queued is None and folder in self._of_slurm and not self._gave_up:
            self._gave_up = True
            say(
                f"note: {self._unasked()}, and nothing else tells jobs that wait in Slurm's queue from those that were "
                "refused or lost: they are given up, and end at once should Slurm start them"
            )
        return True

    def _may_go_on(self, folder: Path, watch: LeaseWatch) -> bool:
        """Return whether a job waits, works, or may yet be started again by its scheduler."""
        if folder in self._of_slurm:
            if folder in self._queued if self._queued is not None else self._may_answer:
                return True
            if self._queued is not None and not watch.number:
                return False
        if watch.state is not None and watch.state.left:
            return False
        return not watch.silent

    def _ask(self) -> None:
        """Ask the scheduler what it has in its queue, now and then; without an answer it is waited for for a while."""
        if not self._of_slurm:
            return
        if time.monotonic() - self._asked > _QUEUE_SECONDS:
            queue = _queue()
            self._queued = None if queue is None else {self._jobs[job]: queue[job] for job in queue.keys() & self._jobs}
            self._asked = time.monotonic()
            if queue is not None:
                self._answered = self._asked
        if self._queued is None:
            patience = LAPSE_SECONDS if program(_ASKS) is None else _UNANSWERED_SECONDS
            self._may_answer = time.monotonic() - self._answered <= patience

    def _unasked(self) -> str:
        """Return in words why it is not known what waits in the queue."""
        if program(_ASKS) is None:
            return f"{_ASKS} is not in the PATH"
        return f"{_ASKS} has not answered for {duration(time.monotonic() - self._answered)}"

    def _stands(self, folder: Path, watch: LeaseWatch) -> str:
        if self._queued is not None and folder in self._queued:
            return self._queued[folder]
        return "running" if watch.number and not (watch.state is not None and watch.state.left) else "waiting"


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
    with WaitingLine() as line:
        while jobs.left:
            line.show(jobs.line())
            time.sleep(POLL_SECONDS)
            jobs.look()
    jobs.forget()


def _queue() -> dict[tuple[str, int], str] | None:
    """Return how each job in Slurm's queue stands, by name and place; None where it does not answer."""
    squeue = program(_ASKS)
    if squeue is None:
        return None
    command = [squeue, "--noheader", "--array", "--me", "--format=%i|%T|%j|%r"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (re.fullmatch(r"\s*\d+(?:_(\d+))?\|(\w+)\|(.*)\|([^|]*)", line) for line in answer.stdout.splitlines())
    return {(each[3].strip(), int(each[1] or 0)): _in_words(each[2], each[4].strip()) for each in lines if each}


def _in_words(state: str, reason: str) -> str:
    """Return how a job stands, and what it waits for.

    >>> _in_words("PENDING", "Priority"), _in_words("RUNNING", "None")
    ('pending (Priority)', 'running')
    """
    return state.lower() + (f" ({reason})" if reason not in ("", "None") else "")
