"""One job: a run, or those of a study's column."""

from tlexp.api.console import Console
from tlexp.compose.load import Composed, HydraJob
from tlexp.experiment.run import Outcome, run
from tlexp.experiment.session import process_session
from tlexp.jobs.signals import Signals


def do_job(loaded: Composed, job: HydraJob, signals: Signals, told: set[str]) -> Outcome | None:
    """Do a run and return what it ends with; None for the runs of a study's column, of which each has its record.

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
    listener = Console(signals, progress=config.train.progress, told=told)
    try:
        if config.study.column is not None:
            from tlexp.studies.column import run_column  # lazy: a single run needs no study

            run_column(loaded, folder=job.folder, overrides=job.overrides, run=run, listener=listener)
            return None
        return run(
            config,
            shown=loaded.shown,
            folder=job.folder,
            overrides=job.overrides,
            study=job.study,
            listener=listener,
            session=process_session() if job.swept else None,  # as the runs of a study
        )
    finally:
        listener.ended()
