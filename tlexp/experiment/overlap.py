"""Images that a network is to be measured on although it has learned from them, and what its own test says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tlexp.tracking import names, read_record
from tlexp.train.metrics import Limits, wilson_interval


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Of how many images which share was right, with Wilson's 95 % interval."""

    images: int
    accuracy: float
    interval: Limits

    @classmethod
    def of(cls, right: int, images: int) -> Self | None:
        """Return it; None of no image."""
        if not images:
            return None
        return cls(images=images, accuracy=right / images, interval=wilson_interval(right, images))

    def __str__(self) -> str:
        """Return value and interval for people."""
        low, high = self.interval
        return f"{self.accuracy:.3f} ({low:.3f} .. {high:.3f})"


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What is to be measured on images that were seen before.

    Attributes:
        images: All that were read.
        seen: Those of them that the network learned from, or its settings were chosen on.
        others: The accuracy on all others; None where there is none.
        own_test: That of the run's own test; None where the run is not at hand.
    """

    images: int
    seen: int
    others: Accuracy | None
    own_test: Accuracy | None

    @classmethod
    def of(cls, seen: NDArray[np.bool_] | None, right: NDArray[np.bool_], own_test: Accuracy | None) -> Self | None:
        """Return it; None where no image was seen, or nobody knows.

        Args:
            seen: Whether each image was, (N,).
            right: Whether each was classified right, (N,).
            own_test: Of the run.
        """
        if seen is None or not seen.any():
            return None
        others = Accuracy.of(int((right & ~seen).sum()), int((~seen).sum()))
        return cls(images=len(seen), seen=int(seen.sum()), others=others, own_test=own_test)

    def told(self) -> str:
        """Return it for people: the others alone are measured, where there are any.

        >>> test = Accuracy.of(47, 48)
        >>> Overlap(images=240, seen=240, others=None, own_test=test).told()
        "240 of 240 images were learned from: this says little of new ones; the run's own test, \
on 48 images that it had not seen, says 0.979 (0.891 .. 0.996)"
        >>> Overlap(images=240, seen=1, others=Accuracy.of(230, 239), own_test=None).told()
        '1 of 240 images was learned from, and counts in no measure here; accuracy on the 239 others: \
0.962 (0.930 .. 0.980)'
        """
        was, counts = ("was", "counts") if self.seen == 1 else ("were", "count")
        told = f"{self.seen:,} of {self.images:,} images {was} learned from"
        if self.others is None:
            told += ": this says little of new ones"
        else:
            told += f", and {counts} in no measure here; accuracy on the {self.others.images:,} others: {self.others}"
        if self.own_test is not None:
            unseen = f"{self.own_test.images:,} images that it had not seen"
            told += f"; the run's own test, on {unseen}, says {self.own_test}"
        return told


def own_test(run: Path) -> Accuracy | None:
    """Return what the run of a folder found on its test split; None where the folder is no run's.

    Raises:
        TrackingError: Its record is damaged.
    """
    if not (run / names.RECORD_FILE).is_file():
        return None
    record = read_record(run)
    accuracy = record.metrics.get(names.split_metric("test", "accuracy"))
    if accuracy is None or record.data is None:
        return None
    images = sum(record.data.counts.get("test", {}).values())
    return Accuracy.of(round(accuracy * images), images)
