"""docs/settings.md lists what the code knows: options, settings, policies, heads, sources, default rates."""

import re
from dataclasses import fields
from pathlib import Path

from tlexp.cli.page import default_text
from tlexp.config import GROUPS, config_fields
from tlexp.config.data import DataSource
from tlexp.config.freeze import OWN_SETTINGS, FreezePolicy
from tlexp.config.head import HeadKind
from tlexp.config.optim import DEFAULT_RATES, FROZEN_MAP, FROZEN_MLP, SCRATCH, Optimizer
from tlexp.config.sweep import SweepConfig
from tlexp.paths import conf_options

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
"""The page."""


def test_every_option_is_listed() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", SETTINGS, re.M))
    for group in (*GROUPS, "experiment"):
        missing = [option for option in conf_options(group) if f"`{option}`" not in rows[group]]
        assert not missing, f"the row of {group} in the table of groups lacks {missing}"


def test_every_setting_is_listed_as_the_code_documents_it() -> None:
    of_sweeps = {f"hydra.sweeper.{entry.name}": entry for entry in fields(SweepConfig)}
    for key, entry in (config_fields() | of_sweeps).items():
        default = f"`{default_text(entry)}`" if default_text(entry) else ""
        row = f"| `{key}` | {default} | {entry.metadata['doc']} |"
        assert row in SETTINGS, f"this row is missing:\n{row}"


def test_no_setting_is_listed_that_the_code_does_not_know() -> None:
    known = {*config_fields(), *(f"hydra.sweeper.{entry.name}" for entry in fields(SweepConfig))}
    part = SETTINGS[SETTINGS.index("## Every setting") :]
    part = part[: part.index("\n## ", 1)]
    assert set(re.findall(r"^\| `([\w.]+)` \|", part, re.M)) == known


def test_the_default_rates_are_those_of_the_code() -> None:
    names = {
        **{f"`{policy}`": policy.rates_as for policy in FreezePolicy},
        "`all`, mlp": FROZEN_MLP,
        "`all`, flatten_mlp or attention": FROZEN_MAP,
        "scratch": SCRATCH,
    }
    for name, row in names.items():
        rates = [DEFAULT_RATES[row, optimizer] for optimizer in (Optimizer.adamw, Optimizer.adam, Optimizer.sgd)]
        cells = " | ".join(f"{rate.lr:g} / {rate.weight_decay:g}" for rate in rates)
        row_of_rates = f"| {name} | {cells} |"
        assert row_of_rates in SETTINGS, "the table of default rates lacks this row"


def table(first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first column is headed so, by what stands there."""
    lines = SETTINGS[SETTINGS.index(f"\n| `{first}=` |") :].strip().splitlines()
    rows = [line.strip("|").split("|") for line in lines[2 : lines.index("")]]
    return {name.strip().strip("`"): [cell.strip() for cell in cells] for name, *cells in rows}


def test_policies_are_those_of_the_code_with_their_settings() -> None:
    rows = {name: re.findall(r"`(\w+)`", cells[1]) for name, cells in table("freeze").items()}
    own = {policy: [key for key, owner, _ in OWN_SETTINGS if owner is policy] for policy in FreezePolicy}
    assert rows == own, "the table of `freeze=` has a row for each policy, with its own settings"


def test_heads_are_those_of_the_code_and_how_they_are_found() -> None:
    found = {name: cells[:2] for name, cells in table("head").items()}
    views = {True: "the whole last map or all tokens", False: "pooled features"}
    assert found == {head: ["solution" if head.solved else "steps", views[head.sees_map]] for head in HeadKind}, (
        "the table of `head=` has a row for each head, how it is found and what it sees"
    )


def test_sources_are_those_of_the_code_and_what_is_typed() -> None:
    found = {name: cells[1].strip("`") or None for name, cells in table("data").items()}
    assert found == {source: source.example for source in DataSource}, (
        "the table of `data=` has a row for each source, with its words"
    )
