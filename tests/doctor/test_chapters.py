from tests.doctor.conftest import Examine, a_gallery
from tlexp.doctor.chapters import Chapter, build_chapters
from tlexp.doctor.diagnosis import Diagnosis
from tlexp.doctor.findings import list_findings


def chapters_of(diagnosis: Diagnosis) -> dict[str, Chapter]:
    return {chapter.title: chapter for chapter in build_chapters(diagnosis, list_findings(diagnosis, "groups.csv"))}


def test_what_was_found_has_a_row_and_all_else_a_line(examined: Examine) -> None:
    chapter = chapters_of(examined(a_gallery([0, 1] * 20, tested=10), (5, 37), (7, 9)))["Found"]
    assert [row[:3] for row in chapter.rows] == [
        ("near copies across splits", "1", "of 10 test images (10.0%)"),
        ("other near copies and bursts", "2", "in 1 group"),
    ]
    [others] = chapter.lines
    assert others.startswith("Not found: unreadable files (of 40 images), exact copies across classes (of 40 images), ")
    assert others.endswith(", suspect labels (of 40 images, sure by 0.95).")
    assert not any(row[0] in others for row in chapter.rows)
    nothing = chapters_of(examined(a_gallery([0, 1, 2], tested=1)))["Nothing found"]
    assert (nothing.head, nothing.rows) == ((), ())
    assert nothing.lines[0].startswith("Looked for: unreadable files (of 3 images), ")
    assert nothing.lines[0].endswith("suspect labels (not looked for: no class has images that could vouch for it).")


def test_sizes_name_the_extremes(examined: Examine) -> None:
    sizes, files = chapters_of(examined(a_gallery([0, 1] * 4, tested=2)))["Images, classes and sizes"].paragraphs
    assert sizes == (
        "Short sides: 10 to 10 pixels, median 10. Smallest: 0/0.png (20 x 10); largest: 1/7.png (27 x 10). Widest "
        "shape: 1/7.png (27 x 10)."
    )
    assert files == "Files: 28 bytes in all; the smallest is 0/0.png (0 bytes), the largest 1/7.png (7 bytes)."


def test_leaked_test_images_are_shown_beside_what_they_copy(examined: Examine) -> None:
    chapter = chapters_of(examined(a_gallery([0, 1] * 20, tested=10), (5, 37)))["Near copies across splits"]
    assert chapter.paragraphs[0].startswith("1 of 10 test images (10.0%) show")
    [card] = chapter.cards
    assert (card.places, card.lines) == ((5, 37), ("1/5.png (b, training)", "1/37.png (b, test)"))


def test_groups_promise_what_runs_do_with_them(examined: Examine) -> None:
    chapter = chapters_of(examined(a_gallery([0, 1] * 20, tested=10), (5, 7)))["Groups"]
    assert chapter.paragraphs == (
        "2 images make 1 group. data.group=groups.csv keeps each on one side of every split.",
    )


def test_one_label_per_class_is_said_where_suspects_would_stand(examined: Examine) -> None:
    chapter = chapters_of(examined(a_gallery([0, 1, 2], tested=1)))["Suspect labels"]
    assert chapter.paragraphs[0].startswith("They were not looked for")
    assert chapter.cards == ()


def test_what_the_probe_names_rightly_is_told_beside_what_it_confuses(examined: Examine) -> None:
    shown = [0, 1] * 20
    diagnosis = examined(a_gallery([1, 1, 1, *shown[3:]], shown=shown, tested=10))
    first, *_ = chapters_of(diagnosis)["Classes that are confused"].paragraphs
    assert first == "Of the images that it did not learn from, the frozen probe names 95.0% rightly."
