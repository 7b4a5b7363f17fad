"""What a decision amounts to, in sentences for people."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tlexp.config.labels import parse_labels
from tlexp.studies.analysis.decision import Decision, trained
from tlexp.studies.analysis.findings import CellFinding, Interval, Verdict
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.table import Column, StudyTable
from tlexp.studies.report.remedies import rounded_up


@dataclass(frozen=True, kw_only=True)
class Account:
    """Tells a decision.

    Attributes:
        table: What was measured.
        decision: About one budget.
        accuracy: Cross-fitted, of the recommended column; None where nothing is recommended.
        images: Of the test split.
        cells: What each cell shows.
    """

    table: StudyTable
    decision: Decision
    accuracy: Interval | None
    images: TestImages
    cells: Mapping[tuple[str, str], CellFinding]

    def sentence(self) -> str:
        """Return the answer in one sentence, and in another one what stands above it without competing."""
        return f"{self._answer()}{self._outdone()}"

    def _answer(self) -> str:
        found, budget = self.decision, with_labels(self.decision.labels)
        if found.best is None:
            return f"{budget} nothing was measured."
        best = self._name(found.best)
        leads = f"{best} has the highest mean, {self._mean(found.best)}"
        match found.verdict:
            case Verdict.one_seed:
                return f"{budget} it is undecided: one seed gives no interval; {leads}."
            case Verdict.alone:
                return (
                    f"{budget} {best} alone could be measured, {self._mean(found.best)}: there is nothing to compare."
                )
            case Verdict.chance:
                return f"{budget} nothing is recommended: {self._guessing()}"
            case Verdict.undecided:
                names = ", ".join(self._name(place) for place in found.contenders)
                return (
                    f"{budget} it is undecided: the data cannot tell {len(found.contenders)} of "
                    f"{len(found.candidates)} columns apart well enough ({names}); {leads}; if you must choose now, "
                    f"take {self._name(found.cheapest)}, the cheapest of them{self._guessed()}."
                )
        assert found.chosen is not None
        none = "an accuracy that no shared seed tells"
        told = none if self.accuracy is None else f"{shown(self.accuracy)}, cross-fitted"
        start = f"{budget} {advice(self._column(found.chosen))}: {told}; it"
        if found.verdict is Verdict.cheaper:
            return f"{start} loses less than {self.table.margin:g} against the best{self._saving(found.chosen)}."
        if found.worst[found.chosen] <= 0:
            return f"{start} is distinguishably better than every other column{self._saving(found.chosen)}."
        return (
            f"{start} has the highest mean, no other is better by {self.table.margin:g}"
            f"{self._saving(found.chosen).replace(' and', ', and it', 1)}."
        )

    def reasons(self) -> tuple[str, ...]:
        """Return why, a sentence each."""
        found = self.decision
        if found.best is None:
            return ()
        given = [self._highest(found.best)]
        if found.verdict in (Verdict.best, Verdict.cheaper, Verdict.undecided):
            given.append(self._bound(found.cheapest if found.chosen is None else found.chosen))
        if found.chosen is not None and found.chosen != found.best:
            given += self._seconds(found.chosen, found.best)
        if found.chosen is not None and self.accuracy is not None:
            given.append(
                "The accuracy in the sentence is cross-fitted, estimated on images and seeds that did not choose the "
                f"column; the mean of {self._name(found.chosen)} in the tables is {self._mean(found.chosen)}."
            )
        given += [f"{name} has a single finished replicate, no interval, and is left out." for name in found.left_out]
        return (*given, *self._failures())

    def _highest(self, best: int) -> str:
        seeds = self.decision.seeds
        over = f"{len(seeds)} shared seeds" if len(seeds) != 1 else "one seed"
        return (
            f"{self._name(best)} has the highest mean, {self.decision.means[best]:.3f}, over {over} and "
            f"{len(self.images.labels)} test images."
        )

    def _bound(self, place: int) -> str:
        found = self.decision
        assert found.best is not None
        loss = found.means[found.best] - found.means[place]
        against = "" if place == found.best else f" loses {loss:.3f} against it and"
        rule = f"the margin is {self.table.margin:g}; 95 %, at once over all pairs of {self.decision.compared} columns"
        if found.worst[place] <= 0:
            return f"{self._name(place)} is distinguishably better than every other column ({rule})."
        if found.worst[place] >= 1:
            return f"{self._name(place)}{against} has no bound of its loss against every other column ({rule})."
        most = rounded_up(found.worst[place])
        return f"{self._name(place)}{against} may lose {most} at most against any other column ({rule})."

    def _guessed(self) -> str:
        """Return which of the contenders count where some are no better than guessing."""
        beating = [self.decision.alone[place] for place in self.decision.contenders]
        return " that beats guessing" if any(beating) and not all(beating) else ""

    def _guessing(self) -> str:
        """Return that nothing is better than guessing, with the intervals by which that was tested."""
        found, controls = self.decision, any(not column.competes for column in self.table.columns)
        assert found.best is not None
        count, chance = len(found.candidates), f"{self.images.chance:.3f}"
        several = f"none of the {count} columns that compete is distinguishably better than guessing ({chance})"
        tested = several if count > 1 else f"the only column is not distinguishably better than guessing ({chance})"
        at_once = f", an interval that holds at once over all {count}" if count > 1 else ""
        return (
            f"{tested}; {self._name(found.best)} has the highest mean, {shown(found.reached[found.best])}{at_once}."
            f"{' Controls do not count.' if controls else ''}"
        )

    def _outdone(self) -> str:
        """Return a warning where a column that does not compete is better, its interval above that of the highest."""
        best = self.decision.best
        reached = None if best is None else self._finding(best).accuracy
        if reached is None or reached.high is None:
            return ""
        above = []
        for column in self.table.columns:
            cell = None if column.competes else self.cells.get((column.name, self.decision.labels))
            own = None if cell is None else cell.accuracy
            if own is not None and own.low is not None and own.low > reached.high:
                above.append((own.value, f"{column.name} ({column.title}) {shown(own)}"))
        names = ", ".join(told for _, told in sorted(above, reverse=True))
        return f" But beside them, never recommended, these reach more: {names}." if names else ""

    def _saving(self, place: int) -> str:
        """Return ` and trains 38 % of the parameters`; nothing where that is not known."""
        mine = trained(self._column(place), self.decision.candidates[place])
        totals = [
            each.metrics.get("cost/total_parameters", 0.0)
            for cell in self.decision.candidates
            for each in cell.finished
        ]
        known = (trained(self._column(at), cell) or 0.0 for at, cell in enumerate(self.decision.candidates))
        total = max(max(totals), *known)
        if mine is None or total <= 0:
            return ""
        part = mine / total
        return f" and trains {'less than 1' if part < 0.01 else f'{100 * part:.0f}'} % of the parameters"

    def _seconds(self, place: int, best: int) -> list[str]:
        mine, other = (self._finding(each).seconds for each in (place, best))
        if mine is None or other is None:
            return []
        return [f"A replicate of {self._name(place)} takes {mine:.3g} seconds, one of {self._name(best)} {other:.3g}."]

    def _failures(self) -> list[str]:
        findings = [self._finding(place) for place in range(len(self.decision.candidates))]
        return [
            f"{each.column}: {each.failed} of {each.count + each.failed + each.missing} replicates did not finish."
            for each in findings
            if each.failed
        ]

    def _mean(self, place: int) -> str:
        """Return a column's own mean with the interval of the tables."""
        reached = self._finding(place).accuracy
        assert reached is not None
        return shown(reached)

    def _name(self, place: int) -> str:
        return self.decision.name(place)

    def _finding(self, place: int) -> CellFinding:
        return self.cells[self._name(place), self.decision.labels]

    def _column(self, place: int) -> Column:
        return next(column for column in self.table.columns if column.name == self._name(place))


def with_labels(labels: str) -> str:
    """Return the start of a sentence about a budget.

    >>> with_labels("20"), with_labels("0.1"), with_labels("all")
    ('With 20 labels per class', 'With 10 % of the labels', 'With all labels')
    """
    budget = parse_labels(labels)
    if budget.per_class is not None:
        return f"With {budget.per_class} label{'' if budget.per_class == 1 else 's'} per class"
    return "With all labels" if budget.fraction is None else f"With {100 * budget.fraction:g} % of the labels"


def advice(column: Column) -> str:
    """Return what to do to follow a column.

    >>> from tlexp.studies.analysis.table import Role
    >>> advice(Column(name="freeze-3", title="3 of 5 units frozen (to layer2)", role=Role.depth, depth=3))
    'freeze 3 of 5 units (to layer2)'
    >>> advice(Column(name="lpft", title="linear probing, then fine-tuning", role=Role.way, depth=0))
    'take lpft (linear probing, then fine-tuning)'
    """
    words = re.fullmatch(r"(\d+ of \d+ units) frozen(.*)", column.title)
    return f"freeze {words[1]}{words[2]}" if words else f"take {column.name} ({column.title})"


def shown(found: Interval) -> str:
    """Return an estimate with its interval, `0.742 (0.720 .. 0.763)`."""
    if found.low is None or found.high is None:
        return f"{found.value:.3f} (one seed)"
    return f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})"
