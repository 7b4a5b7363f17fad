"""Runs on features that are known: the same as without, to the bit, whatever is kept of them."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Start, probability_bits
from tlexp.cache import Store
from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError, DataError, Interrupted, OutOfMemoryError
from tlexp.experiment import run as run_module
from tlexp.features import extractor
from tlexp.models import Classifier, load_classifier
from tlexp.models.head import Head
from tlexp.tracking import read_record
from tlexp.train import Listener, logreg

SOLVED = [kind for kind in HeadKind if kind.solved]
RATES = ["optim.lr=3e-3", "optim.weight_decay=1e-2"]
LIVE = ["freeze=depth", "freeze.depth=5", *RATES]
"""All units frozen, but by their number: such a network sees every image again at every step."""


@pytest.mark.parametrize("words", [[], ["augment=light", "cache.views=3"]], ids=["clean", "views"])
def test_a_run_is_the_same_to_the_bit_cold_warm_without_cache_and_image_by_image(
    words: list[str], start: Start, cache: Path, tmp_path: Path
) -> None:
    ways = {"cold": [], "warm": [], "off": ["cache=off"], "live": LIVE}
    runs = {name: start(*words, *more, "labels=13", name=name).record for name, more in ways.items()}
    assert len({(run.metrics["val/nll"], run.metrics["train/nll"]) for run in runs.values()}) == 1  # of clean images
    bits = {name: probability_bits(tmp_path / name) for name in runs}
    assert len(set(bits.values())) == 1, {name: hash(value) for name, value in bits.items()}
    curves = {(tmp_path / name / "metrics.jsonl").read_text() for name in bits}
    assert len(curves) == 1


@pytest.mark.parametrize("head", ["linear", "mlp", "cosine"])
def test_the_ways_agree_where_a_product_goes_by_the_number_of_its_rows(
    head: str, start: Start, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """39 images come as 39 features or as 32 and 7 images; on some processors other kernels multiply them then."""
    plain = Head.forward
    monkeypatch.setattr(Head, "forward", lambda self, rows: plain(self, rows) * (1 + 1e-3 * len(rows)))
    ways = {"features": [], "live": LIVE}
    runs = {name: start(f"head={head}", *RATES, *more, "labels=13", name=name).record for name, more in ways.items()}
    assert len({(run.metrics["val/nll"], run.metrics["train/nll"]) for run in runs.values()}) == 1
    assert len({probability_bits(tmp_path / name) for name in runs}) == 1


def test_another_head_or_seed_makes_no_forward_pass(start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(name="first").record.train.cache
    assert (first.hits, first.misses) == (0, 3 * 24 + 24)  # the whole pool, for other seeds, and the test split

    def unwanted(self: Classifier, images: Any) -> Any:
        raise AssertionError("a forward pass")

    monkeypatch.setattr(Classifier, "_frozen_features", lambda self, images: images if images.ndim == 2 else 1 / 0)
    monkeypatch.setattr(extractor, "compute_rows", unwanted)
    for number, words in enumerate((["head=mlp"], ["seed=3"], ["labels=20"], *([f"head={kind}"] for kind in SOLVED))):
        use = start(*words, name=f"next{number}").record.train.cache
        assert use.misses == 0
        assert use.hits == (60 if "labels=20" in words else 30) + 24
        assert use.saved_seconds > 0


@pytest.mark.parametrize(("labels", "pool"), [(2, 60), (10, 32)])
def test_a_pool_that_more_than_doubles_the_images_is_not_read(
    labels: int, pool: int, start: Start, cache: Path
) -> None:
    use = start(f"labels={labels}", f"data.per_class={pool}").record.train.cache
    assert use.misses == 3 * labels + 24


def test_the_pool_is_not_read_through_weights_that_no_other_seed_will_have(start: Start, cache: Path) -> None:
    words = ["backbone.pretrained=false", "backbone.weights=null", "backbone.calibrate=true"]
    assert start(*words).record.train.cache.misses == 30 + 24


@pytest.mark.parametrize("words", [["cache=off"], ["cache.max_bytes=0"]])
def test_the_pool_is_not_read_where_nothing_is_kept(words: list[str], start: Start, cache: Path) -> None:
    assert start(*words).record.train.cache.misses == 30 + 24


def test_the_pool_is_not_read_for_a_folder_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    assert start(f"cache.dir={tmp_path / 'taken'}").record.train.cache.misses == 30 + 24


def test_stored_views_are_for_networks_that_move_as_well(start: Start, cache: Path, tmp_path: Path) -> None:
    words = ["freeze=none", "augment=light", "tune.validate=false"]
    for name, views in (("drawn", 0), ("one", 1), ("two", 2)):
        start(*words, f"cache.views={views}", name=name)
    assert len({probability_bits(tmp_path / name) for name in ("drawn", "one", "two")}) == 3
    assert not cache.exists()


def test_without_cache_nothing_is_written(start: Start, cache: Path) -> None:
    assert start("cache=off").record.train.cache.written_bytes == 0
    assert not cache.exists()


def test_the_folder_is_what_the_setting_says(start: Start, cache: Path, tmp_path: Path) -> None:
    start(f"cache.dir={tmp_path / 'mine'}")
    assert not cache.exists()
    assert Store(tmp_path / "mine", max_bytes=10**9).entries()[0].rows == 96


def test_the_record_and_the_screen_say_what_the_cache_did(start: Start, cache: Path) -> None:
    heard: list[str] = []

    class Notes(Listener):
        def message(self, text: str) -> None:
            heard.append(text)

    start(name="cold", listener=Notes())
    start(name="warm", listener=Notes())
    assert [text.partition(" in ")[0] for text in heard if text.startswith("cache")] == [
        "cache auto: computed 96 rows",
        next(text for text in heard if text.startswith("cache auto: hit 54 rows")),
    ]


def test_what_cannot_be_kept_goes_on_and_is_said(start: Start, cache: Path) -> None:
    record = start("augment=light").record
    assert record.train.cache is None
    assert any("features are not kept: augment=light draws new images" in note for note in record.notes)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cache=on", "freeze=none"], r"cache\.mode=on, but freeze=none trains layers of the backbone: use freeze=all"),
        (["cache=on", "augment=light"], r"cache\.mode=on, but augment=light draws .* cache\.views=8"),
        (["cache=on", "augment.mixup=0.2"], r"cache\.mode=on, but mixup and cutmix"),
        (["cache.views=4"], r"cache\.views=4 needs an augmentation"),
        (["cache.views=-1"], r"cache\.views=-1: must be 0\.\.1024"),
        (["cache.max_bytes=-1"], r"cache\.max_bytes=-1: must be at least 0"),
        (["head=ridge", "freeze=none"], r"head=ridge is solved on features that stay as they are, but freeze=none"),
        (["head=logreg", "augment=flip"], r"head=logreg is solved .* but augment=flip"),
        (["head=logreg", "optim.lr=0.1"], r"optim\.lr needs a head that is trained, such as head=linear"),
        (["head=logreg", "optim.weight_decay=0"], r"optim\.weight_decay=0: head=logreg needs a positive one"),
        (["head=knn", "optim.weight_decay=0.1"], r"optim\.weight_decay needs a head that is trained"),
        (["head=flatten_mlp", "head.hidden=[]"], r"head\.hidden is empty: head=flatten_mlp needs hidden layers"),
        (
            ["head=flatten_mlp", "head.global_pool=max"],
            r"head\.global_pool=max: head=flatten_mlp sees the map unpooled",
        ),
        (["head=flatten_mlp", "backbone=pixels"], r"head=flatten_mlp: backbone=pixels has no map"),
        (["head=knn", "head.dropout=0.1"], r"head\.dropout=0\.1 needs"),
        (
            ["head=ridge", "head.hidden=[3]"],
            r"head\.hidden=\[3\] needs head=mlp or head=flatten_mlp: head=ridge has no hidden layers",
        ),
        (
            ["head=ridge", "tune.weight_decay=[1e-6,1e-3]"],
            r"tune\.weight_decay=.*compares values of its own",
        ),
        (["head=ridge", "augment=flip", "cache.views=2"], r"cache\.views=2: head=ridge is calibrated by leaving"),
        (["head=ridge", "train.label_smoothing=0.1"], r"train\.label_smoothing needs"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(words: list[str], told: str, start: Start) -> None:
    with pytest.raises(ConfigError, match=told):
        start(*words)


@pytest.mark.parametrize("labels", ["1", "4", "20"])
@pytest.mark.parametrize("kind", SOLVED)
@pytest.mark.broad(3)
def test_a_solved_head_is_selected_inside_the_budget(kind: HeadKind, labels: str, start: Start) -> None:
    outcome = start(f"head={kind}", f"labels={labels}")
    selection = outcome.record.train.selection
    assert (selection.kind, selection.folds) == {"1": ("none", 0), "4": ("folds", 4), "20": ("folds", 5)}[labels]
    assert outcome.record.train.outside_protocol == ()
    if labels != "1":
        losses = [trial.loss for trial in selection.trials]
        best = min(losses)
        assert any(trial.rates == selection.winner and trial.loss == best for trial in selection.trials)
    assert outcome.splits["train"].metrics["accuracy"] > 0.6 or kind in (HeadKind.knn, HeadKind.nearest_mean)


def test_a_solver_that_did_not_converge_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    class Notes(Listener):
        def message(self, text: str) -> None:
            heard.append(text)

    assert start("head=logreg", name="well", listener=Notes()).record.train.selection.unsolved == ()
    assert not any("converge" in text for text in heard)
    monkeypatch.setattr(logreg, "_NEWTON_STEPS", 1)
    record = start("head=logreg", name="short", listener=Notes()).record
    unsolved = record.train.selection.unsolved
    assert unsolved == tuple(number for number in range(13) if number in unsolved)
    assert 0 in unsolved  # the smallest weight decay is the hardest
    told = [text for text in heard if text.startswith("head=logreg did not converge for weight_decay=0.0001")]
    assert len(told) == 1
    assert "larger optim.weight_decay" in told[0]


@pytest.mark.parametrize("kind", SOLVED)
def test_the_export_of_a_solved_head_predicts_as_the_run_did(
    kind: HeadKind, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = run_module.RunInputs.held_out
    kept: list[Any] = []
    monkeypatch.setattr(run_module.RunInputs, "held_out", lambda self: kept.extend(held_out(self)) or kept)
    temperature = start(f"head={kind}").record.train.temperature
    classifier, described = load_classifier(tmp_path / "run")
    assert described.card.temperature == temperature
    features = torch.cat([chunk for chunk, _ in kept[0][1].chunks(np.arange(24))])
    with torch.no_grad():
        probability = (classifier.head(features) / temperature).softmax(1)
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        assert np.allclose(probability.numpy(), file["probability"], atol=1e-6)


def test_the_number_of_candidates_is_that_of_the_trials(start: Start) -> None:
    def compared(*words: str) -> int:
        return len(start(*words, name="-".join(words)).record.train.selection.trials)

    assert compared("head=logreg") == compared("head=ridge") == 13
    assert compared("head=logreg", "tune.trials=5") == 5
    assert compared("head=logreg", "tune.trials=1") == 1
    assert compared("head=logreg", "optim.weight_decay=0.1") == 1
    assert compared("tune.trials=7") == 7
    assert compared("head=nearest_mean") == 1


def test_many_candidates_at_once_find_what_each_alone_gives(start: Start) -> None:
    at_once = start("tune.trials=6", name="many").record.train.selection
    for trial in at_once.trials[::2]:
        rates = trial.rates
        words = [f"optim.lr={rates['lr']!r}", f"optim.weight_decay={rates['weight_decay']!r}"]
        alone = start(*words, name=f"alone{trial.number}").record.train.selection
        assert alone.trials[0].loss == pytest.approx(trial.loss, rel=1e-4)
    assert at_once.trials[0].rates == {"lr": 3e-3, "weight_decay": 1e-2}


def test_a_head_that_cannot_be_stacked_is_tried_in_turn(start: Start) -> None:
    selection = start("head=mlp", "head.norm=batch", "tune.trials=3").record.train.selection
    assert len(selection.trials) == 3


def test_candidates_are_a_table_and_a_figure(start: Start, tmp_path: Path) -> None:
    start("head=logreg", "tracking.figures=true")
    rows = list(csv.DictReader((tmp_path / "run" / "candidates.csv").read_text().splitlines()))
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert len(rows) == 13
    assert float(rows[0]["weight_decay"]) == record["train"]["selection"]["winner"]["weight_decay"]
    assert [float(row["loss"]) for row in rows] == sorted(float(row["loss"]) for row in rows)
    assert (tmp_path / "run" / "figures" / "candidates.png").is_file()
    assert {"candidates.csv", "figures/candidates.png"} <= set(record["files"])


def test_out_of_memory_while_features_are_computed_is_recorded(
    start: Start, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(extractor, "compute_rows", exhausted)
    with pytest.raises(OutOfMemoryError, match=r"computing features"):
        start()
    assert read_record(tmp_path / "run").status == "oom"


def test_a_signal_ends_many_candidates(start: Start, tmp_path: Path) -> None:
    class Stop(Listener):
        def should_stop(self) -> int | None:
            return 15

    for words in (["tune.trials=3"], ["head=logreg"]):
        with pytest.raises(Interrupted):
            start(*words, name=words[0], listener=Stop())
        assert read_record(tmp_path / words[0]).status == "killed"


def test_features_that_do_not_fit_into_memory_are_read_where_they_lie(
    start: Start, cache: Path, tmp_path: Path
) -> None:
    for words in ([], ["head=logreg"], ["augment=light", "cache.views=2"]):
        name = "-".join(words)
        start(*words, name=f"held{name}")
        start(*words, "data.memory_bytes=1", name=f"mapped{name}")
        assert probability_bits(tmp_path / f"held{name}") == probability_bits(tmp_path / f"mapped{name}")


def test_a_damaged_entry_is_named_and_computed_again(start: Start, cache: Path, tmp_path: Path) -> None:
    start(name="first")
    entries = sorted(cache.rglob("*.safetensors"))
    content = bytearray(entries[0].read_bytes())
    content[-5] ^= 1
    entries[0].write_bytes(content)
    heard: list[str] = []

    class Notes(Listener):
        def message(self, text: str) -> None:
            heard.append(text)

    start(name="second", listener=Notes())
    assert any(entries[0].name in text for text in heard)
    assert probability_bits(tmp_path / "first") == probability_bits(tmp_path / "second")


@pytest.mark.parametrize("labels", ["1", "2"])
def test_ridge_is_no_coin_where_every_image_is_alone_in_its_class(labels: str, start: Start) -> None:
    outcome = start("head=ridge", f"labels={labels}", "data=digits", "backbone.image_size=64").record
    assert outcome.metrics["test/nll"] < 0.95 * math.log(10)
    losses = [trial.loss for trial in outcome.train.selection.trials]
    assert labels == "1" or max(losses) - min(losses) > 0.01


def test_an_interrupted_run_keeps_the_winner_that_it_had_found(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("tune.trials=5", name="whole")

    class Stop(Listener):
        final = False

        def phase(self, title: str, steps: int) -> None:
            self.final = title == "final"

        def should_stop(self) -> int | None:
            return 15 if self.final else None

    with pytest.raises(Interrupted):
        start("tune.trials=5", name="cut", listener=Stop())

    def unwanted(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("selected again")

    monkeypatch.setattr("tlexp.learn.trained.train_many", unwanted)
    start("tune.trials=5", f"resume={tmp_path / 'cut'}", name="resumed")
    assert probability_bits(tmp_path / "whole") == probability_bits(tmp_path / "resumed")


@pytest.mark.parametrize(
    ("words", "what"),
    [(["head=logreg"], "tlexp.learn.solved.solve"), (["tune.trials=3"], "tlexp.learn.trained.train_many")],
)
def test_out_of_memory_in_many_heads_is_recorded(
    words: list[str], what: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(what, exhausted)
    with pytest.raises(OutOfMemoryError, match=r"use fewer tune\.trials"):
        start(*words)
    assert read_record(tmp_path / "run").status == "oom"


def test_a_signal_that_comes_while_a_head_is_solved_is_heard(start: Start, tmp_path: Path) -> None:
    class Stop(Listener):
        solved = False

        def ended(self) -> None:
            self.solved = True

        def should_stop(self) -> int | None:
            return 2 if self.solved else None

    with pytest.raises(Interrupted):
        start("head=nearest_mean", "labels=1", listener=Stop())
    assert read_record(tmp_path / "run").status == "killed"


def test_other_weights_are_other_features(start: Start, cache: Path) -> None:
    start(name="first")
    assert start("backbone.pretrained=false", name="other").record.train.cache.hits == 0


def test_too_few_images_are_refused_before_any_pass(start: Start, cache: Path) -> None:
    with pytest.raises(DataError, match="each class needs 25"):
        start("labels=25", "head=logreg")
    assert not cache.exists()
