"""tlexp: which pretrained backbone, and how much of it to freeze, answered by experiment on your own images.

    >>> import tlexp
    >>> result = tlexp.run("backbone=tiny", labels=20)  # doctest: +SKIP
    >>> result.metrics["test/balanced_accuracy"], result.interval, result.confusion  # doctest: +SKIP

Nothing heavy is imported before it is called (PEP 562).
"""

import importlib
import os
from os import PathLike
from typing import TYPE_CHECKING, Any

from tlexp.errors import ConfigError, TlexpError
from tlexp.paths import VERSION

if TYPE_CHECKING:
    from tlexp.api.answer import BudgetAnswer, StudyAnswer
    from tlexp.api.calls import run, study, sweep
    from tlexp.api.result import RunResult
    from tlexp.api.tables import runs
    from tlexp.predictor import Predictor

if "OMP_WAIT_POLICY" not in os.environ:
    # Read once, when torch loads its threads. By default they look 300,000 times whether they may go on before they
    # sleep: beside other programs, which hold up the thread that they wait for, that is most of what they do.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = VERSION
__all__ = [
    "BudgetAnswer",
    "ConfigError",
    "Predictor",
    "RunResult",
    "StudyAnswer",
    "TlexpError",
    "__version__",
    "load",
    "run",
    "runs",
    "study",
    "sweep",
]
_LATE = {
    "BudgetAnswer": "tlexp.api.answer",
    "Predictor": "tlexp.predictor.predictor",
    "RunResult": "tlexp.api.result",
    "StudyAnswer": "tlexp.api.answer",
    "run": "tlexp.api.calls",
    "runs": "tlexp.api.tables",
    "study": "tlexp.api.calls",
    "sweep": "tlexp.api.calls",
}
"""Where names are found when they are first asked for."""
_ELSEWHERE = {
    "predict": ": it is tlexp.load(RUN).predict(IMAGES)",
    "evaluate": ": it is a command, tlexp evaluate RUN FOLDER; tlexp.load(RUN).predict(IMAGES) says what images show",
}
"""Verbs of the command that are no calls."""


def load(where: str | PathLike[str], *, tracking: str | None = None, device: str = "auto") -> "Predictor":
    """Return the trained network of a run or an export, which predicts.

    >>> tlexp.load(result.folder).predict(["a.jpg", image, array])  # doctest: +SKIP

    Args:
        where: Folder of a run or of an export, `runs:/<id>` or `models:/<name>/<version>`.
        tracking: URI of the tracking store that knows the run or the model; None takes the configured one.
        device: Such as cpu or cuda; auto takes the best there is.

    Raises:
        ConfigError: Something else is given.
        WeightsError: There is none, or its files are damaged or do not belong together.
    """
    if not isinstance(where, str | PathLike):
        own = ": take its .folder" if hasattr(where, "folder") else ""
        raise ConfigError(
            f"tlexp.load takes the folder of a run or of an export, runs:/ID or models:/NAME/1, and no "
            f"{type(where).__name__}{own}"
        )
    from tlexp.predictor import Predictor  # lazy: torch

    return Predictor.load(os.fspath(where), uri=tracking, device=device)


if not TYPE_CHECKING:  # else any name would pass as one of ours

    def __getattr__(name: str) -> Any:
        """Return what a module defines that is imported late."""
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_ELSEWHERE.get(name, '')}")
        return vars(importlib.import_module(_LATE[name]))[name]


def __dir__() -> list[str]:
    return __all__
