"""One search that several commands go through at once: Optuna's study in a database is where they ask and tell.

The records stay the truth. What finished and the database does not know of is added to it, and a trial whose command
ended or died is told as failed and its settings wait for whoever asks next, unless its records are there.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from optuna.trial import TrialState

from tlexp.config.sweep import SweepConfig
from tlexp.jobs.index import RunIndex
from tlexp.jobs.peers import Peers
from tlexp.jobs.progress import say
from tlexp.jobs.submission import POLL_SECONDS
from tlexp.paths import publish
from tlexp.sweeps.candidates import MOST_REPEATS, Candidate, Candidates
from tlexp.sweeps.points import Plan, sampler
from tlexp.sweeps.stored import StoredSearch, StoredTrial

_ID_FILE = ".search"
"""Tells two folders of one name apart in a database, and one that was made anew from what it was."""
_ENDED = {TrialState.COMPLETE, TrialState.PRUNED}
_Run = Callable[[Sequence[Candidate]], bool]


class SharedCandidates(Candidates):
    """The candidates of a sweep that several commands work on; made in this command's turn.

    Args:
        settings: How to go through it.
        plan: What it is.
        index: What is there.
        peers: The commands at work.
        first: Whether no other was at work when this one came: then what failed runs again.

    Raises:
        ConfigError: No driver of the database is installed.
        TrackingError: The database cannot be reached or refuses.
    """

    def __init__(self, settings: SweepConfig, plan: Plan, index: RunIndex, peers: Peers, *, first: bool) -> None:
        self._composed: dict[tuple[str, ...], Candidate] = {}
        super().__init__(settings, plan, index)
        assert settings.storage is not None
        self._peers, self._again = peers, first
        self._study = StoredSearch(
            plan.candidates.axes,
            url=settings.storage,
            name=f"{plan.folder.path.resolve().name}-{_identity(plan.folder.path)}",
            sampler=sampler(settings),
            seed=settings.seed,
            direction=settings.goal,
        )
        self._told = False

    def search(self, run: _Run, *, at_once: int) -> bool:
        """Try candidates until there are as many as asked for, and the others have ended theirs."""
        while True:
            with self._plan.folder.turn():
                batch, elsewhere = self._take(at_once)
            if batch:
                goes_on = run([candidate for _, candidate in batch])
                with self._plan.folder.turn():
                    for trial, candidate in batch:
                        self._study.tell(trial.number, self._result(candidate))
                if not goes_on:
                    return False
            elif elsewhere:
                self._wait(elsewhere, run)
            else:
                return True

    def _take(self, at_once: int) -> tuple[list[tuple[StoredTrial, Candidate]], list[StoredTrial]]:
        """Return trials for this command to run, and those that others work on."""
        self._peers.require_place()
        self._index.reread(self._plan.folder.attempts(shared=True))
        elsewhere = self._settle()
        batch: list[tuple[StoredTrial, Candidate]] = []
        while len(batch) < at_once and (taken := self._next()) is not None:
            batch.append(taken)
        return batch, elsewhere

    def _settle(self) -> list[StoredTrial]:
        """Bring database and records together; return the trials that others work on."""
        trials = self._study.trials()
        self.tried = self._gather(trials)
        known = {candidate.identity: candidate for candidate in self.tried}
        states: dict[tuple[str, ...], list[TrialState]] = {candidate.identity: [] for candidate in self.tried}
        elsewhere, lost = [], set()
        for trial in trials:
            candidate = None if trial.settings is None else known[self._candidate(0, trial.settings).identity]
            state = trial.state
            if state is TrialState.RUNNING and self._is_elsewhere(trial, candidate):
                elsewhere.append(trial)
            elif state is TrialState.RUNNING:
                state = self._study.tell(trial.number, None if candidate is None else self._result(candidate))
                lost |= {candidate.identity} if candidate is not None else set()
            if candidate is not None:
                states[candidate.identity].append(state)
        for candidate in self.tried:
            if candidate.refusal is None:
                self._mend(candidate, states[candidate.identity], again=self._again or candidate.identity in lost)
        self._again = False
        return elsewhere

    def _mend(self, candidate: Candidate, states: Sequence[TrialState], *, again: bool) -> None:
        """Make the database agree with the records of a candidate.

        Args:
            candidate: Any.
            states: Of its trials, in the order of their numbers.
            again: Whether it is run again if it failed.
        """
        if TrialState.RUNNING in states or TrialState.WAITING in states:
            return
        if self.is_settled(candidate):
            result = self._result(candidate)
            if not _ENDED & set(states) and result is not None:
                self._study.add(candidate.settings, candidate.number, result)
        elif again or not states or states[-1] in _ENDED:  # since when seeds came, or records went away
            self._study.enqueue(candidate.settings, candidate.number)

    def _next(self) -> tuple[StoredTrial, Candidate] | None:
        """Return a trial that waits, or one of settings that are not known yet; None where there is none left."""
        for _ in range(MOST_REPEATS):
            if not self._is_left():
                return None
            trial, candidate = self._ask()
            same = next((each for each in self.tried if each.identity == candidate.identity), None)
            if same is None:
                self.tried.append(candidate)
            if same is None or (trial.queued and not self.is_settled(same)):
                return trial, candidate
            self._study.tell(trial.number, self._result(same))
        known = {candidate.identity for candidate in self.tried}
        for settings in self._plan.candidates.points() if self._plan.candidates.finite else ():
            if self._candidate(0, settings).identity not in known:
                self._study.enqueue(settings, self._next_number())
                trial, candidate = self._ask()
                self.tried.append(candidate)
                return trial, candidate
        say(f"note: {sampler(self._settings)} proposes nothing new any more; the sweep ends here")
        return None

    def _is_left(self) -> bool:
        """Return whether settings wait, or new ones are to be tried."""
        waits = any(trial.state is TrialState.WAITING for trial in self._study.trials())
        return waits or len(self.tried) < (self._plan.trials or 0)

    def _ask(self) -> tuple[StoredTrial, Candidate]:
        trial = self._study.ask(self._peers.name, self._next_number())
        assert trial.settings is not None
        assert trial.place is not None
        return trial, self._candidate(trial.place, trial.settings)

    def _gather(self, trials: Sequence[StoredTrial]) -> list[Candidate]:
        """Return the candidates of the records and of the database in their order, none twice."""
        found = {candidate.identity: candidate for candidate in self._known()}
        for trial in trials:
            if trial.settings is not None:
                candidate = self._candidate(len(found) if trial.place is None else trial.place, trial.settings)
                found.setdefault(candidate.identity, candidate)
        return sorted(found.values(), key=lambda candidate: candidate.number)

    def _candidate(self, number: int, settings: dict[str, str]) -> Candidate:
        """Return the candidate of some settings, which are composed once."""
        key = tuple(settings.values())
        if key not in self._composed:
            self._composed[key] = super()._candidate(number, settings)
        return replace(self._composed[key], number=number)

    def _is_elsewhere(self, trial: StoredTrial, candidate: Candidate | None) -> bool:
        """Return whether another command works on a trial, or a worker that has not noticed yet that it is dead."""
        if trial.command == self._peers.name:
            return False  # a database that went away left it so
        if not self._is_gone(trial):
            return True
        runs = [] if candidate is None else candidate.runs
        attempts = [attempt for planned in runs for attempt in self._index.attempts(planned.key)]
        return any(attempt.record is None and attempt.is_at_work for attempt in attempts)

    def _is_gone(self, trial: StoredTrial) -> bool:
        return trial.command is None or self._peers.is_gone(trial.command)

    def _wait(self, elsewhere: Sequence[StoredTrial], run: _Run) -> None:
        """Wait until one of the trials that others work on has ended, or its command has."""
        if not self._told:
            say("note: other commands are at work on what is left; waiting for them")
            self._told = True
        running = {trial.number for trial in elsewhere}
        while True:
            time.sleep(POLL_SECONDS)
            run([])  # a signal ends the command here
            now = {trial.number for trial in self._study.trials() if trial.state is TrialState.RUNNING}
            if not running <= now or any(map(self._is_gone, elsewhere)):
                return


def _identity(folder: Path) -> str:
    """Return what names a sweep's folder in databases; made once."""
    path = folder / _ID_FILE
    if not path.exists():
        publish(path, uuid.uuid4().hex[:12])
    return path.read_text()
