from dataclasses import replace

import pytest

from tests.composed import load
from tlexp.config.protocol import protocol_steps
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


@pytest.mark.parametrize("images", [10, 1000, 10**6])
@pytest.mark.parametrize("longer", [1, 4])
def test_longer_multiplies_the_protocol_and_the_cap_comes_last(images: int, longer: int) -> None:
    words = [f"train.longer={longer}"]
    assert load(words).config.train.count_steps(images) == longer * protocol_steps(images)
    assert load([*words, "train.limit_steps=300"]).config.train.count_steps(images) == min(
        300, longer * protocol_steps(images)
    )
