"""What `tlexp cache` says, as lines of text."""

import time
from typing import Any

from tlexp.cache.folder import CutInfo, Removed
from tlexp.cache.store import Store
from tlexp.data.decode import printable
from tlexp.terminal import aligned

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SPANS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
_SHOWN = 40


def entries_lines(store: Store, *, now: float | None = None) -> list[str]:
    """Return what lies in the cache: for each cut what made it, rows, size, age and hits; and what checks are known.

    Args:
        store: The cache.
        now: Seconds since the epoch; None takes the clock's.
    """
    infos, checks = store.entries(), sum(path.stat().st_size for path in store.index_files())
    known = [f"{_bytes(checks)} more keep what was found in files of images (data.recheck=true reads them anew)"]
    known = known if checks else []
    if not infos:
        return [f"{store.folder}: empty" if not known else f"{store.folder}: no features", *known]
    now = time.time() if now is None else now
    size = sum(info.size for info in infos)
    total = f"{store.folder}: {_bytes(size)} of at most {_bytes(store.max_bytes)}, {_counted(len(infos), 'cut')}"
    header = ("cut", "made by", "rows", "size", "age", "used", "hits")
    return [total, *aligned([header, *(_row(info, now) for info in infos)]), *known]


def verify_lines(store: Store) -> tuple[list[str], bool]:
    """Read every entry whole; return what that found, and whether all is well."""
    report = store.verify()
    lines = [f"{store.folder}: {_counted(report.files, 'file')} read ({_bytes(report.size)}), {len(report.bad)} bad"]
    lines += [f"  set aside {line}" for line in report.bad]
    return lines, not report.bad


def prune_lines(store: Store, max_bytes: int) -> list[str]:
    """Remove what was used least recently until no more than that is left, and say what went."""
    return [f"{store.folder}: {_removed(store.prune(max_bytes))}"]


def clear_lines(store: Store) -> list[str]:
    """Remove everything, and say what went."""
    return [f"{store.folder}: {_removed(store.clear())}"]


def _row(info: CutInfo, now: float) -> tuple[str, ...]:
    created = "unknown" if info.created is None else _span(now - info.created)
    rows, hits = f"{info.rows:,}", f"{info.hits:,}"
    return info.cut[:16], _maker(info.about), rows, _bytes(info.size), created, f"{_span(now - info.used)} ago", hits


def _maker(about: dict[str, Any]) -> str:
    """Return what made a cut. The values may be anybody's, so nothing in them may move a terminal's cursor."""
    view = "" if about.get("view") is None else f" {about.get('augment')} view {about['view']}"
    words = [about.get("backbone"), about.get("cut"), f"{about.get('image_size')} px{view}", about.get("device")]
    weights = str(about.get("weights"))[:8]
    return ", ".join(printable(str(word))[:_SHOWN] for word in [*words, f"weights {weights}"])


def _removed(removed: Removed) -> str:
    return f"{_counted(removed.files, 'file')} removed ({_bytes(removed.size)})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _bytes(size: float) -> str:
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (1.0, "bytes"))
    return f"{size / unit:.3g} {name}" if unit > 1 else f"{size:.0f} bytes"


def _span(seconds: float) -> str:
    unit, name = next(((unit, name) for unit, name in _SPANS if seconds >= 2 * unit), (1.0, "seconds"))
    return f"{max(0.0, seconds) / unit:.0f} {name}"
