import dataclasses
from pathlib import Path

import pytest

import tlexp
from tests.studies.conftest import QUICK, TINY, leave_undrawn, leave_unmeasured
from tlexp.api.answer import StudyAnswer


@pytest.fixture(scope="module")
def answer(place: Path) -> tlexp.StudyAnswer:
    """A study of few runs, without figures, done in two calls: the second finds all of it."""
    words = [word for word in (*TINY, *QUICK[1:]) if not word.startswith(("study.depths", "study.scratch", "study.l"))]
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        leave_unmeasured(patch)
        first = tlexp.study("quick", *words, folder=place, **{"study.labels": [2]})
        records = sorted(first.folder.glob("runs/*/*/record.json"))
        again = tlexp.study("quick", *words, folder=place, **{"study.labels": [2]})
    assert sorted(again.folder.glob("runs/*/*/record.json")) == records
    assert repr(first) == repr(again)
    return again


def test_it_lies_below_the_folder_of_the_call(answer: tlexp.StudyAnswer, place: Path) -> None:
    assert answer.folder == place / "multirun" / "s"
    assert answer.page.is_file()


def test_its_page_is_found_from_any_working_folder(
    answer: tlexp.StudyAnswer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    found = StudyAnswer.of(Path("multirun") / "s")
    assert found.page == answer.page
    assert found.page.is_absolute()


def test_each_budget_has_an_answer(answer: tlexp.StudyAnswer) -> None:
    taken = answer.take(2)
    assert taken == answer.take("2") == answer.take(2.0) == answer.budgets[0]
    assert repr(taken) == f"<BudgetAnswer {taken.sentence}>"
    assert taken.sentence in repr(answer)
    assert taken.sureness == "chance" or taken.column in set(answer.table["column"])
    known = dataclasses.replace(taken, command="python -m tlexp freeze=all 'study.name=a b'")
    assert known.words == ("freeze=all", "study.name=a b")
    with pytest.raises(tlexp.ConfigError, match=r"^there is no model to train: With 2 labels"):
        _ = dataclasses.replace(taken, command=None).words
    with pytest.raises(tlexp.ConfigError, match=r"^labels=20 is no budget of s; it has 2$"):
        answer.take(20)
    every = dataclasses.replace(answer, budgets=(*answer.budgets, dataclasses.replace(taken, labels="all")))
    with pytest.raises(tlexp.ConfigError, match=r"^labels=alll is no budget of s \(did you mean all\?\); it has 2"):
        every.take("alll")


def test_its_table_has_a_row_for_each_column_and_budget(answer: tlexp.StudyAnswer) -> None:
    table = answer.table
    assert set(table["labels"]) == {"2"}
    assert not table["column"].duplicated().any()
    assert table["balanced_accuracy"].between(0, 1).all()
    assert (table["count"] == 2).all()


def test_it_prints_well(answer: tlexp.StudyAnswer) -> None:
    page = answer._repr_html_()
    assert answer.page.as_uri().replace("'", "&#x27;") in page
    assert "<li>" in page
    assert "<p>" in answer.take(2)._repr_html_()


def test_a_folder_that_holds_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tlexp.ConfigError, match=r"study\.json is missing: name the folder of a study"):
        StudyAnswer.of(tmp_path)
