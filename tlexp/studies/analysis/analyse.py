"""From what a study has measured to what it says."""

from tlexp.studies.analysis.crossings import find_crossings
from tlexp.studies.analysis.differences import compare, describe
from tlexp.studies.analysis.findings import Findings, last_taken
from tlexp.studies.analysis.model import describe_model
from tlexp.studies.analysis.outlook import look_ahead
from tlexp.studies.analysis.pairs import measure_pairs
from tlexp.studies.analysis.recommendation import recommend
from tlexp.studies.analysis.regrets import find_regrets
from tlexp.studies.analysis.rounds import hold_rounds
from tlexp.studies.analysis.stages import screened
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.analysis.transfer import find_gains


def analyse(table: StudyTable) -> Findings:
    """Return everything that a study's measurements say; where nothing was measured, that.

    Nothing here is drawn at random: the same table gives the same findings.
    """
    entrants = screened(table) or ()
    rounds = hold_rounds(table)
    table, images = rounds.table, rounds.images
    cells = {place: describe(table, cell, images) for place, cell in table.cells.items()}
    pairs = measure_pairs(table, images, rounds.plain)
    differences = tuple(
        pair
        for labels, look in rounds.looks.items()
        for pair in compare(table, labels, pairs, share=look.decision.share)
    )
    decisions = [look.decision for look in rounds.looks.values()]
    recommendations = tuple(recommend(table, look, rounds.dropped, images) for look in rounds.looks.values())
    return Findings(
        table=table,
        cells=cells,
        differences=differences,
        crossings=find_crossings(table, differences),
        transfer=find_gains(table, decisions, cells),
        recommendations=recommendations,
        regrets=find_regrets(table, decisions, images, pairs),
        model=describe_model(table, last_taken(table, recommendations)),
        outlook=look_ahead(table, decisions[-1], images) if decisions else None,
        screened=entrants,
    )
