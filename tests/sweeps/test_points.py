import pytest

from tlexp.compose.load import load
from tlexp.config import config_key
from tlexp.jobs.planned import Planned
from tlexp.sweeps.points import shared_settings


def planned(*words: str) -> Planned:
    loaded = load(words)
    return Planned(point={}, overrides=words, key=config_key(loaded.config), composed=loaded)


def test_shared_settings_are_those_of_the_key_that_do_not_move() -> None:
    found = shared_settings(planned("freeze=all", "labels=020", "seed=3"), ["freeze", "seed"], ["labels"])
    assert found["labels"] == "20"  # in one spelling
    assert found["protocol"] >= 1
    assert found["data.seed"] is None
    assert not [name for name in found if name.startswith(("freeze.", "tracking.")) or name in ("seed", "resume")]
    assert "train.progress" not in found


def test_what_a_swept_group_states_is_shared_only_where_a_word_fixes_it() -> None:
    words = ("optim=sgd", "optim.lr=0.1")
    assert shared_settings(planned(*words), ["optim"], ["optim.lr"])["optim.lr"] == 0.1
    assert "optim.lr" not in shared_settings(planned(*words), ["optim"], [])


def test_of_a_swept_experiment_only_stated_words_are_shared() -> None:
    found = shared_settings(planned("experiment=shapes", "labels=7", "data=shapes"), ["experiment"], ["labels", "data"])
    assert found["labels"] == "7"
    assert "optim.name" not in found


def test_values_from_the_environment_are_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/secret/photos")
    found = shared_settings(planned("data=folder", "data.root=${oc.env:PHOTOS}"), ["seed"], ["data.root"])
    assert found["data.root"] == "${oc.env:PHOTOS}"
    assert "/secret" not in str(found)
