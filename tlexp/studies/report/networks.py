"""What a report says of the networks that a study screened: what each costs, and what the screen said of it."""

import itertools
from collections.abc import Sequence

from tlexp.paths import csv_bytes
from tlexp.studies.analysis.findings import Difference, Findings, Interval
from tlexp.studies.analysis.screen import Entrant, Screened, prior_favourite
from tlexp.studies.analysis.table import StudyTable
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.labels import budget_name, with_labels
from tlexp.studies.report.sentences import in_percent, in_points

_UNKNOWN, _MOST_CHEAPER = "–", 3
_READ_BY = {
    "avg": ("the average of its patches", "its class token"),
    "token": ("its class token", "the average of its patches"),
}
"""timm's pooling -> what it takes of a network with a class token, and what its other one takes."""


def network_table(findings: Findings) -> TextTable:
    """Return the networks, those with the least probe loss first; a star marks the front of accuracy and cost.

    What an image took in milliseconds is told as it was measured when the study began; no star rests on it.
    """
    front, labels = pareto_front(findings), _compared(findings)
    rows = []
    for each in findings.screened:
        entrant, facts = each.entrant, each.entrant.facts
        best = _best(findings, entrant, labels)
        rows.append(
            (
                f"{entrant.name}{' *' if entrant.name in front else ''}",
                each.why,
                _UNKNOWN if each.excess is None else f"+{each.excess:.3f}",
                _UNKNOWN if best is None else f"{best:.3f}",
                str(facts.get("licence") or "not known"),
                _told(facts.get("megabytes"), "{:.0f}"),
                _told(facts.get("image_size"), "{:g}"),
                f"{entrant.operations / 1e6:,.0f}",
                _told(facts.get("milliseconds"), "{:.1f}"),
                _told(entrant.prior, "{:.1f} %"),
            )
        )
    return TextTable(
        title=f"{findings.table.screens.capitalize()}; a star: no other is as accurate on the test images for fewer "
        "operations",
        head=(
            *(
                findings.table.screens[:-1],
                "screen",
                "probe loss",
                "accuracy" if labels is None else f"accuracy, {budget_name(labels)}",
            ),
            *("licence", "MB", "px"),
            *("M operations per image", "ms per image", "ImageNet, own px"),
        ),
        rows=tuple(rows),
    )


def networks_csv(findings: Findings) -> bytes:
    """Return what the table tells, with all digits."""
    head = ("network", "goes_on", "screen", "excess_loss", "behind", "balanced_accuracy", "front", "licence")
    front, labels = pareto_front(findings), _compared(findings)
    rows = (
        (
            *(each.entrant.name, each.goes_on, each.why, each.excess, each.behind),
            *(_best(findings, each.entrant, labels), each.entrant.name in front, each.entrant.facts.get("licence")),
            *(each.entrant.facts.get("megabytes"), each.entrant.facts.get("parameters")),
            *(each.entrant.facts.get("image_size"), each.entrant.operations, each.entrant.facts.get("milliseconds")),
            each.entrant.prior,
        )
        for each in findings.screened
    )
    return csv_bytes([(*head, "megabytes", "parameters", "image_size", "operations", "milliseconds", "prior"), *rows])


def pareto_front(findings: Findings) -> frozenset[str]:
    """Return the finalists that no other beats for as few operations, in accuracy at the largest budget of all.

    One alone is beaten by none, and on no front.
    """
    accuracies = reached_by_networks(findings)
    reached = {
        each.entrant.name: (each.entrant.operations, accuracies[each.entrant.name])
        for each in findings.screened
        if each.entrant.name in accuracies and len(accuracies) > 1
    }
    return frozenset(
        name
        for name, (cost, accuracy) in reached.items()
        if not any(
            other != name and less <= cost and more >= accuracy and (less, more) != (cost, accuracy)
            for other, (less, more) in reached.items()
        )
    )


def reached_by_networks(findings: Findings) -> dict[str, float]:
    """Return the accuracy of each network that has one, by its best column at the largest budget of all."""
    labels = _compared(findings)
    found = {each.entrant.name: _best(findings, each.entrant, labels) for each in findings.screened}
    return {name: accuracy for name, accuracy in found.items() if accuracy is not None}


def not_looked_at(names: Sequence[str], count: int, screens: str) -> str:
    """Return which of so many networks or sizes a screen has not looked at.

    >>> not_looked_at(["lite0"], 2, "networks")
    '1 of 2 networks was not looked at: lite0'
    """
    return f"{len(names)} of {count} {screens} {'was' if len(names) == 1 else 'were'} not looked at: {', '.join(names)}"


def unseen_notices(table: StudyTable) -> tuple[str, ...]:
    """Return which networks or sizes the screen has not looked at, in one sentence; none where it looked at all."""
    if not table.unseen:
        return ()
    looked_at = table.about["study"]["entrants"]  # those that were left out have no column in the table of the finals
    return (f"{not_looked_at(table.unseen, len(looked_at) + len(table.unseen), table.screens)}.",)


def reading_lines(findings: Findings) -> tuple[str, ...]:
    """Return of each network that was looked at in two ways which of them stands for it."""
    return tuple(
        _reading(first, second)
        for first, second in itertools.combinations(findings.screened, 2)
        if first.entrant.network == second.entrant.network
    )


def _reading(chosen: Screened, left: Screened) -> str:
    """Return which reading of a network stands for it; that which does so comes first."""
    other = next(pooling for each in (chosen, left) if (pooling := each.entrant.pooling) is not None)
    by = {entrant.name: _READ_BY[other][not entrant.reads] for entrant in (chosen.entrant, left.entrant)}
    told = f"{chosen.entrant.network} is read by {by[chosen.entrant.name]} ({chosen.entrant.name})"
    if chosen.excess is None or left.excess is None:
        return f"{told}: the probe losses of both are not known."
    less = left.excess - chosen.excess
    return f"{told}: inside the labels its probe loses {less:.3f} less than by {by[left.entrant.name]}."


def owner(findings: Findings, column: str) -> Entrant | None:
    """Return the network or size that a column is of; None where it is of none that was screened."""
    return next((each.entrant for each in findings.screened if column in each.entrant.columns), None)


def cheaper_lines(findings: Findings) -> tuple[str, ...]:
    """Return what the cheaper networks or sizes lose against what is taken with the most labels, the dearest first.

    Of those on the front of accuracy and cost their best column is told, of three at most.
    """
    taken = findings.last_taken
    own = None if taken is None or taken.column is None else owner(findings, taken.column)
    if taken is None or taken.column is None or own is None:
        return ()
    front, bounds = pareto_front(findings), {each.column: each.bound for each in taken.candidates}
    here = with_labels(taken.labels).replace("With", "with", 1)
    lines = []
    for each in sorted((each.entrant for each in findings.screened), key=lambda each: -each.operations):
        pairs = (_difference(findings, taken.labels, taken.column, name) for name in each.columns)
        lost = min((pair for pair in pairs if pair is not None), key=lambda pair: pair.value, default=None)
        if lost is None or lost.value <= 0 or each.operations >= own.operations:
            continue
        bound = bounds.get(lost.second)  # none of one that has left after a round
        most = "" if bound is None or bound == 1 else f" (95 %: {in_points(bound)} at most)"
        if each.name in front:
            lines.append(
                f"{lost.second} loses {100 * lost.value:.1f} points{most} {here}, for "
                f"{in_percent(each.operations / own.operations)} of the operations per image"
            )
    return tuple(lines[:_MOST_CHEAPER])


def gain_lines(findings: Findings) -> tuple[str, ...]:
    """Return the network to take with each budget, the largest first, and what looking gained over the favourite."""
    entrants = [each.entrant for each in findings.screened]
    if not entrants:
        return ()
    favourite = prior_favourite(entrants)
    if len(entrants) == 1:
        return (f"{_described(favourite)}. Nothing else was looked at: what looking gains was not measured.",)
    told: dict[str, list[str]] = {}
    for each in findings.recommendations:
        entrant = None if each.column is None else owner(findings, each.column)
        if each.column is not None and entrant is not None:
            text = f"{_described(entrant)}. {_gain(findings, each.labels, each.column, favourite)}"
            told.setdefault(text, []).append(each.labels)
    largest_first = sorted(told, key=lambda text: -findings.table.budgets.index(told[text][-1]))
    return tuple(f"{with_labels(*told[text])} {text}" for text in largest_first)


def _described(entrant: Entrant) -> str:
    facts = entrant.facts
    licence = facts.get("licence")
    return (
        f"{entrant.name}: licence {licence or 'not known'}, {_told(facts.get('megabytes'), '{:.0f}')} MB, "
        f"{_told(facts.get('image_size'), '{:g}')} px, {entrant.operations / 1e6:,.0f} M operations per image"
    )


def _gain(findings: Findings, labels: str, taken: str, favourite: Entrant) -> str:
    """Return how much better what is taken is than the favourite's best column, as far as that was measured."""
    among = " of those that were looked at" if findings.table.unseen else ""  # what is known of the others is not kept
    why = f"which ImageNet's results favour{among}" if favourite.prior is not None else f"the cheapest{among}"
    of = f"a reading of {favourite.reads}, " if favourite.reads else ""
    named = f"{favourite.name}, {of}{why}"
    if taken in favourite.columns:
        gained = "chose its reading and gained nothing else" if favourite.reads else "gained nothing over it"
        return f"It is {named}: looking at these images {gained}."
    rival = _best_column(findings, favourite, labels)
    pair = None if rival is None else _difference(findings, labels, taken, rival)
    if pair is None:
        return f"What looking at these images gained over {named} was not measured."
    ends = ""
    if pair.alone_low is not None and pair.alone_high is not None:
        chance = ", which may be chance" if pair.alone_low <= 0 <= pair.alone_high else ""
        ends = f" (95 %: {100 * pair.alone_low:+.1f} to {100 * pair.alone_high:+.1f}){chance}"
    better = f"{abs(100 * pair.value):.1f} points {'better' if pair.value >= 0 else 'worse'}"
    favoured = f"ImageNet's results favour {favourite.name}{among}"
    if favourite.prior is None:
        favoured = f"{favourite.name} is the cheapest{among}"
    return f"{favoured}: on these images {taken} is {better} than its best, {rival}{ends}."


def _accuracy(findings: Findings, column: str, labels: str) -> Interval | None:
    cell = findings.cells.get((column, labels))
    return None if cell is None else cell.accuracy


def _difference(findings: Findings, labels: str, first: str, second: str) -> Difference | None:
    """Return how much better one column is than another; None where nothing compares them."""
    pairs = (
        each for each in findings.differences if each.labels == labels and {each.first, each.second} == {first, second}
    )
    return next((each if each.first == first else each.turned() for each in pairs), None)


def _best(findings: Findings, entrant: Entrant, labels: str | None) -> float | None:
    """Return the highest mean of an entrant's columns at a budget."""
    column = None if labels is None else _best_column(findings, entrant, labels)
    found = None if column is None else _accuracy(findings, column, str(labels))
    return None if found is None else float(found.value)


def _best_column(findings: Findings, entrant: Entrant, labels: str) -> str | None:
    """Return the column of an entrant with the highest mean at a budget."""
    means = {name: found.value for name in entrant.columns if (found := _accuracy(findings, name, labels))}
    return max(means, key=lambda name: means[name], default=None)


def _compared(findings: Findings) -> str | None:
    """Return the largest budget that all networks with an accuracy have; None where they share none."""
    entrants = [each.entrant for each in findings.screened]
    reached = [
        {labels for labels in findings.table.budgets if _best(findings, entrant, labels) is not None}
        for entrant in entrants
    ]
    shared = set.intersection(*measured) if (measured := [each for each in reached if each]) else set()
    return next((labels for labels in reversed(findings.table.budgets) if labels in shared), None)


def _told(value: object, form: str) -> str:
    return _UNKNOWN if not isinstance(value, int | float) else form.format(value)
