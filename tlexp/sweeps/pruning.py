"""Whether a run of a search goes on: its validation loss in the middle of a fit beside that of the others there.

<attempt>/looks.json   {name of a look: loss}, of each run as far as it has come

A run asks by itself, in whichever process it is, and reads what the others have left in the sweep's folder. So no
process has to be there for it, and nothing is known that does not lie beside the records.
"""

import contextlib
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from tlexp.config.sweep import Pruner
from tlexp.errors import ConfigError, PrunedError
from tlexp.jobs.files import read_job
from tlexp.jobs.folder import attempt_folders
from tlexp.jsonfile import read_json
from tlexp.paths import publish_json
from tlexp.sweeps.ranking import LABELS, SEEDS

LOOKS_FILE = "looks.json"
LEAST_STEPS, LEAST_IMAGES = 90, 20
"""Of a fit and of its validation part: before thirty steps, and on fewer images, a loss tells little."""
UNSEEN = (
    "some runs are not looked at before their end: their heads are solved, they search by themselves (tune.trials), or "
    f"they have fits of fewer than {LEAST_STEPS} steps or validation parts of fewer than {LEAST_IMAGES} images"
)
_SHARES = {"1/3": 1 / 3, "all": 1.0}
"""Of a fit, after which it is looked at; the last one saves the fit on the whole budget. Before a third small learning
rates, which are often the best ones, still lie behind."""
_STARTUP = 4
"""Others that a median is taken of, at least."""
_KEPT = 3
"""Of so many runs the best goes on under hyperband (Li et al. 2018, arXiv 1603.06560)."""
_BRACKETS = (0, 1, 0, 1, 0)
"""Looks that hyperband lets a candidate pass, by its number: some that begin slowly are good in the end. The paper's
share of each bracket."""


class Judge:
    """Looks at one run beside the others of its search.

    Compared are runs of the same seeds and label budget: their validation parts hold the same images.

    Args:
        folder: Of the attempt at the run.
        pruner: By which rule.
        alone: Whether the run has one candidate; fits of several are not compared with each other's.

    Attributes:
        looked: Whether the run was looked at.
    """

    def __init__(self, folder: Path, pruner: Pruner, *, alone: bool = True) -> None:
        job = read_job(folder)
        assert job is not None  # the sweep made it
        self._folder, self._sweep, self._pruner = folder, folder.parents[2], pruner
        self._alone = alone
        self._key, self._number, self._group = job.key, job.number, _group(job.point)
        self._own: dict[str, float] = {}
        for earlier in attempt_folders(self._sweep, [job.key]):
            self._own |= _looks(earlier)
        self.looked = bool(self._own)

    def looks(self, steps: int, images: int) -> frozenset[int]:
        """Return the steps of a fit after which its validation loss is wanted; none where the fit or part is small."""
        large = steps >= LEAST_STEPS and images >= LEAST_IMAGES
        return frozenset(_places(steps)) if self._alone and large else frozenset()

    def judge(self, fit_id: str, step: int, steps: int, loss: float) -> None:
        """Write the loss down for the others and compare it with theirs.

        Raises:
            PrunedError: It is not good enough.
        """
        share = _places(steps)[step]
        name = f"{fit_id} {share}"
        self._own[name] = loss
        self.looked = True
        publish_json(self._folder / LOOKS_FILE, self._own)
        others = [looks[name] for looks in self._others() if name in looks]
        look = list(self._own).index(name) + 1
        fault = _fault(self._pruner, loss, others, passes=look <= _BRACKETS[self._number % len(_BRACKETS)])
        if fault is not None:
            raise PrunedError(
                f"after {share} of its fit on a part of the labels, its validation loss {fault}",
                look=look,
                step=step,
                steps=steps,
                loss=loss,
            )

    def _others(self) -> list[dict[str, float]]:
        """Return the looks at each other run with these seeds and labels."""
        found: dict[str, dict[str, float]] = {}
        for folder in attempt_folders(self._sweep):
            with contextlib.suppress(ConfigError):  # a damaged file is the sweep's to tell of
                job = read_job(folder)
                if job is not None and job.key != self._key and _group(job.point) == self._group:
                    found.setdefault(job.key, {}).update(_looks(folder))
        return list(found.values())


def _fault(pruner: Pruner, loss: float, others: Sequence[float], *, passes: bool) -> str | None:
    """Return in words why a loss is not good enough beside others, None where it is.

    >>> [_fault(Pruner.median, loss, [1.0, 2.0, 3.0, 4.0], passes=False) for loss in (2.5, 2.6)]
    [None, 'was above the median of the others']
    >>> [_fault(Pruner.hyperband, loss, [1.0, 2.0, 3.0, 4.0, 5.0], passes=False) for loss in (1.5, 2.5)]
    [None, 'was not among the best third']
    """
    if pruner is Pruner.median:
        worse = len(others) >= _STARTUP and loss > statistics.median(others)
        return "was above the median of the others" if worse else None
    better = sum(other < loss for other in others)
    kept = max(1, (len(others) + 1) // _KEPT)
    return None if passes or better < kept else "was not among the best third"


def _places(steps: int) -> dict[int, str]:
    """Return the steps after which a fit is looked at, and which share of it each is.

    >>> _places(960)
    {320: '1/3', 960: 'all'}
    """
    return {math.ceil(steps * share): name for name, share in _SHARES.items()}


def _group(point: dict[str, str]) -> dict[str, str]:
    return {name: point[name] for name in (*SEEDS, LABELS) if name in point}


def _looks(folder: Path) -> dict[str, float]:
    """Return the looks at an attempt; none where its file is missing or damaged."""
    try:
        return {str(name): float(loss) for name, loss in read_json(folder / LOOKS_FILE).items()}
    except (OSError, ValueError, TypeError):
        return {}
