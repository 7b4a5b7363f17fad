"""The pages for people: every command on them can be typed, and says where the machine at hand may not do for it.

A command is a line of a code block that begins with a program's name, or a `python -m tlexp ...` in running text. Those
of tlexp are composed in this process as the command line would; scripts of this repository parse their arguments.
A mark in the comment behind it says why a command is not one for every machine, or for two minutes.
"""

import argparse
import re
import runpy
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.composed import load as shared_load
from tlexp import cli
from tlexp.cli import page as help_page
from tlexp.cli.arguments import VerbParser, source_of
from tlexp.compose.load import Composed, ConfigSource, load
from tlexp.compose.overrides import parse_overrides
from tlexp.config import Config
from tlexp.config.backbone import PIXELS
from tlexp.errors import ConfigError
from tlexp.models.efficientnet_lite import lite_package
from tlexp.sweeps.space import build_space

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
HUB, SLURM = "needs a hub", "needs Slurm"
MARKS = ("needs a GPU", HUB, SLURM, "takes minutes", "takes hours", "serves until stopped", "install")
PROGRAM = re.compile(r"(?:\.venv/bin/)?(?:python3?|tlexp|mlflow|pip|uv)(?= |$)")
INLINE = re.compile(r"`((?:python -m tlexp|tlexp|python tests/\S+) [^`]+)`")

Compose = Callable[[list[str]], list[Config]]


class Parsed(BaseException):
    """The arguments of a command were understood; it goes no further."""


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a page, continued lines in one, with the comments behind them."""
    fenced = False
    for line in text.replace("\\\n", " ").splitlines():
        fenced ^= line.startswith("```")
        code = line.strip() if fenced or line.startswith("    ") else ""
        if PROGRAM.match(code):
            yield code
        elif not code:
            yield from INLINE.findall(line)


def typed(command: str) -> list[list[str]]:
    """Return the words of each program of a line, without the comment."""
    words = shlex.split(command, comments=True)
    starts = [0, *(place + 1 for place, word in enumerate(words) if word == "&&")]
    return [words[start : words.index("&&", start) if "&&" in words[start:] else None] for start in starts]


def tlexp_words(words: list[str]) -> list[str] | None:
    """Return what stands behind `tlexp`, or None if that is not the program."""
    words = words[2:] if words[:2] == ["uv", "run"] else words
    if Path(words[0]).name == "tlexp":
        return words[1:]
    return words[3:] if words[1:3] == ["-m", "tlexp"] else None


TEXTS = {page.name: page.read_text() for page in PAGES} | {"--help": textwrap.indent(help_page.page(), "  ")}
FOLLOWED = "extending.md"
"""Its commands need what its recipes add: `test_extending` follows both."""
COMMANDS = {
    f"{name}: {command}": command for name, text in TEXTS.items() if name != FOLLOWED for command in commands(text)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands are typed: one for all, for compositions are shared within a folder."""
    interrupted = tmp_path_factory.mktemp("typed") / "outputs" / "RUN" / ".hydra"
    interrupted.mkdir(parents=True)
    (interrupted / "overrides.yaml").write_text("- seed=1\n")
    return interrupted.parents[2]


@pytest.fixture
def compose(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Let the command line do with the words what it does before it launches; return what would run."""
    monkeypatch.chdir(folder)

    def composed(words: list[str]) -> list[Config]:
        launched: list[argparse.Namespace] = []
        loaded: list[Config] = []

        def loads(words: list[str], source: ConfigSource, **options: Any) -> Composed:
            result = composed_of(words, source, **options)
            loaded.append(result.config)
            return result

        monkeypatch.setattr("tlexp.compose.load.load", loads)
        for launch in ("_through_hydra", "_look"):
            monkeypatch.setattr(f"tlexp.cli.launch.{launch}", lambda arguments, source: launched.append(arguments))
        monkeypatch.setattr("tlexp.compose.preflight.Preflight.check", lambda self, config: None)  # nobody has photos
        monkeypatch.setattr("tlexp.compose.preflight.Preflight.counts", lambda self, data: None)
        monkeypatch.setattr("tlexp.experiment.plan.build_plan", lambda config, counts: {})
        monkeypatch.setattr("tlexp.experiment.plan.plan_table", lambda plan: "")
        monkeypatch.setattr("tlexp.doctor.checkup.check_up", parsed_only)
        parses_only(monkeypatch)
        monkeypatch.setattr(sys, "argv", ["tlexp", *words])
        with pytest.raises((SystemExit, Parsed)) as ended:
            cli.main()
        assert isinstance(ended.value, Parsed) or not ended.value.code, f"exit status {ended.value.code}"
        for arguments in launched:
            if arguments.multirun:  # of a sweep only what its points share has been looked at
                return [composed_of(point, source_of(arguments)).config for point in points(arguments.overrides)]
        return loaded[-1:]

    return composed


def composed_of(words: list[str], source: ConfigSource, **options: Any) -> Composed:
    """Compose as the command line does; what chooses the same options shares a composition."""
    plain = source == ConfigSource() and not any(options.values())
    return shared_load(words) if plain else load(words, source, **options)


def parsed_only(*_: Any) -> None:
    """Go no further."""
    raise Parsed


def parses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs end when their arguments are understood."""
    for kind in (argparse.ArgumentParser, VerbParser):
        parse = kind.parse_args

        def parsed(parser: Any, words: Any = None, parse: Callable[..., Any] = parse) -> None:
            parse(parser, words)
            raise Parsed

        monkeypatch.setattr(kind, "parse_args", parsed)


def points(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield overrides as jobs of a sweep have them, as few as state every value of every swept setting."""
    parsed = parse_overrides(overrides)
    values = {
        axis.name: [axis.override(text) for text in axis.values or [axis.middle()]] for axis in build_space(parsed).axes
    }
    for number in range(max(map(len, values.values()))):
        point = {name: texts[min(number, len(texts) - 1)] for name, texts in values.items()}
        yield [point.get(override.key_or_group, override.input_line or "") for override in parsed]


def test_commands_are_found_in_blocks_and_in_text() -> None:
    text = "    tlexp a=1 \\\n        b=2  # c\n\n`tlexp sync`, `tlexp`\n\n```\nmlflow ui\n```\n    tlexp/  a folder\n"
    assert [typed(command) for command in commands(text)] == [
        [["tlexp", "a=1", "b=2"]], [["tlexp", "sync"]], [["mlflow", "ui"]],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "command", ["freze=none", "optim.lrr=1", "-m labels=5,2o", "-m hydra.sweeper.n=1 seed=0,1", "export RUN"]
)
def test_a_misspelt_command_is_found(command: str, compose: Compose) -> None:
    with pytest.raises((AssertionError, ConfigError)):
        compose(command.split())


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_can_be_typed(command: str, compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    if SLURM in command and find_spec("submitit") is None:
        pytest.skip("pip install 'tlexp[slurm]'")
    for words in typed(command):
        ours = tlexp_words(words)
        if ours is not None:
            hub = [each for each in compose(ours) if from_hub(each) and "plan" not in ours]
            assert not hub or HUB in command, f"{hub[0].backbone.name} comes from a hub: say '# {HUB}'"
        elif words[0].endswith(("python", "python3")):
            script_parses(words[1:], monkeypatch)
            assert marked(command)
        else:
            assert marked(command)


def from_hub(config: Config) -> bool:
    """Return whether the weights that a run starts from come with no package."""
    stated = config.backbone
    return stated.pretrained and stated.weights is None and stated.name != PIXELS and lite_package(stated.name) is None


def marked(command: str) -> bool:
    return any(mark in command.partition("  # ")[2] for mark in MARKS)


def script_parses(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a script of this repository is there and understands its arguments."""
    if words[:2] == ["-m", "pytest"]:
        assert all((ROOT / word).exists() for word in words[2:] if "/" in word)
        return
    if words[:2] == ["-m", "venv"]:
        return
    script, *rest = [f"{words[1].replace('.', '/')}.py", *words[2:]] if words[0] == "-m" else words
    parses_only(monkeypatch)
    monkeypatch.setattr(sys, "argv", [script, *rest])
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / script), run_name="__main__")


def test_extras_that_are_installed_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        named = re.findall(r"(?:tlexp|\.whl|'\.)\[(\w+)\]", page.read_text())
        assert set(named) <= set(project["optional-dependencies"]), page.name


def test_the_two_commands_are_one_line_each() -> None:
    for purpose in ("install and run", "install and test"):
        assert len(re.findall(rf"^    \S.*  # {purpose}$", PAGES[0].read_text(), re.M)) == 1


def test_the_readme_is_read_in_two_minutes() -> None:
    lines = PAGES[0].read_text().splitlines()
    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_lines_of_a_page_fit_a_screen(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if len(line) > 160 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in linked if not (page.parent / link).exists()] == []


def test_every_page_stands_in_the_readme() -> None:
    readme = PAGES[0].read_text()
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []


def test_results_stand_newest_first() -> None:
    dates = re.findall(r"^## (\S+):", (ROOT / "docs/results.md").read_text("utf-8"), flags=re.MULTILINE)
    assert dates == sorted(dates, reverse=True)


def test_every_file_of_the_package_stands_in_the_tree() -> None:
    readme = PAGES[0].read_text()
    tree = readme[readme.index("## Files") : readme.index("## Limits")]
    for path in (ROOT / "tlexp").iterdir():
        if path.name not in ("__init__.py", "__main__.py", "__pycache__", "conf"):
            assert path.name in tree, path.name
