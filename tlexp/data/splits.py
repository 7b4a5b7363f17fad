"""Which of a source's own splits label budgets are drawn from, which is held out, and how people spell their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tlexp.errors import DataError

TRAIN = "train"
HELD_OUT = ("test", "evaluation", "val")
"""What a held-out split can mean, the first that there is being taken; evaluation is either of the others to some."""

_SPELLINGS = {
    TRAIN: ("train", "training", "trn"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
    "evaluation": ("evaluation", "eval"),
    "val": ("val", "valid", "validation", "validating", "dev", "devel", "development"),
}
_MEANS = {spelling: split for split, spellings in _SPELLINGS.items() for spelling in spellings}
_FILLERS = frozenset({"seg", "set", "split", "data", "dataset", "images", "imgs", "folder"})
"""Words around a split's name that say nothing: seg_train, test_set, "Training Images"."""


def split_meant(name: str) -> str | None:
    """Return the split that a name means, in any common spelling and case; None for any other name.

    >>> [split_meant(name) for name in ("Training", "seg_test", "val2017", "hold-out", "trainset", "cat")]
    ['train', 'test', 'val', 'test', 'train', None]
    """
    if not re.fullmatch(r"[\w .-]+", name):
        return None
    word = "".join(word for word in _words(name) if word not in _FILLERS)
    return _MEANS.get(word) or _MEANS.get(word.removesuffix("set"))


def names_split(name: str) -> bool:
    """Return whether a split's word is one of a name's, as in trainA, test_rgb or "images for validation"."""
    return not _MEANS.keys().isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    """Return the words of a name in small letters, taken apart also where a capital begins."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+", spaced.casefold())


def splits_meant(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that mean a split, by what they mean; several of one meaning are left to the caller."""
    meant: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if (split := split_meant(name)) is not None:
            meant[split].append(name)
    return dict(meant)


def require_one_each(meant: Mapping[str, Sequence[str]], *, where: str, way_out: str) -> None:
    """Refuse two names that mean the same split.

    Args:
        meant: Names by the split that they mean.
        where: What has them, for the message.
        way_out: What to do about it.

    Raises:
        DataError: As said.
    """
    for split, names in meant.items():
        if len(names) > 1:
            raise DataError(f"{where}: {' and '.join(names)} both mean the {split} split; {way_out}")


def choose_held_out(given: Iterable[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that is held out, None where there is none, and a note on others that could have been.

    Of several that mean the same, the one that is spelled plainly comes first: test before holdout.

    >>> choose_held_out(["train", "validation", "Testing"])
    ('Testing', ('validation beside Testing is not used: Testing is held out as the test split',))
    """
    meant = splits_meant(given)
    plain_first = [sorted(meant.get(split, ()), key=lambda name: split_meant(name) != name) for split in HELD_OUT]
    found = [name for names in plain_first for name in names]
    if len(found) < 2:
        return (found[0] if found else None), ()
    first, *rest = found
    return first, (f"{', '.join(rest)} beside {first} is not used: {first} is held out as the test split",)
