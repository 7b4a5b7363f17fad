"""The key of every option of every group: records of earlier runs are found by it."""

from tests.compose.test_load import CHOICES, NEEDED
from tests.pins.conftest import stored_values
from tlexp.compose.load import load
from tlexp.config import config_key


def test_every_option_has_the_key_that_it_had() -> None:
    keys = {choice: config_key(load([choice, *NEEDED.get(choice, [])]).config) for choice in ("seed=0", *CHOICES)}
    assert keys == stored_values("config-keys.json", keys), "a new option is pinned by TLEXP_WRITE_PINS=1"
