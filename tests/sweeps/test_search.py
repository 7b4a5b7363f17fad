import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from tlexp.sweeps.search import OptunaSearch
from tlexp.sweeps.space import build_space
from tlexp.tracking.blocks import PrunedBlock

AXES = build_space(
    OverridesParser.create().parse_overrides(["freeze=all,none", "optim.lr=tag(log,interval(1e-5,1))"])
).axes


def proposals(known: int, sampler: str = "tpe", count: int = 3) -> list[dict[str, str]]:
    search = OptunaSearch(AXES, sampler=sampler, seed=0, direction="minimize", known=known)
    return [search.ask()[1] for _ in range(count)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_proposes_the_same_and_a_search_that_goes_on_something_else(sampler: str) -> None:
    assert proposals(0, sampler) == proposals(0, sampler)
    assert not [each for each in proposals(3, sampler) if each in proposals(0, sampler)]


def test_proposals_asked_for_together_differ() -> None:
    assert len({tuple(each.items()) for each in proposals(0, count=8)}) == 8


def test_what_was_tried_before_guides_the_search() -> None:
    search = OptunaSearch(AXES, sampler="tpe", seed=0, direction="minimize", known=30)
    for number in range(30):
        lr = 10 ** (-5 + number / 6)
        search.add({"freeze": "all", "optim.lr": repr(lr)}, abs(lr - 1e-3))
        search.add({"freeze": "none", "optim.lr": repr(lr)}, None)
    asked = []
    for _ in range(20):
        trial, candidate = search.ask()
        search.tell(trial, abs(float(candidate["optim.lr"]) - 1e-3))
        asked.append(float(candidate["optim.lr"]))
    assert sum(lr < 1e-2 for lr in asked) >= 15


def test_a_trial_without_a_value_does_not_stop_it() -> None:
    search = OptunaSearch(AXES, sampler="tpe", seed=0, direction="maximize", known=0)
    trial, _ = search.ask()
    search.tell(trial, None)
    assert search.ask()[1]


PRUNED = PrunedBlock(look=2, step=320, steps=960, loss=1.5)


def test_optuna_hears_where_a_trial_was_pruned() -> None:
    search = OptunaSearch(AXES, sampler="tpe", seed=0, direction="minimize", known=0)
    search.add({"freeze": "all", "optim.lr": "0.001"}, PRUNED)
    trial, _ = search.ask()
    search.tell(trial, PRUNED)
    told = [(each.state, each.intermediate_values) for each in search._study.trials]
    assert told == 2 * [(TrialState.PRUNED, {2: 1.5})]


def test_what_was_pruned_is_searched_less() -> None:
    search = OptunaSearch(AXES, sampler="tpe", seed=0, direction="minimize", known=0)
    for number in range(30):
        lr = 10 ** (-5 + number / 6)
        search.add({"freeze": "all", "optim.lr": repr(lr)}, PRUNED if lr > 1e-3 else 1.0 - number / 100)
    asked = [float(search.ask()[1]["optim.lr"]) for _ in range(20)]
    assert sum(lr < 1e-2 for lr in asked) >= 15
