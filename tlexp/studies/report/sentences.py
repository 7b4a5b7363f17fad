"""Recommendations in sentences for people: what to do, why, and what would change it."""

import math
import re
from dataclasses import dataclass

from tlexp.studies.analysis.findings import CellFinding, Findings, Interval, Recommendation, Verdict
from tlexp.studies.analysis.intervals import TestImages
from tlexp.studies.analysis.table import Column
from tlexp.studies.report.labels import with_labels


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Puts a recommendation into words.

    Attributes:
        findings: Of the study.
        recommendation: One of its.
    """

    findings: Findings
    recommendation: Recommendation

    def sentence(self) -> str:
        """Return the answer in one sentence, and in another one what stands above it without competing."""
        return f"{self._answer()}{self._outdone()}"

    def _answer(self) -> str:
        recommendation, budget = self.recommendation, with_labels(self.recommendation.labels)
        if recommendation.best is None:
            return f"{budget} nothing was measured."
        leads = f"{recommendation.best} has the highest mean, {self._mean(recommendation.best)}"
        match recommendation.verdict:
            case Verdict.one_seed:
                return f"{budget} it is undecided: one seed gives no interval; {leads}."
            case Verdict.alone:
                mean = self._mean(recommendation.best)
                return f"{budget} {recommendation.best} alone could be measured, {mean}: there is nothing to compare."
            case Verdict.chance:
                return f"{budget} nothing is recommended: {self._guessing(recommendation.best)}"
            case Verdict.undecided:
                return f"{budget} it is undecided: {self._contenders()}; {leads}; {self._fallback()}."
        assert recommendation.column is not None
        return f"{budget} {self._advised(recommendation.column)}"

    def _contenders(self) -> str:
        contenders, candidates = self.recommendation.contenders, self.recommendation.candidates
        return (
            f"the data cannot tell {len(contenders)} of {len(candidates)} columns apart well enough "
            f"({', '.join(contenders)})"
        )

    def _fallback(self) -> str:
        """Return what to take where nothing is decided, and which contenders count where some are guessing."""
        beating = [self.recommendation.candidate(name).beats_guessing for name in self.recommendation.contenders]
        guessing = " that beats guessing" if any(beating) and not all(beating) else ""
        return f"if you must choose now, take {self.recommendation.cheapest}, the cheapest of them{guessing}"

    def _advised(self, column: str) -> str:
        """Return what is recommended, with its accuracy and why it is taken."""
        recommendation, margin = self.recommendation, self.findings.table.margin
        none = "an accuracy that no shared seed tells"
        accuracy = (
            none if recommendation.accuracy is None else f"{format_interval(recommendation.accuracy)}, cross-fitted"
        )
        start, saving = f"{advice(self._column(column))}: {accuracy}; it", self._saving(column)
        if recommendation.verdict is Verdict.cheaper:
            return f"{start} loses less than {margin:g} against the best{saving}."
        if recommendation.candidate(column).worst_loss <= 0:
            return f"{start} is distinguishably better than every other column{saving}."
        saving = saving.replace(" and", ", and it", 1)
        return f"{start} has the highest mean, no other is better by {margin:g}{saving}."

    def reasons(self) -> tuple[str, ...]:
        """Return why, a sentence each."""
        recommendation = self.recommendation
        if recommendation.best is None or recommendation.cheapest is None:
            return ()
        reasons = [self._highest(recommendation.best)]
        if recommendation.verdict in (Verdict.best, Verdict.cheaper, Verdict.undecided):
            reasons.append(self._bound(recommendation.cheapest, recommendation.best))
        if recommendation.column is not None and recommendation.column != recommendation.best:
            reasons += self._seconds(recommendation.column, recommendation.best)
        if recommendation.column is not None and recommendation.accuracy is not None:
            reasons.append(
                "The accuracy in the sentence is cross-fitted, estimated on images and seeds that did not choose the "
                f"column; the mean of {recommendation.column} in the tables is {self._mean(recommendation.column)}."
            )
        reasons += [
            f"{name} has a single finished replicate, no interval, and is left out." for name in recommendation.left_out
        ]
        return (*reasons, *self._failures())

    def change(self) -> str:
        """Return what would change it, that which helps most first."""
        recommendation = self.recommendation
        match recommendation.verdict:
            case Verdict.nothing:
                return "Replicates that finish."
            case Verdict.one_seed:
                return "A second data seed gives intervals; ten are the protocol's."
            case Verdict.alone:
                return "A second column with at least two finished replicates."
            case Verdict.chance:
                return f"{self._narrower()} Else more labels, or labels that have more to do with the images."
            case Verdict.undecided:
                return f"{self._narrower()} {self._wider_margin()}".strip()
        assert recommendation.column is not None
        worst = recommendation.candidate(recommendation.column).worst_loss
        limit = f"Any margin from {rounded_up(worst)} on recommends {recommendation.column}, or a cheaper column."
        return f"{limit if worst > 0 else 'No smaller margin would.'} {self._wider_margin()}".strip()

    def _highest(self, best: str) -> str:
        recommendation = self.recommendation
        over = f"{len(recommendation.seeds)} shared seeds" if len(recommendation.seeds) != 1 else "one seed"
        return (
            f"{best} has the highest mean, {recommendation.candidate(best).mean:.3f}, over {over} and "
            f"{len(self.findings.table.labels)} test images."
        )

    def _bound(self, column: str, best: str) -> str:
        recommendation = self.recommendation
        candidate = recommendation.candidate(column)
        loss = recommendation.candidate(best).mean - candidate.mean
        against = "" if column == best else f" loses {loss:.3f} against it and"
        compared = len(recommendation.candidates) + len(recommendation.left_out)
        rule = f"the margin is {self.findings.table.margin:g}; 95 %, at once over all pairs of {compared} columns"
        if candidate.worst_loss <= 0:
            return f"{column} is distinguishably better than every other column ({rule})."
        if candidate.worst_loss >= 1:
            return f"{column}{against} has no bound of its loss against every other column ({rule})."
        most = rounded_up(candidate.worst_loss)
        return f"{column}{against} may lose {most} at most against any other column ({rule})."

    def _guessing(self, best: str) -> str:
        """Return that nothing is better than guessing, with the intervals by which that was tested."""
        table, count = self.findings.table, len(self.recommendation.candidates)
        chance = f"{TestImages(labels=table.labels).chance:.3f}"
        several = f"none of the {count} columns that compete is distinguishably better than guessing ({chance})"
        tested = several if count > 1 else f"the only column is not distinguishably better than guessing ({chance})"
        at_once = f", an interval that holds at once over all {count}" if count > 1 else ""
        controls = " Controls do not count." if any(not column.competes for column in table.columns) else ""
        accuracy = format_interval(self.recommendation.candidate(best).accuracy)
        return f"{tested}; {best} has the highest mean, {accuracy}{at_once}.{controls}"

    def _outdone(self) -> str:
        """Return a warning where a column that does not compete is better, its interval above that of the highest."""
        best = self.recommendation.best
        highest = None if best is None else self._cell(best).accuracy
        if highest is None or highest.high is None:
            return ""
        above = []
        for column in self.findings.table.columns:
            cell = None if column.competes else self.findings.cells.get((column.name, self.recommendation.labels))
            own = None if cell is None else cell.accuracy
            if own is not None and own.low is not None and own.low > highest.high:
                above.append((own.value, f"{column.name} ({column.title}) {format_interval(own)}"))
        names = ", ".join(text for _, text in sorted(above, reverse=True))
        return f" But beside them, never recommended, these reach more: {names}." if names else ""

    def _saving(self, column: str) -> str:
        """Return ` and trains 38 % of the parameters`; nothing where that is not known."""
        share = self.recommendation.candidate(column).trained_share
        if share is None:
            return ""
        return f" and trains {'less than 1' if share < 0.01 else f'{100 * share:.0f}'} % of the parameters"

    def _seconds(self, column: str, best: str) -> list[str]:
        own, other = self._cell(column).seconds, self._cell(best).seconds
        if own is None or other is None:
            return []
        return [f"A replicate of {column} takes {own:.3g} seconds, one of {best} {other:.3g}."]

    def _failures(self) -> list[str]:
        cells = [self._cell(candidate.column) for candidate in self.recommendation.candidates]
        return [
            f"{cell.column}: {cell.failed} of {cell.count + cell.failed + cell.missing} replicates did not finish."
            for cell in cells
            if cell.failed
        ]

    def _narrower(self) -> str:
        """Return what narrows the intervals, that which makes the larger part of their width first."""
        share = self.recommendation.image_share
        if share is None:
            return "More data seeds narrow the intervals."
        first, then, part = ("test images", "data seeds", share)
        if share < 0.5:
            first, then, part = then, first, 1 - share
        return (
            f"More {first} narrow the intervals most: {100 * part:.0f} % of their squared width is due to them; more "
            f"{then} come second."
        )

    def _wider_margin(self) -> str:
        """Return the margin that would have recommended another column; nothing where none is sensible."""
        column = self.recommendation.with_wider_margin
        if column is None:
            return ""
        worst = self.recommendation.candidate(column).worst_loss
        return (
            f"A margin of {rounded_up(worst)} would have recommended {column}; but the margin is chosen before a "
            "study, and one that is raised after the results promises nothing."
        )

    def _mean(self, column: str) -> str:
        """Return a column's own mean with the interval of the tables."""
        accuracy = self._cell(column).accuracy
        assert accuracy is not None
        return format_interval(accuracy)

    def _cell(self, column: str) -> CellFinding:
        return self.findings.cells[column, self.recommendation.labels]

    def _column(self, name: str) -> Column:
        return next(column for column in self.findings.table.columns if column.name == name)


def explain(findings: Findings) -> tuple[Explanation, ...]:
    """Return the words of each recommendation, in the order of the budgets."""
    return tuple(
        Explanation(findings=findings, recommendation=recommendation) for recommendation in findings.recommendations
    )


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


def format_interval(interval: Interval) -> str:
    """Return an estimate with its interval, `0.742 (0.720 .. 0.763)`."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f} (one seed)"
    return f"{interval.value:.3f} ({interval.low:.3f} .. {interval.high:.3f})"


def rounded_up(bound: float) -> str:
    """Return a bound with three decimals, rounded up, so that a margin of that size is above it.

    >>> rounded_up(0.0), rounded_up(0.0123), rounded_up(0.01)
    ('0.001', '0.013', '0.011')
    """
    return f"{(math.floor(bound * 1000 + 1e-9) + 1) / 1000:.3f}"
