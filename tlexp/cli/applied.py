"""The verbs that apply a trained network to other photographs."""

from collections.abc import Sequence
from pathlib import Path

from tlexp.cli.arguments import VerbParser
from tlexp.errors import ConfigError
from tlexp.paths import csv_bytes, publish
from tlexp.terminal import aligned, show

_SHOWN = 20
"""Rows of a table that a terminal shows."""


def predict(words: list[str]) -> int:
    """Say what photographs show."""
    parser = VerbParser(prog="tlexp predict", description="Say what photographs show, by a run's trained network.")
    parser.add_argument("run", help="folder of a run or an export, runs:/ID or models:/NAME/1")
    parser.add_argument("images", nargs="+", help="photographs, and folders of them")
    parser.add_argument("--out", type=Path, help="CSV file to write (a short table here)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out")
    _add_reading(parser)
    arguments = parser.parse_args(words)
    if arguments.out is not None:
        _require_free(arguments.out, overwrite=arguments.overwrite)
    from tlexp.predictor import Predictor  # lazy: torch and timm
    from tlexp.predictor.table import predictions_rows

    predictor = Predictor.load(arguments.run, uri=arguments.uri)
    scores = predictor.score(arguments.images, on_bad=arguments.on_bad, follow_links=arguments.follow_links)
    rows = predictions_rows(scores, predictor.classes)
    if arguments.out is None:
        told = [[cell if isinstance(cell, str) else f"{cell:.4f}" for cell in row] for row in rows[: _SHOWN + 1]]
        show(*aligned(told))
        if len(rows) > len(told):
            show(f"... and {len(rows) - len(told)} more: --out FILE.csv writes all")
    else:
        publish(arguments.out, csv_bytes(rows))
        show(f"{arguments.out}  {len(rows) - 1:,} images")
    _tell_left_out(scores.bad)
    return 0


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
