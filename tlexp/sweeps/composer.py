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
from tlexp.jobs.planned import Planned, compose_words
from tlexp.sweeps.space import SweepSpace


class Composer:
    """Composes points.

    Composing takes Hydra a tenth of a second; points that choose the same options share one composition, to which
    their plain settings are applied as Hydra does.

    Args:
        loader: Hydra's.
        master: The configuration of the multirun itself, with the words that are Hydra's own.
        parsed: The words of the command line.
        space: The swept ones among them.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig, parsed: Sequence[Override], space: SweepSpace) -> None:
        self._loader, self._master = loader, master
        self._parsed, self._space = parsed, space
        self._parser = OverridesParser.create(config_loader=loader)
        self._axes = {axis.name: axis for axis in space.axes}
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._values: dict[str, Override] = {}

    def words(self, point: dict[str, str]) -> tuple[str, ...]:
        """Return the words of a point's run, in the order of the command line."""
        return tuple(
            self._axes[name].word(point[name]) if (name := override.key_or_group) in self._axes else _line(override)
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
            word = axis.word(point[axis.name])
            (late if self._is_plain(word) else base).append(word)
        try:
            config = OmegaConf.masked_copy(self._base(tuple(base)), list(self._base(tuple(base))))
            for word in late:
                OmegaConf.update(config, self._parse(word).key_or_group, self._parse(word).value(), merge=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra, of group=null
            raise ConfigError(plain_message(error)) from error
        composed = typed(config)
        return Planned(point=point, overrides=self.words(point), key=config_key(composed.config), composed=composed)

    def _base(self, words: tuple[str, ...]) -> DictConfig:
        """Return what the words compose to, without Hydra's own node."""
        if words not in self._bases:
            self._bases[words] = compose_words(self._loader, self._master, words)
        return self._bases[words]

    def _is_plain(self, word: str) -> bool:
        """Return whether the word sets one setting, which changes nothing else in the composition."""
        override = self._parse(word)
        return override.type is OverrideType.CHANGE and override.key_or_group in config_fields()

    def _parse(self, word: str) -> Override:
        if word not in self._values:
            self._values[word] = self._parser.parse_override(word)
        return self._values[word]


def _line(override: Override) -> str:
    return override.input_line or ""
