import re
from pathlib import Path

from tlexp.config import GROUPS
from tlexp.config.data import DataSource
from tlexp.config.freeze import OWN_SETTINGS, FreezePolicy
from tlexp.config.head import HeadKind
from tlexp.config.optim import DEFAULT_RATES, FROZEN_MAP, FROZEN_MLP, SCRATCH, Optimizer
from tlexp.paths import conf_options

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_are_one_line_each() -> None:
    for purpose in ("install and run", "install and test"):
        assert len(re.findall(rf"^    \S.*  # {purpose}$", README, re.M)) == 1


def test_every_option_is_listed() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.M))
    for group in (*GROUPS, "experiment"):
        missing = [option for option in conf_options(group) if f"`{option}`" not in rows[group]]
        assert not missing, (group, missing)


def test_the_default_rates_are_those_of_the_code() -> None:
    names = {
        **{policy: f"`{policy}`" for policy in FreezePolicy},
        FROZEN_MLP: "`all`, mlp",
        FROZEN_MAP: "`all`, flatten_mlp or attention",
        SCRATCH: "scratch",
    }
    for row, name in names.items():
        rates = [DEFAULT_RATES[row, optimizer] for optimizer in (Optimizer.adamw, Optimizer.adam, Optimizer.sgd)]
        cells = " | ".join(f"{rate.lr:g} / {rate.weight_decay:g}" for rate in rates)
        assert f"| {name} | {cells} |" in README


def table(first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first column is headed so, by what stands there."""
    lines = README[README.index(f"\n| `{first}=` |") :].strip().splitlines()
    rows = [line.strip("|").split("|") for line in lines[2 : lines.index("")]]
    return {name.strip().strip("`"): [cell.strip() for cell in cells] for name, *cells in rows}


def test_policies_are_those_of_the_code_with_their_settings() -> None:
    rows = {name: re.findall(r"`(\w+)`", cells[1]) for name, cells in table("freeze").items()}
    own = {policy: [key for key, owner, _ in OWN_SETTINGS if owner is policy] for policy in FreezePolicy}
    assert rows == own


def test_heads_are_those_of_the_code_and_how_they_are_found() -> None:
    found = {name: cells[:2] for name, cells in table("head").items()}
    views = {True: "the whole last map or all tokens", False: "pooled features"}
    assert found == {head: ["solution" if head.solved else "steps", views[head.sees_map]] for head in HeadKind}


def test_sources_are_those_of_the_code_and_what_is_typed() -> None:
    found = {name: cells[1].strip("`") or None for name, cells in table("data").items()}
    assert found == {source: source.example for source in DataSource}


def test_every_file_of_the_package_stands_in_the_tree() -> None:
    tree = README[README.index("## Files") : README.index("## Limits")]
    for path in (ROOT / "tlexp").iterdir():
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "conf"):
            assert path.name in tree, path.name
