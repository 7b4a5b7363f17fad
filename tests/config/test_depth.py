import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlexp.config.depth import nearest_depth, parse_depth, resolve_depth

UNITS = ["stem", "layer1", "layer2", "layer3", "layer4"]


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(1, 60))
def test_a_fraction_rounds_half_up_and_stays_in_range(fraction: float, count: int) -> None:
    depth = resolve_depth(fraction, [f"u{index}" for index in range(count)], backbone="b")
    assert depth == math.floor(fraction * count + 0.5)
    assert 0 <= depth <= count


def test_a_name_is_inclusive_and_all_is_every_unit() -> None:
    assert [resolve_depth(parse_depth(name), UNITS, backbone="b") for name in UNITS] == [1, 2, 3, 4, 5]
    assert resolve_depth(parse_depth("all"), UNITS, backbone="b") == 5


@pytest.mark.parametrize("text", ["1.0", "0.0", "-1", "1.5", "nan", "inf", "layer 1", ""])
def test_numbers_that_are_neither_count_nor_fraction_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal strictly between 0 and 1"):
        parse_depth(text)


def test_an_unknown_unit_and_a_large_count_name_the_units() -> None:
    with pytest.raises(ValueError, match=r"freeze\.depth=layer9 is not a unit of resnet50: 0\.\.5 \(stem, layer1"):
        resolve_depth("layer9", UNITS, backbone="resnet50")
    with pytest.raises(ValueError, match=r"freeze\.depth=14 is out of range for resnet50: 0\.\.5 \(stem, layer1"):
        resolve_depth(14, UNITS, backbone="resnet50")


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.lists(st.integers(0, 100), min_size=2, max_size=30))
def test_no_depth_is_nearer_to_a_share_than_the_one_that_is_taken(fraction: float, sizes: list[int]) -> None:
    def gap(count: int) -> float:
        return abs(sum(sizes[:count]) - fraction * sum(sizes))

    depth = nearest_depth(fraction, sizes)
    assert 1 <= depth < len(sizes)
    assert all(gap(depth) < gap(other) for other in range(1, depth))
    assert all(gap(depth) <= gap(other) for other in range(depth, len(sizes)))


def test_a_share_of_one_unit_freezes_nothing() -> None:
    assert nearest_depth(0.9, [7]) == 0
