"""`hydra/sweeper=tlexp`: what Hydra finds by scanning, at every start; the work is done in `tlexp.sweeps`."""

from dataclasses import dataclass
from typing import Any

from hydra import types
from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from tlexp.config.sweep import SweepConfig


@dataclass
class TlexpSweeperConfig(SweepConfig):
    """The settings, and the class that Hydra makes of them."""

    _target_: str = "hydra_plugins.tlexp_sweeper.TlexpSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="tlexp", node=TlexpSweeperConfig, provider="tlexp")


class TlexpSweeper(Sweeper):
    """Hands what Hydra knows over to `tlexp.sweeps`, or to `tlexp.studies`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SweepConfig(**settings)
        self.hydra_context: types.HydraContext | None = None
        self.task_function: types.TaskFunction | None = None
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: types.HydraContext, task_function: types.TaskFunction, config: DictConfig
    ) -> None:
        """Remember what Hydra gives."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run every point, or a study; the arguments are the overrides of the command line that are not Hydra's own.

        Returned is what they return.
        """
        from tlexp.jobs.runner import HydraContext  # lazy: keeps --help fast

        assert self.hydra_context is not None
        assert self.task_function is not None
        assert self.config is not None
        context = HydraContext(hydra=self.hydra_context, task=self.task_function, config=self.config)
        if self.config.study.kind == "none":
            from tlexp.sweeps.sweeper import sweep  # lazy: keeps --help fast

            return sweep(self.settings, arguments, context)
        from tlexp.studies.study import study  # lazy: keeps --help fast

        return study(arguments, context, dry_run=self.settings.dry_run)
