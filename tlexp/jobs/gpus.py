"""Which GPU a worker of a sweep uses. `train.device` says what kind a run needs and is part of its key; this is not."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

_held: list[FileLock] = []
"""The place that this process took; held as long as it lives."""


def visible_gpus(
    environment: dict[str, str] | None = None, driver: Path = Path("/proc/driver/nvidia/gpus")
) -> list[str]:
    """Return the GPUs that this process may use, without loading torch."""
    stated = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [gpu.strip() for gpu in stated.split(",") if gpu.strip()]
    try:
        return [str(index) for index, _ in enumerate(driver.iterdir())]
    except OSError:
        return []


def take_gpu(places: Path, *, workers: int, gpus: list[str]) -> str | None:
    """Return the GPU of this worker process, the same at every call; None where there are fewer than two.

    Args:
        places: Folder of one lock for each place.
        workers: How many workers share the GPUs.
        gpus: All there are.
    """
    if len(gpus) < 2:
        return None
    places.mkdir(parents=True, exist_ok=True)
    for place in range(max(workers, len(gpus))):
        path = places / f"{place}.lock"
        if any(Path(lock.lock_file) == path for lock in _held):
            return gpus[place % len(gpus)]
    for place in range(max(workers, len(gpus))):
        lock = FileLock(places / f"{place}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        _held.append(lock)
        return gpus[place % len(gpus)]
    return gpus[os.getpid() % len(gpus)]
