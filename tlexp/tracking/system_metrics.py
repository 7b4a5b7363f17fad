"""MLflow's own figures of the machine while a run goes on: processor, memory, disk, network, and those of GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager


def load_monitor() -> None:
    """Import what measures; call it where no other thread imports."""
    import mlflow.system_metrics.system_metrics_monitor  # lazy: only where it is asked for
    import mlflow.utils.autologging_utils  # noqa: F401


@contextmanager
def measured_machine(uri: str, run_id: str) -> Iterator[None]:
    """Let a thread write the figures into the run while it goes on, every ten seconds unless MLflow's variables say so.

    Args:
        uri: Of the store.
        run_id: Of the run, which is open.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
