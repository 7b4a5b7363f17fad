"""The configuration of each point of a sweep, before any of them is launched."""

from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.load import typed
from tlexp.compose.overrides import plain_message
from tlexp.config import config_fields, config_key
from tlexp.errors import ConfigError
from tlexp.jobs.planned import Planned, compose_overrides
from tlexp.sweeps.space import SweepSpace


class Composer:
    """Composes points.

    Composing takes Hydra a tenth of a second; points that choose the same options share one composition, to which
    their plain settings are applied as Hydra does.

    Args:
        loader: Hydra's.
        master: The configuration of the multirun itself, with the overrides that are Hydra's own.
        parsed: The overrides of the command line.
        space: The swept ones among them.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig, parsed: Sequence[Override], space: SweepSpace) -> None:
        self._loader, self._master = loader, master
        self._parsed, self._space = parsed, space
        self._parser = OverridesParser.create(config_loader=loader)
        self._axes = {axis.name: axis for axis in space.axes}
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._values: dict[str, Override] = {}

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
        base = [_line(override) for override in self._parsed if override.key_or_group not in self._axes]
        late: list[str] = []
        for axis in self._space.axes:
            text = axis.override(point[axis.name])
            (late if self._is_plain(text) else base).append(text)
        try:
            config = OmegaConf.masked_copy(self._base(tuple(base)), list(self._base(tuple(base))))
            for text in late:
                OmegaConf.update(config, self._parse(text).key_or_group, self._parse(text).value(), merge=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra, of group=null
            raise ConfigError(plain_message(error)) from error
        composed = typed(config)
        return Planned(point=point, overrides=self.overrides(point), key=config_key(composed.config), composed=composed)

    def _base(self, overrides: tuple[str, ...]) -> DictConfig:
        """Return what the overrides compose to, without Hydra's own node."""
        if overrides not in self._bases:
            self._bases[overrides] = compose_overrides(self._loader, self._master, overrides)
        return self._bases[overrides]

    def _is_plain(self, text: str) -> bool:
        """Return whether the override sets one setting, which changes nothing else in the composition."""
        override = self._parse(text)
        return override.type is OverrideType.CHANGE and override.key_or_group in config_fields()

    def _parse(self, text: str) -> Override:
        if text not in self._values:
            self._values[text] = self._parser.parse_override(text)
        return self._values[text]


def _line(override: Override) -> str:
    return override.input_line or ""
