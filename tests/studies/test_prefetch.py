"""One pass before the first column of a study: every depth finds its rows, and they are its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.composed import load
from tests.conftest import SMALL, Start, probability_bits
from tests.models.small_swin import known
from tlexp.config import Config
from tlexp.config.data import SHAPES
from tlexp.experiment.build import build_classifier, build_network, build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.features import entry, extractor
from tlexp.studies import prefetch
from tlexp.studies.prefetch import fill_cuts
from tlexp.train import Listener

DEPTHS = {depth: ["freeze=depth", f"freeze.depth={depth}"] for depth in (1, 2, 3, 4)} | {5: ["freeze=all"]}
VIEWS = ["augment=light", "cache.views=2"]
TIMM = ["backbone=timm", "backbone.pretrained=false"]
BACKBONES = {
    "resnet": ["backbone=tiny"],
    "norm_kept": ["backbone=tiny", "freeze.norm=keep"],
    "vit": [*TIMM, "backbone.name=test_vit", "backbone.image_size=160"],
    "convnext": [*TIMM, "backbone.name=test_convnext"],
    "efficientnet": [*TIMM, "backbone.name=test_efficientnet"],
    "swin": [*TIMM, f"backbone.name={known()}"],
    "drop_path": [*TIMM, "backbone.name=test_convnext2", "backbone.drop_path_rate=0.3"],
}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Compose a small run; the cache is the test's own and empty."""
    monkeypatch.setenv("TLEXP_CACHE_DIR", str(tmp_path / "cache"))
    return lambda *words: load([*SMALL, *words]).config


def fill(configs: list[Config], depths: list[int]) -> Any:
    return fill_cuts(configs, depths, Session(several=True), device=torch.device("cpu"), listener=Listener())


@pytest.mark.parametrize(
    ("words", "looked_at"),
    [
        ([], [1, 3, 5]),
        (VIEWS, [2, 5]),
        pytest.param([], [*DEPTHS], marks=pytest.mark.slow),
        pytest.param(VIEWS, [*DEPTHS], marks=pytest.mark.slow),
    ],
    ids=["clean", "views", "clean of all", "views of all"],
)
def test_each_depth_finds_its_rows_after_one_pass(
    words: list[str],
    looked_at: list[int],
    configure: Callable[..., Config],
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = {depth: start(*DEPTHS[depth], *words, "cache=off", name=f"off{depth}").record for depth in looked_at}
    passed: list[int] = []
    chunked = entry.in_chunks
    monkeypatch.setattr(entry, "in_chunks", lambda run, images: passed.append(len(images)) or chunked(run, images))
    configs = [
        configure("cache=on", *words, f"seed={seed}", f"labels={labels}") for seed in (0, 1) for labels in (4, 10)
    ]
    use = fill(configs, [0, 1, 2, 3, 4, 5])
    budgets = use.misses - 24 if not words else (use.misses - 24) // 3
    assert 30 < budgets <= 60  # what the two seeds drew, each image once
    assert sum(passed) == use.misses
    assert fill(configs, [0, 1, 2, 3, 4, 5]).misses == 0
    passed.clear()
    for depth in looked_at:
        record = start(*DEPTHS[depth], *words, "cache=on", name=f"on{depth}").record
        if depth < 5:  # the whole pool is looked at ahead of time where that is cheap
            assert record.train.cache.misses == 0
        assert record.metrics["val/nll"] == without[depth].metrics["val/nll"]
        assert probability_bits(tmp_path / f"on{depth}") == probability_bits(tmp_path / f"off{depth}")
    assert passed == []


@pytest.mark.parametrize(
    "words",
    [["cache=off"], ["augment=light"], ["freeze.norm=update"], ["cache.max_bytes=0"]],
    ids=lambda words: words[0],
)
def test_nothing_is_filled_where_nothing_could_be_kept(words: list[str], configure: Callable[..., Config]) -> None:
    assert fill([configure(*words)], [0, 2, 5]).misses == 0


def test_both_readings_of_a_network_are_filled_by_one_pass(
    configure: Callable[..., Config], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, average = [*TIMM, "backbone.name=test_vit", "backbone.image_size=32", "freeze=all"], ["head.global_pool=avg"]
    each = {"own": [], "average": average}
    for name, pooled in each.items():
        start(*words, *pooled, "cache=off", name=f"off-{name}")
    passed: list[int] = []
    chunked = entry.in_chunks
    monkeypatch.setattr(entry, "in_chunks", lambda run, images: passed.append(len(images)) or chunked(run, images))
    configs = [configure("cache=on", *words, f"labels={labels}") for labels in (4, 10)]
    filled = fill_cuts(
        configs, [len(build_network(configs[0], meta=True).units)], Session(several=True), device=torch.device("cpu"),
        listener=Listener(), poolings=["avg"],
    )  # fmt: skip
    assert sum(passed) == filled.misses == 3 * 10 + 24
    for name, pooled in each.items():
        use = start(*words, *pooled, "cache=on", name=f"on-{name}").record.train.cache
        assert (use.hits, sum(passed)) == (3 * 10 + 24, 3 * 10 + 24)
        assert probability_bits(tmp_path / f"on-{name}") == probability_bits(tmp_path / f"off-{name}")
    assert probability_bits(tmp_path / "on-own") != probability_bits(tmp_path / "on-average")


def test_what_fits_is_filled_and_the_deepest_first(
    configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry.Prefix, "seconds", lambda self, setup: 1.0)
    asked: list[list[str]] = []
    together = extractor.fill_together

    def heard(stores: Any, *more: Any, **named: Any) -> Any:
        asked.append([store.key.cut.partition(":")[0] for store in stores])
        return together(stores, *more, **named)

    monkeypatch.setattr(extractor, "fill_together", heard)
    fill([configure()], [1, 2, 3, 4, 5])
    everything = asked[0]
    assert everything[0] == "pooled"
    assert len(everything) == 5
    fill([configure("cache.max_bytes=200000")], [1, 2, 3, 4, 5])
    assert asked[-1] == everything[: len(asked[-1])]
    assert 1 <= len(asked[-1]) < 5


def test_the_shifted_images_pass_and_count_as_well(
    configure: Callable[..., Config], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    opened = prefetch.open_entry
    monkeypatch.setattr(
        prefetch, "open_entry", lambda *args, **more: counted.append(more["rows"]) or opened(*args, **more)
    )
    for number, name in enumerate(SHAPES[:3]):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (40 * number, 90, 120)).save(tmp_path / "drawn" / name / "1.png")
    words = ["cache=on", "labels=2", f"data.shifted={tmp_path / 'drawn'}"]
    assert fill([configure(*words)], [2, 5]).misses == 3 * 2 + 24 + 3
    assert counted == [3 * 2 + 24 + 3] * 2
    for depth in (2, 5):
        use = start(*words, *DEPTHS[depth], name=f"depth{depth}").record.train.cache
        assert use.hits == 3 * 2 + 24 + 3


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
@pytest.mark.parametrize("words", BACKBONES.values(), ids=BACKBONES)
@pytest.mark.broad(3)
def test_each_inner_depth_of_a_backbone_finds_the_cut_that_was_chosen_ahead(
    words: list[str], every: bool, configure: Callable[..., Config], start: Start
) -> None:
    """Cut for a run of its own, a network has other modes than when all its cuts are made at once."""
    words = [*words, "labels=2", "train.limit_steps=1", "cache=on"]
    inner = range(1, len(build_network(configure(*words), meta=True).units))
    assert fill([configure(*words)], [*inner]).misses == 3 * 2 + 24
    for depth in inner if every else (inner[0], inner[-1]):
        use = start(*words, "freeze=depth", f"freeze.depth={depth}", name=f"depth{depth}").record.train.cache
        assert (use.hits, use.misses) == (3 * 2 + 24, 0), depth


def test_no_run_makes_rows_that_none_asks_for_once_all_are_filled(configure: Callable[..., Config]) -> None:
    session = Session(several=True)
    config = configure("freeze=all", "head=logreg", "data.per_class=30", "labels=20")
    fill_cuts([config], [2, 5], session, device=torch.device("cpu"), listener=Listener())
    assert computed_by_a_run(config, session) == 0
    assert computed_by_a_run(config, Session(several=True)) > 0  # the rest of the pool, for another seed


def computed_by_a_run(config: Config, session: Session) -> int:
    network, _ = session.network(config)
    images = session.images(config, network.expected, Listener())
    budget = draw_labels(config, images)
    classifier = build_classifier(config, network, len(images.classes))
    device = torch.device("cpu")
    setup = build_setup(config, network, device, images=len(budget.positions), classes=len(images.classes))
    use = RunInputs(config, session, classifier, images, budget, setup, Listener()).use
    assert use is not None
    return use.misses
