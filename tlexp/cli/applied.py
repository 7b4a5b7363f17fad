"""The verbs that apply a trained network to other photographs."""

import codecs
import shutil
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tlexp.cli.arguments import VerbParser
from tlexp.errors import ConfigError, TrackingError
from tlexp.jobs.imports import large_imports
from tlexp.paths import csv_bytes, publish
from tlexp.secrets import masked
from tlexp.terminal import aligned, cells, list_item, one_line, show

if TYPE_CHECKING:
    from tlexp.experiment.evaluation import Measured
    from tlexp.tracking.reference import Home

_SHOWN = 20
"""Rows of a table, and classes, that a terminal shows."""
_LESS_LIKELY = (("third", "third_confidence"), ("second", "second_confidence"))
"""Columns that a terminal is too narrow for, the first ones first."""
_SHORTEST = 12
"""Cells that a path has in any case."""


def predict(words: list[str]) -> int:
    """Say what photographs show."""
    parser = VerbParser(prog="tlexp predict", description="Say what photographs show, by a run's trained network.")
    parser.add_argument("run", help="folder of a run or an export, runs:/ID or models:/NAME/1")
    parser.add_argument("images", nargs="+", help="photographs, and folders of them")
    parser.add_argument("--out", type=Path, help="CSV file to write (a short table here)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out")
    parser.add_argument("--abstain", type=float, help="answer only where this accuracy, such as 0.95, is promised")
    parser.add_argument("--outliers", type=float, help="mark what may be none of the classes, at this false-alarm rate")
    _add_reading(parser)
    arguments = parser.parse_args(words)
    if arguments.out is not None:
        _require_free(arguments.out, overwrite=arguments.overwrite)
    with large_imports():
        from tlexp.api.console import Console  # lazy: torch and timm
        from tlexp.jobs.signals import Signals
        from tlexp.predictor import Predictor
        from tlexp.predictor.predictor import NOTHING_TYPICAL
        from tlexp.predictor.table import predictions_rows
        from tlexp.train import settle_process

    settle_process()  # before the first large tensor
    predictor = Predictor.load(arguments.run, uri=arguments.uri)
    least = None if arguments.abstain is None else predictor.threshold(arguments.abstain)
    if arguments.outliers is not None:
        predictor.require_outliers(arguments.outliers)
    listener = Console(Signals(lambda: None), progress=True, told=set(), lines=True)
    scores = predictor.score(
        arguments.images, on_bad=arguments.on_bad, follow_links=arguments.follow_links, listener=listener
    )
    rows = predictions_rows(scores, predictor.classes, least=least, outliers=arguments.outliers)
    counted = f"{len(rows) - 1:,} images: {_counted(rows, predictor.classes)}"
    if arguments.out is None:
        named = predictions_rows(scores, predictor.classes, outliers=arguments.outliers)
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        show(*_table(named, [row[1] == "" or row[-1] == "yes" for row in rows[1:]], room))
        show(*([counted] if len(rows) - 1 > _SHOWN else []))
    else:
        table = csv_bytes([_rounded(cell) for cell in row] for row in rows)
        publish(arguments.out, codecs.BOM_UTF8 + table)  # spreadsheets take what has no mark for another encoding
        show(f"{arguments.out}  {counted}")
    if least is not None:
        answered = sum(row[1] != "" for row in rows[1:])
        show(f"answered: {answered} of {len(rows) - 1}, those with a confidence of {least:.4g} or more")
    if arguments.outliers is not None:
        marked = sum(row[-1] == "yes" for row in rows[1:])
        show(f"outliers: {marked} of {len(rows) - 1}, those with a typicality of {arguments.outliers:g} or less")
    if predictor.typicality is None:
        show(f"typicality is left empty: {NOTHING_TYPICAL}", error=True)
    _tell_left_out(scores.bad)
    return 0


def _table(rows: Sequence[Sequence[str | float]], doubtful: Sequence[bool], room: int | None = None) -> list[str]:
    """Return a table for people, cut to the lines that need them: a class that is no answer stands in parentheses.

    Args:
        rows: Its head first, the likeliest class of each image in it.
        doubtful: Whether that is no answer, of each image.
        room: Cells of a line; None where lines may be of any length.
    """
    head, *images = rows
    order = list(range(len(images)))
    if len(images) > _SHOWN:
        confidence = head.index("confidence")

        def least_urgent(place: int) -> tuple[bool, bool, str | float]:
            return images[place][-1] != "yes", not doubtful[place], images[place][confidence]  # outliers are few

        order = sorted(order, key=least_urgent)[:_SHOWN]
    shown = [list(map(str, head))]
    for place in order:
        path, name, *others = images[place]
        told = [path, f"({name})" if doubtful[place] else name, *others]
        shown.append([cell if isinstance(cell, str) else f"{cell:.4f}" for cell in told])
    lines = aligned(shown) if room is None else _fitted(shown, room)
    if any(doubtful):
        lines.append(
            "in parentheses: the likeliest class where it is no answer: the network is unsure, or the image an outlier"
        )
    if left := len(images) - len(order):
        first = "those in parentheses first, then the least sure" if any(doubtful) else "the least sure first"
        lines.append(
            f"{first}; {left:,} more are not shown: --out FILE.csv writes all in the order given, a folder's by name"
        )
    return lines


def _fitted(rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Return aligned rows that fit into a line: without the less likely classes, and then with the ends of paths alone.

    Args:
        rows: Of a table, its head first, paths in the first column.
        room: Cells of a line.
    """
    left_out: list[str] = []
    for names in _LESS_LIKELY:
        if _widest(rows) > room:
            kept = [column for column, name in enumerate(rows[0]) if name not in names]
            empty = not any(row[rows[0].index(names[0])] for row in rows[1:])  # of two classes none is the third
            rows = [[row[column] for column in kept] for row in rows]
            left_out[:0] = [] if empty else [names[0]]
    head, *images = [[one_line(masked(row[0])), *row[1:]] for row in rows]  # before part of a secret is cut away
    most = max([cells(row[0]) for row in images], default=0) - max(0, _widest(rows) - room)
    lines = aligned([head, *([_end(row[0], max(most, _SHORTEST)), *row[1:]] for row in images)])
    told = f"no room here for {' and '.join(left_out)}: --out FILE.csv writes all columns"
    return [*lines, told] if left_out else lines


def _widest(rows: Sequence[Sequence[str]]) -> int:
    return max(map(cells, aligned(rows)))


def _end(path: str, most: int) -> str:
    """Return the end of a path where all of it takes too many cells.

    >>> _end("photos/cat/1.jpg", 16), _end("photos/cat/1.jpg", 12)
    ('photos/cat/1.jpg', '...cat/1.jpg')
    """
    if cells(path) <= most:
        return path
    while cells(path) > most - 3:
        path = path[1:]
    return f"...{path}"


def _rounded(cell: str | float) -> str | float:
    """Return a cell of a file for people, as those of other tables are."""
    return round(cell, 6) if isinstance(cell, float) else cell


def _counted(rows: Sequence[Sequence[str | float]], classes: Sequence[str]) -> str:
    """Return how many images of a table, its head first, are taken for each class, and for none; no class of none.

    >>> _counted([["path", "class"], ["1", "dog"], ["2", ""], ["3", "dog"]], ["cat", "dog"])
    '2 dog, 1 unsure'
    >>> print(_counted([["path", "class"], ["1", "dog, small"]], ["cat", "dog, small"]))
    1 "dog, small"
    """
    counts = Counter(row[1] for row in rows[1:])
    told = [f"{counts[name]:,} {list_item(name)}" for name in classes if counts[name]]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    first = [", ".join(told[:_SHOWN]) + more] if told else []
    return ", ".join([*first, *([f"{counts['']:,} unsure"] if counts[""] else [])])


def evaluate(words: list[str]) -> int:
    """Measure a network on other photographs."""
    parser = VerbParser(prog="tlexp evaluate", description="Measure a run's trained network on other photographs.")
    parser.add_argument("run", help="folder of a run or an export, runs:/ID or models:/NAME/1")
    parser.add_argument("images", type=Path, help="a folder with one for each class, or a CSV with path and label")
    parser.add_argument("--out", type=Path, help="folder to make (outputs/<time>-evaluation)")
    parser.add_argument("--no-tracking", action="store_true", help="write no run into the tracking store")
    _add_reading(parser)
    arguments = parser.parse_args(words)
    folder = arguments.out or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-evaluation"
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} is there already: an evaluation makes a folder of its own, name another")
    with large_imports():
        from tlexp.api.console import Console  # lazy: torch and timm
        from tlexp.experiment.evaluation import measure_photos, write_measured
        from tlexp.experiment.labelled import find_labelled
        from tlexp.experiment.overlap import own_test
        from tlexp.jobs.signals import Signals
        from tlexp.predictor import Predictor
        from tlexp.train import settle_process

    settle_process()  # before the first large tensor
    predictor = Predictor.load(arguments.run, uri=arguments.uri)
    home = None if arguments.no_tracking else _home(arguments)
    labelled = find_labelled(arguments.images, predictor.classes, follow_links=arguments.follow_links)
    measured = measure_photos(
        predictor,
        labelled,
        on_bad=arguments.on_bad,
        own_test=own_test(Path(arguments.run)),
        listener=Console(Signals(lambda: None), progress=True, told=set(), lines=True),
    )
    title = one_line(f"{arguments.run} on {arguments.images}")
    write_measured(folder, measured, predictor, labelled.photos, title=title)
    show(*measured.warning(), measured.told(), *measured.notes)
    show(*aligned([["measure", "value", "from", "to"], *measured.rows()], right=(1, 2, 3)))
    _tell_left_out(measured.scores.bad)
    show(f"{folder}/index.html")
    if home is not None:
        _track(arguments, folder, measured, home)
    return 0


def _home(arguments: Namespace) -> "Home | None":
    """Return where an evaluation is tracked, beside the run that it is about; None, and why, where it is not."""
    from tlexp.tracking.reference import home_of  # lazy: keeps --help fast

    try:
        return home_of(arguments.run, uri=arguments.uri)
    except TrackingError as error:
        show(f"this will be no run of MLflow's: {error}", error=True)
        return None


def _track(arguments: Namespace, folder: Path, measured: "Measured", home: "Home") -> None:
    """Write an evaluation into the store, in the experiment of the run that it is about."""
    from tlexp.experiment.evaluation import track_measured  # lazy: torch and timm

    tracked = track_measured(
        folder,
        measured,
        origin=arguments.run,
        place=str(arguments.images),
        home=home,
        warn=lambda text: show(text, error=True),
    )
    if tracked is not None:
        show(f"MLflow  {tracked.link}")


def _add_reading(parser: VerbParser) -> None:
    """Add what is said of images and of where a network lies."""
    parser.add_argument("--on-bad", choices=("refuse", "skip"), default="refuse", help="unreadable images (refuse)")
    parser.add_argument("--follow-links", action="store_true", help="follow links that lead out of a folder")
    parser.add_argument("--uri", help="MLflow tracking URI that knows runs:/ and models:/ (the one that a run takes)")


def _tell_left_out(bad: Sequence[tuple[str, str]]) -> None:
    """Name images that were left out."""
    if bad:
        lines = [f"  {name}: {reason}" for name, reason in bad[:_SHOWN]]
        more = [f"  ... and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        show(f"left out, for they cannot be read: {len(bad)}", *lines, *more, error=True)


def _require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a file to write that is there already, or that cannot become one.

    Args:
        path: Of the file, or of a folder that is to be made.
        overwrite: Whether a file may be replaced.

    Raises:
        ConfigError: As said.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        way_out = "name another" if path.is_dir() else "name another one, or replace it with --overwrite"
        raise ConfigError(f"{path} is there already: {way_out}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} is not there: make it, or name another")
