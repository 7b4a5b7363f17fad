"""Which classes of a source a run tells apart."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tlexp.config.casting import nearest
from tlexp.data.images import Images, Source, Subset, digest_lines
from tlexp.data.splits import split_meant
from tlexp.errors import DataError
from tlexp.terminal import list_item

_TYPED = 8
"""So many names are written out where they are to be typed."""
_PLAIN = re.compile(r"-[\w. -]*\w", re.ASCII)
"""A name after a minus that Hydra takes as it is; others need quotes."""
NEITHER = "neither"
"""The class of images that show none of the others, see `neither`."""
_ESCAPE = r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr\\])"
"""What `printable` makes of a character."""
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
"""Alphabets of which letters are drawn alike, as Unicode calls them."""
_CONFUSABLE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456\u0458\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
    "\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0131\u0251\u0261\u0585\u057d01I|\u2010\u2011\u2012\u2013\u2014\u2212",
    "abekmhopctyxsijdqwabekmhopctyxsijaikvoptuxabezhikmnoptyxiagouolll------",
)
"""Cyrillic, Greek and other letters -> the Latin ones that they look like, 0, 1, I and | -> o and l, dashes -> -."""
_UNSORTED = {
    "unsorted", "to sort", "todo", "to do", "misc", "miscellaneous", "various", "other", "others", "rest", "new folder",
    "untitled folder", "unsortiert", "unsortierte", "zu sortieren", "sonstige", "sonstiges", "verschiedenes",
    "diverses", "neuer ordner", "non trie", "non tries", "a trier", "divers", "autre", "autres", "nouveau dossier",
    "sin clasificar", "por clasificar", "varios", "otros", "nueva carpeta", "da ordinare", "varie", "altro", "altri",
    "nuova cartella", "ongesorteerd", "overig", "overige", "nieuwe map", "outros", "nova pasta", "разное",
    "новая папка", "未分类", "新建文件夹", "未分類",
}  # fmt: skip
"""What people call a folder of all that is in no other, without accents, digits and signs."""
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
"""Characters that show nothing although Unicode counts them as letters or marks."""


def choose_classes(
    found: Sequence[str], wanted: Sequence[str] | None, *, where: str, at_least: int = 2, offer: str = ""
) -> tuple[str, ...]:
    """Return the classes of a source, in its order; of those that are wanted, where any are.

    >>> choose_classes(["cat", "dog", "unsorted"], ["-unsorted"], where="photos")
    ('cat', 'dog')

    Args:
        found: Printable names.
        wanted: `data.classes`, in any order: names, or each after a minus to take all others; None takes all.
        where: The source for messages.
        at_least: So many classes are needed, as configurations know of names to take, but not of those to leave out.
        offer: What may be meant where too few are left, for messages.

    Raises:
        DataError: A named class is not there, some are taken and others left out, too few are left, or two names look
            alike, see `look`.
    """
    left_out = _left_out(found, wanted)
    named = [name for name in wanted or () if name in found or not name.startswith("-")]
    unknown = [
        _blanks_apart(name, found) or f"{list_item(name)}{nearest(name, found)}"
        for name in (*named, *left_out)
        if name not in found
    ]
    if unknown:
        raise DataError(
            f"data.classes: {', '.join(unknown)} not in {where}, which has {len(found)} classes: {listed(found)}"
        )
    if left_out and named:
        raise DataError(
            f"data.classes takes {listed(named)} and leaves out {listed(left_out)}: name those to take, or those to "
            "leave out, each after a minus"
        )
    chosen = taken_classes(found, wanted)
    if wanted is not None and len(chosen) < at_least:
        raise DataError(
            f"data.classes leaves {listed(chosen) or 'no class'} of {where}, and {at_least} are needed: it has "
            f"{listed(found)}{offer and f'; {offer}'}"
        )
    if twins := alike(chosen):
        one, other = map(coded, twins)
        raise DataError(
            f"{where}: classes {one} and {other} differ only in case, blanks, invisible characters or the coding of "
            "letters; rename or merge them"
        )
    return chosen


def taken_classes(found: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return those of the names of a source that `data.classes` takes, as `choose_classes` without its checks."""
    left_out = _left_out(found, wanted)
    return tuple(name for name in found if (name not in left_out if left_out or wanted is None else name in wanted))


def _left_out(found: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the names after a minus; one that a class has as it is stands for that class."""
    return [name[1:] for name in wanted or () if name.startswith("-") and name not in found]


def leaving_out(names: Sequence[str]) -> str:
    """Return what to type to leave classes out; of many, or of names with quotation marks, how.

    >>> print(leaving_out(["unsorted", "big, wild"]))
    'data.classes=[-unsorted,"-big, wild"]'
    """
    if len(names) > _TYPED or any(set("\"'\\") & set(name) for name in names):
        return "data.classes=[-NAME,...]"
    minus = [f"-{name}" for name in names]
    typed = ",".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in minus)
    return f"'data.classes=[{typed}]'"


def alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names that look the same, see `look`; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(look(name), name)
        if first != name:
            return first, name
    return None


def look(name: str) -> str:
    r"""Return what is left of a printable name without case, blanks at its ends, invisible characters and codings.

    Names of one look are one folder on some systems and two on others, or cannot be told apart by people.

    >>> look("Cat\u200b") == look("\uff43\uff41\uff54") == look("cat")
    True
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _raw(name)).casefold())
    seen = "".join(char for char in plain if not _shows_nothing(char))
    return " ".join(seen.split())


def _raw(name: str) -> str:
    """Return what `printable` was given."""
    return re.sub(_ESCAPE, lambda escape: escape[0].encode().decode("unicode_escape"), name)


def _shows_nothing(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or char in _UNSEEN


def _skeleton(name: str) -> str:
    """Return a name with letters and digits in place of those that they cannot be told from (Unicode's TR 39)."""
    return look(name.translate(_CONFUSABLE)).translate(_CONFUSABLE)


def _alphabets(name: str) -> set[str]:
    """Return the alphabets of a name among those whose letters look alike."""
    return {unicodedata.name(char, "").partition(" ")[0] for char in name if char.isalpha()} & _ALIKE


def name_notes(classes: Sequence[str]) -> Iterator[str]:
    """Say which names of classes people would read wrongly, or that may be those of splits.

    >>> list(name_notes(["cat", "dog"]))
    []
    """
    if unseen := [name for name in classes if any(map(_shows_nothing, _raw(name)))]:
        yield f"the name of class {listed(unseen)} holds characters that do not show"
    if blank := [f"'{name}'" for name in classes if name != name.strip()]:
        yield f"the name of class {listed(blank)} begins or ends with a blank, which has to be typed too"
    if mixed := [name for name in classes if len(_alphabets(name)) > 1]:
        alphabets = " and ".join(sorted(_alphabets(mixed[0])))
        yield f"the name of class {coded(mixed[0])} mixes letters that look alike, {alphabets}"
    first: dict[str, str] = {}
    pairs = [(first.setdefault(_skeleton(name), name), name) for name in classes]
    if twins := [(one, other) for one, other in pairs if one != other]:
        more = f", as do {len(twins) - 1} others" if len(twins) > 1 else ""
        yield f"classes {' and '.join(map(coded, twins[0]))} look alike{more}, but are classes of their own"
    if len(splits := [name for name in classes if split_meant(name)]) > 1:
        yield f"classes {listed(splits)} are called as splits are; a root of splits is named by data.root"


def unsorted_names(classes: Sequence[str]) -> list[str]:
    """Return the names that people give to a folder of all that is in no other: they may be names of no class.

    >>> unsorted_names(["cat", "_todo", "Neuer Ordner (2)", "\u00c0 trier", "resting"])
    ['_todo', 'Neuer Ordner (2)', '\u00c0 trier']
    """
    return [name for name in classes if _words(name) in _UNSORTED]


def _words(name: str) -> str:
    """Return a name in lower case without accents, digits and signs."""
    plain = "".join(char for char in unicodedata.normalize("NFD", look(name)) if unicodedata.category(char) != "Mn")
    return re.sub(r"[\W\d_]+", " ", plain).strip()


def with_nearest(name: str, known: Iterable[str]) -> str:
    r"""Return a name with a question for the known one that is meant, if any looks like it or is spelled nearly so.

    >>> with_nearest("x\u2013ray", ["x-ray"]), with_nearest("cats", ["cat"]), with_nearest("elk", ["cat"])
    ('x\\u2013ray (did you mean x-ray?)', 'cats (did you mean cat?)', 'elk')
    """
    names = list(known)
    if apart := _blanks_apart(name, names):
        return apart
    if twin := next((each for each in names if _skeleton(each) == _skeleton(name)), None):
        return f"{coded(name)} (did you mean {coded(twin)}?)"
    return f"{name}{nearest(name, names)}"


def _blanks_apart(name: str, known: Iterable[str]) -> str:
    """Return a name with the known one that differs from it in blanks alone, both in quotation marks; "" without one.

    >>> print(_blanks_apart("red  fox", ["cat", "red fox"]))
    "red  fox" (did you mean "red fox"? other blanks stand in it)
    """
    twin = next((each for each in known if each.split() == name.split()), None)
    return "" if twin is None else f'"{name}" (did you mean "{twin}"? other blanks stand in it)'


def coded(name: str) -> str:
    """Return a name in ASCII, other characters by their numbers: people cannot tell them apart."""
    return name.encode("ascii", "backslashreplace").decode()


def keep_classes(source: Source, wanted: Sequence[str] | None, *, where: str, at_least: int) -> Source:
    """Return a source with the wanted classes alone, see `choose_classes`."""
    chosen = choose_classes(source.classes, wanted, where=where, at_least=at_least)
    if chosen == source.classes:
        return source
    number = {source.classes.index(name): label for label, name in enumerate(chosen)}

    def subset(images: Images) -> Subset:
        places = np.flatnonzero(np.isin(images.labels, list(number)))
        labels = np.array([number[int(label)] for label in images.labels[places]], np.int64)
        return Subset(images=images, places=places, labels=labels)

    return dataclasses.replace(
        source,
        classes=chosen,
        pool=subset(source.pool),
        held_out=subset(source.held_out),
        digest=digest_lines([["classes", list(chosen)], source.digest]),
    )


def require_equal(expected: Sequence[str], other: Sequence[str], *, where: str, than: str, way_out: str) -> None:
    """Refuse a split with different classes: numbered each on its own, labels would silently shift.

    Raises:
        DataError: Classes are missing, or there are others.
    """
    spell = coded if alike((*expected, *(set(other) - set(expected)))) else str
    differences = [
        f"{word} {listed([*map(spell, names)])}"
        for word, names in (
            ("missing", sorted(set(expected) - set(other))),
            ("extra", sorted(set(other) - set(expected))),
        )
        if names
    ]
    if differences:
        raise DataError(f"{where} has other classes than {than}: {'; '.join(differences)}; {way_out}")


def listed(names: Sequence[str]) -> str:
    """Return the first twenty names and how many more there are; one that holds a comma is told from two.

    >>> print(listed(["cat", "dog, small"]))
    cat, "dog, small"
    """
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(map(list_item, names[:20])) + more
