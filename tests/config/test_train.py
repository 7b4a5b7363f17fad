from dataclasses import replace

import pytest

from tlexp.config.train import TrainConfig


def test_a_multiple_of_the_protocol_and_a_stated_length_exclude_each_other() -> None:
    longer = TrainConfig(longer=4)
    assert not longer.problems()
    assert not replace(longer, limit_steps=3).problems()
    for name in ("steps", "epochs"):
        [problem] = replace(longer, **{name: 7}).problems()
        assert f"train.longer=4 multiplies the protocol's steps, but train.{name}=7 states a length" in problem
        assert not replace(longer, longer=1, **{name: 7}).problems()


@pytest.mark.parametrize("longer", [0, -1])
def test_a_multiple_is_at_least_one(longer: int) -> None:
    assert TrainConfig(longer=longer).problems() == [f"train.longer={longer}: must be at least 1"]
