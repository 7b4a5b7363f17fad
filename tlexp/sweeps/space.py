"""Swept settings: what Hydra's overrides mean, point by point, and what Optuna samples from.

    key=a,b   key=choice(a,b)   group=glob(pattern)     these values, in this order
    key=range(1,10,2)                                   numbers, without the stop, as Hydra means it
    key=interval(1,10)                                  any number between both ends
    key=tag(log,interval(1e-5,1e-1))                    the same, sampled by its logarithm
    key=int(interval(1,10))                             whole numbers; settings that are whole numbers need no int()

A value stays the text that goes into the run's own command line; the run's key tells which texts mean the same.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep

from tlexp.config import config_fields
from tlexp.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LOG = "log"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One swept setting.

    Attributes:
        name: The setting or group, e.g. `optim.lr`.
        prefix: What stands before the `=` of an override, e.g. `+experiment`.
        values: Every value in its order; None for an interval.
        low: The lower end of an interval or range.
        high: The upper end, included.
        step: Between the numbers of a range; None for an interval and for values that are no numbers.
        log: Sample by the logarithm.
        whole: Only whole numbers.
    """

    name: str
    prefix: str
    values: tuple[str, ...] | None
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def distribution(self) -> "BaseDistribution":
        """Return what Optuna samples the setting from."""
        from optuna.distributions import (  # lazy: keeps --help fast
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.values is not None and self.step is None:
            return CategoricalDistribution(self.values)
        # Optuna refuses steps on a logarithm, and those of decimals do not add up; `text` finds the nearest number.
        if self.whole and (not self.log or self.step in (None, 1)):
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log)

    def text(self, sampled: Any) -> str:
        """Return the value of an override for what Optuna sampled; of a range, the nearest number."""
        if self.values is None:
            return str(int(sampled)) if self.whole else repr(float(sampled))
        if self.step is None:
            return str(sampled)
        return min(self.values, key=lambda value: abs(float(value) - sampled))

    def sampled(self, text: str) -> Any:
        """Return what Optuna would have sampled for the value of an override; None where the axis has no such value."""
        if self.values is not None and text not in self.values:
            return None
        if self.values is not None and self.step is None:
            return text
        try:
            number = int(text) if self.whole else float(text)
        except ValueError:
            return None
        return number if self.low <= number <= self.high else None

    def middle(self) -> str:
        """Return some value, from the middle of an interval."""
        if self.values is not None:
            return self.values[0]
        return self.text(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)

    def override(self, text: str) -> str:
        """Return the override that sets the value."""
        return f"{self.prefix}={text}"


@dataclass(frozen=True, kw_only=True)
class SweepSpace:
    """All swept settings, in the order of the command line."""

    axes: tuple[Axis, ...]

    @property
    def finite(self) -> bool:
        """Whether all points can be counted."""
        return all(axis.values is not None for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of points of a finite space."""
        return math.prod(len(axis.values or ()) for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The swept settings and groups."""
        return tuple(axis.name for axis in self.axes)

    def points(self) -> Iterator[dict[str, str]]:
        """Yield every point of a finite space; the last setting changes fastest."""
        for values in itertools.product(*(axis.values or () for axis in self.axes)):
            yield dict(zip(self.names, values, strict=True))

    def holds(self, point: dict[str, str]) -> bool:
        """Return whether the point has just these settings, with values of theirs."""
        return point.keys() == set(self.names) and all(axis.sampled(point[axis.name]) is not None for axis in self.axes)


def build_space(parsed: Sequence[Override]) -> SweepSpace:
    """Return the space of the overrides; those that sweep nothing are left aside.

    Raises:
        ConfigError: Every setting that cannot be swept so, at once.
    """
    problems: list[str] = []
    axes = []
    for override in parsed:
        if override.is_sweep_override():
            try:
                axes.append(_axis(override))
            except ConfigError as error:
                problems += error.problems
    named = [override.key_or_group for override in parsed]
    twice = sorted({axis.name for axis in axes if named.count(axis.name) > 1})
    problems += [f"{name} is given twice: state all its values in one word" for name in twice]
    if problems:
        raise ConfigError(problems)
    return SweepSpace(axes=tuple(axes))


def _axis(override: Override) -> Axis:
    name, line, swept = override.key_or_group, override.input_line or "", override.value()
    if name.startswith(("hydra.", "hydra/")):
        raise ConfigError(f"{line}: Hydra's own settings cannot be swept")
    if name == "resume":
        raise ConfigError(f"{line}: a sweep goes on by itself when the same command is typed again; leave resume out")
    log = _is_log(line, swept)
    prefix = override.get_key_element()
    if isinstance(swept, IntervalSweep):
        return _interval(name, prefix, line, swept, log=log)
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise ConfigError(f"{line}: holds no value; for a range, the stop is not one of its numbers")
    if not isinstance(swept, RangeSweep):
        if log:
            raise ConfigError(f"{line}: only an interval or a range can be sampled by its logarithm")
        return Axis(name=name, prefix=prefix, values=values)
    numbers = sorted(float(value) for value in values)
    if log and numbers[0] <= 0:
        raise ConfigError(f"{line}: the logarithm needs numbers above 0")
    return Axis(
        name=name,
        prefix=prefix,
        values=values,
        low=numbers[0],
        high=numbers[-1],
        step=abs(float(swept.step)),
        log=log,
        whole=all(isinstance(number, int) for number in (swept.start, swept.stop, swept.step)),
    )


def _interval(name: str, prefix: str, line: str, swept: IntervalSweep, *, log: bool) -> Axis:
    assert swept.start is not None
    assert swept.end is not None
    low, high = swept.start, swept.end
    whole = (isinstance(low, int) and isinstance(high, int)) or _is_whole(name)
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{line}: the first number must be below the second, interval(low,high)")
    if log and low <= 0:
        raise ConfigError(f"{line}: the logarithm needs numbers above 0")
    return Axis(name=name, prefix=prefix, values=None, low=low, high=high, log=log, whole=whole)


def _is_log(line: str, swept: Any) -> bool:
    tags = swept.tags if isinstance(swept, Sweep) else set()
    unknown = sorted(tags - {LOG})
    if unknown:
        raise ConfigError(f"{line}: tag {unknown[0]} is not known; there is tag(log,interval(low,high))")
    return LOG in tags


def _is_whole(name: str) -> bool:
    """Return whether a setting takes whole numbers only."""
    field = config_fields().get(name)
    return field is not None and field.type in (int, int | None)
