"""One job: a run, or those of a study's column."""

import shutil

from tlexp.api.console import Console
from tlexp.compose.load import Composed, HydraJob
from tlexp.config.sweep import Pruner
from tlexp.errors import PrunedError
from tlexp.experiment.run import Outcome, run
from tlexp.experiment.session import process_session
from tlexp.jobs.signals import Signals
from tlexp.sweeps.pruning import UNSEEN, Judge
from tlexp.tracking.names import CHECKPOINT_FOLDER


def do_job(loaded: Composed, job: HydraJob, signals: Signals, told: set[str]) -> Outcome | None:
    """Do a run and return what it ends with; None where records alone say it: of a study's column, of a pruned run.

    Args:
        loaded: Its configuration.
        job: What Hydra prepared for it.
        signals: That ask it to end.
        told: Messages that are not repeated; filled in.

    Raises:
        TlexpError: The settings, images or weights do not allow the run, or training could not go on.
        Interrupted: A signal asked to stop.
    """
    config = loaded.config
    if config.tracking.figures is None:
        config.tracking.figures = not job.swept
    judge = None
    if job.swept and job.pruner is not Pruner.none and config.study.column is None:
        judge = Judge(job.folder, job.pruner, alone=config.tune.trials < 2)
    bars = config.train.progress and not job.swept  # a sweep and a study have a line of their own: one bar moves alone
    listener = Console(signals, progress=bars, told=told, judge=judge)
    try:
        if config.study.column is not None:
            from tlexp.studies.column import run_column  # lazy: a single run needs no study

            run_column(loaded, folder=job.folder, overrides=job.overrides, run=run, listener=listener)
            return None
        outcome = run(
            config,
            shown=loaded.shown,
            folder=job.folder,
            overrides=job.overrides,
            study=job.study,
            listener=listener,
            session=process_session() if job.swept else None,  # as the runs of a study
        )
        if judge is not None and not judge.looked:
            listener.message(f"hydra.sweeper.pruner={job.pruner}: {UNSEEN}")
        return outcome
    except PrunedError:
        shutil.rmtree(job.folder / CHECKPOINT_FOLDER, ignore_errors=True)
        return None
    finally:
        listener.ended()
