from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from tlexp.errors import TlexpError
from tlexp.sweeps.space import build_space
from tlexp.sweeps.stored import StoredSearch
from tlexp.tracking.blocks import PrunedBlock


def search(
    folder: Path, *swept: str, seed: int = 0, sampler: str = "random", direction: str = "minimize"
) -> StoredSearch:
    axes = build_space(OverridesParser.create().parse_overrides(list(swept or ["optim.lr=interval(0,1)"]))).axes
    url = f"sqlite:///{folder}/search.db"
    return StoredSearch(axes, url=url, name="s", sampler=sampler, seed=seed, direction=direction)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_is_proposed_follows_from_the_trials_and_not_from_who_asks(sampler: str, tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        commands = [search(folder, sampler=sampler) for _ in range(count)]
        found.append([commands[number % count].ask(str(number), number).settings for number in range(6)])
    assert found[0] == found[1]
    assert len({str(settings) for settings in found[0]}) == 6
    (tmp_path / "3").mkdir()
    broken = search(tmp_path / "3", sampler="random")
    broken.ask("killed", 0)
    broken.enqueue({"optim.lr": "0.5"}, 0)
    assert broken.ask("other", 1).queued
    if sampler == "random":  # what was run again moves nothing
        assert broken.ask("other", 1).settings == found[0][1]
        assert broken.ask("other", 1).settings not in found[0]  # a second proposal for one place
    (tmp_path / "4").mkdir()
    assert search(tmp_path / "4", sampler=sampler, seed=1).ask("0", 0).settings not in found[0]


def test_settings_that_wait_are_asked_for_first_and_keep_their_place(tmp_path: Path) -> None:
    first, second = search(tmp_path), search(tmp_path)
    first.add({"optim.lr": "0.5"}, 0, 1.0)
    first.enqueue({"optim.lr": "0.25"}, 1)
    waiting = second.trials()[1]
    assert (waiting.state, waiting.settings, waiting.place, waiting.queued) == (
        TrialState.WAITING, {"optim.lr": "0.25"}, 1, True,
    )  # fmt: skip
    asked = second.ask("me", 7)
    assert (asked.number, asked.settings, asked.place, asked.command) == (1, {"optim.lr": "0.25"}, 1, "me")
    new = second.ask("me", 7)
    assert (new.place, new.queued, new.state) == (7, False, TrialState.RUNNING)


def test_a_trial_is_told_once(tmp_path: Path) -> None:
    one, other = search(tmp_path), search(tmp_path)
    trial = one.ask("one", 0)
    other.tell(trial.number, None)
    one.tell(trial.number, 0.5)
    assert [each.state for each in one.trials()] == [TrialState.FAIL]


def test_a_pruned_trial_is_told_as_such(tmp_path: Path) -> None:
    stored, pruned = search(tmp_path), PrunedBlock(look=2, step=320, steps=960, loss=1.5)
    stored.add({"optim.lr": "0.5"}, 0, pruned)
    assert stored.tell(stored.ask("me", 1).number, pruned) is TrialState.PRUNED
    assert stored.tell(stored.ask("me", 2).number, 0.5) is TrialState.COMPLETE
    assert stored.tell(stored.ask("me", 3).number, None) is TrialState.FAIL
    assert [each.state for each in stored.trials()] == [
        TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE, TrialState.FAIL,
    ]  # fmt: skip
    assert stored._study.trials[0].intermediate_values == {2: 1.5}


def test_another_space_or_direction_is_another_study(tmp_path: Path) -> None:
    studies = [
        search(tmp_path),
        search(tmp_path, "optim.lr=interval(0,2)"),
        search(tmp_path, "freeze=all,none"),
        search(tmp_path, "freeze=all,none,last"),
        search(tmp_path, direction="maximize"),
    ]
    studies[0].ask("me", 0)
    assert [len(study.trials()) for study in studies] == [1, 0, 0, 0, 0]


def test_a_trial_whose_command_died_while_it_asked_has_no_settings(tmp_path: Path) -> None:
    found = search(tmp_path)
    found._study.ask()
    [trial] = found.trials()
    assert (trial.settings, trial.place, trial.command) == (None, None, None)


@pytest.mark.parametrize("url", ["postgresql://me:planted-77@127.0.0.1:9/x", "sqlite:////nowhere/search.db"])
def test_a_database_that_cannot_be_had_is_told_with_the_way_out_and_without_its_password(url: str) -> None:
    axes = build_space(OverridesParser.create().parse_overrides(["optim.lr=interval(0,1)"])).axes
    with pytest.raises(
        TlexpError, match=r"needs a driver: pip install 'tlexp\[postgresql\]'|typed again goes on"
    ) as told:
        StoredSearch(axes, url=url, name="s", sampler="tpe", seed=0, direction="minimize")
    assert "\n" not in str(told.value)
    assert "planted-77" not in str(told.value)
