from collections.abc import Callable
from dataclasses import fields

import pytest

from tlexp.cli.verbs import VERBS
from tlexp.config import GROUPS, config_fields
from tlexp.config.sweep import SweepConfig
from tlexp.paths import conf_options

Run = Callable[..., int]


def test_help_names_every_verb_group_option_and_setting(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("--help") == 0
    page = capsys.readouterr().out
    sweeps = [entry.name for entry in fields(SweepConfig)]
    for word in (
        *VERBS,
        *config_fields(),
        *sweeps,
        "--dry-run",
        *(option for group in GROUPS for option in conf_options(group)),
    ):
        assert word in page
    assert max(map(len, page.splitlines())) <= 100
