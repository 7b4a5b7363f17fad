import re

import pytest

from tests.composed import load
from tlexp.tracking import names


def test_every_metric_is_a_legal_name_and_appears_once() -> None:
    assert len(set(names.METRICS)) == len(names.METRICS) == 5 * 6 + 6
    assert all(names.legal_name(name) == name for name in names.METRICS)


def test_tags_are_distinct() -> None:
    tags = [value for name, value in vars(names).items() if name.startswith("TAG_")]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("name", ["a[0]", "b=c", "x\ny", "é", "ok/name.x:y z-1_", "x" * 400])
def test_legal_names_hold_only_what_stores_take(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_\-./: ]{1,250}", names.legal_name(name))


@pytest.mark.parametrize("name", ["..", "../../etc", "/abs", "a/b", "", "con\n", "x" * 300])
def test_folder_names_stay_below_their_parent(name: str) -> None:
    folder = names.folder_name(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", folder)
    assert len(folder) < 80


def test_different_names_have_different_folders() -> None:
    found = {names.folder_name(name) for name in ("a b", "a-b", "a/b", "a.b", "..", "")}
    assert len(found) == 6


def test_unknown_metrics_are_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        names.split_metric("test", "acuracy")


def test_what_follows_the_test_figures_is_charted_after_them() -> None:
    found = [*names.stored_metrics(dict.fromkeys(names.METRICS, 1.0) | {"test/nll": 2.0})]
    sections = sorted({name.partition("/")[0] for name in found if "/" in name})
    assert sections == [
        "rest",
        "shifted",
        "test",
        "train",
        "val",
    ]  # MLflow sorts, and puts names without one last
    assert [name for name in found if name.endswith("/nll")] == ["test/nll"]
    assert len(found) == len(names.METRICS) - 4
    assert "/" not in names.curve_metric("select", 0, "train/loss")


def test_curves_of_different_folds_and_phases_do_not_mix() -> None:
    places = [("final", None), ("select", None), ("select", 0), ("select", 1)]
    assert len({names.curve_metric(phase, fold, "train/loss") for phase, fold in places}) == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["freeze=none"], "freeze=none "),
        (["freeze=depth", "freeze.depth=2"], "freeze=depth:2 "),
        (["freeze=lpft", "freeze.probe_share=0"], "freeze=lpft:0.0 "),
        (["freeze=gradual", "freeze.phases=3"], "freeze=gradual:3 "),
        (["freeze=surgical", "freeze.units=[layer1,layer3]"], "freeze=surgical:layer1:layer3 "),
        (["freeze=norm"], "freeze=norm "),
        (["freeze=lora", "freeze.rank=4"], "freeze=lora:4 "),
    ],
)
def test_a_run_is_called_by_what_sets_its_policy_apart(words: list[str], told: str) -> None:
    assert told in names.run_name(load(words).shown)
