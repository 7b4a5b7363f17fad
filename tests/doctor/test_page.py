import re

from tests.doctor.conftest import Examine, a_gallery
from tlexp.data.copies import Copy, CopyKind
from tlexp.doctor.chapters import GROUPS, LINES, OF_GROUP, PAIRS, SUSPECTS, build_chapters
from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.findings import list_findings
from tlexp.doctor.page import build_page

EVIL = "<script>alert(1)</script>\"'&"


def page_of(diagnosis: Diagnosis) -> str:
    chapters = build_chapters(diagnosis, list_findings(diagnosis, "groups.csv"))
    return build_page(f"Checkup of {EVIL}", [EVIL], chapters, diagnosis.gallery)


def test_names_are_escaped_and_nothing_is_loaded(examined: Examine) -> None:
    shown = [0, 1] * 20
    labels = shown.copy()
    labels[0] = 1
    gallery = a_gallery(labels, shown=shown, tested=10, names=[f"{EVIL}{place}" for place in range(40)])
    page = page_of(examined(gallery, (5, 36), (3, 4), skipped=((EVIL, EVIL),), notes=(EVIL,)))
    assert "<script" not in page
    assert page.count("alert(1)") > 10
    assert set(re.findall(r'(?:src|href)="([^"]{0,22})', page)) == {"data:image/jpeg;base64"}
    assert "http" not in page


def test_rows_are_cards_on_narrow_screens_and_each_cell_says_its_column(examined: Examine) -> None:
    page = page_of(examined(a_gallery([0, 1] * 20, tested=10), (5, 36)))
    [narrow] = re.findall(r"@media \(max-width:40rem\)\{(.*?)\}\}", page, re.DOTALL)
    assert "thead{display:none}" in narrow
    assert "tr{display:block" in narrow
    assert "content:attr(data-head)" in page
    heads = re.findall('<td data-head="(.*?)"', page)
    assert heads[:5] == ["", "found", "", "such as", "what to do"], "what is counted is said in the cell itself"
    assert len(heads) == page.count("<td")


def test_the_parts_come_in_order(examined: Examine) -> None:
    shown = [0, 1] * 20
    gallery = a_gallery([1, 1, 1, *shown[3:]], shown=shown, tested=10)
    copy = Copy(name="a/1", same_as="a/2", split="train", kind=CopyKind.repeated, label=0, digest="0" * 64)
    page = page_of(examined(gallery, (5, 36), (7, 9), skipped=(("a", "b"),), copies=(copy,)))
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == [
        "Found",
        "Images, classes and sizes",
        "Unreadable files",
        "Exact copies",
        "Near copies across splits",
        "Near copies across classes",
        "Groups",
        "Suspect labels",
        "Classes that are confused",
        "What budgets leave",
    ]


def test_what_was_not_found_has_no_part_of_its_own(examined: Examine) -> None:
    page = page_of(examined(a_gallery([0, 1] * 20, tested=10)))
    titles = ["Nothing found", "Images, classes and sizes", "What budgets leave"]
    assert re.findall("<h2>(.*?)</h2>", page) == titles
    assert "Looked for: unreadable files (of 40 images), exact copies across classes" in page
    assert "None" not in page


def test_a_page_shows_so_many_images_and_lines_at_most(examined: Examine) -> None:
    shown = [0, 1] * 100
    labels = [1 - label if place % 3 == 0 else label for place, label in enumerate(shown)]
    pairs = [(place, 199 - place) for place in range(100)]
    diagnosis = examined(
        a_gallery(labels, shown=shown, tested=100),
        *pairs,
        skipped=tuple((str(place), "broken") for place in range(300)),
    )
    page = page_of(diagnosis)
    assert page.count("<img ") <= SUSPECTS + 2 * 2 * PAIRS + GROUPS * OF_GROUP
    assert page.count(": broken</li>") == LINES
    assert "<li>... and 100 more, in bad-images.txt</li>" in page
