"""How sure a statement is about means of a few values: Student's quantiles, for one bound or several at once."""

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def t_quantile(freedom: NDArray[np.float64], family: float = 1, *, sides: int = 2) -> NDArray[np.float64]:
    """Return how many standard errors a mean may be off with 95 % confidence, (...).

    >>> t_quantile(np.array([2.0, 1e9])).round(2).tolist(), float(t_quantile(np.array(4.0), 3, sides=1).round(2))
    ([4.3, 1.96], 3.19)

    Args:
        freedom: (...) degrees of freedom of the variance behind the standard errors.
        family: Statements that hold at once (Bonferroni).
        sides: 2 for an interval, 1 for a bound.
    """
    return student(freedom, 1 - (1 - CONFIDENCE) / family / sides)


def student(freedom: NDArray[np.float64] | float, share: float) -> NDArray[np.float64]:
    """Return what a share of Student's distribution lies below, (...).

    Args:
        freedom: (...) its degrees of freedom.
        share: In (0, 1).
    """
    from scipy.special import stdtrit  # lazy: no image waits for it

    quantile: NDArray[np.float64] = stdtrit(freedom, share)
    return quantile
