from tests.composed import load
from tlexp.sweeps.settings import cost_kind, legible, shortened


def kind(*words: str) -> str:
    return cost_kind(load(words).config)


def test_runs_of_other_seeds_and_rates_take_as_long() -> None:
    plain = kind("freeze=none", "seed=0")
    for words in (["seed=1"], ["seed=0", "data.seed=7"], ["optim.lr=0.1"], ["train.label_smoothing=0.1"]):
        assert kind("freeze=none", *words) == plain


def test_what_changes_the_work_is_another_kind() -> None:
    words = (["freeze=all"], ["labels=50"], ["backbone=resnet18"], ["head=mlp"], ["tune.trials=4"], ["train.steps=9"])
    assert len({kind(), *(kind(*each) for each in words[1:])}) == len(words)
    assert kind("freeze=none") != kind("freeze=all")


def test_numbers_have_four_digits_and_names_stay() -> None:
    point = {"a": "0.012345678", "b": "1e-05", "c": "1234567", "d": "nan", "e": "0.5", "f": "-3.14159265"}
    assert list(shortened(point).values()) == ["0.01235", "1e-05", "1234567", "nan", "0.5", "-3.142"]


def test_values_that_four_digits_would_make_equal_stay_whole() -> None:
    points = [{"a": "0.1000012", "b": "0.2000012"}, {"a": "0.1000013", "b": "0.3000012"}]
    assert legible(points) == [{"a": "0.1000012", "b": "0.2"}, {"a": "0.1000013", "b": "0.3"}]
