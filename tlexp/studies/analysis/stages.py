"""The stages of a study that screens: the probes of all entrants first, and then the columns of the finalists.

A screen sees the first data seeds alone; those that are left of the finalists' probes come with the finals.
Which stage goes on is a pure function of the records, as the rounds are, so that a study that was interrupted in either
comes to the same end. A study without entrants is all finals.
"""

import dataclasses
from collections.abc import Mapping

from tlexp.studies.analysis.screen import Entrant, Probed, Screened, screen
from tlexp.studies.analysis.table import Cell, StudyTable
from tlexp.tracking import RunStatus

PROBE_SEEDS = 10
"""Of a screen. With 30 a pool of twelve that are alike loses its best as often to a tenth (simulated: 5.6 % and 6.6 %),
and the heads of those that are left out cost three times as much."""
_ACCURACY = "val/balanced_accuracy"


def find_entrants(table: StudyTable) -> tuple[Entrant, ...]:
    """Return what the study screens; none where it does not."""
    kept = {column.name for column in table.columns}
    return tuple(
        Entrant(**{**values, "columns": tuple(values["columns"])})
        for values in table.about.get("study", {}).get("entrants", ())
        if values["columns"][0] in kept
    )


def screened(table: StudyTable) -> tuple[Screened, ...] | None:
    """Return how the screen of a study ended; None where it goes on, () where there is none."""
    entrants = find_entrants(table)
    probes = {each.name: _cells(table, each.columns[0]) for each in entrants}
    if any(_waits(cell) for cells in probes.values() for cell in cells.values()):
        return None
    probed = {name: found for name, cells in probes.items() if (found := _probed(cells)) is not None}
    return screen(entrants, probed, margin=table.margin)


def is_screening(table: StudyTable) -> bool:
    """Return whether a study's screen goes on."""
    return screened(table) is None


def at_stage(table: StudyTable) -> StudyTable:
    """Return the table of what has its turn by now: the probes of a screen that goes on, or all but who it left out."""
    entrants = find_entrants(table)
    if not entrants:
        return table
    ended = screened(table)
    if ended is None:
        kept = dict.fromkeys(each.columns[0] for each in entrants)
        cells = {(name, labels): cell for name in kept for labels, cell in _cells(table, name).items()}
    else:
        out = {name for each in ended if not each.goes_on for name in each.entrant.columns}
        kept = dict.fromkeys(column.name for column in table.columns if column.name not in out)
        cells = {place: cell for place, cell in table.cells.items() if place[0] in kept}
    columns = tuple(column for column in table.columns if column.name in kept)
    return dataclasses.replace(table, columns=columns, cells=cells)


def _cells(table: StudyTable, column: str) -> dict[str, Cell]:
    """Return budget -> cell of a probe, with what the screen sees of it."""
    seen = table.probed_seeds
    return {
        labels: dataclasses.replace(cell, replicates=tuple(each for each in cell.replicates if each.seed in seen))
        for (name, labels), cell in table.cells.items()
        if name == column
    }


def _waits(cell: Cell) -> bool:
    """Return whether a replicate has not had its end; one that failed by itself has."""
    return any(each.status in (None, RunStatus.killed) for each in cell.replicates)


def _probed(cells: Mapping[str, Cell]) -> Probed | None:
    """Return what the replicates of a probe reached inside their labels; None where none finished."""
    finished = {(labels, each.seed): each for labels, cell in cells.items() for each in cell.finished}
    loss = {
        place: min(losses)
        for place, each in finished.items()
        if each.selection is not None
        and (losses := [trial.loss for trial in each.selection.trials if trial.loss is not None])
    }
    accuracy = {place: each.metrics[_ACCURACY] for place, each in finished.items() if _ACCURACY in each.metrics}
    return Probed(loss=loss, accuracy=accuracy) if finished else None
