"""The configuration of each point of a sweep, before any of them is launched."""

from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from tlexp.compose.compositions import Compositions
from tlexp.config import config_key
from tlexp.jobs.planned import Planned
from tlexp.sweeps.space import SweepSpace


class Composer:
    """Composes points.

    Args:
        loader: Hydra's.
        master: The configuration of the multirun itself, with the overrides that are Hydra's own.
        parsed: The overrides of the command line.
        space: The swept ones among them.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig, parsed: Sequence[Override], space: SweepSpace) -> None:
        self._parsed = parsed
        self._axes = {axis.name: axis for axis in space.axes}
        self._compositions = Compositions.of_jobs(loader, master)

    def overrides(self, point: dict[str, str]) -> tuple[str, ...]:
        """Return the overrides of a point's run, in the order of the command line."""
        return tuple(
            self._axes[name].override(point[name]) if (name := override.key_or_group) in self._axes else _line(override)
            for override in self._parsed
        )

    def plan(self, point: dict[str, str]) -> Planned:
        """Return the point with its configuration.

        Raises:
            ConfigError: Its settings do not fit, or not together.
        """
        overrides = self.overrides(point)
        composed = self._compositions.typed(overrides)
        return Planned(point=point, overrides=overrides, key=config_key(composed.config), composed=composed)


def _line(override: Override) -> str:
    return override.input_line or ""
