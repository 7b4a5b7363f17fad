"""What a decision amounts to, in sentences for people."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tlexp.config.labels import parse_labels
from tlexp.study.decision import Decision, trained
from tlexp.study.differences import shared_seeds, stacked
from tlexp.study.findings import CellFinding, Interval, Verdict
from tlexp.study.intervals import TestImages, spread
from tlexp.study.table import Column, StudyTable

_LARGEST_MARGIN = 0.2
"""Nobody would call a column that loses more nearly as good."""


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
        """Return the answer in one sentence."""
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
                    f"take {self._name(self._cheapest_contender())}, the cheapest of them."
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
            given.append(self._bound(found.contenders[0] if found.chosen is not None else self._cheapest_contender()))
        if found.chosen is not None and found.chosen != found.best:
            given += self._seconds(found.chosen, found.best)
        if found.chosen is not None and self.accuracy is not None:
            given.append(
                "The accuracy in the sentence is cross-fitted, estimated on images and seeds that did not choose the "
                f"column; the mean of {self._name(found.chosen)} in the tables is {self._mean(found.chosen)}."
            )
        given += [f"{name} has a single finished replicate, no interval, and is left out." for name in found.left_out]
        return (*given, *self._failures())

    def change(self) -> str:
        """Return what would change it."""
        found = self.decision
        match found.verdict:
            case Verdict.nothing:
                return "Replicates that finish."
            case Verdict.one_seed:
                return "A second data seed gives intervals; ten are the protocol's."
            case Verdict.alone:
                return "A second column with at least two finished replicates."
            case Verdict.chance:
                return f"{self._narrower()} Else more labels, or labels that have more to do with the images."
            case Verdict.undecided:
                return f"{self._narrower()} {self._margin(range(len(found.candidates)))}".strip()
        assert found.chosen is not None
        limit = f"Any margin from {_above(found.worst[found.chosen])} on recommends {self._name(found.chosen)}"
        limit = f"{limit}, or a cheaper column."
        if found.worst[found.chosen] <= 0:
            limit = "No smaller margin would."
        cheaper = found.order[: found.order.index(found.chosen)]
        return f"{limit} {self._margin(cheaper)}".strip()

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
        rule = f"the margin is {self.table.margin:g}; 95 %, at once over all pairs of {self._compared()} columns"
        if found.worst[place] <= 0:
            return f"{self._name(place)} is distinguishably better than every other column ({rule})."
        if found.worst[place] >= 1:
            return f"{self._name(place)}{against} has no bound of its loss against every other column ({rule})."
        most = _above(found.worst[place])
        return f"{self._name(place)}{against} may lose {most} at most against any other column ({rule})."

    def _compared(self) -> int:
        """Return how many columns the family is about."""
        return len(self.decision.candidates) + len(self.decision.left_out)

    def _cheapest_contender(self) -> int:
        """Return the cheapest of those that may be the best; those that are better than guessing come first."""
        found = self.decision
        return min(found.contenders, key=lambda place: (not found.above[place], found.order.index(place)))

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

    def _margin(self, places: Sequence[int]) -> str:
        """Return the margin that would have recommended one of the columns; nothing where none is sensible."""
        known = [place for place in places if self.decision.worst[place] < _LARGEST_MARGIN]
        if not known:
            return ""
        first = min(known, key=lambda place: self.decision.worst[place])
        return (
            f"A margin of {_above(self.decision.worst[first])} would have recommended {self._name(first)}; but the "
            "margin is chosen before a study, and one that is raised after the results promises nothing."
        )

    def _narrower(self) -> str:
        """Return what narrows the intervals, that which makes the larger part of their width first."""
        share = self._image_share()
        if math.isnan(share):
            return "More data seeds narrow the intervals."
        first, then, part = ("test images", "data seeds", share)
        if share < 0.5:
            first, then, part = then, first, 1 - share
        return (
            f"More {first} narrow the intervals most: {100 * part:.0f} % of their squared width is due to them; more "
            f"{then} come second."
        )

    def _image_share(self) -> float:
        """Return the images' share of the squared width that decides: of the best alone, or of the best two; or nan."""
        found, alone = self.decision, self.decision.verdict is Verdict.chance
        places = found.contenders if len(found.contenders) > 1 else found.ranked
        cells = [found.candidates[place] for place in places[: 1 if alone else 2]]
        seeds = shared_seeds(cells)
        if len(seeds) < 2:
            return math.nan
        first, *others = stacked(cells, seeds)
        compared = self._compared()
        family = len(found.candidates) if alone else compared * (compared - 1) // 2
        return float(spread(sum((-other for other in others), first), self.images).image_share(family))

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
        return self.decision.candidates[place].column

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

    >>> from tlexp.study.table import Role
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


def _above(bound: float) -> str:
    """Return a bound with three decimals, rounded up, so that a margin of that size is above it.

    >>> _above(0.0), _above(0.0123), _above(0.01)
    ('0.001', '0.013', '0.011')
    """
    return f"{(math.floor(bound * 1000 + 1e-9) + 1) / 1000:.3f}"
