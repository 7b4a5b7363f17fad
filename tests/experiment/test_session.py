"""What the runs of one process hand on to each other, and what they must not keep of each other."""

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.composed import load
from tests.conftest import SMALL, probability_bits
from tests.photographs import draw_photos
from tlexp.config import Preprocessing
from tlexp.data.checked import CheckedImages
from tlexp.experiment import run as run_module
from tlexp.experiment import session as session_module
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.models import preprocessing
from tlexp.train import Listener


def test_the_test_split_that_is_kept_keeps_no_run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []

    def heard(config: Any, session: Any, classifier: Any, *more: Any) -> RunInputs:
        inputs = RunInputs(config, session, classifier, *more)
        made.extend([weakref.ref(inputs), weakref.ref(classifier), weakref.ref(inputs.extractors[-1])])
        return inputs

    monkeypatch.setattr(run_module, "RunInputs", heard)
    session = Session(several=True)
    for seed in (0, 1, 2):
        (tmp_path / f"{seed}").mkdir()
        config = load([*SMALL, f"seed={seed}"]).config
        run_module.run(config, folder=tmp_path / f"{seed}", listener=Listener(), session=session)
    gc.collect()
    assert session.held_out is not None
    assert [each() for each in made] == [None] * 9
    assert len(session.held_out[1].pixels(session.held_out[1].labels[:2])) == 2


def test_another_network_or_other_images_find_what_those_before_have_freed_given_back(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a study of networks takes more memory than its largest one: what they free does not fit each other."""
    given: list[bool] = []
    session = Session(several=True)
    monkeypatch.setattr(session_module, "give_back_freed_memory", lambda: given.append(session._network is None))
    told = []
    for words in ([], ["seed=1"], ["backbone.image_size=48"]):
        config = load([*SMALL, *words]).config
        network, _ = session.network(config)
        session.images(config, network.expected, Listener())
        told.append(list(given))
    assert told == [[], [], [True, False]]


@pytest.mark.parametrize(
    "words",
    [["freeze=all"], ["freeze=gradual", "freeze.phases=3"], ["backbone.pretrained=false", "backbone.calibrate=true"]],
    ids=["all", "gradual", "calibrated"],
)
def test_a_run_after_others_is_the_run_alone(words: list[str], cache: Path, tmp_path: Path) -> None:
    session = Session(several=True)
    for name, held in (("alone", Session()), ("first", session), ("second", session), ("third", session)):
        (tmp_path / name).mkdir()
        more = ["data.seed=1"] if name == "first" else []
        run_module.run(load([*SMALL, *words, *more]).config, folder=tmp_path / name, listener=Listener(), session=held)
    assert len({probability_bits(tmp_path / name) for name in ("alone", "second", "third")}) == 1


def test_a_change_that_torch_does_not_count_ends_the_run(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(learner: Any, *more: Any, **named: Any) -> Any:
        found = run_module_refit(learner, *more, **named)
        for parameter in session.network(config)[0].backbone.parameters():  # restored, so that all else is as it was
            parameter.data.add_(1)
            break
        return found

    run_module_refit, session = run_module.refit, Session(several=True)
    config = load([*SMALL, "head=logreg"]).config
    monkeypatch.setattr(run_module, "refit", fitted)
    with pytest.raises(AssertionError, match="frozen parameters or buffers changed"):
        run_module.run(config, folder=tmp_path, listener=Listener(), session=session)


def test_what_a_run_has_compared_is_not_restored_but_what_is_changed_later_is(cache: Path, tmp_path: Path) -> None:
    session = Session(several=True)
    config = load([*SMALL, "head=logreg"]).config
    run_module.run(config, folder=tmp_path, listener=Listener(), session=session)
    start = session._network
    assert start is not None
    first, second, *_ = start.network.backbone.parameters()
    before, counted = first.detach().clone(), second._version
    with torch.no_grad():
        first.add_(1)
    session.network(config)
    assert torch.equal(first, before)
    assert second._version == counted
    kept = second.detach().clone()
    second.data.add_(1)  # which torch does not count, and no run has compared since
    session.network(config)
    assert torch.equal(second, kept)
    session.digest(dict(start.network.backbone.named_parameters()))  # before a run that ends on its way
    second.data.add_(1)
    session.network(config)
    assert torch.equal(second, kept)


def test_jpegs_are_decoded_in_part_for_the_network_that_asks(cache: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={draw_photos(tmp_path / 'photos')}"]
    session, plain = Session(several=True), preprocessing("test_resnet", image_size=32, crop_pct=1.0)
    closer = dataclasses.replace(plain, crop_pct=0.5)

    def least(decoder: str, expected: Preprocessing) -> int | None:
        config = load([*words, f"data.decoder={decoder}"]).config
        images = session.images(config, expected, Listener()).held_out
        assert isinstance(images, CheckedImages)
        return images.decoding.least_side

    asked = [("fast", plain), ("fast", closer), ("fast", plain), ("exact", closer), ("exact", plain)]
    assert [least(*each) for each in asked] == [64, 128, 64, None, None]


def test_a_run_after_one_of_another_layout_is_the_run_alone(cache: Path, tmp_path: Path) -> None:
    session, plain = Session(several=True), "train.channels_last=false"
    for name, held, *more in (("alone", Session(), plain), ("first", session), ("second", session, plain)):
        (tmp_path / name).mkdir()
        config = load([*SMALL, "freeze=none", *more]).config
        run_module.run(config, folder=tmp_path / name, listener=Listener(), session=held)
    assert probability_bits(tmp_path / "alone") == probability_bits(tmp_path / "second")


def test_runs_of_a_sweep_over_anything_are_the_runs_alone(cache: Path, tmp_path: Path) -> None:
    swept = [
        "freeze=none", "freeze=last freeze.norm=update", "freeze=all", "freeze=all head=logreg", "freeze=norm",
        "freeze=all augment=light cache.views=2", "freeze=none augment.mixup=0.2", "freeze=none head=attention",
    ]  # fmt: skip
    session = Session(several=True)
    bits: dict[str, list[bytes]] = {words: [] for words in swept}
    for place, held in (("shared", session), ("alone", None)):
        for number, words in enumerate(swept):
            folder = tmp_path / f"{place}-{number}"
            folder.mkdir()
            config = load([*SMALL, "train.limit_steps=2", *words.split()]).config
            run_module.run(config, folder=folder, listener=Listener(), session=held or Session())
            bits[words].append(probability_bits(folder))
    assert [words for words, found in bits.items() if len(set(found)) > 1] == []


def test_an_interruption_still_waits_for_what_the_store_has_to_take() -> None:
    class Ended:
        def settle(self) -> None:
            settled.append(self)

    def interrupted() -> None:
        with session.tracking_behind():
            assert session.backlog is not None
            session.backlog.add(last)  # type: ignore[arg-type]
            raise KeyboardInterrupt

    session, settled, last = Session(several=True), [], Ended()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert settled == [last]
    assert session.backlog is None  # a single run after it waits for its own
