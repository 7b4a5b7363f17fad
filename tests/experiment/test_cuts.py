"""Runs that train from a cut behind their frozen units: the same to the bit, wherever what crosses is kept."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Start, probability_bits
from tlexp.config.cache import CacheMode
from tlexp.config.entry import EVERY_UNIT
from tlexp.errors import ConfigError
from tlexp.experiment import run as run_module
from tlexp.experiment.inputs import RunInputs
from tlexp.features import entry
from tlexp.features.entry import Room, Storage, choose_storage
from tlexp.models import classifier
from tlexp.models.tracing import CutError

DEPTH = ["freeze=depth", "freeze.depth=2"]
GRADUAL = ["freeze=gradual", "freeze.phases=3"]
VIT = ["backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"]
WAYS = {
    "cold": ["cache=on"],
    "warm": ["cache=on"],
    "memory": ["cache=off"],
    "nowhere": ["cache=off", "data.memory_bytes=1"],
    "mapped": ["cache=on", "data.memory_bytes=1"],
}


@pytest.mark.parametrize(
    "words",
    [
        DEPTH,
        pytest.param(["freeze=last", "freeze.norm=keep"], marks=pytest.mark.slow),
        ["freeze=surgical", "freeze.units=[layer2]"],
        pytest.param([*DEPTH, "augment=light", "cache.views=2"], marks=pytest.mark.slow),
        [*DEPTH, "head=mlp", "head.hidden=[8]", "head.dropout=0.3", "tune.trials=2", "labels=2"],
        [*DEPTH, *VIT, "backbone.drop_path_rate=0.2", "train.channels_last=false"],
        ["freeze=lpft", "head=mlp", "head.hidden=[8]", "head.dropout=0.3", "tune.trials=2", "labels=2"],
        [*GRADUAL, "augment=light", "cache.views=2"],
        pytest.param(
            [*GRADUAL, *VIT, "backbone.drop_path_rate=0.2", "train.channels_last=false"], marks=pytest.mark.slow
        ),
    ],
    ids=["depth", "last", "surgical", "views", "tuned", "vit", "lpft", "gradual-views", "gradual-vit"],
)
@pytest.mark.broad(2)
def test_a_run_is_the_same_to_the_bit_wherever_rows_are_kept(
    words: list[str], start: Start, cache: Path, tmp_path: Path
) -> None:
    steps = "train.limit_steps=3"  # one for each phase
    runs = {name: start(*words, *more, steps, name=name).record for name, more in WAYS.items()}
    assert len({(run.metrics["val/nll"], run.metrics["train/nll"]) for run in runs.values()}) == 1
    assert len({probability_bits(tmp_path / name) for name in runs}) == 1
    assert len({(tmp_path / name / "metrics.jsonl").read_text() for name in runs}) == 1
    assert len({run.freeze.digest_after for run in runs.values()}) == 1
    assert runs["cold"].train.cache.hits == runs["warm"].train.cache.misses == 0
    assert runs["warm"].train.cache.hits == runs["cold"].train.cache.misses > 0
    assert (runs["nowhere"].train.cache is None) == (runs["nowhere"].freeze.phases is None)  # features are always kept


def test_a_phase_with_frozen_units_in_front_runs_none_of_them(
    start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head trains on features, the next phase from its cut: the budget passes once for each, however many steps."""
    passed: list[int] = []
    for module in (entry, classifier):
        chunked = module.in_chunks
        monkeypatch.setattr(
            module, "in_chunks", lambda run, images, own=chunked: passed.append(len(images)) or own(run, images)
        )
    start(*GRADUAL, "cache=off", "labels=8", "train.limit_steps=9", "train.batch_size=8", name="gradual")
    assert sum(passed) == 2 * 24
    passed.clear()
    start("freeze=lpft", "cache=on", "labels=8", name="lpft")
    assert sum(passed) == 24
    passed.clear()
    again = start("freeze=lpft", "cache=on", "labels=8", "seed=1", "data.seed=0", name="again").record.train.cache
    assert (again.misses, again.hits, passed) == (0, 24, [])
    assert start("freeze=all", "cache=on", "labels=8", name="all").record.train.cache.hits == 24


@pytest.mark.parametrize("mode", ["on", "off"])
def test_rows_of_all_phases_together_stay_within_the_memory(
    mode: str, start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[RunInputs] = []
    monkeypatch.setattr(run_module, "RunInputs", lambda *parts: made.append(RunInputs(*parts)) or made[-1])
    start("freeze=gradual", "freeze.phases=5", f"cache={mode}", "data.memory_bytes=250000")
    held = [entry.rows.held_bytes for entry in made[0].entries if entry.rows is not None]
    assert sum(entry.prefix is not None or entry.rows is not None for entry in made[0].entries) == 4
    assert 0 < sum(held) * (1 if mode == "on" else 2) <= 250000


def test_a_phase_that_cannot_be_cut_leaves_the_others_kept(start: Start, cache: Path) -> None:
    record = start(*GRADUAL, "head.units=[layer2,layer4]", "cache=on").record
    assert record.train.cache.misses > 0
    [told] = [note for note in record.notes if "not kept" in note]
    assert told.startswith("what the frozen layers make is not kept in every phase: test_resnet cannot be cut behind")


def test_the_whole_network_in_one_piece_gives_the_same_but_for_rounding(
    start: Start, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cut a batch passes in one piece, so the last bits are others; over few steps they stay the last."""
    start(*DEPTH, name="cut")

    def refuse(*args: Any) -> None:
        raise CutError("not today")

    monkeypatch.setattr(entry, "Cutter", refuse)
    record = start(*DEPTH, name="whole").record
    probabilities = []
    for name in ("cut", "whole"):
        with np.load(tmp_path / name / "predictions.npz") as file:
            probabilities.append(file["probability"])
    np.testing.assert_allclose(*probabilities, rtol=1e-3, atol=1e-5)
    told = [note for note in record.notes if "not kept" in note]
    assert len(told) == 1
    assert re.fullmatch(r"what the frozen layers make is not kept: \S+ cannot be cut behind \S+: not today", told[0])
    assert not any("not kept" in note for note in start(*DEPTH, "cache=off", name="off").record.notes)
    with pytest.raises(
        ConfigError, match=r"cache\.mode=on, but .* cannot be cut behind .*: not today; cache\.mode=auto"
    ):
        start(*DEPTH, "cache=on", name="on")


def test_another_seed_passes_no_image_of_its_budget_twice(
    start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(*DEPTH, "cache=on", "labels=24", name="first").record.train.cache
    assert (first.hits, first.misses) == (0, 3 * 24 + 24)

    def unwanted(*args: Any) -> Any:
        raise AssertionError("a forward pass of the prefix")

    monkeypatch.setattr(entry, "in_chunks", unwanted)
    again = start(*DEPTH, "cache=on", "seed=1", "head.dropout=0.1", "head=mlp", name="again").record.train.cache
    assert again.misses == 0


def test_other_cuts_and_other_weights_are_other_rows(start: Start, cache: Path) -> None:
    start(*DEPTH, "cache=on", name="first")
    for words in (["freeze.depth=3"], ["backbone.pretrained=false"]):
        other = start(*DEPTH, *words, "cache=on", name=words[0]).record.train.cache
        assert other.hits == 0


@pytest.mark.parametrize(
    "words",
    [["augment=light"], ["augment.mixup=0.2"], ["freeze.norm=update"], ["freeze=none"]],
    ids=lambda words: words[0],
)
@pytest.mark.broad(2)
def test_what_changes_from_step_to_step_is_not_kept(words: list[str], start: Start, cache: Path) -> None:
    freeze = [] if "freeze=none" in words else DEPTH
    assert start(*freeze, *words, name="auto").record.train.cache is None
    with pytest.raises(ConfigError, match=r"cache\.mode=on, but"):
        start(*freeze, *words, "cache=on", name="on")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["freeze=depth", "freeze.depth=0.01"], "freezes none"),
        (["freeze=depth", "freeze.depth=5"], "freezes every one, which freeze=all does"),
    ],
)
def test_a_cache_that_must_be_needs_units_in_front(words: list[str], told: str, start: Start, cache: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        start(*words, "cache=on", name="on")


def test_training_from_a_cut_runs_no_prefix(start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []
    chunked = entry.in_chunks
    monkeypatch.setattr(entry, "in_chunks", lambda run, images: passed.append(len(images)) or chunked(run, images))
    start(*DEPTH, "cache=off", name="memory")
    assert sum(passed) == 30 + 24  # the budget and the test split, once each
    passed.clear()
    start(*DEPTH, "cache=off", "data.memory_bytes=1", name="nowhere")
    assert sum(passed) > 6 * 30


@pytest.mark.parametrize(
    ("mode", "changes", "place"),
    [
        ("on", {}, Storage.disk),
        ("on", {"seconds": lambda: 0.0, "max_bytes": 0}, Storage.disk),
        ("off", {}, Storage.memory),
        ("off", {"memory_bytes": 1}, Storage.nowhere),
        ("auto", {}, Storage.disk),
        ("auto", {"keeps": False}, Storage.memory),
        ("auto", {"max_bytes": 99_999}, Storage.memory),
        ("auto", {"seconds": lambda: 1e-6}, Storage.memory),
        ("auto", {"seconds": lambda: 1e-6, "memory_bytes": 199_999}, Storage.nowhere),
        ("auto", {"seconds": lambda: 1e-6, "memory_bytes": 200_000}, Storage.memory),
    ],
)
def test_rows_are_kept_where_that_pays_and_fits(mode: str, changes: dict[str, Any], place: Storage) -> None:
    plain: dict[str, Any] = {
        "rows": 100,
        "seconds": lambda: 1e-3,
        "keeps": True,
        "max_bytes": 10**9,
        "memory_bytes": 10**9,
    }
    given = {**plain, **changes}
    disk_bytes = given["max_bytes"] if given["keeps"] else None
    room = Room(mode=CacheMode(mode), disk_bytes=disk_bytes, memory_bytes=given["memory_bytes"])
    assert choose_storage(room, 1000, rows=given["rows"], seconds=given["seconds"]) is place


def test_what_is_drawn_anew_or_read_from_several_units_is_told_not_to_be_kept(start: Start, cache: Path) -> None:
    words = ("freeze=last", "labels=2", "train.limit_steps=2")
    varied = start(*words, "augment=flip", name="varied").record
    assert [note for note in varied.notes if "not kept" in note] == [
        "features are not kept: augment=flip draws new images at every step: use augment=none, or cache.views=8"
    ]
    read = start(*words, "head.units=[layer2,layer4]", name="read").record
    [told] = [note for note in read.notes if "not kept" in note]
    assert told.endswith("cannot be cut behind layer3: head.units reads what several units make")
    assert not any("not kept" in note for note in start(*words, name="kept").record.notes)


@pytest.mark.parametrize("depth", ["5", "0.99", "layer4"])
def test_a_depth_that_leaves_nothing_to_train_says_what_does_it_better(depth: str, start: Start, cache: Path) -> None:
    words = ("freeze=depth", f"freeze.depth={depth}", "labels=2", "train.limit_steps=2")
    told = [note for note in start(*words, name="every").record.notes if "every one" in note]
    assert told == [f"freeze.depth={depth} freezes {EVERY_UNIT}"]
    with pytest.raises(ConfigError, match=r"cache\.mode=on, but .* freezes every one"):
        start(*words, "cache=on", name="on")


def test_a_wholly_frozen_run_without_a_cache_is_not_told_of_a_depth(start: Start) -> None:
    notes = start("freeze=all", "augment=flip", "cache=off", "labels=2", "train.limit_steps=2").record.notes
    assert not any("freeze.depth" in note for note in notes)


def test_where_the_folder_cannot_be_written_the_phases_share_the_memory(start: Start, tmp_path: Path) -> None:
    """Only the first phase finds that out; what crosses the later cuts is too large for the memory."""
    (tmp_path / "file").touch()
    words = ("freeze=gradual", "freeze.phases=5", f"cache.dir={tmp_path / 'file' / 'cache'}", "data.memory_bytes=20000")
    record = start(*words, "train.limit_steps=5").record
    assert record.train.cache is not None
    assert record.train.cache.misses == 30
