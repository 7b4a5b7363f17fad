"""What a diagnosis says, a line each, with what to do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tlexp.data.classes import leaving_out, unsorted_names
from tlexp.data.copies import Copy, CopyKind
from tlexp.data.partition import first_names
from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.kinship import Kin
from tlexp.doctor.remainder import Remainder
from tlexp.doctor.suspects import SURE, ConfusedPair, Suspect, mistaken
from tlexp.terminal import list_item

_COPIES = {
    CopyKind.torn: "exact copies across classes",
    CopyKind.tested: "exact copies across splits",
    CopyKind.shifted: "exact copies in data.shifted",
    CopyKind.repeated: "exact copies within a split",
}
_COUNTING = (CopyKind.torn, CopyKind.tested, CopyKind.shifted)
"""Copies that say more than that somebody stored an image twice."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that was looked for.

    Attributes:
        key: Its name for programs.
        title: For people.
        count: Images that it was found in.
        of: Of how many.
        example: One of them; "" where there is none.
        advice: What to type next, or to do; "" for nothing.
        matters: Whether it counts where it was found: the exit status is 3 then.
    """

    key: str
    title: str
    count: int
    of: str
    example: str = ""
    advice: str = ""
    matters: bool

    @property
    def counts(self) -> bool:
        """Whether it was found and matters."""
        return self.matters and self.count > 0


def list_findings(diagnosis: Diagnosis, groups_file: str) -> list[Finding]:
    """Return what was looked for, in the order of the page.

    Args:
        diagnosis: Of a source.
        groups_file: Where groups.csv is written, as it is typed.
    """
    return [*_unreadable(diagnosis), *_copies(diagnosis), *_near(diagnosis, groups_file), *_suspects(diagnosis)]


def _unreadable(diagnosis: Diagnosis) -> Iterator[Finding]:
    skipped = diagnosis.source.skipped_lines
    yield Finding(
        key="unreadable",
        title="unreadable files",
        count=len(skipped),
        of=f"of {diagnosis.listed:,} images",
        example=skipped[0] if skipped else "",
        advice="left out, as data.on_bad=skip says" if diagnosis.skipping else "data.on_bad=skip, or mend them",
        matters=not diagnosis.skipping,
    )


def _copies(diagnosis: Diagnosis) -> Iterator[Finding]:
    for kind, title in _COPIES.items():
        own = [copy for copy in diagnosis.source.copies if copy.kind is kind]
        if own or kind is not CopyKind.shifted:
            yield Finding(
                key=f"copies_{kind.name}",
                title=title,
                count=len(own),
                of=f"of {diagnosis.listed:,} images",
                example=_copy(own),
                advice="runs leave them out; one label is wrong" if kind is CopyKind.torn else "runs leave them out",
                matters=kind in _COUNTING,
            )


def _copy(copies: Sequence[Copy]) -> str:
    return f"{copies[0].name} = {copies[0].same_as}" if copies else ""


def _near(diagnosis: Diagnosis, groups_file: str) -> Iterator[Finding]:
    kinship, gallery = diagnosis.kinship, diagnosis.gallery
    held_out = int(gallery.held_out.sum())
    leaked, torn, burst = kinship.leaked(gallery), kinship.torn(gallery), kinship.burst(gallery)
    told = {*leaked, *torn, *burst}
    others = [part.tolist() for part in kinship.large if told.isdisjoint(part.tolist())]
    given = diagnosis.source.held_out_from is not None or diagnosis.source.shifted is not None
    advice = f"data.group={groups_file}{' data.on_leak=move' if given else ''}" if diagnosis.groupable else ""
    share = f" ({len(leaked) / held_out:.1%})" if leaked else ""
    yield Finding(
        key="near_copies_across_splits",
        title="near copies across splits",
        count=len(leaked),
        of=f"of {held_out:,} test images{share}",
        example=_kin(diagnosis, kinship.across_splits(gallery)),
        advice=advice,
        matters=True,
    )
    yield Finding(
        key="near_copies_across_classes",
        title="near copies across classes",
        count=len(torn),
        of=f"of {len(gallery):,} images",
        example=_kin(diagnosis, kinship.across_classes(gallery)),
        advice="one label may be wrong: look at both",
        matters=True,
    )
    yield Finding(
        key="bursts_across_splits",
        title="bursts across splits",
        count=len(burst),
        of=f"of {held_out:,} test images",
        example=gallery.names[burst[0]] if burst else "",
        advice=advice,
        matters=True,
    )
    yield Finding(
        key="other_groups",
        title="other near copies and bursts",
        count=sum(map(len, others)),
        of=f"in {group_words(len(others))}" if others else f"of {len(gallery):,} images",
        example=", ".join(gallery.names[place] for place in others[0][:2]) + " ..." if others else "",
        advice=advice,
        matters=False,
    )


def _kin(diagnosis: Diagnosis, pairs: Sequence[Kin]) -> str:
    names = diagnosis.gallery.names
    return f"{names[pairs[0].first]} ~ {names[pairs[0].second]}" if pairs else ""


def _suspects(diagnosis: Diagnosis) -> Iterator[Finding]:
    sure = diagnosis.sure_suspects
    judged = len(diagnosis.gallery) - diagnosis.unjudged
    yield Finding(
        key="suspects",
        title="suspect labels",
        count=len(sure),
        of=f"of {judged:,} images, sure by {SURE:g}"
        if judged
        else "not looked for: no class has images that could vouch for it",
        example=suspect_words(diagnosis, sure[0]) if sure else "",
        advice="look at each, mend, type again",
        matters=True,
    )


def group_words(count: int) -> str:
    """Return so many groups in words."""
    return f"{count:,} group{'' if count == 1 else 's'}"


def suspect_words(diagnosis: Diagnosis, suspect: Suspect) -> str:
    """Return a suspect in words."""
    return f"{diagnosis.gallery.names[suspect.place]} looks like {diagnosis.gallery.classes[suspect.looks_like]}"


def confusion_words(diagnosis: Diagnosis, pair: ConfusedPair) -> str:
    """Return a sentence on two classes that are confused."""
    one, other = (diagnosis.gallery.classes[place] for place in pair.classes)
    return (
        f"{one} and {other}: {pair.mistaken[0]:,} of {pair.images[0]:,} images of {one} look like {other}, "
        f"{pair.mistaken[1]:,} of {pair.images[1]:,} the other way round."
    )


def unsorted_words(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield for each class that may be none what speaks for it, and what to type to leave it out."""
    classes, judgement = diagnosis.gallery.classes, diagnosis.judgement
    for name in unsorted_names(classes):
        told = f"{list_item(name)} may be no class, by its name"
        if judgement is not None:
            away, own, like, others = mistaken(judgement, diagnosis.gallery.labels, classes.index(name))
            told += (
                f"; {away:,} of its {own:,} images look like other classes, {like:,} of {others:,} of theirs like it"
            )
        yield f"{told}; {'to leave it out: ' + leaving_out([name]) if len(classes) > 2 else 'sort its images'}"


def remainder_words(diagnosis: Diagnosis) -> str:
    """Return what budgets leave of the smallest class, in words."""
    first, *_ = remainders = diagnosis.remainders
    left = (
        f"{each.labels} {f'leaves {each.left:,}' if each.left >= 0 else 'wants more'}"
        f"{' for other seeds' if each is first and each.left > 0 else ''}"
        f"{' and repeats groups' if each.left >= 0 and each.groups < each.labels else ''}"
        for each in remainders
    )
    return f"{_smallest(diagnosis, first)} to learn from: labels={', '.join(left)}{_without_small(diagnosis)}"


def _smallest(diagnosis: Diagnosis, remainder: Remainder) -> str:
    """Return how many images the smallest class has, or each where none is smaller than another."""
    name, alike, classes = diagnosis.gallery.classes[remainder.label], diagnosis.smallest, diagnosis.gallery.classes
    images = f"{remainder.images:,} image{'' if remainder.images == 1 else 's'}"
    groups = f" in {group_words(remainder.groups)}" if remainder.groups < remainder.images else ""
    if alike == len(classes):
        return f"each of the {alike:,} classes has {images}{groups and f', those of {list_item(name)}{groups},'}"
    which = "the smallest class" if alike == 1 else f"one of the {alike:,} smallest classes"
    return f"{list_item(name)}, {which}, has {images}{groups}"


def _without_small(diagnosis: Diagnosis) -> str:
    """Return what would be possible without the classes of few images, and what to type."""
    small, classes = diagnosis.small, diagnosis.gallery.classes
    if small is None:
        return ""
    left_out = [classes[label] for label in small.labels]
    without, typed = first_names(map(list_item, left_out)), leaving_out(left_out)
    return f"; without {without} up to {small.images:,} are possible: {typed}"


def size_words(diagnosis: Diagnosis) -> str:
    """Return how well the test split can tell accuracies apart, in words."""
    size, whose = diagnosis.split_size, "" if diagnosis.accuracy is None else ", the frozen probe's,"
    grouped = size.groups < size.images
    counted = f" (± {size.grouped_half_width:.3f} as {group_words(size.groups)})" if grouped else ""
    told = f"{size.images:,} test images tell an accuracy of {size.accuracy:.2f}{whose} to ± {size.half_width:.3f}"
    return f"{told}{counted}: {'too few to tell ten points apart' if size.wide else 'enough to tell ten points apart'}"
