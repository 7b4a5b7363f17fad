from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from tlexp.compose.checked_loader import CheckedLoader
from tlexp.compose.load import ConfigSource, hydra_of, load
from tlexp.config import config_key
from tlexp.errors import ConfigError
from tlexp.sweeps.composer import Composer
from tlexp.sweeps.space import build_space


@pytest.fixture(scope="module")
def loader() -> Any:
    return hydra_of(ConfigSource()).config_loader


def composer(loader: Any, *words: str) -> tuple[Composer, list[dict[str, str]]]:
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    space = build_space(parsed)
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    return Composer(loader, master, parsed, space), list(space.points())


@pytest.mark.parametrize(
    "words",
    [
        ["freeze=all,none", "optim.lr=0.1,null", "labels=5"],
        ["experiment=shapes,vgg16_binary", "seed=0,1", "data=digits"],
        ["backbone=resnet18,vgg16", "freeze=depth", "freeze.depth=1,0.5,all"],
        ["head=mlp", "head.hidden=[64],[128,64]", "optim=sgd,adamw"],
        ["experiment=photos,vgg16_binary", "data=folder", "data.root=/tmp/a,'/tmp/b c'"],
        ["backbone=glob(resnet*)", "tracking.uri='http://a:1','http://b=c'"],
        ["labels=20"],
    ],
)
@pytest.mark.broad(2)
def test_points_compose_to_what_their_words_compose_to(words: list[str], loader: Any) -> None:
    made, points = composer(loader, *words)
    keys = set()
    for point in points:
        planned = made.plan(point)
        alone = load(planned.overrides)
        assert planned.composed == alone
        assert planned.key == config_key(alone.config)
        keys.add(planned.key)
    assert len(keys) == (len(points) if "tracking" not in words[-1] else len(points) // 2)


def test_a_point_is_not_changed_by_the_next(loader: Any) -> None:
    made, [first, second] = composer(loader, "head.hidden=[64],[128,64]", "head=mlp")
    before = made.plan(first)
    made.plan(second)
    assert made.plan(first) == before


def test_words_stay_in_the_order_of_the_command_line(loader: Any) -> None:
    made, [point, *_] = composer(loader, "seed=3", "freeze=all,none", "labels=5", "optim.lr=0.1,0.2")
    assert made.overrides(point) == ("seed=3", "freeze=all", "labels=5", "optim.lr=0.1")


def test_an_option_that_names_python_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "evil.yaml").write_text(
        "# @package _global_\nhydra: {callbacks: {x: {_target_: shutil.copy}}}"
    )
    made, points = composer(CheckedLoader(ConfigSource(search=str(tmp_path))), "head=linear,evil")
    made.plan(points[0])
    with pytest.raises(ConfigError, match=r"hydra\.callbacks"):
        made.plan(points[1])


def test_a_wrong_setting_is_named(loader: Any) -> None:
    made, [point] = composer(loader, "optim.lr=x")
    with pytest.raises(ConfigError, match="must be a finite number"):
        made.plan(point)
