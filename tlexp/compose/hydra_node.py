"""What a configuration may make Hydra do: a table of what may stand under `hydra`, and a look at what does.

Hydra acts on its own node before tlexp is asked: it sets environment variables, makes objects, opens files and imports
modules. A configuration may come from a paper, a colleague or a run's folder, so nothing may stand there but what
Hydra, tlexp and the installed plugins state by themselves, and the keys of the table, with plain values.

    key                                  in a file                            on the command line
    hydra.mode                           yes                                  yes
    hydra.sweep.subdir                   no                                   yes
    hydra.run.dir, hydra.sweep.dir       a folder below the working one       any folder
    hydra.sweeper.NAME, of SweepConfig   yes                                  yes
    hydra.launcher.NAME, of its plugin   numbers, switches and plain names    any value of its type
    hydra/launcher                       an installed one                     the same
    hydra/sweeper, hydra/*_logging       tlexp's own choice counts            tlexp, none
"""

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlexp.compose.leaves import leaves
from tlexp.config.casting import check_sweep_value

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
"""Where runs and sweeps are written."""
SUBFOLDER = "hydra.sweep.subdir"
"""Of a sweep's run; tlexp says it in the words of that run."""
REFUSED = {
    "hydra.callbacks": "hydra.callbacks run code before tlexp does and are not allowed; remove it",
    "hydra.job.env_set": "sets environment variables before tlexp runs and may not stand in a configuration; set them "
    "in the shell",
    "hydra.job.env_copy": "sets environment variables before tlexp runs and may not stand in a configuration; set "
    "them in the shell",
    "hydra.job.chdir": "would change the folder that paths begin at; go there in the shell, or set hydra.run.dir",
    "hydra.job": "is what Hydra says of the job by itself; remove it",
    "hydra.job_logging": "opens files and imports classes; remove it: tlexp prints what people need",
    "hydra.hydra_logging": "opens files and imports classes; remove it: tlexp prints what people need",
    "hydra.searchpath": "imports the modules that it names; use --config-dir=FOLDER",
    "hydra.output_subdir": "may lead out of a run's folder; remove it: resume= looks for .hydra",
    "hydra.verbose": "prints every library's messages, which may hold passwords; remove it: --debug shows where an "
    "error comes from, --info what Hydra found",
    "hydra.help": "is the text of a page that tlexp has itself; remove it",
    "hydra.hydra_help": "is the text of a page of Hydra's own; remove it",
    "hydra.overrides": "is what Hydra writes down of the command line; remove it",
    "hydra.runtime": "is what Hydra writes down of the run; remove it",
    "hydra.defaults": "chooses Hydra's own parts; write hydra/launcher=NAME on the command line",
    "hydra.env": "is no part of tlexp; remove it",
    "hydra.output": "is no part of tlexp; set hydra.run.dir or hydra.sweep.dir",
    "hydra.launcher": "is no setting of the chosen launcher; see tlexp --info plugins",
    "hydra.sweeper": "is no setting of tlexp's sweeps; see tlexp --help",
}
"""Why anything else is not allowed, by its longest known beginning, and what to do instead."""
UNKNOWN = "is not among the keys of Hydra that tlexp allows; remove it, or see docs/settings.md"
EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm"}
"""Launchers that come with an extra of tlexp's."""
_OBJECT = "a configuration holds values, not Python objects; remove _target_"
_TOKEN = re.compile(r"\$\{(?:tlexp\.stamp:|now:[%\w-]*)\}")
"""What may be filled into the name of a folder: signs without a way up."""
_NAME = re.compile(r"[A-Za-z0-9][\w.,:=%@+-]*", re.ASCII)
"""A text that neither a shell nor a path could take for more than a name."""
_WRITTEN_BY_HYDRA = re.compile(r"hydra\.(overrides|runtime|job\.(name|id|num|override_dirname|config_name))(\.|$)")
"""What Hydra fills in after composing."""


def file_problems(composed: DictConfig) -> list[str]:
    """Return what may not stand under `hydra` in what files alone compose to.

    Args:
        composed: Before the words of the command line are applied, nothing of it resolved.
    """
    return _node_problems(_plain(composed).get("hydra"), stated={})


def composed_problems(composed: DictConfig, words: list[Override]) -> list[str]:
    """Return what may not stand under `hydra` in the whole of files and words, filled in by Hydra.

    Args:
        composed: With the words of the command line, nothing of it resolved.
        words: Those words.
    """
    stated = {path: value for word in words if of_hydra(word) for path, value in stated_values(word)}
    return _node_problems(_plain(composed).get("hydra"), stated, skipped=_WRITTEN_BY_HYDRA)


def word_problems(word: Override) -> list[str]:
    """Return why a word of the command line that is about Hydra's own node is refused."""
    line, key = word.input_line or "", word.key_or_group
    if "/" in key or word.package is not None:
        return _choice_problems(word)
    if "_target_" in line:
        return [f"{line}: {_OBJECT}"]
    if word.is_delete():
        return [f"{line}: {reason(key)}"]
    if word.is_sweep_override():
        return [f"{line}: Hydra's own settings cannot be swept"]
    return list(
        dict.fromkeys(problem for path, value in stated_values(word) for problem in _typed_problems(path, value, line))
    )


def of_hydra(word: Override) -> bool:
    """Return whether a word is about Hydra's own node."""
    package = word.package or ""
    return re.match(r"hydra([./]|$)", word.key_or_group) is not None or re.match(r"hydra(\.|$)", package) is not None


def installed(group: str) -> dict[str, dict[str, Any]]:
    """Return the typed defaults of every installed launcher or sweeper, by name.

    Args:
        group: launcher or sweeper.
    """
    Plugins.instance()  # which makes them known
    store = ConfigStore.instance()
    return {
        name.removesuffix(".yaml"): _plain(store.load(f"hydra/{group}/{name}").node)
        for name in store.list(f"hydra/{group}")
    }


@functools.cache
def hydras_own() -> dict[str, Any]:
    """Return Hydra's own node as Hydra itself states it, with the parts that tlexp chooses of it."""
    loader = ConfigLoaderImpl(create_config_search_path(None))
    chosen = ["hydra/hydra_logging=none", "hydra/job_logging=none", "hydra/sweeper=tlexp"]
    words, files = loader._parse_overrides_and_create_caching_repo(None, chosen)
    found = create_defaults_list(files, None, words, prepend_hydra=True, skip_missing=False)
    own: dict[str, Any] = _plain(loader._compose_config_from_defaults_list(found.defaults, files))["hydra"]
    return own


def _plain(node: Any) -> Any:
    """Return a node as plain values, nothing of it resolved."""
    node = node if isinstance(node, DictConfig) else OmegaConf.structured(node)
    return OmegaConf.to_container(node, resolve=False, enum_to_str=True)


def _node_problems(node: Any, stated: Mapping[str, Any], skipped: re.Pattern[str] | None = None) -> list[str]:
    """Return a problem for each value of Hydra's node that is neither its own nor allowed."""
    if not isinstance(node, Mapping):
        return [f"hydra={node}: holds the keys of Hydra's own node, not a value; remove it"]
    found = dict(leaves(node, "hydra"))
    expected = _expected(node)
    problems: list[str] = []
    for path, value in found.items():
        own = path in expected and expected[path] == value and type(expected[path]) is type(value)
        if own or (skipped and skipped.match(path)):
            continue
        line = f"{path}={value}"
        problems += (
            _typed_problems(path, value, line)
            if path in stated and stated[path] == value
            else _filed_problems(path, value, line)
        )
    problems += [
        f"{path}: {reason(path)}"
        for path in expected
        if not any(each == path or each.startswith(f"{path}.") for each in found)
        and not (skipped and skipped.match(path))
    ]
    return problems or _type_problems(node)


def _expected(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of Hydra's node as Hydra and the chosen launcher state them."""
    own = dict(hydras_own())
    launcher = _chosen_launcher(node)
    return dict(leaves(own if launcher is None else own | {"launcher": launcher}, "hydra"))


def _chosen_launcher(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the typed defaults of the launcher that a node chooses; None where no such one is installed."""
    launcher = node.get("launcher")
    target = launcher.get("_target_") if isinstance(launcher, Mapping) else None
    return next((own for own in installed("launcher").values() if own.get("_target_") == target), None)


def _type_problems(node: Mapping[str, Any]) -> list[str]:
    """Return what of the launcher's values has not the type that its plugin states."""
    for name, own in installed("launcher").items():
        if own.get("_target_") == node["launcher"]["_target_"]:
            typed = ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node
            try:
                OmegaConf.merge(typed, node["launcher"])
            except OmegaConfBaseException as error:
                return [f"hydra.launcher.{error.full_key}: {str(error).splitlines()[0]}"]
    return []


def _filed_problems(path: str, value: Any, line: str) -> Iterator[str]:
    """Yield why a file may not state a value."""
    if path.endswith("._target_"):
        yield f"{line}: {_OBJECT}"
    elif path == SUBFOLDER:
        yield f"{line}: is chosen by tlexp for each run of a sweep; remove it, and set hydra.sweep.dir"
    elif path in FOLDERS and not is_below(value):
        yield (
            f"{line}: a configuration may only name a folder below the working one, in plain words or with "
            "${now:%Y-%m-%d} or ${tlexp.stamp:}; say it on the command line"
        )
    elif path.startswith("hydra.launcher.") and not _is_plain_field(path, value):
        yield (
            f"{line}: a configuration may only state numbers, switches and plain names of a launcher, for the rest "
            "may reach a shell; say it on the command line"
        )
    elif path not in FOLDERS and not path.startswith("hydra.launcher."):
        yield from _typed_problems(path, value, line)


def _typed_problems(path: str, value: Any, line: str) -> Iterator[str]:
    """Yield why nobody may state a value, not on a command line either."""
    group, _, name = path.removeprefix("hydra.").partition(".")
    if path in FOLDERS or path == SUBFOLDER:
        if not str(value) or isinstance(value, float | bool | None) or "${" in _TOKEN.sub("", str(value)):
            yield f"{line}: must be the path of a folder; ${{now:%Y-%m-%d}} and ${{tlexp.stamp:}} may be filled in"
    elif path == "hydra.job.chdir" and value is False:
        return  # as it is by itself
    elif path == "hydra.mode":
        if value not in RunMode.__members__:
            yield f"{line}: must be one of {', '.join(RunMode.__members__)}; -m asks for a sweep"
    elif "${" in str(value) and group in ("launcher", "sweeper"):
        yield f"{line}: must be a plain value, without ${{...}}"
    elif group == "sweeper" and name and "_target_" not in name:
        problems: list[str] = []
        check_sweep_value(name, value, problems)
        yield from problems
    elif group == "launcher" and name and "_target_" not in name:
        return  # its own fields are known once it is chosen
    else:
        yield f"{line}: {reason(path)}"


def _choice_problems(word: Override) -> list[str]:
    """Return why a word may not choose a part of Hydra's; options of files are looked at once they are composed."""
    line, group = word.input_line or "", word.key_or_group
    value = word.value()
    if group == "hydra/launcher" and word.package is None and isinstance(value, str) and not word.is_delete():
        extra = EXTRAS.get(value) if value not in installed("launcher") else None
        return [] if extra is None else [f"{line} needs a package that is not installed: pip install 'tlexp[{extra}]'"]
    if group == "hydra/sweeper" and word.package is None and value == "tlexp":
        return []
    if word.package is None and value == "none" and group in ("hydra/job_logging", "hydra/hydra_logging"):
        return []  # as tlexp chooses itself
    if group in ("hydra/launcher", "hydra/sweeper"):
        names = ", ".join(installed("launcher")) if group == "hydra/launcher" else "tlexp"
        return [f"{line}: one that is installed must stand here: {names}"]
    return [f"{line}: {reason(word.package or group.replace('/', '.'))}"]


def stated_values(word: Override) -> Iterator[tuple[str, Any]]:
    """Yield what a word states, value by value; an empty mapping states nothing but its own key."""
    value = _unquoted(word.value())
    yield from list(leaves(value, word.key_or_group)) or [(word.key_or_group, value)]


def _unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unquoted(entry) for entry in value]
    if isinstance(value, dict):
        return {str(getattr(key, "text", key)): _unquoted(entry) for key, entry in value.items()}
    return getattr(value, "text", value)


def is_below(value: Any) -> bool:
    """Return whether a text names a folder below the working one, on any system."""
    if not isinstance(value, str) or "${" in (text := _TOKEN.sub("x", value)):
        return False
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    climbs = ".." in windows.parts or text.startswith("~")
    return bool(windows.parts) and not (posix.is_absolute() or windows.anchor or climbs)


def _is_plain_field(path: str, value: Any) -> bool:
    """Return whether a file may give a launcher this: a number, a switch, nothing, or a name; no list."""
    if path.count(".") > 2 or isinstance(value, list):
        return False
    return value is None or isinstance(value, bool | int | float) or _NAME.fullmatch(str(value)) is not None


def reason(path: str) -> str:
    """Return why a key is not allowed, and what to do instead."""
    parts = path.split(".")
    begins = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((REFUSED[begin] for begin in begins if begin in REFUSED), UNKNOWN)
