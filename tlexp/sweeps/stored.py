"""Optuna's study of a search in a database, for several commands at once.

A trial says which command is at work on it and which place its settings have in the search. The database may be lost:
the study is filled again from the records.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tlexp.errors import ConfigError, TrackingError
from tlexp.secrets import learn, masked
from tlexp.sweeps.search import build_sampler, finished_trial
from tlexp.sweeps.space import Axis
from tlexp.tracking.blocks import PrunedBlock
from tlexp.tracking.patience import first_line

T = TypeVar("T")
_COMMAND, _PLACE = "command", "place"
"""Attributes of a trial."""
_OPENED, _ASKED = 3, 30
"""Tries, a second apart: another sweep may make the tables in this moment, and a database may be started anew."""
_CONNECT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial as it stands in the database.

    Attributes:
        number: Its number there.
        state: WAITING to be asked for, RUNNING, or how it ended.
        settings: Swept setting -> value; None where its command died before all of them were there.
        place: Of these settings in the search; None where its command died before it was there.
        command: That works on it, or did.
        queued: Whether its settings waited to be asked for; else the sampler proposed them.
    """

    number: int
    state: TrialState
    settings: dict[str, str] | None
    place: int | None
    command: str | None
    queued: bool


class StoredSearch:
    """Proposes settings to several commands, and hears what came out; one command at a time may call it.

    Args:
        axes: What is searched.
        url: Of the database.
        name: Of the search; another space or direction makes another study.
        sampler: tpe or random.
        seed: Of the sampler.
        direction: minimize or maximize.

    Raises:
        ConfigError: The driver of such databases is not installed.
        TrackingError: The database cannot be reached or refuses; so does every method.
    """

    def __init__(self, axes: Sequence[Axis], *, url: str, name: str, sampler: str, seed: int, direction: str) -> None:
        learn(url)  # messages of a driver may tell its password
        self._axes, self._url, self._sampler, self._seed = axes, url, sampler, seed
        self._distributions = {axis.name: axis.distribution() for axis in axes}
        about = repr([direction, sorted((name, repr(each)) for name, each in self._distributions.items())])
        self.name = f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:8]}"
        self._study = self._patiently(lambda: self._open(direction), tries=_OPENED)

    def _open(self, direction: str) -> optuna.Study:
        seconds = {"connect_timeout": _CONNECT_SECONDS} if self._url.startswith("postgresql") else {}
        try:
            storage = RDBStorage(self._url, engine_kwargs={"pool_pre_ping": True, "connect_args": seconds})
        except ImportError as error:
            raise ConfigError(
                f"hydra.sweeper.storage={masked(self._url)} needs a driver: pip install 'tlexp[postgresql]'"
            ) from error
        return optuna.create_study(storage=storage, study_name=self.name, direction=direction, load_if_exists=True)

    def trials(self) -> list[StoredTrial]:
        """Return every trial, in the order of their numbers."""
        return [self._read(trial) for trial in self._patiently(lambda: self._study.get_trials(deepcopy=False))]

    def ask(self, command: str, place: int) -> StoredTrial:
        """Return the first trial that waits, or a new one, which the command is to work on.

        The sampler's seed follows from the place, so that no two commands begin alike, and what `random` proposes
        depends neither on how many there are nor on what was run again.

        Args:
            command: That asks.
            place: Of the settings in the search, if they are new.
        """
        before = sum(trial.place == place and not trial.queued for trial in self.trials())
        text = f"{self._seed}-{place}-{before}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        self._study.sampler = build_sampler(self._sampler, seed=seed)

        def asked() -> StoredTrial:
            trial = self._study.ask(self._distributions)
            trial.set_user_attr(_COMMAND, command)
            if _PLACE not in trial.user_attrs:
                trial.set_user_attr(_PLACE, place)
            found = next(each for each in self._study.get_trials(deepcopy=False) if each.number == trial.number)
            return self._read(found)

        return self._patiently(asked)

    def enqueue(self, settings: dict[str, str], place: int) -> None:
        """Let these settings be asked for next, behind those that wait already."""
        params = self._sampled(settings)
        self._patiently(lambda: self._study.enqueue_trial(params, user_attrs={_PLACE: place}))

    def add(self, settings: dict[str, str], place: int, result: float | PrunedBlock) -> None:
        """Make known what came out of settings that this study has not heard of, or where they were pruned."""
        trial = finished_trial(
            result,
            params=self._sampled(settings),
            distributions=self._distributions,
            user_attrs={_PLACE: place},
        )
        self._patiently(lambda: self._study.add_trial(trial))

    def tell(self, number: int, result: float | PrunedBlock | None) -> TrialState:
        """Make known what came out of a trial, None where nothing did, unless that has been said; return its state.

        Where it was pruned, Optuna hears that alone: of a trial in a database, only who asked for it could say more.
        """
        value = None if isinstance(result, PrunedBlock) else result
        state = TrialState.FAIL if result is None else TrialState.COMPLETE if value is not None else TrialState.PRUNED
        self._patiently(lambda: self._study.tell(number, value, state=state, skip_if_finished=True))
        return state

    def _sampled(self, settings: dict[str, str]) -> dict[str, Any]:
        return {axis.name: axis.sampled(settings[axis.name]) for axis in self._axes}

    def _read(self, trial: FrozenTrial) -> StoredTrial:
        queued = trial.system_attrs.get("fixed_params", {})
        params = queued | trial.params
        whole = all(axis.name in params for axis in self._axes)
        return StoredTrial(
            number=trial.number,
            state=trial.state,
            settings={axis.name: axis.text(params[axis.name]) for axis in self._axes} if whole else None,
            place=trial.user_attrs.get(_PLACE),
            command=trial.user_attrs.get(_COMMAND),
            queued=bool(queued),
        )

    def _patiently(self, work: Callable[[], T], *, tries: int = _ASKED) -> T:
        """Return what the work gives, tried again where the database is away for a while.

        Raises:
            TrackingError: It does not come back, or refuses.
        """
        for left in reversed(range(tries)):
            try:
                return work()
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
                if not left or isinstance(error, RuntimeError):  # Optuna's, of a schema that is too old or too new
                    raise TrackingError(
                        f"hydra.sweeper.storage={masked(self._url)} cannot be used ({first_line(_root(error))}): check "
                        "the address and that the database runs; the same command typed again goes on"
                    ) from error
                time.sleep(1)
        raise AssertionError("unreachable")


def _root(error: BaseException) -> Exception:
    """Return the driver's own error."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    assert isinstance(error, Exception)
    return error
