"""tlexp: which pretrained backbone, and how much of it to freeze, answered by experiment on your own images.

    >>> import tlexp
    >>> result = tlexp.run("backbone=tiny", labels=20)  # doctest: +SKIP
    >>> result.metrics["test/balanced_accuracy"], result.interval, result.confusion  # doctest: +SKIP

Nothing heavy is imported before it is called (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING, Any

from tlexp.errors import ConfigError, TlexpError
from tlexp.paths import VERSION

if TYPE_CHECKING:
    from tlexp.api.answer import BudgetAnswer, StudyAnswer
    from tlexp.api.calls import run, study, sweep
    from tlexp.api.result import RunResult
    from tlexp.api.tables import runs

__version__ = VERSION
__all__ = [
    "BudgetAnswer",
    "ConfigError",
    "RunResult",
    "StudyAnswer",
    "TlexpError",
    "__version__",
    "run",
    "runs",
    "study",
    "sweep",
]
_LATE = {
    "BudgetAnswer": "tlexp.api.answer",
    "RunResult": "tlexp.api.result",
    "StudyAnswer": "tlexp.api.answer",
    "run": "tlexp.api.calls",
    "runs": "tlexp.api.tables",
    "study": "tlexp.api.calls",
    "sweep": "tlexp.api.calls",
}
"""Where names are found when they are first asked for."""

if not TYPE_CHECKING:  # else any name would pass as one of ours

    def __getattr__(name: str) -> Any:
        """Return what a module defines that is imported late."""
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return vars(importlib.import_module(_LATE[name]))[name]


def __dir__() -> list[str]:
    return __all__
