import pytest

from tlexp.compose.load import load
from tlexp.config.protocol import protocol_steps
from tlexp.experiment.build import count_steps


@pytest.mark.parametrize("images", [10, 1000, 10**6])
@pytest.mark.parametrize("longer", [1, 4])
def test_longer_multiplies_the_protocol_and_the_cap_comes_last(images: int, longer: int) -> None:
    words = [f"train.longer={longer}"]
    assert count_steps(load(words).config, images) == longer * protocol_steps(images)
    assert count_steps(load([*words, "train.limit_steps=300"]).config, images) == min(
        300, longer * protocol_steps(images)
    )
