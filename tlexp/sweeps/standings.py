"""The end of a sweep for people, 100 columns wide: what ranks where in each label budget, and what went wrong."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from tlexp.confidence import CONFIDENCE
from tlexp.jobs.outcome import JobOutcome
from tlexp.sweeps.comparison import Behind, Comparison, compare
from tlexp.sweeps.ranking import LABELS, SEEDS, UNKNOWN, CandidateRuns, Standing, swept_keys
from tlexp.sweeps.settings import legible
from tlexp.terminal import aligned, column_widths
from tlexp.tracking import RunStatus
from tlexp.tracking.blocks import Checkout
from tlexp.tracking.names import split_metric

WIDTH = 100
TEST_METRIC = split_metric("test", "balanced_accuracy")
"""Shown, but never used to choose."""
_MOST_ROWS = 15
_MOST_FAULTS = 8
_MOST_POINTS = 12
_LONGEST_REASON = 300
_NARROWEST = 6
_GAP = "  "


def count_line(runs: Sequence[JobOutcome]) -> str:
    """Return how the runs ended: `12 runs: 10 finished, 2 diverged`."""
    counts = Counter(_status(run) for run in runs)
    order = [*RunStatus, "not run"]
    told = [f"{counts[str(status)]} {status}" for status in order if counts[str(status)]]
    return f"{_counted(runs)}: {', '.join(told)}"


def standing_table(standing: Standing, *, objective: str, direction: str) -> str:
    """Return the ranked candidates of a label budget under a line that says how they were ranked."""
    candidates = [*standing.ranked, *standing.unranked]
    shown = candidates[:_MOST_ROWS]
    keys = swept_keys(candidate.settings for candidate in candidates)
    settings = legible([candidate.settings for candidate in shown])
    compared = compare(standing, objective=objective, direction=direction)
    gaps = [_gap(behind) for behind in compared.behind] if compared is not None and compared.seeds > 1 else []
    rows = [["", *keys, "seeds", objective, *(["behind the first"] if gaps else []), TEST_METRIC]]
    for place, (candidate, stated) in enumerate(zip(shown, settings, strict=True)):
        rows.append(
            [
                str(place + 1) if place < len(standing.ranked) else "-",
                *(plain(stated.get(key, "")) for key in keys),
                _seeds(candidate),
                _written(candidate, objective) if candidate.finished and not candidate.pruned else _ends(candidate),
                *([gaps[place] if 0 < place < len(gaps) else ""] if gaps else []),
                _written(candidate, TEST_METRIC),
            ]
        )
    short = [key.rpartition(".")[2] for key in keys]
    if _width(rows) > WIDTH and len(set(short)) == len(short):
        rows[0][1 : len(keys) + 1] = short
    lines = [_heading(standing, objective, direction), *_aligned(rows, flexible=range(1, len(keys) + 1))]
    if len(candidates) > len(shown):
        lines.append(f"{_GAP}... and {len(candidates) - len(shown)} more in results.csv")
    if any(not candidate.whole for candidate in standing.ranked):
        lines.append(f"{_GAP}(averages with fewer seeds leave out those that did not finish, and stand last)")
    if compared is not None:
        out = "; what was pruned is left out" if any(each.pruned for each in standing.unranked) else ""
        lines.append(_filled(f"{_told_apart(compared)}{out}"))
    return "\n".join(lines)


def _told_apart(compared: Comparison) -> str:
    """Return which candidates may be the best one, by what their seeds tell."""
    if compared.seeds < 2:
        return "nothing can be told apart from one seed: sweep several as well, e.g. seed=0,1,2,3,4"
    places = [str(place + 1) for place in compared.contenders]
    sure = f"({CONFIDENCE * 100:.0f} %, differences paired by {compared.seeds} seeds)"
    if len(places) == 1:
        return f"{places[0]} is the best one {sure}"
    if len(places) == len(compared.behind):
        return f"none can be told from the best one {sure}"
    return f"{_listed(places)} cannot be told apart: the best one is among them {sure}"


def _gap(behind: Behind) -> str:
    """Return how much worse a candidate is than the first one, with an interval where its seeds tell one."""
    if behind.width is None:
        return number(behind.mean)
    low, high = behind.mean - behind.width, behind.mean + behind.width
    like = max(abs(low), abs(high))
    return f"{number(behind.mean, like=like)} [{number(low, like=like)}, {number(high, like=like)}]"


def faults_table(runs: Sequence[JobOutcome]) -> str:
    """Return what did not finish, grouped by how it ended and why, with the points; empty where all finished."""
    groups: dict[tuple[str, str], list[JobOutcome]] = {}
    for run in runs:
        if run.status is not RunStatus.finished:
            groups.setdefault((_status(run), plain(run.reason or "")), []).append(run)
    if not groups:
        return ""
    lines = ["not finished"]
    for (status, reason), members in list(groups.items())[:_MOST_FAULTS]:
        said = f": {textwrap.shorten(reason, _LONGEST_REASON, placeholder=' ...')}" if reason else ""
        lines.append(_filled(f"{_counted(members)} {status}{said}", indent=1))
        if status == RunStatus.pruned:
            continue  # they stand in the tables, and nothing is to be mended
        points = _points(members)
        lines.extend(_cut(_GAP * 3 + point, WIDTH) for point in points[:_MOST_POINTS])
        if len(points) > _MOST_POINTS:
            lines.append(f"{_GAP * 3}... and {len(points) - _MOST_POINTS} more in results.csv")
    if len(groups) > _MOST_FAULTS:
        lines.append(f"{_GAP}... and {len(groups) - _MOST_FAULTS} more kinds in results.csv")
    return "\n".join(lines)


def provenance(runs: Sequence[JobOutcome]) -> str:
    """Return the seeds, devices and versions behind the averages, and what the runs did outside the protocol."""
    records = [run.record for run in runs if run.status is RunStatus.finished and run.record is not None]
    if not records:
        return ""
    seeds = sorted({record.seeds.seed for record in records})
    devices = {record.environment.device for record in records}
    commits = {_commit(record.environment.git) for record in records}
    versions = {record.environment.packages["tlexp"] for record in records}
    parts = [
        f"seed{'s' if len(seeds) > 1 else ''} {_listed(map(str, seeds))}",
        f"device {_listed(sorted(devices))}",
        f"tlexp {_listed(sorted(versions))}",
        *([f"commit {_listed(sorted(commits - {''}))}"] if commits - {""} else []),
    ]
    lines = [_filled("; ".join(parts))]
    outside = Counter(text for record in records for text in record.train.outside_protocol or ())
    if outside:
        told = ", ".join(f"{plain(text)} ({count} of {len(records)} runs)" for text, count in outside.items())
        lines.append(_filled(f"outside protocol: {told}"))
    return "\n".join(lines)


def plain(text: str) -> str:
    r"""Return the text on one line and without control signs, which terminals obey.

    >>> plain("a\nb\x1b[31mc")
    'a b?[31mc'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


def number(figure: float, like: float | None = None) -> str:
    """Return a figure with about three digits; `like` sets the digits, so that a mean and its spread agree.

    >>> number(0.41237), number(0.03, like=0.4), number(123456.7), number(0.00021), number(0.0)
    ('0.412', '0.030', '123,457', '2.10e-04', '0.000')
    """
    size = abs(figure if like is None else like)
    if size >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.2e}" if 0 < size < 0.01 else f"{figure:.3f}"


def _heading(standing: Standing, objective: str, direction: str) -> str:
    budget = "label budget unknown" if standing.labels == UNKNOWN else f"{LABELS}={plain(standing.labels)}"
    if not standing.ranked:
        return f"{budget}, not ranked: no run has {objective}"
    several = any(len(candidate.finished) > 1 for candidate in standing.ranked)
    spread = ", mean +- standard deviation over seeds" if several else ", one seed each"
    return f"{budget}, ranked by {objective} ({'lowest' if direction == 'minimize' else 'highest'} first){spread}"


def _aligned(rows: Sequence[Sequence[str]], *, flexible: range) -> list[str]:
    """Return the rows in columns; where they are too wide for a line, the widest flexible ones are cut."""
    widths = column_widths(rows)
    while sum(widths) + len(_GAP) * len(widths) > WIDTH:
        widest = max(flexible, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    cut = [[_cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [_cut(_GAP + line, WIDTH) for line in aligned(cut)]


def _width(rows: Sequence[Sequence[str]]) -> int:
    return sum(column_widths(rows)) + len(_GAP) * len(rows[0])


def _cut(text: str, width: int) -> str:
    """Return the text, cut in its middle where it is too long: settings often differ at their ends only."""
    if len(text) <= width:
        return text
    kept = width - 2
    return text[: kept - kept // 2] + ".." + text[len(text) - kept // 2 :]


def _filled(text: str, *, indent: int = 0) -> str:
    first = _GAP * indent
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=first + _GAP)


def _points(runs: Sequence[JobOutcome]) -> list[str]:
    """Return the runs' points as one would type them, seeds of one candidate together."""
    together: dict[tuple[tuple[str, str], ...], dict[str, list[str]]] = {}
    for run in runs:
        settings = tuple((key, text) for key, text in run.point.items() if key not in SEEDS)
        seeds = together.setdefault(settings, {})
        for key in SEEDS:
            if key in run.point and run.point[key] not in seeds.setdefault(key, []):
                seeds[key].append(run.point[key])
    return [
        plain(
            " ".join(
                f"{key}={text}" for key, text in (*settings, *((key, ",".join(each)) for key, each in seeds.items()))
            )
        )
        for settings, seeds in together.items()
    ]


def _counted(runs: Sequence[JobOutcome]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


def _seeds(candidate: CandidateRuns) -> str:
    return f"{len(candidate.finished)}" if candidate.whole else f"{len(candidate.finished)} of {len(candidate.runs)}"


def _written(candidate: CandidateRuns, metric: str) -> str:
    found = candidate.summary(metric)
    if found is None:
        return "-"
    spread = "" if found.deviation is None else f" +- {number(found.deviation, like=found.mean)}"
    return number(found.mean) + spread


def _ends(candidate: CandidateRuns) -> str:
    return _listed(sorted({_status(run) for run in candidate.runs}))


def _status(run: JobOutcome) -> str:
    return "not run" if run.status is None else str(run.status)


def _commit(git: Checkout | None) -> str:
    return "" if git is None else git.commit[:7] + (" with changes" if git.dirty else "")


def _listed(texts: Iterable[str]) -> str:
    """Return the texts with commas, at most ten."""
    known = [plain(text) for text in texts]
    return ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
