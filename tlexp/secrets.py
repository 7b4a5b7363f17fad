"""What must never be written or shown, and what stands there instead.

Secret are passwords in URIs, the values of what is named like a credential (`token=`, `?api_key=`, an environment
variable `..._PASSWORD`), and what `${oc.env:NAME}` gives. They are recognised by their place in a text; those of six
characters or more are remembered as well, and by value nothing of theirs leaves the process, wherever it comes from:
every text that is written or shown passes `masked`.
"""

import base64
import contextlib
import html
import json
import logging
import os
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
"""Stands for a secret that no variable names."""
LEAST = 6
"""Shorter values are not looked for: they are parts of other words."""
_WORDS = {
    "passw": "passw(?:or)?d",
    "passphrase": "passphrase",
    "pwd": "pwd",
    "secret": "secret",
    "credential": "credentials?",
    "authorization": "authorization",
    "key": "(?:api|access|account|private|auth)[_-]?key",
    "token": "(?:access|api|auth|bearer|hf|id|private|refresh|secret|security|session)[_-]?token",
}
"""What says in any text that a credential follows, by what each such text holds: looking for that is cheap."""
_KEYS = "|".join(_WORDS.values())
_CREDENTIAL = re.compile(rf"(?:{_KEYS}|token|(?:^|[_.-])pass)$", re.IGNORECASE)
_QUOTE = r"\\?[\"']"
_SCHEME = r"(?:(?:basic|bearer)\s+)?+"
_VALUE = (
    rf"(?:(?P<quote>{_QUOTE}){_SCHEME}(?P<quoted>(?!\$\{{|\*\*\*(?P=quote))(?:(?!(?P=quote))[^\n])+)(?P=quote)"
    rf"|(?:{_QUOTE})?+{_SCHEME}(?P<plain>(?!\$\{{|\*\*\*)[^\s\"'&,;)}}\]]+))"
)
# A token is an everyday word of networks: alone it counts in variables, settings and keys of mappings.
_TOKEN = rf"(?-i:(?<=[A-Z0-9]_)TOKEN)|(?<=\w\.)token|(?<=[\"'\w-])token(?={_QUOTE}\s*[:=])"
_NAMED = re.compile(rf"(?:{_KEYS}|{_TOKEN})(?:{_QUOTE}\s*)?[=:][ \t]*{_VALUE}", re.IGNORECASE)
_QUERY = re.compile(rf"(?:[?&]|&amp;)(?:x-\w+-)?(?:token|pass|key|sig(?:nature)?)={_VALUE}", re.IGNORECASE)
_OPTION = re.compile(rf"(?<![\w-])--(?:[\w-]+-)?(?:{_KEYS}|token|pass)(?:\s+|=)(?!-){_VALUE}", re.IGNORECASE)
_COOKIE = re.compile(
    r"\bcookie[\"']?:\s*[\"']?(?=[^\s=;,\"']+=)(?P<quoted>)(?P<plain>(?!\*\*\*)[^\r\n\"'\\]+)", re.IGNORECASE
)
_REFERENCE = r"\$\{[^{}]*\}"
_VARIABLE = re.compile(r"\$\{oc\.env:\w+\}")
_DATABASE = r"(?P<database>(?:postgres|mysql|mariadb|mssql|oracle)[\w+.-]{0,20})?"
# A login with a password ends at the last @ before a credential in the query, for the password may hold that sign and
# what ends an authority; to SQLAlchemy it may also begin as a port does. One that is a variable alone ends with it.
_STATED = rf":(?!(?:{_REFERENCE})+@)"
_PORT = r"\d*[\s/?#]"
_WITHIN = rf"(?![?&][\w-]*(?i:{_KEYS}|token|pass|key|sig|signature)=)"
_USER = re.compile(
    # In a text a blank may belong to the password of a database, up to its first @.
    rf"{_DATABASE}://(?:(?P<odd>(?:{_REFERENCE}|(?!{_REFERENCE})(?(database)[^\s/?#:'\"<>]|[^\s/?#@:'\"<>]))*{_STATED}"
    rf"(?:(?!{_PORT})(?:{_WITHIN}(?(database)[^\n@'\"]|[^\s@'\"]))*|(?(database)(?:{_WITHIN}[^\s@'\"])*|(?!)))"
    rf"(?:@(?:(?!://){_WITHIN}[^\s@'\"<>])*)*)|(?P<plain>(?:{_REFERENCE}|(?!{_REFERENCE})[^\s/?#'\"<>])*))@"
)
_LOGIN = re.compile(
    # Where a text is a URI and nothing else, quotes and blanks end no login.
    rf"{_DATABASE}://(?:(?P<odd>(?:{_REFERENCE}|(?!{_REFERENCE})(?(database)[^/?#:]|[^/?#@:]))*{_STATED}"
    rf"(?(database)|(?!{_PORT}))(?:{_WITHIN}.)*)|(?P<plain>(?:{_REFERENCE}|(?!{_REFERENCE})[^/?#])*))@",
    re.DOTALL,
)
_URI = re.compile(r"[\w+.-]+://")
_LEAST_TOKEN = 16
"""What stands alone before the @ of a web address is looked for elsewhere if it is as long; else it may be a name."""

_known: dict[str, str] = {}
"""What is looked for, and what stands there instead."""
_pattern: re.Pattern[str] | None = None
"""Finds what is known; both are replaced whole, for others read them meanwhile."""
_ordinary = ""
"""No part of it is looked for."""
_learning = threading.Lock()


def keep_secret(value: str, *, shown: str = MASK, user: str = "") -> None:
    """Look for a value in every text from now on, for each of its lines, and for how it looks in URIs and elsewhere.

    Args:
        value: Nothing happens if it has fewer than six characters.
        shown: Stands there instead, e.g. `${oc.env:NAME}`.
        user: Whose it is, for headers that hold both.
    """
    found: dict[str, str] = {}
    for text in {value, value.strip(" '\""), *filter(str.strip, value.splitlines())}:
        if len(text) >= LEAST and text not in _ordinary:
            found.setdefault(text, shown if text == value else MASK)
            for form in _forms(text, user):
                found.setdefault(form, MASK)
    with _learning:
        if not found.keys() <= _known.keys():
            _look_for(found | _known)


def spare(ordinary: str) -> None:
    """Look for no word, or part of one, that every configuration may hold: such a password cannot be hidden.

    Args:
        ordinary: A word in each line.
    """
    global _ordinary
    with _learning:
        _ordinary = ordinary
        _look_for({text: shown for text, shown in _known.items() if text not in ordinary})


def masked(text: str) -> str:
    """Return a text as it may be written and shown.

    >>> masked("https://me:hunter2@host/x?api_key=1234"), masked("https://me:${oc.env:PASSWORD}@host")
    ('https://me:***@host/x?api_key=***', 'https://me:${oc.env:PASSWORD}@host')
    """
    text = masked_name(text)
    if "://" in text and "@" in text:
        text = _USER.sub(_public, text)
    for place in _places(text):
        text = place.sub(_without_value, text)
    return text


def masked_name(name: str) -> str:
    """Return the name of a class or a file without what is known to be secret; what looks like a credential stays.

    >>> masked_name("password=a")
    'password=a'
    """
    return name if _pattern is None else _pattern.sub(lambda match: _known.get(match[0], MASK), name)


def masked_values(values: Any) -> Any:
    """Return nested mappings and lists with every text in them masked; keys and numbers stay.

    >>> masked_values({"uri": ["https://me:hunter2@host"], "port": 5000, "token": "abc", "classes": ["token=a"]})
    {'uri': ['https://me:***@host'], 'port': 5000, 'token': '***', 'classes': ['token=a']}
    """
    if isinstance(values, str):
        return masked(values)
    if isinstance(values, Mapping):
        return {key: _masked_at(str(key), value) for key, value in values.items()}
    return [masked_values(each) for each in values] if isinstance(values, list | tuple) else values


def public_uri(uri: str) -> str:
    """Return a URI without a password, fit for messages; who logs in to a database is told, and needed there.

    >>> public_uri("https://me:secret@host:5000/x"), public_uri("postgresql://me:secret@host/x?password=secret&a=b")
    ('https://host:5000/x', 'postgresql://me@host/x?a=b')
    """
    address, _, query = _LOGIN.sub(_without_password, uri, count=1).partition("?")
    kept = [part for part in query.split("&") if part and "${" not in part and masked(f"?{part}") == f"?{part}"]
    return "?".join([address, *(["&".join(kept)] if kept else [])])


def kept_uri(uri: str) -> str:
    """Return a URI as it is kept and typed again: a password that stands in a variable is read from there.

    >>> kept_uri("postgresql://me:${oc.env:PASSWORD}@host"), kept_uri("postgresql://me:secret@host")
    ('postgresql://me:${oc.env:PASSWORD}@host', 'postgresql://me@host')
    """
    named = all(_VARIABLE.fullmatch(reference) for reference in re.findall(_REFERENCE, uri))  # no default value either
    return uri if named and masked(uri) == uri == _LOGIN.sub(_public, uri, count=1) else public_uri(uri)


def without_login(uri: str) -> str:
    """Return a URI without user and password, to tell whether two are of one place.

    >>> without_login("postgresql://me:secret@host/x")
    'postgresql://host/x'
    """
    return _LOGIN.sub(lambda match: f"{match['database'] or ''}://", uri, count=1)


def learn(text: str) -> None:
    """Keep the secrets that a text states: words of a command line, a URI."""
    if "://" in text and "@" in text:
        for match in (_LOGIN if _URI.match(text) else _USER).finditer(text):
            user, password = _login(match)
            token = user if password is None and _is_web(match) and len(user) >= _LEAST_TOKEN else ""
            keep_secret(password or token, user=user)
            if "@" in (password or ""):  # whoever takes another @ for its end names the rest as host or database
                for part in re.split("[@:/?#]", password or ""):
                    keep_secret(part)
    for place in _places(text):
        for match in place.finditer(text):
            if not _in_path(match):
                keep_secret(match["quoted"] or match["plain"])


def learn_values(values: Any, key: str = "") -> None:
    """Keep the secrets in nested mappings and lists, among them the values of keys that are named like credentials."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            learn_values(value, str(name))
    elif isinstance(values, list | tuple):
        for each in values:
            learn_values(each, key)
    elif isinstance(values, str):
        if _CREDENTIAL.search(key) and "${" not in values:
            keep_secret(values)
        learn(values)


def learn_environment() -> None:
    """Keep the secrets in the environment's variables: those named like credentials, and passwords in URIs."""
    for name, value in os.environ.items():
        if _CREDENTIAL.search(name) and name not in ("PWD", "OLDPWD"):  # the working folder's
            keep_secret(value, shown=f"${{oc.env:{name}}}", user=os.environ.get("MLFLOW_TRACKING_USERNAME", ""))
        learn(value)


def guard(words: Sequence[str] = ()) -> None:
    """Let nothing secret leave this process through its streams and logs; harmless when called again.

    Args:
        words: Of the command line.
    """
    learn_environment()
    learn(shlex.join(words))  # an option and its value are two words
    for word in words:
        key, _, value = word.partition("=")
        learn_values(value, key)
        learn(word)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not (isinstance(stream, ChangedStream) and stream.change is masked):
            setattr(sys, name, ChangedStream(stream, masked))
    if not isinstance(factory := logging.getLogRecordFactory(), _GuardedRecords):
        logging.setLogRecordFactory(_GuardedRecords(factory))


def forget() -> None:
    """Look for nothing any more: for tests, which share a process."""
    global _ordinary
    with _learning:
        _ordinary = ""
        _look_for({})


class ChangedStream:
    """A stream that changes what is written to it.

    It stands where everything is printed, so that no message, table or library has to think of it.

    Args:
        stream: Where the text goes.
        change: Returns what is to be written in place of a text.
    """

    def __init__(self, stream: TextIO, change: Callable[[str], str]) -> None:
        self._stream, self.change = stream, change

    def write(self, text: str) -> int:
        """Write what a text is changed to; return the length of the text."""
        self._stream.write(self.change(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines one by one."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _GuardedRecords:
    """Makes log records as another factory does, and masks them before any handler sees them, traceback and all."""

    def __init__(self, factory: Callable[..., logging.LogRecord]) -> None:
        self._factory = factory

    def __call__(self, *arguments: Any, **more: Any) -> logging.LogRecord:
        record = self._factory(*arguments, **more)
        with contextlib.suppress(TypeError, ValueError, KeyError):  # handlers will say that it does not fit together
            record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return record


def _look_for(known: dict[str, str]) -> None:
    global _known, _pattern
    longest_first = sorted(known, key=len, reverse=True)
    _known, _pattern = known, re.compile("|".join(map(re.escape, longest_first))) if known else None


def _masked_at(key: str, value: Any) -> Any:
    """Return the value of a key; all of it is secret if the key says so."""
    if isinstance(value, str) and value and "${" not in value and _CREDENTIAL.search(key):
        return MASK
    if key == "classes" and isinstance(value, list | tuple):
        return [masked_name(each) if isinstance(each, str) else each for each in value]
    return masked_values(value)


def _places(text: str) -> Iterator[re.Pattern[str]]:
    """Yield what may find credentials in a text by their names."""
    lowered = text.lower()
    if any(word in lowered for word in _WORDS):
        yield _NAMED
    if "=" in text and ("?" in text or "&" in text):
        yield _QUERY
    if "--" in text:
        yield _OPTION
    if "cookie" in lowered:
        yield _COOKIE


def _without_value(match: re.Match[str]) -> str:
    if _in_path(match):
        return match[0]
    begin, end = (place - match.start() for place in match.span("quoted" if match["quoted"] else "plain"))
    return match[0][:begin] + MASK + match[0][end:]


def _in_path(match: re.Match[str]) -> bool:
    """Return whether what looks like the name of a credential is one of a folder or a file."""
    before = match.string[max(0, match.start() - 100) : match.start()]
    return match.re is _NAMED and re.search(r"/[\w.-]*$", before) is not None


def _public(match: re.Match[str]) -> str:
    user, password = _login(match)
    scheme = match["database"] or ""
    if password is None:
        return f"://{MASK}@" if user not in ("", MASK) and _is_web(match) else match[0]
    return match[0] if password in ("", MASK) else f"{scheme}://{user}:{MASK}@"


def _without_password(match: re.Match[str]) -> str:
    scheme = match["database"] or ""
    user = _login(match)[0] if scheme else ""
    return f"{scheme}://{user}@" if user else f"{scheme}://"


def _login(match: re.Match[str]) -> tuple[str, str | None]:
    """Return user and password before the @ of a URI, without what stands there as a reference."""
    user, colon, password = re.sub(_REFERENCE, "", match["odd"] or match["plain"] or "").partition(":")
    return user, password if colon else None


def _is_web(match: re.Match[str]) -> bool:
    return match.string[max(0, match.start() - 5) : match.start()].lower().endswith(("http", "https"))


def _forms(value: str, user: str) -> Iterator[str]:
    """Yield how else a value may appear: encoded for URIs and headers, escaped for pages, files and quotes."""
    plain = {value, unquote(value), unquote_plus(value)}
    for text in plain:
        percent = {quote(text), quote(text, safe=""), quote_plus(text)}
        escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
        quoted = {html.escape(text), html.escape(text, quote=False), text.replace("'", "''"), " ".join(text.split())}
        yield from (form for form in {text, *percent, *map(_lower_percent, percent), *escaped, *quoted} if _long(form))
        yield from (form for login in (text, f"{unquote(user)}:{text}", f":{text}") for form in _base64(login))


def _long(form: str) -> bool:
    return len(form) >= LEAST


def _lower_percent(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text)


def _base64(text: str) -> Iterator[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(text.encode()).decode().rstrip("=")
