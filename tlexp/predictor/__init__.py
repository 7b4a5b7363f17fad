"""A trained network that is applied to photographs: the one object behind `predict`, `evaluate` and served models.

It is imported when it is first asked for (PEP 562), since torch takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlexp.predictor.predictor import Predictor
    from tlexp.predictor.table import Scores

__all__ = ["Predictor", "Scores"]

if not TYPE_CHECKING:  # else any name would pass as one of ours

    def __getattr__(name: str) -> Any:
        """Return what the late module defines."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return vars(importlib.import_module(f"{__name__}.predictor"))[name]
