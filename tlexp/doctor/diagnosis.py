"""All that is found out about the images of a source, before anything is trained."""

import dataclasses
import functools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlexp.data import Source
from tlexp.data.copies import CopyKind
from tlexp.doctor.gallery import Gallery
from tlexp.doctor.grouping import join_groups
from tlexp.doctor.kinship import Kinship
from tlexp.doctor.remainder import Remainder, SmallClasses, SplitSize, budget_remainders, size_test, small_classes
from tlexp.doctor.suspects import SURE, ConfusedPair, Judgement, Suspect, find_confusions, find_suspects, judge

_MOST_CONFUSIONS = 5


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is known of a source.

    Attributes:
        name: Of the source, for people.
        source: The images that runs see, and what they leave out.
        gallery: All of them.
        kinship: What of them shows the same.
        judgement: What the probe says of their labels; None where there is nothing to learn from.
        groupable: Whether runs take `data.group=` for them.
        skipping: Whether runs were told to leave out what cannot be read.
    """

    name: str
    source: Source
    gallery: Gallery
    kinship: Kinship
    judgement: Judgement | None
    groupable: bool = True
    skipping: bool = False

    @functools.cached_property
    def groups(self) -> NDArray[np.int64]:
        """Number of each image's group, (N,): those that were found, joined with those that the source has already."""
        given = self.source.group_codes(self.gallery.images)
        return self.kinship.groups if given is None else join_groups(self.kinship.groups, given)

    @functools.cached_property
    def suspects(self) -> list[Suspect]:
        """Images that look like another class, the most confident first."""
        return [] if self.judgement is None else find_suspects(self.judgement, self.gallery.labels)

    @property
    def sure_suspects(self) -> list[Suspect]:
        """Those that count as a finding."""
        return [suspect for suspect in self.suspects if suspect.confidence >= SURE]

    @property
    def unjudged(self) -> int:
        """Images whose label nothing could be said of."""
        return len(self.gallery) if self.judgement is None else int((~self.judgement.judged).sum())

    @property
    def confusions(self) -> list[ConfusedPair]:
        """Classes that are taken for each other, the worst first."""
        if self.judgement is None:
            return []
        return find_confusions(self.judgement, self.gallery.labels, most=_MOST_CONFUSIONS)

    @property
    def accuracy(self) -> float | None:
        """The probe's share of right answers on what it did not learn from; None where there are none."""
        if self.judgement is None:
            return None
        judged = self.judgement.judged
        named = self.judgement.probabilities[judged].argmax(1)
        return float((named == self.gallery.labels[judged]).mean())

    @property
    def remainders(self) -> list[Remainder]:
        """What label budgets leave."""
        pool = self.gallery.learned
        classes = len(self.gallery.classes)
        return budget_remainders(self.gallery.labels[pool], self.groups[pool], classes=classes)

    @property
    def smallest(self) -> int:
        """How many classes have no more images to learn from than any other."""
        counts = np.bincount(self.gallery.labels[self.gallery.learned], minlength=len(self.gallery.classes))
        return int((counts == counts.min()).sum())

    @property
    def small(self) -> SmallClasses | None:
        """Classes without which larger budgets are possible."""
        return small_classes(self.gallery.labels[self.gallery.learned], classes=len(self.gallery.classes))

    @property
    def split_size(self) -> SplitSize:
        """How well the test split can tell accuracies apart."""
        return size_test(self.groups[self.gallery.tested], self.accuracy)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class in each split that runs see."""
        gallery = self.gallery
        return {
            split: dict(
                zip(
                    gallery.classes,
                    np.bincount(gallery.labels[inside], minlength=len(gallery.classes)).tolist(),
                    strict=True,
                )
            )
            for split, inside in gallery.splits.items()
        }

    @property
    def copies(self) -> Counter[CopyKind]:
        """Exact copies that runs leave out, by why."""
        return Counter(copy.kind for copy in self.source.copies)

    @property
    def listed(self) -> int:
        """All images that were listed, those that runs leave out as well."""
        return len(self.gallery) + len(self.source.skipped) + len(self.source.copies)


def diagnose(
    name: str, source: Source, gallery: Gallery, kinship: Kinship, *, groupable: bool = True, skipping: bool = False
) -> Diagnosis:
    """Return what is found out about a source; images that lie nowhere are not groupable."""
    unjudged = Diagnosis(
        name=name,
        source=source,
        gallery=gallery,
        kinship=kinship,
        judgement=None,
        groupable=groupable,
        skipping=skipping,
    )
    judgement = judge(gallery.features, gallery.labels, unjudged.groups, classes=len(gallery.classes))
    return dataclasses.replace(unjudged, judgement=judgement)
