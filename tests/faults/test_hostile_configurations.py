"""Configurations that want more than settings: none runs code, writes outside, or ends in an error of tlexp's own.

Each comes to the command line as people meet it: typed words, option files, a primary configuration, a defaults list, a
run's folder to resume. Python itself tells of every file that is opened, every process that is started and every
connection that is made meanwhile. Every thirteenth runs with all tests, the others with `-m slow`.
"""

import contextlib
import dataclasses
import itertools
import os
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore

from tlexp import cli
from tlexp.cli import launch
from tlexp.compose import checked_loader, hydra_node
from tlexp.compose.checked_loader import PARTS
from tlexp.compose.registration import register

GLOBAL = "# @package _global_\n"
OWN = "defaults: [config, _self_]\n"
DIRECTED = ("--config-dir", "mine")
"""A folder of somebody's configurations."""
CHANGED = {"PYTHONSAFEPATH", "PYTEST_CURRENT_TEST"}
"""Environment variables that tlexp and pytest set."""
CANARY, VICTIM, MODULE = "outside/canary", "outside/victim", "hostile_module"
ACTS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pickle.find_class", "pty.spawn",
    "socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "webbrowser.open",
)  # fmt: skip
"""What no configuration has any business with, as Python's audit events call it."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One attempt.

    Attributes:
        name: Of the test.
        words: Typed.
        files: Contents by path below the working folder.
        told: What the message has to name, or "" where it may be harmless: then the run begins.
    """

    name: str
    words: tuple[str, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)
    told: str = ""


def schema(cls: Any = HydraConf, prefix: str = "hydra") -> Iterator[tuple[str, Any]]:
    """Yield every key of Hydra's own node with its annotation, those that hold others too."""
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        key = f"{prefix}.{entry.name}"
        yield key, hints[entry.name]
        if dataclasses.is_dataclass(hints[entry.name]):
            yield from schema(hints[entry.name], key)


def evil_value(key: str, hint: Any) -> Any:
    """Return a value of the annotated kind that would do harm where Hydra acts on it."""
    target = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [f"../{CANARY}"]}}
    handler = {"class": "logging.FileHandler", "filename": f"../{VICTIM}", "mode": "w"}
    known = {
        "hydra.callbacks": {"x": target},
        "hydra.job.env_set": {"PATH": "../outside", "GIT_CONFIG_COUNT": "1"},
        "hydra.job.env_copy": ["HOME", "NOT_THERE"],
        "hydra.job_logging": {"version": 1, "root": {"handlers": ["x"]}, "handlers": {"x": handler}},
        "hydra.hydra_logging": {"version": 1, "root": {"handlers": ["x"]}, "handlers": {"x": handler}},
        "hydra.searchpath": [f"pkg://{MODULE}"],
        "hydra.launcher": target,
        "hydra.sweeper": target,
        "hydra.defaults": [{"job_logging": "default"}],
        "hydra.mode": "BOTH",
    }
    if key in known:
        return known[key]
    if dataclasses.is_dataclass(hint):
        return {"new": "x"}
    origin = typing.get_origin(hint)
    return {"x": "y"} if origin is dict else ["x"] if origin is list else True if hint is bool else "../../outside/new"


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return a value below its dotted key."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return typing.cast(dict[str, Any], value)


def in_words(value: Any) -> str:
    """Return a value as Hydra's grammar writes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}: {in_words(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(in_words, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def ways(name: str, key: str, value: Any, *, typed: bool = True) -> Iterator[Hostile]:
    """Yield the ways by which a key may come: words, an option, a primary configuration, a run that is resumed."""
    text, word = yaml.safe_dump(nested(key, value)), f"++{key}={in_words(value)}"
    told = key.partition(".")[0]
    overruled = key.startswith(("hydra.run", "hydra.sweep.")) or key == "hydra.defaults"  # tlexp's own file comes later
    if typed:
        yield Hostile(name=f"{name}-word", words=(word,), told=told)
    option = {"mine/experiment/evil.yaml": GLOBAL + text}
    yield Hostile(
        name=f"{name}-option", words=(*DIRECTED, "experiment=evil"), files=option, told="" if overruled else told
    )
    primary = {"mine/own.yaml": OWN + text}
    yield Hostile(
        name=f"{name}-primary",
        words=(*DIRECTED, "--config-name", "own"),
        files=primary,
        told=told if key != "hydra.defaults" else "",
    )
    past = {"run/.hydra/overrides.yaml": yaml.safe_dump(["seed=1", word])}
    yield Hostile(name=f"{name}-resume", words=("resume=run",), files=past, told="overrides.yaml")


def of_keys() -> Iterator[Hostile]:
    """Yield every key of the schema, and new ones."""
    chosen = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")  # a person may name any folder
    for key, hint in schema():
        yield from ways(key, key, evil_value(key, hint), typed=key not in chosen)
    yield from ways("new-key", "hydra.new", "x")
    for name, value in {
        "climbing": "a/../../../outside/new",
        "absolute": "/tmp/outside/new",
        "timed": "outputs/${now:/../..}",
        "variable": "${oc.env:HOME}/new",
        "windows": "..\\outside",
    }.items():
        yield from ways(f"folder-{name}", "hydra.run.dir", value, typed=False)


def of_objects() -> Iterator[Hostile]:
    """Yield `_target_` and its like at every place."""
    touch = f"../{CANARY}"
    for key in (
        "data",
        "optim.x",
        "x.y",
        "hydra.launcher",
        "hydra.sweeper",
        "hydra.sweeper.sampler",
        "hydra.run",
        "hydra",
    ):
        yield from ways(f"target-{key}", f"{key}._target_", "os.system")
        yield from ways(f"partial-{key}", key, {"_partial_": True, "_target_": "shutil.copy", "dst": touch})
    for logging in ("job_logging", "hydra_logging"):
        handler = {"()": "pathlib.Path.touch", "x": f"ext://{MODULE}.x"}
        yield from ways(f"factory-{logging}", f"hydra.{logging}.handlers.x", handler, typed=False)
        yield from ways(f"external-{logging}", f"hydra.{logging}.formatters.x", {"format": f"ext://{MODULE}.x"})


RESOLVED = (
    "${oc.create:'{x: {_target_: os.system}}'}",
    "${oc.decode:'{x: {_target_: os.system}}'}",
    "${oc.decode:${oc.env:HOME}}",
    "${oc.deprecated:labels}",
    "${oc.dict.keys:data}",
    "${oc.dict.values:data}",
    "${oc.env:HOME}",
    "${oc.select:data}",
    "${hydra:runtime.cwd}",
    "${python_version:}",
    "${now:%Y}",
    "${tlexp.stamp:}",
    "${data}",
    "${${labels}}",
    "${",
    "${a.${labels}}",
    "${no.such:1}",
)


def of_interpolations() -> Iterator[Hostile]:
    """Yield interpolations where a mapping stands, and where a value does."""
    keys = ("hydra", "hydra.callbacks", "hydra.job.env_set", "hydra.launcher", "hydra.job_logging", "hydra.searchpath")
    for number, text in enumerate(RESOLVED):
        for key in (*keys, "data", "hydra.sweeper.name", "hydra.run.dir"):
            file = {"mine/experiment/evil.yaml": GLOBAL + yaml.safe_dump(nested(key, text))}
            told = "" if key == "hydra.run.dir" else " "
            words = (*DIRECTED, "experiment=evil")
            yield Hostile(name=f"resolver-{number}-{key}", words=words, files=file, told=told)
        yield Hostile(name=f"resolver-{number}-word", words=(f"++hydra.callbacks='{text}'",), told=" ")


def of_defaults() -> Iterator[Hostile]:
    """Yield parts of Hydra that a defaults list or a word chooses, and option files of their names."""
    evil = {"x": {"_target_": "pathlib.Path.touch", "self": f"../{CANARY}"}}
    for group, names in {
        "job_logging": ("default", "stdout", "evil"),
        "hydra_logging": ("default", "hydra_debug", "evil"),
        "callbacks": ("evil",),
        "launcher": ("evil",),
        "sweeper": ("basic", "evil"),
        "env": ("evil",),
        "help": ("evil",),
        "output": ("evil",),
    }.items():
        for name in names:
            content = evil if group != "output" else {"run": {"dir": "../outside/new"}}
            option = {f"mine/hydra/{group}/evil.yaml": f"# @package hydra.{group}\n" + yaml.safe_dump(content)}
            if group == "output":
                option = {"mine/hydra/output/evil.yaml": "# @package hydra\n" + yaml.safe_dump(content)}
            for sign in ("override ", ""):
                listed = f"defaults: [config, {{'{sign}hydra/{group}': {name}}}, _self_]\n"
                files = {"mine/own.yaml": listed} | option
                words = (*DIRECTED, "--config-name", "own")
                told = "" if sign and f"hydra/{group}" in PARTS else " "  # of some, tlexp's choice counts
                yield Hostile(name=f"defaults-{sign}{group}-{name}", words=words, files=files, told=told)
            typed = (*DIRECTED, f"{'+' if group == 'callbacks' else ''}hydra/{group}={name}")
            yield Hostile(name=f"choice-{group}-{name}", words=typed, files=option, told=" ")
    for path in ("../../outside/secret", "/../outside/secret", "data@hydra.job.env_set: evil", f"pkg://{MODULE}/x"):
        item = f"{{{path}}}" if ": " in path else f"'{path}'"
        files = {"mine/own.yaml": f"defaults: [config, {item}, _self_]\n", "mine/data/evil.yaml": "PATH: x\n"}
        yield Hostile(name=f"defaults-{path}", words=(*DIRECTED, "--config-name", "own"), files=files, told=" ")
    for shadow in ("hydra/config", "hydra/launcher/basic", "hydra/sweeper/tlexp", "hydra/output/default", "hydra/evil"):
        evil_file = {f"mine/{shadow}.yaml": yaml.safe_dump(evil | {"run": {"dir": "../outside/new"}})}
        yield Hostile(name=f"shadow-{shadow}", words=DIRECTED, files=evil_file)


def of_flags() -> Iterator[Hostile]:
    """Yield what composes besides a run: pages, completion, sweeps; and names of files and folders."""
    evil = {"mine/own.yaml": OWN + yaml.safe_dump(nested("hydra.searchpath", [f"pkg://{MODULE}"]))}
    called = {"mine/own.yaml": OWN + yaml.safe_dump(nested("hydra.callbacks", evil_value("hydra.callbacks", dict)))}
    for files, name in ((evil, "searchpath"), (called, "callbacks")):
        for flags in (
            "--cfg hydra", "--cfg all", "--cfg job --resolve", "--info all", "--info config", "--info searchpath",
            "-m seed=0,1", "-m --dry-run seed=0,1", "-m hydra/launcher=joblib seed=0,1",
        ):  # fmt: skip
            words = (*DIRECTED, "--config-name", "own", *flags.split())
            told = " " if not flags.startswith("--info s") else ""
            yield Hostile(name=f"{name}-{flags}", words=words, files=files, told=told)
        yield Hostile(name=f"{name}-help", words=("--hydra-help", f"hydra.{name}=[pkg://{MODULE}]"), told=" ")
        yield Hostile(name=f"{name}-plan", words=("plan", *DIRECTED, "--config-name", "own"), files=files, told=" ")
    for place in (f"pkg://{MODULE}", "../outside/../outside/nowhere", "mine/own.yaml", "\0"):
        for flag in ("--config-dir", "--config-path"):
            yield Hostile(name=f"{flag}-{place!r}", words=(flag, place), files=evil, told=" ")
    for name in ("../outside/secret", "/etc/hostname", "..", "\0", "own.yaml/x", f"pkg://{MODULE}/x"):
        yield Hostile(name=f"--config-name-{name!r}", words=(*DIRECTED, "--config-name", name), files=evil, told=" ")
    swept = {f"mine/experiment/{name}.yaml": GLOBAL + "labels: '5'\n" for name in ("good",)} | {
        "mine/experiment/evil.yaml": GLOBAL + yaml.safe_dump(nested("hydra.job.env_set", {"A": "b"}))
    }
    for launcher in ((), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")):
        words = ("-m", *DIRECTED, "experiment=good,evil", *launcher)
        yield Hostile(name=f"swept-{len(launcher)}", words=words, files=swept, told="hydra.job.env_set")


def of_launchers() -> Iterator[Hostile]:
    """Yield what reaches a shell, a path or an evaluation by the fields of an installed launcher."""
    for name, value in {
        "temp_folder": "../outside/new", "backend": "x; touch canary", "pre_dispatch": "__import__('os').system('x')",
        "mmap_mode": "${oc.env:HOME}", "prefer": ["a"], "n_jobs": "many", "require": {"a": "b"}, "new": 1,
        "max_nbytes": "1\n#SBATCH --wrap=x", "verbose": "${labels}",
    }.items():  # fmt: skip
        listed = "defaults: [config, {override hydra/launcher: joblib}, _self_]\n"
        text = listed + yaml.safe_dump(nested(f"hydra.launcher.{name}", value))
        words = ("-m", *DIRECTED, "--config-name", "own", "seed=0,1")
        yield Hostile(name=f"launcher-{name}", words=words, files={"mine/own.yaml": text}, told=" ")


def doubled(line: str, first: str, count: int = 60) -> str:
    """Return lines that each stand for the one before twice."""
    return first + "".join(line.format(number, number - 1) + "\n" for number in range(1, count))


TEXTS: dict[str, str | bytes] = {
    "tag-apply": "labels: !!python/object/apply:os.system [touch ../outside/canary]\n",
    "tag-new": "labels: !!python/object/new:os.system [touch ../outside/canary]\n",
    "tag-name": f"labels: !!python/name:{MODULE}.x\n",
    "tag-path": "labels: !!python/object/apply:pathlib.Path [a]\n",
    "tag-own": "labels: !mine 1\n",
    "tag-time": "labels: !!timestamp 2001-01-01\n",
    "tag-binary": "labels: !!binary AAAA\n",
    "deep-flow": "labels: " + "[" * 10_000,
    "deep-closed": "labels: " + "[" * 10_000 + "]" * 10_000,
    "deep-map": "labels: " + "{a: " * 10_000,
    "deep-block": "".join(f"{' ' * depth}a:\n" for depth in range(300)),
    "deep-dashes": "labels:\n  " + "- " * 3000 + "1\n",
    "deep-package": "# @package " + ".".join("a" * 200) + "\nlabels: 1\n",
    "deep-references": "labels: " + "${oc.env:A," * 300 + "}" * 300,
    "bomb-lists": doubled("a{0}: &a{0} [*a{1}, *a{1}]", "a0: &a0 [1]\n"),
    "bomb-maps": doubled("a{0}: &a{0} {{l: *a{1}, r: *a{1}}}", "a0: &a0 {l: 1}\n"),
    "bomb-merges": doubled("a{0}: &a{0} {{l: {{<<: *a{1}}}, r: {{<<: *a{1}}}}}", "a0: &a0 {l: 1}\n"),
    "bomb-texts": "labels: ${a59}\n" + doubled("a{0}: '${{a{1}}}${{a{1}}}'", "a0: x\n"),
    "bomb-referring-lists": "labels: ${a59}\n" + doubled("a{0}: ['${{a{1}}}', '${{a{1}}}']", "a0: [x]\n"),
    "bomb-referring-maps": "labels: ${a59}\n" + doubled("a{0}: {{l: '${{a{1}}}', r: '${{a{1}}}'}}", "a0: {l: x}\n"),
    "chain": "labels: ${a899}\n" + doubled("a{0}: ${{a{1}}}", "a0: x\n", 900),
    "circle": "labels: ${seed}\nseed: ${labels}\n",
    "circle-of-one": "labels: ${labels}\n",
    "alias-of-itself": "labels: &a [*a]\n",
    "alias-of-nothing": "labels: *a\n",
    "syntax": "labels: [1\nseed: :\n",
    "tabs": "labels:\n\t- 1\n",
    "twice": "labels: 1\nlabels: 2\n",
    "not-utf8": b"labels: \xff\xfe\n",
    "nul": b"labels: \0\n",
    "utf16": "labels: 1\n".encode("utf-16"),
    "number": "5\n",
    "list": "[1, 2]\n",
    "documents": "labels: 1\n---\nlabels: 2\n",
    "key-of-nothing": "null: 1\n",
    "key-of-list": "? [a]\n: 1\n",
    "key-of-map": "? {a: b}\n: 1\n",
    "number-decimal": "labels: " + "9" * 5000,
    "number-hexadecimal": "seed: 0x" + "f" * 5000,
    "number-sexagesimal": "labels: " + ":".join(["59"] * 20_000),
    "large": "labels: " + "x" * 200_000,
    "many": "labels: [" + "1," * 20_000 + "1]",
    "header": "# @package a b c\nlabels: 1\n",
    "header-hydra": "# @package hydra.job.env_set\nA: b\n",
    "hydra-null": "hydra: null\n",
    "hydra-list": "hydra: [1]\n",
    "hydra-text": "hydra: x\n",
    "group-list": "backbone: [1]\n",
    "defaults-number": "defaults: 5\n",
    "defaults-nested": "defaults: [{a: {b: 1}}]\n",
    "defaults-two": "defaults: [{a: b, c: d}]\n",
    "defaults-itself": "defaults: [evil]\n",
    "defaults-none": "defaults: [null]\n",
}
"""Contents of a file that is no configuration, or no small one."""


WORDS = {
    "directory": "--config-dir=mine",
    "sweep": "-m",
    "pickle": "--experimental-rerun=x.pkl",
    "deleted": "~hydra.callbacks",
    "all-deleted": "~hydra",
    "group": "hydra/job_logging=default",
    "directed": "+data@hydra.job.env_set=shapes",
    "endless": "labels=" + "[" * 10_000,
    "long": "labels=" + "1," * 9000,
    "functions": "labels=" + "int(" * 500,
    "nul": "labels=\0",
    "number": "seed=" + "9" * 5000,
    "empty": "",
}
"""Words that are no settings, typed and in a run's folder."""


def of_texts() -> Iterator[Hostile]:
    """Yield files that are none, as an option and as a run's words."""
    for name, text in TEXTS.items():
        package = GLOBAL if isinstance(text, str) and not text.startswith("#") else ""
        content = package + text if isinstance(text, str) else text
        words = (*DIRECTED, "experiment=evil")
        yield Hostile(name=f"text-{name}", words=words, files={"mine/experiment/evil.yaml": content}, told=" ")
        past = {"run/.hydra/overrides.yaml": text}
        yield Hostile(name=f"text-{name}-resume", words=("resume=run",), files=past, told=" ")
    for name, word in WORDS.items():
        past = {"run/.hydra/overrides.yaml": yaml.safe_dump([word])}
        yield Hostile(name=f"resume-{name}", words=("resume=run",), files=past, told=" ")
        if word and not word.startswith("-"):
            yield Hostile(name=f"typed-{name}", words=(word,), told=" ")


CASES = [
    *of_keys(), *of_objects(), *of_interpolations(), *of_defaults(), *of_flags(), *of_launchers(), *of_texts(),
]  # fmt: skip
EVERY = len(CASES)

Attempt = Callable[[Hostile], None]
_acts: list[str] | None = None
"""What was done of late that may not be done; None while nobody asks."""


def _audit(event: str, told: tuple[Any, ...]) -> None:
    """Note an event of Python's; nothing takes such a hook away again."""
    if _acts is not None and (event in ACTS or (event == "open" and "outside" in str(told[0]))):
        _acts.append(f"{event} {told[0]}")


@pytest.fixture(scope="module")
def audit() -> None:
    sys.addaudithook(_audit)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Yield what is done within the block and may not be."""
    global _acts
    _acts = []
    try:
        yield _acts
    finally:
        _acts = None


@pytest.fixture
def attempt(
    audit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Attempt:
    """Type the words in a folder of their own, beside one that nobody may touch; a run that begins does nothing."""
    outside, work = tmp_path / "outside", tmp_path / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "victim").write_text("precious")
    (outside / "secret.yaml").write_text("labels: '7'\n")
    (outside / f"{MODULE}.py").write_text(f"open({str(outside / 'canary')!r}, 'w').close()\nx = 1\n")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(outside))  # what could be imported if anything were
    monkeypatch.setattr(launch, "_task", lambda *_: None)
    environment, seen = dict(os.environ), {path: path.read_bytes() for path in outside.iterdir()}

    def attempted(case: Hostile) -> None:
        for name, content in case.files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        monkeypatch.setattr(sys, "argv", ["tlexp", *case.words])
        with pytest.raises(SystemExit) as ended, watched() as acts:
            cli.main()
        shown = capsys.readouterr()
        assert acts == []
        assert "fault in tlexp itself" not in shown.err
        assert "Traceback" not in shown.err
        assert (ended.value.code or 0) in ((2,) if case.told else (0, 2)), shown.err
        assert case.told in shown.err
        assert {path: path.read_bytes() for path in outside.iterdir() if path.name != "__pycache__"} == seen
        assert MODULE not in sys.modules
        assert {name for name in os.environ if os.environ[name] != environment.get(name)} <= CHANGED
        assert {path.name for path in tmp_path.iterdir()} == {"outside", "work"}

    return attempted


def test_there_are_many_and_no_two_are_the_same() -> None:
    assert EVERY >= 200
    assert len({case.name for case in CASES}) == EVERY


@pytest.mark.broad(13)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_configuration_is_refused(case: Hostile, attempt: Attempt) -> None:
    attempt(case)


@pytest.mark.parametrize("name", ["hydra.callbacks-option", "hydra.callbacks-primary"])
def test_the_harness_sees_what_is_done_where_nothing_is_refused(
    name: str, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_loader, "_refuse", lambda problems: None)
    [case] = [case for case in CASES if case.name == name]
    with pytest.raises(AssertionError, match=r"open .*outside/canary"):
        attempt(case)


def test_every_key_of_hydra_s_schema_has_a_decision() -> None:
    allowed = {*hydra_node.FOLDERS, hydra_node.SUBFOLDER, "hydra.mode"}
    holders = {key.rpartition(".")[0] for key in allowed}
    undecided = [
        key for key, _ in schema() if key not in allowed | holders and hydra_node.reason(key) == hydra_node.UNKNOWN
    ]
    assert undecided == []


def test_every_refusal_is_of_a_key_that_there_is() -> None:
    register()
    groups = {f"hydra.{group}" for group in ("env", "output")}
    assert set(hydra_node.REFUSED) <= {key for key, _ in schema()} | groups


def test_plugins_are_made_by_their_own_schema_alone() -> None:
    register()
    for name in itertools.chain(ConfigStore.instance().list("hydra/launcher")):
        own = hydra_node.installed("launcher")[name.removesuffix(".yaml")]
        assert str(own["_target_"]).startswith(("hydra_plugins.", "hydra._internal.core_plugins."))
