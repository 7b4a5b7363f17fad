"""The overrides of a command line: what they say, and what is wrong with them before anything is composed."""

import functools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tlexp.compose.hydra_node import of_hydra, word_problems
from tlexp.compose.interpolation import text_problems
from tlexp.compose.leaves import leaves
from tlexp.compose.words import PATHS, torn_words
from tlexp.config import GROUPS, config_fields
from tlexp.config.casting import check_value, nearest, takes_list, unknown_key
from tlexp.config.timm_names import architectures
from tlexp.errors import ConfigError
from tlexp.paths import conf_options

_LONGEST = 10_000
"""Signs of a word: the grammar's time grows by the square, to a second or two."""
_NAME = re.compile(r"[\w./@]+", re.ASCII)
_OPENING = ("'", '"', "[", "{")
"""What a value begins with that is quoted, a list or a mapping."""
_CALL = re.compile(r"\s*\w+\(")
_MINUS = re.compile(r"(?<=[\[,])(\s*)-([\"'])([^\"']*)\2")
"""A minus before the quotation marks of an entry of a list."""
_ENTRY = re.compile(r"""\s*+("[^"]*"|'[^']*'|[^,"'\[\]{}]++)\s*+(?:,(?=.)|$)""")
"""An entry of a list, in quotation marks or without, and what parts it from the next one."""
_OTHERWISE = {
    "backbone": "; for any other timm model: backbone=timm backbone.name=NAME",
    "freeze": "; for a share or a unit: freeze=depth freeze.depth=0.5",
    "data": "; for a folder of images: data=folder data.root=PATH",
}
"""What may be meant where a group has no such option."""


def forbidden_nodes(composed: DictConfig) -> list[str]:
    """Return a problem for each setting that names a Python object; Hydra's own node is looked at elsewhere."""
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return [
        f"{path}={value}: a configuration holds values, not Python objects; remove _target_"
        for path, value in leaves(values)
        if "_target_" in path.split(".") and path.partition(".")[0] != "hydra"
    ]


def swept_choices(parsed: Iterable[Override]) -> list[str]:
    """Return each value of each swept group as an override; settings are no danger and are left to the jobs."""
    swept = [override for override in parsed if override.is_sweep_override() and override.is_choice_sweep()]
    return [
        f"{override.input_line.partition('=')[0]}={choice}"
        for override in swept
        if override.input_line and override.key_or_group not in config_fields()
        for choice in _choices(override)
    ]


def _choices(override: Override) -> Iterable[str]:
    """Return the values of a swept group; those of a pattern are tlexp's own options, the sweeper looks at others."""
    pattern = override.value()
    if isinstance(pattern, Glob):
        return pattern.filter(conf_options(override.key_or_group))
    return override.sweep_string_iterator()


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides as Hydra understands them.

    Raises:
        ConfigError: An override that the shell tore apart, or that Hydra's grammar refuses.
    """
    if torn := torn_words(overrides):
        raise ConfigError(torn)
    if endless := [problem for word in overrides for problem in _endless(word)]:
        raise ConfigError(endless)
    parsed, problems = [], []
    for word in overrides:
        try:
            parsed.append(_parsed(word))
        except (HydraException, ValueError) as error:  # ValueError: a number of thousands of digits
            problems.append(_not_understood(word, error))
    if problems:
        raise ConfigError(problems)
    return parsed


def _not_understood(word: str, error: Exception) -> str:
    """Return what is wrong with a word that Hydra's grammar refuses: its key, else that its value wants quotes."""
    key, sign, value = word.partition("=")
    name, reason = key.lstrip("+~").partition("@")[0], plain_message(error)
    if _NAME.fullmatch(name) and name not in (*GROUPS, "experiment", *config_fields()) and not _is_hydra(name):
        return unknown_key(name)
    if value != (inside := _MINUS.sub(r'\1"-\3"', value)):
        return f"{word[:200]}: a minus belongs inside the quotation marks: {shlex.quote(f'{key}={inside}')}"
    if (entries := _quoted_entries(value)) is not None:
        return (
            f"{word[:200]}: in a list a text with such signs stands in quotation marks, inside those for the shell: "
            f"{shlex.quote(f'{key}={entries}')}"
        )
    if not sign or value[:1] in _OPENING or "${" in value:
        return (
            f"{word[:200]}: {reason}\nan override is key=value, e.g. labels=20; quote lists for the shell, "
            "'head.hidden=[256]', and other signs for both, 'study.name=\"a (b)\"', in names as well, "
            "'data.prior={\"a,b\":0.9,dog:0.1}'"
        )
    called = f"\nif no text is meant: {reason}" if _CALL.match(value) else ""
    return f"{word[:200]}: quote a text with such signs for both, the shell and tlexp: {_quoted(key, value)}{called}"


def _quoted_entries(value: str) -> str | None:
    """Return a list whose entries are quoted as far as the grammar refuses them; None where that does not mend it.

    >>> print(_quoted_entries("[-Katze \u2665,'a, b',dog]"), _quoted_entries("[256"))
    ["-Katze \u2665",'a, b',dog] None
    """
    if value[:1] != "[" or value[-1:] != "]" or "${" in value:
        return None
    entries, place, inside = [], 0, value[1:-1]
    while place < len(inside):
        entry = _ENTRY.match(inside, place)
        if entry is None:
            return None
        text, place = entry[1].strip(), entry.end()
        entries.append(text if _is_understood(text) else f'"{text}"')
    quoted = f"[{','.join(entries)}]"
    return quoted if _is_understood(quoted) else None


def _is_understood(value: str) -> bool:
    """Return whether the grammar takes a value."""
    try:
        _parsed(f"key={value}")
    except (HydraException, ValueError):
        return False
    return True


def _is_hydra(name: str) -> bool:
    return re.match(r"hydra\b", name) is not None


def _quoted(key: str, value: str) -> str:
    """Return an override whose value is a text, as it is typed into a shell.

    >>> print(_quoted("data.root", "photos (2)"))
    'data.root="photos (2)"'
    """
    return shlex.quote(f"{key}={QuotedString(text=value, quote=Quote.double).with_quotes()}")


@functools.lru_cache(4096)
def _parsed(word: str) -> Override:
    """Return a word as Hydra understands it: the same ones are composed again and again."""
    [override] = OverridesParser.create().parse_overrides([word])
    return override


def _endless(word: str) -> Iterator[str]:
    """Yield why a word is too long for the grammar, or refers to what it may not."""
    if len(word) > _LONGEST:
        yield f"{word[:40]}... has more than {_LONGEST:,} signs; state so much in a file, with --config-dir=FOLDER"
        return
    yield from (f"{word[:200]}: {problem}" for problem in text_problems(word))


def asks_for_sweep(overrides: Sequence[str]) -> bool:
    """Return whether the words ask for a sweep as `-m` does.

    Raises:
        ConfigError: A word is none.

    >>> asks_for_sweep(["seed=0,1", "hydra.mode=MULTIRUN"]), asks_for_sweep(["seed=0"])
    (True, False)
    """
    return any(
        word.key_or_group == "hydra.mode" and _plain_value(word.value()) == "MULTIRUN"
        for word in parse_overrides(overrides)
    )


def override_problems(override: Override, *, own: bool) -> list[str]:
    """Return what is wrong with one override, as far as it can be told before composing.

    Args:
        override: The parsed override.
        own: Whether only tlexp's own configuration folder is searched, so that its options are all there are.
    """
    key, line = override.key_or_group, override.input_line or ""
    if of_hydra(override):
        return word_problems(override)
    if "_target_" in line:
        return [f"{line}: a configuration holds values, not Python objects; remove _target_"]
    if override.is_delete():
        return []
    if key in (*GROUPS, "experiment"):
        return _option_problems(override) if own else []
    if key not in config_fields():
        return [unknown_key(key)]
    if override.is_sweep_override():
        return []
    value = override.value()
    if isinstance(value, str) and "${" in value:
        return []
    problems: list[str] = []
    check_value(key, _plain_value(value), problems)
    return problems


def several_values(override: Override, *, study: bool) -> str:
    """Return why an override with several values is refused, and what to write instead.

    Args:
        override: The parsed override.
        study: Whether a study is asked for, which refuses -m.
    """
    key, line = override.key_or_group, override.input_line or ""
    values = ",".join(_choices(override)) if override.is_choice_sweep() else "..."
    if not study and not key.startswith("study."):
        listed = f"; a list is written '{key}=[{values}]'" if takes_list(key) else ""
        text = f": {_quoted(*line.split('=', 1))}" if key in PATHS else ""
        return (
            f"{line} holds several values: -m runs each of them, all else takes one{listed}; quote a text that has a "
            f"comma{text}"
        )
    crossed = {"labels": "study.labels", "freeze.depth": "study.depths"}.get(key, key)
    if takes_list(crossed):
        return f"{line} holds several values: a study takes a list, '{crossed}=[{values}]'"
    return (
        f"{line} holds several values: a study takes one for each setting and crosses depths, labels and seeds by "
        "itself (study.depths, study.labels, study.seeds); type one study for each value"
    )


def launcher_problems(parsed: Sequence[Override]) -> dict[str, list[str]]:
    """Return by key what is wrong with settings of a launcher where none is chosen: Hydra's plain one has none."""
    if any(override.key_or_group == "hydra/launcher" for override in parsed):
        return {}
    return {
        override.key_or_group: [
            f"{override.input_line}: runs go one by one unless a launcher is chosen; add hydra/launcher=joblib, which "
            "needs the extra: pip install 'tlexp[parallel]'"
        ]
        for override in parsed
        if override.key_or_group.startswith("hydra.launcher.") and "_target_" not in override.key_or_group
    }


def _option_problems(override: Override) -> list[str]:
    group = override.key_or_group
    known = conf_options(group)
    value = override.value()
    if isinstance(value, dict) or (override.is_sweep_override() and not override.is_choice_sweep()):
        return []
    chosen = value if isinstance(value, list) else [value]
    if override.is_choice_sweep():
        chosen = [] if isinstance(value, Glob) else [name for name in _choices(override) if name != "null"]
    return [
        f"{group}={name} is no option{_alike(group, str(name), known)}; options: {', '.join(known)}"
        + _OTHERWISE.get(group, "")
        for name in chosen
        if name is not None and str(name) not in known
    ]


def _alike(group: str, name: str, known: Sequence[str]) -> str:
    """Return a question for the options, and of backbones the models of timm, that look like a name."""
    if group != "backbone":
        return nearest(name, known)
    shown = {each: f"backbone=timm backbone.name={each}" for each in architectures() if each not in known}
    return nearest(name, [name] if name in shown else [*known, *shown], shown)


def _plain_value(value: Any) -> Any:
    """Return a parsed override's value without Hydra's quoted-string wrapper."""
    if isinstance(value, list):
        return [_plain_value(entry) for entry in value]
    return getattr(value, "text", value)


def plain_message(error: Exception) -> str:
    """Return a library's message without its technical tail."""
    text = re.sub(r"^\w*Exception: ", "", str(error) or str(error.__cause__ or type(error).__name__))
    technical = ("full_key:", "object_type=", "reference_type=", "See ")
    told = "\n".join(line for line in text.splitlines() if not line.strip().startswith(technical)).strip()
    key = re.search(r"full_key: (\S+)", text)
    return told if key is None or key[1] in told else f"{key[1]}: {told}"
