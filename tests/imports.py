"""What a command imports, done once: the server from which commands are forked loads this and does nothing else."""

import importlib

from tlexp.tracking.library import load_mlflow

load_mlflow()
for name in ("tlexp.experiment.run", "tlexp.cli.console", "tlexp.sweeps.sweeper", "tlexp.sweeps.results",
             "tlexp.studies.study", "tlexp.studies.column"):  # fmt: skip
    importlib.import_module(name)
