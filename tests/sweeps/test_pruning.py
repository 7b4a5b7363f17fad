import json
from pathlib import Path

import pytest

from tlexp.config.sweep import Pruner
from tlexp.errors import PrunedError
from tlexp.jobs.folder import SweepFolder
from tlexp.sweeps.pruning import LEAST_IMAGES, LEAST_STEPS, Judge
from tlexp.tracking.environment import write_identity
from tlexp.tracking.names import PROCESS_FILE

FIT = "select-000-fold0"


def begun(root: Path, key: str, point: dict[str, str], number: int = 0) -> Path:
    """Return the folder of a new attempt."""
    sweep = SweepFolder(root)
    return sweep.begin(key, point, number, sweep.attempts([key])).folder


def left(root: Path, key: str, loss: float, name: str = f"{FIT} 1/3", **point: str) -> Path:
    """Leave what a run with one look leaves."""
    folder = begun(root, key, point)
    (folder / "looks.json").write_text(json.dumps({name: loss}))
    return folder


def goes_on(judge: Judge, loss: float, step: int = 320, fit_id: str = FIT) -> bool:
    try:
        judge.judge(fit_id, step, 960, loss)
    except PrunedError:
        return False
    return True


def judge_of(root: Path, pruner: Pruner, key: str = "mine", number: int = 0, **point: str) -> Judge:
    return Judge(begun(root, key, point, number), pruner)


@pytest.mark.parametrize(("loss", "stays"), [(2.4, True), (2.5, True), (2.6, False)])
def test_the_median_is_that_of_the_others_at_this_look(loss: float, stays: bool, tmp_path: Path) -> None:
    for number, other in enumerate((1.0, 2.0, 3.0, 4.0)):
        left(tmp_path, f"other{number}", other)
    left(tmp_path, "later", 0.1, f"{FIT} all")
    assert goes_on(judge_of(tmp_path, Pruner.median), loss) is stays


def test_of_three_others_no_median_is_taken(tmp_path: Path) -> None:
    for number in range(3):
        left(tmp_path, f"other{number}", 1.0)
    assert goes_on(judge_of(tmp_path, Pruner.median), 9.0)


@pytest.mark.parametrize(("others", "best"), [(0, 1), (1, 1), (2, 1), (4, 1), (5, 2), (8, 3)])
def test_hyperband_keeps_the_best_third_and_one_at_least(others: int, best: int, tmp_path: Path) -> None:
    for number in range(others):
        left(tmp_path, f"other{number}", number + 1.0)
    judge = judge_of(tmp_path, Pruner.hyperband)
    assert goes_on(judge, best - 0.5)
    if others >= best:
        assert not goes_on(judge, best + 0.5)


@pytest.mark.parametrize(("number", "passed"), [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0), (5, 0), (6, 1)])
def test_hyperband_lets_some_pass_their_first_looks(number: int, passed: int, tmp_path: Path) -> None:
    for place, share in enumerate(("1/3", "all")):
        left(tmp_path, f"other{place}", 1.0, f"{FIT} {share}")
    judge = judge_of(tmp_path, Pruner.hyperband, number=number)
    assert [goes_on(judge, 9.0, step) for step in (320, 960)] == [look < passed for look in range(2)]


def test_runs_of_other_seeds_and_labels_are_not_compared(tmp_path: Path) -> None:
    mine = {"optim.lr": "0.1", "seed": "0", "labels": "20"}
    left(tmp_path, "seed", 1.0, **(mine | {"seed": "1"}))
    left(tmp_path, "labels", 1.0, **(mine | {"labels": "50"}))
    judge = judge_of(tmp_path, Pruner.hyperband, **mine)
    assert goes_on(judge, 9.0)
    left(tmp_path, "rate", 1.0, **(mine | {"optim.lr": "0.2"}))
    assert not goes_on(judge, 9.0)


def test_folds_are_compared_each_with_its_own(tmp_path: Path) -> None:
    left(tmp_path, "other", 1.0, "select-000-fold0 1/3")
    judge = judge_of(tmp_path, Pruner.hyperband)
    assert goes_on(judge, 9.0, fit_id="select-000-fold1")
    assert not goes_on(judge, 9.0, fit_id="select-000-fold0")


def test_what_an_earlier_attempt_saw_is_the_run_s_own(tmp_path: Path) -> None:
    write_identity(left(tmp_path, "mine", 1.0) / PROCESS_FILE)
    left(tmp_path, "other", 2.0, f"{FIT} all")
    judge = judge_of(tmp_path, Pruner.hyperband)
    assert judge.looked
    with pytest.raises(PrunedError) as error:
        judge.judge(FIT, 960, 960, 9.0)
    assert (error.value.look, error.value.step, error.value.steps, error.value.loss) == (2, 960, 960, 9.0)
    assert str(error.value) == (
        "after all of its fit on a part of the labels, its validation loss was not among the best third"
    )


def test_the_others_find_what_was_seen_before_the_run_ends(tmp_path: Path) -> None:
    first, second = judge_of(tmp_path, Pruner.hyperband, "first"), judge_of(tmp_path, Pruner.hyperband, "second")
    assert goes_on(first, 1.0)
    assert not goes_on(second, 2.0)
    assert [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/*/*/looks.json"))] == [
        {f"{FIT} 1/3": 1.0},
        {f"{FIT} 1/3": 2.0},
    ]


def test_damaged_files_of_others_end_nothing(tmp_path: Path) -> None:
    (left(tmp_path, "one", 1.0) / "looks.json").write_text("{")
    (left(tmp_path, "two", 1.0) / "looks.json").write_text('{"x": null}')
    (left(tmp_path, "three", 1.0) / "job.json").write_text("[]")
    assert goes_on(judge_of(tmp_path, Pruner.hyperband), 9.0)


def test_small_fits_and_parts_and_those_of_several_candidates_are_not_looked_at(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, Pruner.median)
    assert judge.looks(960, 100) == {320, 960}
    assert judge.looks(LEAST_STEPS, LEAST_IMAGES) == {30, 90}
    assert judge.looks(LEAST_STEPS - 1, 100) == judge.looks(960, LEAST_IMAGES - 1) == frozenset()
    assert not judge.looked
    several = Judge(begun(tmp_path, "several", {}), Pruner.median, alone=False)
    assert several.looks(960, 100) == frozenset()
