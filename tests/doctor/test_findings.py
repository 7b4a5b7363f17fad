import dataclasses
import re
import shlex

import numpy as np
import pytest

from tests.doctor.conftest import Examine, a_gallery
from tlexp.compose.load import load
from tlexp.data.classes import choose_classes
from tlexp.data.copies import Copy, CopyKind
from tlexp.doctor.findings import Finding, confusion_words, list_findings, remainder_words, size_words, unsorted_words

LABELS = [0, 1] * 20


def by_key(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.key: finding for finding in findings}


def a_copy(kind: CopyKind) -> Copy:
    return Copy(name="a/1", same_as="a/2", split="train", kind=kind, label=0, digest="0" * 64)


def test_nothing_found_is_told_and_does_not_count(examined: Examine) -> None:
    findings = list_findings(examined(a_gallery(LABELS, tested=10)), "groups.csv")
    assert [(finding.key, finding.count, finding.counts) for finding in findings] == [
        (key, 0, False)
        for key in (
            *("unreadable", "copies_torn", "copies_tested", "copies_repeated", "near_copies_across_splits"),
            *("near_copies_across_classes", "bursts_across_splits", "other_groups", "suspects"),
        )
    ]


def test_what_matters_counts(examined: Examine) -> None:
    shown = LABELS.copy()
    shown[0] = 1
    diagnosis = examined(
        a_gallery(LABELS, shown=shown, tested=10),
        *((2, 4), (5, 36), (7, 38)),
        skipped=(("a/9", "broken"),),
        copies=tuple(map(a_copy, CopyKind)),
    )
    found = by_key(list_findings(diagnosis, "outputs/x/groups.csv"))
    assert {key for key, finding in found.items() if not finding.counts} == {
        "other_groups",
        "copies_repeated",
        "bursts_across_splits",
    }
    assert found["unreadable"].of == "of 45 images"
    assert found["near_copies_across_splits"].count == 2
    assert found["near_copies_across_splits"].of == "of 10 test images (20.0%)"
    assert found["near_copies_across_splits"].advice == "data.group=outputs/x/groups.csv data.on_leak=move"
    assert found["near_copies_across_classes"].count == 4
    others = found["other_groups"]
    assert (others.count, others.of) == (2, "in 1 group"), "the others are told of above"
    assert others.example == "0/2.png, 0/4.png ..."
    assert (found["suspects"].count, found["suspects"].example) == (1, "0/0.png looks like b")
    assert found["copies_torn"].example == "a/1 = a/2"


def test_bursts_across_splits_matter(examined: Examine) -> None:
    gallery = a_gallery(LABELS, tested=10)
    diagnosis = examined(gallery, (5, 37))
    groups = diagnosis.kinship.groups.copy()
    groups[[4, 36]], groups[[30, 32]] = 4, 30
    kinship = dataclasses.replace(diagnosis.kinship, groups=groups)
    found = by_key(list_findings(dataclasses.replace(diagnosis, kinship=kinship), "outputs/x/groups.csv"))
    finding = found["bursts_across_splits"]
    assert (finding.count, finding.of, finding.example, finding.counts) == (1, "of 10 test images", "0/36.png", True)
    assert finding.advice == found["other_groups"].advice == "data.group=outputs/x/groups.csv data.on_leak=move"
    assert (found["near_copies_across_splits"].count, found["other_groups"].count) == (1, 2)


def test_groups_are_not_advised_where_runs_refuse_them(examined: Examine) -> None:
    diagnosis = dataclasses.replace(examined(a_gallery(LABELS, tested=10), (5, 37)), groupable=False)
    found = by_key(list_findings(diagnosis, "groups.csv"))
    assert [found[key].advice for key in ("near_copies_across_splits", "bursts_across_splits", "other_groups")] == [
        ""
    ] * 3


def test_suspects_are_not_looked_for_where_each_class_has_one_image(examined: Examine) -> None:
    diagnosis = examined(a_gallery([0, 1, 2], tested=1))
    assert by_key(list_findings(diagnosis, "g"))["suspects"].of == (
        "not looked for: no class has images that could vouch for it"
    )
    assert (diagnosis.suspects, diagnosis.confusions, diagnosis.accuracy, diagnosis.unjudged) == ([], [], None, 3)
    assert " tell an accuracy of 0.90 to " in size_words(diagnosis), "which no probe has"


def test_words(examined: Examine) -> None:
    shown = LABELS.copy()
    shown[0] = shown[2] = 1
    pairs = [(place, place + 2) for place in range(0, 24, 2)]
    diagnosis = examined(a_gallery(LABELS, shown=shown, tested=10), *pairs)
    [pair] = diagnosis.confusions
    assert confusion_words(diagnosis, pair) == "a and b: 2 of 20 images of a look like b, 0 of 20 the other way round."
    assert remainder_words(diagnosis) == (
        "each of the 2 classes has 15 images, those of a in 3 groups, to learn from: labels=5 leaves 10 for other "
        "seeds and repeats groups, 20 wants more, 100 wants more"
    )
    assert size_words(diagnosis) == (
        "10 test images tell an accuracy of 0.95, the frozen probe's, to ± 0.139: too few to tell ten points apart"
    )


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (
            (30, 30, 30),
            "each of the 3 classes has 30 images to learn from: labels=5 leaves 25 for other seeds, 20 leaves 10, 100 ",
        ),
        (
            (30, 20, 30),
            "b, the smallest class, has 20 images to learn from: labels=5 leaves 15 for other seeds, 20 leaves 0, 100 ",
        ),
        (
            (30, 20, 20),
            "b, one of the 2 smallest classes, has 20 images to learn from: labels=5 leaves 15 for other seeds, 20 ",
        ),
    ],
)
def test_a_class_is_called_the_smallest_where_others_are_larger(
    counts: tuple[int, ...], told: str, examined: Examine
) -> None:
    assert remainder_words(examined(a_gallery(np.repeat(range(3), counts).tolist()))).startswith(told)


def test_a_class_that_may_be_none_is_named_with_what_speaks_for_it(examined: Examine) -> None:
    labels = [0, 1, 2, 2] * 10
    gallery = a_gallery(labels, shown=[0, 1] * 20)
    named = dataclasses.replace(gallery, classes=("ant", "bee", "Neuer Ordner (2)"))
    [told] = unsorted_words(examined(named))
    found = re.fullmatch(
        r"Neuer Ordner \(2\) may be no class, by its name; (\d+) of its 20 images look like other classes, (\d+) of 20 "
        r"of theirs like it; to leave it out: (.*)",
        told,
    )
    assert found is not None
    assert int(found[1]) + int(found[2]) > 10, "its images are those of the others"
    [word] = shlex.split(found[3])
    assert choose_classes(named.classes, load([word]).config.data.classes, where="here") == ("ant", "bee")
    [told] = unsorted_words(examined(dataclasses.replace(a_gallery(labels), classes=("ant", "bee", "other"))))
    assert "; 0 of its 20 images look like other classes, 0 of 20 of theirs like it; " in told
    two = dataclasses.replace(a_gallery(LABELS), classes=("ant", "misc"))
    assert [words.rpartition("; ")[2] for words in unsorted_words(examined(two))] == ["sort its images"]
    assert list(unsorted_words(examined(gallery))) == []


def test_a_class_that_spoils_larger_budgets_is_named_with_what_to_type(examined: Examine) -> None:
    told = remainder_words(examined(a_gallery([0] * 4 + [1] * 20 + [2] * 25)))
    assert told == (
        "a, the smallest class, has 4 images to learn from: labels=5 wants more, 20 wants more, 100 wants more; "
        "without a up to 20 are possible: 'data.classes=[-a]'"
    )
    gallery = dataclasses.replace(a_gallery([0] * 4 + [1] * 4 + [2] * 25 + [3] * 25), classes=("a, b", "c", "d", "e"))
    told = remainder_words(examined(gallery))
    assert told.endswith("""; without "a, b", c up to 25 are possible: 'data.classes=["-a, b",-c]'""")
    [word] = shlex.split(told.partition("possible: ")[2])
    taken = load([word]).config.data.classes
    assert choose_classes(gallery.classes, taken, where="here") == ("d", "e"), "what is told can be typed"
    assert "without" not in remainder_words(examined(a_gallery([0] * 4 + [1] * 20))), "one class is none to tell apart"
    assert "without" not in remainder_words(examined(a_gallery([0] * 19 + [1] * 20 + [2] * 25)))
