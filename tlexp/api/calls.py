"""The calls: a run, a sweep, a study, each as the command line does it."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Quote, QuotedString

from tlexp.api.launch import AskedToStop, chooses_sweep, launch, resumed
from tlexp.api.process import borrowed
from tlexp.api.words import overrides
from tlexp.compose.load import Composed, ConfigSource, HydraJob, load
from tlexp.compose.preflight import Preflight
from tlexp.compose.registration import stamp
from tlexp.errors import ConfigError, Interrupted
from tlexp.jobs.planned import written_below
from tlexp.jobs.progress import say
from tlexp.jobs.signals import Signals
from tlexp.tracking.names import CHECKPOINT_FOLDER

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

    from tlexp.api.answer import StudyAnswer
    from tlexp.api.result import RunResult

_OWN = ConfigSource()
_OUTPUTS = "outputs"


def run(*words: str, folder: str | PathLike[str] = ".", tracking: str | None = None, **settings: Any) -> "RunResult":
    """Do one run and return what came out.

    >>> result = tlexp.run("backbone=lite0", "data=folder", "data.root=photos", labels=20)  # doctest: +SKIP

    Args:
        words: Overrides, as they are typed on the command line.
        folder: Where `outputs` lies.
        tracking: URI of a tracking store, or "off"; None takes the configured one.
        settings: Values by full name, e.g. `labels=20, **{"optim.lr": 1e-3}`.

    Raises:
        ConfigError: A setting is wrong, or several do not fit together; nothing was written.
        TlexpError: Images or weights do not allow the run, or training could not go on.
        KeyboardInterrupt: Ctrl-C; `tlexp.run("resume=FOLDER")` goes on from the checkpoint, and the folder is told.
    """
    stated = [*_tracked(tracking), *overrides(words, settings)]
    with borrowed(stated):
        stated = [*resumed(stated, _OWN), *stated]
        loaded = load(stated, _OWN)
        if loaded.config.study.exists:
            raise ConfigError(f"study.kind={loaded.config.study.kind}: tlexp.run does one run; take tlexp.study")
        if chooses_sweep(stated, _OWN):
            raise ConfigError("hydra.mode=MULTIRUN: tlexp.run does one run; take tlexp.sweep")
        Preflight().check(loaded.config)
        job = _Job()
        launch([_place(Path(folder)), *stated], _OWN, job, sweeps=False)
    from tlexp.api.result import RunResult  # lazy: what is wrong with a setting is told first

    assert job.folder is not None
    return RunResult.of(job.folder)


def sweep(
    *words: str, folder: str | PathLike[str] = ".", tracking: str | None = None, **settings: Any
) -> "pd.DataFrame":
    """Run every combination of values, or search intervals, and return a table with a row for each run.

    The same call again takes over what has finished and runs the rest.

    >>> table = tlexp.sweep("freeze=all,none", labels=[5, 20])  # doctest: +SKIP

    Args:
        words: Overrides; several values stand between commas.
        folder: Where `multirun` lies.
        tracking: URI of a tracking store, or "off"; None takes the configured one.
        settings: Values by full name; a list holds those to go through, where the setting takes none.

    Raises:
        ConfigError: A setting is wrong, or several do not fit together.
        TrainingError: The sweep came to its end, but some runs did not finish; `tlexp.runs` tells of all.
        TlexpError: Images or weights do not allow the runs.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    stated = [*_tracked(tracking), *overrides(words, settings, swept=True)]
    with borrowed(stated), written_below(Path(folder)):
        load(stated, _OWN, swept=True)
        if any(word.startswith("study=") for word in stated) or chooses_sweep(stated, _OWN):
            raise ConfigError("tlexp.sweep runs what it is told; take tlexp.study for a study")
        found = launch(stated, _OWN, _Job(), sweeps=True)
    from tlexp.api.tables import sweep_table  # lazy: what is wrong with a setting is told first

    return sweep_table(found)


def study(
    kind: str,
    /,
    *words: str,
    folder: str | PathLike[str] = ".",
    tracking: str | None = None,
    **settings: Any,
) -> "StudyAnswer":
    """Do a study and return its answer; the same call again goes on with it.

    >>> answer = tlexp.study("quick", "data=folder", "data.root=photos")  # doctest: +SKIP
    >>> answer.take(20).column, answer.page  # doctest: +SKIP

    Args:
        kind: An option of `study=`, such as freeze_vs_labels.
        words: Overrides, as they are typed on the command line.
        folder: Where `multirun` lies.
        tracking: URI of a tracking store, or "off"; None takes the configured one.
        settings: Values by full name, e.g. `**{"study.labels": [5, 20]}`.

    Raises:
        ConfigError: A setting is wrong, or several do not fit together.
        TrainingError: The study came to its end, but some runs did not finish.
        TlexpError: Images or weights do not allow the runs.
        KeyboardInterrupt: Ctrl-C; the same call goes on.
    """
    stated = [*_tracked(tracking), *overrides([], {"study": kind}), *overrides(words, settings)]
    with borrowed(stated), written_below(Path(folder)):
        loaded = load(stated, _OWN)
        if not loaded.config.study.exists:
            raise ConfigError(f"study={kind} is no study: take tlexp.run for one run")
        Preflight().check(loaded.config)
        found = launch(stated, _OWN, _Job(), sweeps=True)
        from tlexp.api.answer import StudyAnswer  # lazy: what is wrong with a setting is told first

        return StudyAnswer.of(found)


class _Job:
    """Does the runs of a call; of a single one it keeps the folder."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._told: set[str] = set()

    def __call__(self, loaded: Composed, job: HydraJob, asked_to_stop: AskedToStop | None) -> None:
        """Do one run."""
        signals = Signals(asked_to_stop or (lambda: None))
        from tlexp.api.job import do_job  # lazy: what is wrong with a setting is told first

        self.folder = job.folder
        try:
            do_job(loaded, job, signals, self._told)
        except (Interrupted, KeyboardInterrupt):
            if asked_to_stop is None and (job.folder / CHECKPOINT_FOLDER).is_dir():
                say(f"interrupted; go on with tlexp.run({f'resume={job.folder}'!r})")
            raise
        if signals.received is not None:
            raise Interrupted(signals.received)  # it came while the end of the run was written


def _place(folder: Path) -> str:
    """Return where a run has its folder, as an override."""
    return f"hydra.run.dir={QuotedString(text=str(folder / _OUTPUTS / stamp()), quote=Quote.single).with_quotes()}"


def _tracked(tracking: str | None) -> Sequence[str]:
    if tracking is None:
        return ()
    return overrides([], {"tracking": "off"} if tracking == "off" else {"tracking.uri": tracking})
