"""The answer of a study: what to take with the most labels, and then with fewer, in as few sentences as that takes."""

import itertools
from dataclasses import dataclass

from tlexp.confidence import CONFIDENCE
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.report.labels import budget_name, listed, with_labels
from tlexp.studies.report.sentences import HOW_SURE, Explanation, capitalised, explain, format_interval, in_points


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to do with label budgets that lie beside each other.

    Attributes:
        told: What is recommended with each, the smallest first.
        larger: With the next larger budget, which is told before; None where there is none.
        known: Titles of columns that were told before.
    """

    told: tuple[Explanation, ...]
    larger: Explanation | None = None
    known: frozenset[str] = frozenset()

    def sentence(self) -> str:
        """Return which column to take, what that may cost, and how sure it is."""
        return "".join(self.parts())

    def parts(self) -> tuple[str, str]:
        """Return the answer in two parts, what to take and the rest; with the most labels also what it trains."""
        one = self.told[0]
        if self.larger is None:
            taken, rest = one.answer_parts()
            return taken, " ".join(filter(None, (rest, one.cost())))
        if one.recommendation.column is None:
            return one.answer_parts() if len(self.told) == 1 else self._nothing()
        title, titles = self._titles()
        sentences = (f"{title}{self._reached()}.", self._bounds(), self._changes(), titles)
        return self._taken(), " ".join(filter(None, sentences))

    def _nothing(self) -> tuple[str, str]:
        """Return that nothing is recommended with several budgets, and why."""
        found = [each.recommendation for each in self.told]
        means = [f"{each.candidate(each.best).mean:.2f}" for each in found if each.best is not None]
        if not means:
            return f"{self._with} nothing was measured", "."
        guessing = f"no column that competes is distinguishably better than guessing ({self.told[0].chance})"
        return f"{self._with} nothing is recommended", f": {guessing}; the highest means are {', '.join(means)}."

    @property
    def _with(self) -> str:
        return with_labels(*(each.recommendation.labels for each in self.told))

    def _taken(self) -> str:
        """Return what to take, budgets with the same column together."""
        columns = {each.recommendation.column for each in self.told}
        if len(columns) == 1:
            [column] = columns
            if self.told[0].is_all_that_fits:
                return f"{self._with} only {column} was measured"
            larger = self.larger
            too = larger is not None and larger.recommendation.column == column and not larger.is_all_that_fits
            return f"{self._with} take {column}{' too' if too else ''}"
        runs = itertools.groupby(self.told, lambda each: each.recommendation.column)
        (column, first), *others = [(column, tuple(each.recommendation.labels for each in run)) for column, run in runs]
        more = (f", with {listed([*map(budget_name, labels)])} {name}" for name, labels in others)
        return f"{with_labels(*first)} take {column}{''.join(more)}"

    def _titles(self) -> tuple[str, str]:
        """Return what the column is if that was not told before, or of several in a sentence of its own."""
        columns = {str(each.recommendation.column): each.title for each in self.told}
        new = {name: title for name, title in columns.items() if title not in self.known}
        if len(columns) == 1:
            return "".join(f", {title}" for title in new.values()), ""
        return "", f"Here {listed([f'{name} is {title}' for name, title in new.items()])}." if new else ""

    def _reached(self) -> str:
        accuracies = [each.recommendation.accuracy for each in self.told]
        if len(accuracies) == 1:
            return "" if accuracies[0] is None else f": balanced accuracy {format_interval(accuracies[0], digits=2)}"
        known = ("not known" if accuracy is None else f"{accuracy.value:.2f}" for accuracy in accuracies)
        return f": balanced accuracy {', '.join(known)}"

    def _bounds(self) -> str:
        """Return what may be lost, and how sure that is."""
        one = self.told[0]
        if len(self.told) == 1 or not one.is_bounded:
            return f"{capitalised(one.bound(said=self._said))}."
        best = [budget_name(each.recommendation.labels) for each in self.told if not each.recommendation.bound]
        if len(best) == len(self.told):
            return f"It is better than every other column that competes {self._sureness()}."
        at_all = f"at all with {listed(best)}, nor " if best else ""
        return f"No column that competes is better {at_all}by more than {self._points()} {self._sureness()}."

    def _points(self) -> str:
        """Return the most that may be lost, with the budgets where they differ in it."""
        open_ones = [each for each in self.told if each.recommendation.bound]
        points = [in_points(each.recommendation.bound or 0.0) for each in open_ones]
        if len({*points}) == 1 and len(open_ones) == len(self.told):
            return points[0]
        figures = (points[0], *(each.partition(" ")[0] for each in points[1:]))
        names = (budget_name(each.recommendation.labels) for each in open_ones)
        return listed([f"{figure} with {name}" for figure, name in zip(figures, names, strict=True)])

    def _sureness(self) -> str:
        """Return how sure it is with each budget, and how few columns were compared where the minutes left some out."""
        runs = itertools.groupby(self.told, lambda each: HOW_SURE[each.recommendation.sureness])
        degrees = [(degree, [budget_name(each.recommendation.labels) for each in run]) for degree, run in runs]
        sure = ", ".join(f"{degree} with {listed(names)}" for degree, names in degrees)
        compared = {each.compared for each in self.told}
        few = compared.pop() if len(compared) == 1 else "Only columns that fitted into study.minutes were compared"
        few = few if few != self._said else ""
        told = degrees[0][0] if len(degrees) == 1 else sure
        return ". ".join(filter(None, (f"({CONFIDENCE:.0%}): {told}".replace("%", " %"), few)))

    @property
    def _said(self) -> str:
        """How few columns were compared with the next larger budget, which was told before."""
        return self.larger.compared if self.larger and self.larger.is_bounded else ""

    def _changes(self) -> str:
        """Return where what is taken changes although neither is told from the other."""
        above = [*self.told, *([self.larger] if self.larger else [])]
        changes = [
            (one.recommendation.labels, other.recommendation.labels)
            for one, other in itertools.pairwise(above)
            if one.recommendation.column != other.recommendation.column and _alike(one, other)
        ]
        if not changes:
            return ""
        if len(changes) > 1:
            return "These changes may be chance: of the two columns that change places neither is known to be better."
        [(low, high)] = changes
        names = f"{budget_name(low)} and {budget_name(high)}"
        return f"The change between {names} may be chance: neither of the two columns is known to be better there."


def answers(findings: Findings) -> tuple[Answer, ...]:
    """Return the answers of a study, the largest budget first and alone: it is what people have.

    Of the others those are told together that lie beside each other, if the same is taken or what is taken cannot be
    told apart.
    """
    told = explain(findings)
    if not told:
        return ()
    groups = [told[-1:]]
    for each in told[-2::-1]:
        if len(groups) > 1 and _joins(each, groups[-1][0]):
            groups[-1] = (each, *groups[-1])
        else:
            groups.append((each,))
    found, known = [], frozenset[str]()
    for number, group in enumerate(groups):
        found.append(Answer(told=group, larger=groups[number - 1][0] if number else None, known=known))
        known |= {each.title for each in group if each.recommendation.column is not None}
    return tuple(found)


def _joins(one: Explanation, other: Explanation) -> bool:
    """Return whether two budgets are told in one sentence."""
    first, second = one.recommendation, other.recommendation
    if first.column is None or second.column is None:
        return first.sureness is second.sureness
    if not (one.is_bounded and other.is_bounded):
        return first.column == second.column and one.bound() == other.bound()
    return first.column == second.column or _alike(one, other)


def _alike(one: Explanation, other: Explanation) -> bool:
    """Return whether what is taken with two budgets cannot be told apart with either."""
    taken = {one.recommendation.column, other.recommendation.column}
    return all(taken <= {*each.recommendation.contenders} for each in (one, other))
