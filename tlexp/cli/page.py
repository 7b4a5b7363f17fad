"""The help page: what people do, verbs, flags, groups with their options, settings with their defaults."""

import textwrap
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any

from tlexp.cli.verbs import VERBS
from tlexp.config import GROUPS, config_fields
from tlexp.config.sweep import SweepConfig
from tlexp.paths import conf_options


def page() -> str:
    """Return the help page, what people need most first."""
    verbs = "\n".join(f"  {name:<12}{verb.about}" for name, verb in VERBS.items())
    groups = "\n".join(
        textwrap.fill(", ".join(conf_options(name)), 100, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)
        for name in (*GROUPS, "experiment")
        if conf_options(name)
    )
    settings = "\n".join(_described(key, entry) for key, entry in config_fields().items())
    sweep = "\n".join(_described(entry.name, entry) for entry in fields(SweepConfig))
    return _PAGE.format(verbs=verbs, groups=groups, settings=settings, sweep=sweep)


def _described(key: str, entry: Field[Any]) -> str:
    text, default = entry.metadata["doc"], default_text(entry)
    text += f" [{default}]" if default else ""
    return textwrap.fill(text, 100, initial_indent=f"  {key:<26}", subsequent_indent=" " * 28)


def default_text(entry: Field[Any]) -> str:
    """Return a setting's default as it is typed, "" for none; a chosen option of its group may state another."""
    value = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    if isinstance(value, Enum):
        value = value.value
    return "" if value in (None, "", []) else str(value).lower() if isinstance(value, bool) else str(value)


_PAGE = """tlexp: which pretrained backbone, and how much of it to freeze, answered on your own images

usage: tlexp [VERB] [GROUP=OPTION ...] [KEY=VALUE ...] [FLAGS]       or: python -m tlexp ...

what people do
  tlexp                                                       # a run: rendered shapes, no download
  tlexp data=folder data.root=photos labels=20                # your photos, a folder per class
  tlexp -m backbone=tiny freeze=all,none labels=5,20          # a sweep; typed again it goes on
  tlexp study=freeze_vs_labels data=folder data.root=photos   # a study: the answer, as a page
  mlflow ui                                                   # all runs; serves until stopped

more
  tlexp backbone=resnet50 freeze=all                          # linear probing; needs a hub
  tlexp resume=outputs/RUN                                    # an interrupted run goes on
  tlexp -m 'optim.lr=tag(log,interval(1e-5,1e-1))' hydra.sweeper.n_trials=40   # a search

verbs (without one: run)
{verbs}

flags
  -m          run every combination of comma-separated values, or search intervals
  --dry-run   with -m or a study: show what would run and what is there already
  --cfg job   print the configuration instead of running; --hydra-help shows Hydra's own flags
  --debug     show where an error comes from
  --version   print the version

groups: GROUP=OPTION
{groups}

settings: KEY=VALUE [default]
{settings}

sweeps, -m: hydra.sweeper.KEY=VALUE [default]
  several at once, tlexp[parallel]: hydra/launcher=joblib hydra.launcher.n_jobs=2
{sweep}"""
