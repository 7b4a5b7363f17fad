import copy
import re
from typing import Any

import pytest

from tlexp.config import Config, config_values
from tlexp.tracking.stated import foreign_store, require_stated

MISSING = object()


def changed(key: str, value: object) -> dict[str, Any]:
    config = copy.deepcopy(config_values(Config()))
    *groups, name = key.split(".")
    block = config
    for group in groups:
        block = block[group]
    if value is MISSING:
        del block[name]
    else:
        block[name] = value
    return config


def test_what_this_version_writes_is_taken() -> None:
    require_stated(config_values(Config()))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("tracking", MISSING, "its config lacks tracking.enabled"),
        ("tracking", None, "its config.tracking is None, not a block of values"),
        ("tracking", 5, "its config.tracking is 5, not a block of values"),
        ("tracking.enabled", "yes", "its config.tracking.enabled is 'yes', not bool"),
        ("tracking.uri", [[]], "its config.tracking.uri is [[]], not str"),
        ("tracking.experiment", None, "its config.tracking.experiment is None, not str"),
        ("backbone", [], "its config.backbone is [], not a block of values"),
        ("backbone.name", MISSING, "its config lacks backbone.name"),
        ("freeze.units", 5, "its config.freeze.units is 5, not list"),
        ("head", "\x1b[2Jx", r"its config.head is '\x1b[2Jx', not a block of values"),
        ("data.source", {"a": {}}, "its config.data.source is {'a': {}}, not str"),
        ("labels", None, "its config.labels is None, not str"),
        ("seed", True, "its config.seed is True, not int"),
    ],
)
def test_a_setting_that_readers_take_is_named_where_it_is_odd(key: str, value: object, reason: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(reason)}$"):
        require_stated(changed(key, value))


@pytest.mark.parametrize("key", ["seed", "labels", "tracking.enabled", "tracking.uri"])
def test_a_reference_stands_for_a_value_of_any_type(key: str) -> None:
    require_stated(changed(key, "${oc.env:NAME}"))


def test_a_record_asks_for_the_store_of_here_whoever_logs_in_there() -> None:
    store = "postgresql://team:s3cret@host/db"
    for asked in (None, "postgresql://host/db", "postgresql://team@host/db", "postgresql://me:${oc.env:A}@host/db"):
        assert foreign_store(asked, store) is None
    assert foreign_store("postgresql://me:${oc.env:A}@host/other", store) == "postgresql://me@host/other"
    assert foreign_store("postgresql://host/db?a=b", "postgresql://host/db?password=s3cret&a=b") is None


@pytest.mark.parametrize("key", ["freeze.units", "tracking.log_model"])
def test_what_earlier_versions_did_not_write_may_be_missing(key: str) -> None:
    require_stated(changed(key, MISSING))
