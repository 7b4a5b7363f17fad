"""Recommendations in sentences for people: what to take, what that may cost, how sure it is, what would decide it."""

import math
from dataclasses import dataclass

import numpy as np

from tlexp.confidence import CONFIDENCE
from tlexp.studies.analysis.findings import (
    CellFinding,
    Findings,
    Interval,
    Recommendation,
    Sureness,
    is_all_that_fits,
)
from tlexp.studies.analysis.intervals import LEAST_GROUPS, TestImages
from tlexp.studies.analysis.table import Column
from tlexp.studies.report.labels import with_labels

HOW_SURE = {Sureness.decided: "decided", Sureness.nearly: "nearly decided", Sureness.open: "open"}
"""Degrees of sureness where columns could be compared."""
_MOST_NAMED = 6


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
        """Return which column to take, what that may cost and how sure it is; then what a reader may ask next."""
        return " ".join(part for part in (self.answer(), self.details()) if part)

    def answer(self) -> str:
        """Return the answer of a budget: which column to take, what that may cost, and how sure it is."""
        return "".join(self.answer_parts())

    def answer_parts(self) -> tuple[str, str]:
        """Return the answer in two parts, what to take and the rest."""
        recommendation, budget = self.recommendation, with_labels(self.recommendation.labels)
        if recommendation.best is None:
            return f"{budget} nothing was measured", "."
        if recommendation.column is None:
            return f"{budget} nothing is recommended", f": {self._guessing(recommendation.best)}"
        taken, accuracy = f"{budget} take {recommendation.column}", recommendation.accuracy
        if self.is_all_that_fits:
            taken = f"{budget} only {recommendation.column} was measured"
        reached = "" if accuracy is None else f": balanced accuracy {format_interval(accuracy, digits=2)}"
        return taken, f", {self.title}{reached}. {capitalised(self.bound())}."

    @property
    def title(self) -> str:
        """What the column to take is, without the network or size that its name begins with."""
        column = self._column(self.recommendation.column)
        return column.title.removeprefix(f"{column.entrant}: ") if column.entrant else column.title

    @property
    def is_all_that_fits(self) -> bool:
        """Whether the minutes left out everything that the column would be compared with."""
        return is_all_that_fits(self.findings.table, self.recommendation)

    @property
    def is_bounded(self) -> bool:
        """Whether a figure says what the column to take may lose."""
        bound = self.recommendation.bound
        return self.recommendation.sureness in HOW_SURE and bound is not None and bound < 1

    def bound(self, *, said: str = "") -> str:
        """Return what the column to take may lose, and how sure that makes it; nothing where nothing is taken.

        Args:
            said: How few columns were compared, as a larger budget has told; that is not told again.
        """
        recommendation, bound = self.recommendation, self.recommendation.bound
        match recommendation.sureness:
            case Sureness.nothing | Sureness.chance:
                return ""
            case Sureness.one_seed:
                return "one seed bounds nothing: how much better another column may be is open"
            case Sureness.few_groups:
                return (
                    f"the test images are of {self._groups} groups, and a bound takes {LEAST_GROUPS}: how much better "
                    "another column may be is open"
                )
            case Sureness.alone:
                if self.is_all_that_fits:
                    return "all that it would be compared with was left out by study.minutes: nothing is recommended"
                here = self.recommendation.labels
                rivals = [column.name for column in self.findings.table.columns if column.competes]
                cells = (self.findings.cells.get((name, here)) for name in rivals)
                if any(cell is not None and cell.missing for cell in cells):
                    return "it alone was measured so far: there is nothing to compare yet"
                return "it alone could be measured: there is nothing to compare"
        if bound is None:
            return "how much better another may be is open: two columns share too few seeds for a bound"
        sure = f"({CONFIDENCE:.0%}): {HOW_SURE[recommendation.sureness]}".replace("%", " %")
        sure = ". ".join(filter(None, (sure, self.compared if self.compared != said else "")))
        if bound == 0:
            return f"it is better than every other column that competes {sure}"
        compared = len(recommendation.candidates)
        if bound == 1:
            return (
                f"how much better another may be is open: so few data seeds bound nothing of {compared} columns at once"
            )
        if compared == len(recommendation.contenders) > 1:
            return (
                f"{'both' if compared == 2 else f'all {compared}'} columns that compete may be the best; what "
                f"{recommendation.column} loses against the best is at most {in_points(bound)} {sure}"
            )
        return f"no column that competes is better by more than {in_points(bound)} {sure}"

    @property
    def compared(self) -> str:
        """How few columns were compared; nothing where the minutes left none out."""
        if not self.findings.table.lacks_columns(self.recommendation.labels):
            return ""
        count = len({*(each.column for each in self.recommendation.candidates), *self.recommendation.dropped})
        return f"Only {count} columns were compared: the others did not fit into study.minutes"

    @property
    def chance(self) -> str:
        """What guessing reaches."""
        return f"{TestImages(labels=self.findings.table.labels).chance:.3f}"

    def details(self) -> str:
        """Return what is known besides of the column to take, what would decide it, and what stands beside it."""
        parts = (self.cost(), self.deciding(), self.contenders(), self.outdone())
        return " ".join(part for part in parts if part)

    def taken(self) -> str:
        """Return the accuracy of the column to take, and what it trains; nothing where nothing is taken."""
        column, accuracy = self.recommendation.column, self.recommendation.accuracy
        if column is None:
            return ""
        told = "No shared seed tells its accuracy."
        if accuracy is not None:
            told = f"Its accuracy is {format_interval(accuracy)}, cross-fitted."
        return f"{told} {self.cost()}".rstrip()

    def cost(self) -> str:
        """Return what the column to take trains; nothing where nothing is taken or that is not known."""
        column = self.recommendation.column
        share = None if column is None else self._share(column)
        return "" if share is None else f"It trains {share} of the parameters."

    def _share(self, column: str) -> str | None:
        """Return the share of the parameters that a column trains; None where that is not known, or all train alike."""
        told = {
            each.column: in_percent(each.trained_share)
            for each in self.recommendation.candidates
            if each.trained_share is not None
        }
        return told.get(column) if len(set(told.values())) > 1 or len(self.recommendation.candidates) == 1 else None

    def deciding(self) -> str:
        """Return what would decide it, so far as more of the same would; nothing where it is decided."""
        deciding, images = self.recommendation.deciding, self.recommendation.images
        if deciding is None:
            return ""
        seeds = "" if deciding.seeds is None else f"about {deciding.seeds} data seeds (study.seeds={deciding.seeds})"
        photos = "" if deciding.images is None else f"about {deciding.images:,} test images"
        if seeds:
            either = f"{seeds} would decide it{f', or {photos}' if photos else ''}."
            return capitalised(either)
        alone = f"Data seeds alone would not decide it, for {images:,} test images leave {in_points(deciding.least)}"
        if deciding.least <= self._margin or deciding.pool:
            alone = "A hundred data seeds would not decide it"
        if photos:
            return f"{alone}; {photos} would."
        if deciding.both is not None:
            return f"{alone}; about {deciding.both[0]} data seeds and {deciding.both[1]:,} test images together would."
        if deciding.pool:
            return (
                "No number of data seeds or test images would decide it: all seeds draw from one pool, and share so "
                "many images that little can be said of another pool."
            )
        return f"{alone}, nor would a hundred times as many test images."

    def contenders(self) -> str:
        """Return what cannot be told from the best beside the column to take, with what it trains."""
        if self.recommendation.sureness not in HOW_SURE:
            return ""
        others = [name for name in self.recommendation.contenders if name != self.recommendation.column]
        if not others:
            surely = all(left.surely for left in self.recommendation.dropped.values())
            told = surely and self.recommendation.bound != 0
            return "Everything else is surely worse than the best." if told else ""
        named = [self._with_cost(name) for name in others[:_MOST_NAMED]]
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        return f"Not told from the best: {', '.join(named)}{more}."

    def _with_cost(self, name: str) -> str:
        share = self._share(name)
        return name if share is None else f"{name} (trains {share})"

    def reasons(self) -> tuple[str, ...]:
        """Return why, a sentence each."""
        recommendation = self.recommendation
        if recommendation.best is None:
            return ()
        reasons = [self._highest(recommendation.best)]
        column = recommendation.column
        if column is not None and column != recommendation.best:
            loss = recommendation.candidate(recommendation.best).mean - recommendation.candidate(column).mean
            why = ", and it costs no more"
            if recommendation.leeway is not None:
                error = f"the standard error of their difference over the seeds ({recommendation.leeway:.3f})"
                why = f", no more than {error}: then the network is taken that ImageNet's results favour"
            reasons.append(f"The mean of {column} is {loss:.3f} lower{why}.")
        if column is not None and recommendation.accuracy is not None and column != recommendation.best:
            reasons.append(f"In the tables {column} has {self._mean(column)}.")
        reasons += [
            f"{name} has a single finished run, no interval, and is left out." for name in recommendation.left_out
        ]
        return (*reasons, *self._failures())

    def change(self) -> str:
        """Return what would change it."""
        match self.recommendation.sureness:
            case Sureness.nothing:
                return "Runs that finish."
            case Sureness.one_seed:
                return "A second data seed gives bounds, and three are where rounds begin (study.seeds=3)."
            case Sureness.few_groups:
                return f"Images of more groups: test images of {LEAST_GROUPS} groups or more give bounds."
            case Sureness.alone if self.is_all_that_fits:
                return (
                    "More study.minutes, fewer budgets (study.labels), or frozen networks alone (study.depths=[all])."
                )
            case Sureness.alone:
                return "A second column with at least two finished runs."
            case Sureness.chance:
                return (
                    "More data seeds and test images narrow the intervals. Else more labels, or labels that have more "
                    "to do with the images."
                )
            case Sureness.decided:
                return "Nothing has to: it is decided within the margin."
        return self.deciding() or "Runs of all columns with the same data seeds."

    def _highest(self, best: str) -> str:
        recommendation = self.recommendation
        over = f"{len(recommendation.seeds)} shared seeds" if len(recommendation.seeds) != 1 else "one seed"
        return (
            f"{best} has the highest mean, {recommendation.candidate(best).mean:.3f}, over {over} and "
            f"{recommendation.images:,} test images{self._in_all}."
        )

    @property
    def _in_all(self) -> str:
        """Nothing, or that no seed is tested on all of the images by itself."""
        table = self.findings.table
        return "" if table.split in (None, len(table.labels)) else " in all seeds together"

    def _guessing(self, best: str) -> str:
        """Return that nothing is better than guessing, with the intervals by which that was tested."""
        table, count = self.findings.table, len(self.recommendation.candidates)
        guessing = f"distinguishably better than guessing ({self.chance})"
        none = f"none of the {count} columns that compete is" if count > 1 else "the only column is not"
        at_once = f", an interval that holds at once over all {count}" if count > 1 else ""
        controls = " Controls do not count." if any(not column.competes for column in table.columns) else ""
        accuracy = format_interval(self.recommendation.candidate(best).accuracy)
        return f"{none} {guessing}; {best} has the highest mean, {accuracy}{at_once}.{controls}"

    def outdone(self) -> str:
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
        return f"Beside them, never recommended, these reach more: {names}." if names else ""

    def _failures(self) -> list[str]:
        cells = [self._cell(candidate.column) for candidate in self.recommendation.candidates]
        return [
            f"{cell.column}: {cell.failed} of {cell.count + cell.failed + cell.missing} runs did not finish."
            for cell in cells
            if cell.failed
        ]

    def _mean(self, column: str) -> str:
        """Return a column's own mean with the interval of the tables."""
        accuracy = self._cell(column).accuracy
        assert accuracy is not None
        return format_interval(accuracy)

    @property
    def _groups(self) -> int:
        """How many groups the test images are of, where they have any."""
        groups = self.findings.table.groups
        return 0 if groups is None else len(np.unique(groups))

    @property
    def _margin(self) -> float:
        return self.findings.table.margin

    def _cell(self, column: str) -> CellFinding:
        return self.findings.cells[column, self.recommendation.labels]

    def _column(self, name: str | None) -> Column:
        return next(column for column in self.findings.table.columns if column.name == name)


def explain(findings: Findings) -> tuple[Explanation, ...]:
    """Return the words of each recommendation, in the order of the budgets."""
    return tuple(
        Explanation(findings=findings, recommendation=recommendation) for recommendation in findings.recommendations
    )


def format_interval(interval: Interval, *, digits: int = 3) -> str:
    """Return an estimate with its interval, `0.742 (0.720 .. 0.763)`."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.{digits}f} (no interval)"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} .. {interval.high:.{digits}f})"


def capitalised(text: str) -> str:
    """Return a text as a sentence begins: `str.capitalize` changes the names in it.

    >>> capitalised("it takes X")
    'It takes X'
    """
    return f"{text[:1].upper()}{text[1:]}"


def in_points(difference: float) -> str:
    """Return a difference of accuracies in hundredths, rounded up.

    >>> in_points(0.0123), in_points(0.01), in_points(0.005)
    ('1.3 points', '1 point', '0.5 points')
    """
    points = f"{math.ceil(difference * 1000 - 1e-9) / 10:g}"
    return f"{points} point{'' if points == '1' else 's'}"


def in_percent(share: float) -> str:
    """Return a fraction in hundredths.

    >>> in_percent(0.384), in_percent(0.002)
    ('38 %', 'less than 1 %')
    """
    return f"{'less than 1' if share < 0.01 else f'{100 * share:.0f}'} %"
