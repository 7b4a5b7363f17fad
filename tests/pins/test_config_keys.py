"""Every option of every group composes, and has the key by which records of earlier runs are found."""

import pytest

from tests.compose.test_load import CHOICES, NEEDED
from tests.composed import composed
from tests.pins.conftest import stored_values
from tlexp.config import config_key


@pytest.mark.parametrize("choice", CHOICES)
def test_every_option_of_every_group_composes_without_a_problem(choice: str) -> None:
    composed(choice, *NEEDED.get(choice, []))


def test_every_option_has_the_key_that_it_had() -> None:
    keys = {choice: config_key(composed(choice, *NEEDED.get(choice, [])).config) for choice in ("seed=0", *CHOICES)}
    assert keys == stored_values("config-keys.json", keys), "a new option is pinned by TLEXP_WRITE_PINS=1"
