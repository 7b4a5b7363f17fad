"""Heads that start from the tuned probe, and heads that are solved together for many runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.composed import load
from tlexp.config import Config
from tlexp.errors import ConfigError
from tlexp.experiment import probe as probes
from tlexp.experiment.build import build_classifier
from tlexp.experiment.images import draw_labels
from tlexp.experiment.probe import build_probe, probe_config, solve_together
from tlexp.experiment.run import Outcome, run
from tlexp.experiment.session import Session
from tlexp.train import Listener

Start = Callable[..., Outcome]
WORDS = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=24", "data.test_per_class=8", "data.num_classes=3",
    "tracking=off", "tracking.figures=false", "train.save_weights=false", "cache=off",
]  # fmt: skip
CPU = torch.device("cpu")


def config(*words: str, labels: int = 10, seed: int = 0) -> Config:
    return load([*WORDS, *words, f"labels={labels}", f"seed={seed}"]).config


def predictions(folder: Path) -> np.ndarray:
    with np.load(folder / "predictions.npz") as file:
        return file["probability"]


def test_with_all_layers_frozen_and_hardly_a_step_the_start_is_the_probe_itself(start: Start, tmp_path: Path) -> None:
    start("head=linear", "head.init=probe", "optim.lr=1e-12", "train.steps=1", "labels=4", name="started")
    start("head=logreg", "labels=4", name="solved")
    assert np.allclose(predictions(tmp_path / "started"), predictions(tmp_path / "solved"), atol=1e-5)


def test_a_network_that_is_trained_as_a_whole_starts_from_the_same_probe(start: Start, tmp_path: Path) -> None:
    words = ["freeze=none", "head.init=probe", "freeze.norm=keep", "optim.lr=1e-12", "train.steps=1", "labels=4"]
    outcome = start(*words, name="started")
    solved = start("head=logreg", "labels=4", name="solved")
    assert np.allclose(predictions(tmp_path / "started"), predictions(tmp_path / "solved"), atol=1e-4)
    assert outcome.record.train.probe.winner == solved.record.train.selection.winner


@pytest.mark.parametrize("labels", [4, 10])
def test_the_head_of_a_fold_never_saw_the_images_that_the_fold_validates_on(labels: int) -> None:
    session, asked = Session(), config("freeze=none", "head.init=probe", labels=labels)
    network, _ = session.network(asked)
    source = session.images(asked, network.expected, Listener())
    budget = draw_labels(asked, source)
    found = build_probe(asked, network, source, budget, session, device=CPU, listener=Listener())
    whole = np.arange(len(budget.positions))
    assert set(found.heads) == {whole.tobytes(), *(fold.train.tobytes() for fold in budget.folds)}
    weights = [head.state_dict()["0.weight"] for head in found.heads.values()]
    assert all(not torch.equal(weights[0], other) for other in weights[1:])


def test_one_image_per_class_takes_the_stated_penalty() -> None:
    session, asked = Session(), config("freeze=none", "head.init=probe", labels=1)
    network, _ = session.network(asked)
    source = session.images(asked, network.expected, Listener())
    found = build_probe(asked, network, source, draw_labels(asked, source), session, device=CPU, listener=Listener())
    assert found.selection.kind == "none"
    assert len(found.heads) == 1


@pytest.mark.parametrize("head", ["logreg", "ridge", "nearest_mean", "knn"])
@pytest.mark.broad(2)
def test_heads_solved_together_are_those_that_each_run_solves_alone(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [config(f"head={head}", labels=labels, seed=seed) for labels, seed in ((1, 0), (3, 0), (3, 1), (10, 0))]
    session = Session(several=True)
    solve_together(asked, session, device=CPU, listener=Listener())
    alone, together = [], []
    for number, each in enumerate(asked):
        (tmp_path / f"a{number}").mkdir()
        alone.append(run(each, folder=tmp_path / f"a{number}", listener=Listener()).record)
    monkeypatch.setattr("tlexp.learn.solved.solve", None)  # every solution is known
    for number, each in enumerate(asked):
        (tmp_path / f"t{number}").mkdir()
        together.append(run(each, folder=tmp_path / f"t{number}", listener=Listener(), session=session).record)
    for number, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert one.train.selection.winner == other.train.selection.winner
        assert np.allclose(predictions(tmp_path / f"a{number}"), predictions(tmp_path / f"t{number}"), atol=5e-3)


def test_probes_solved_together_serve_networks_that_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["freeze=depth", "freeze.depth=3", "head.init=probe", "train.limit_steps=3"]
    asked = [config(*words, labels=labels, seed=seed) for labels, seed in ((4, 0), (4, 1), (10, 0))]
    session = Session(several=True)
    solve_together(asked, session, device=CPU, listener=Listener())
    monkeypatch.setattr("tlexp.learn.solved.solve", None)
    for number, each in enumerate(asked):
        (tmp_path / str(number)).mkdir()
        assert (
            run(each, folder=tmp_path / str(number), listener=Listener(), session=session).record.status == "finished"
        )


def test_runs_that_share_end_as_those_that_do_not(tmp_path: Path) -> None:
    """A network that was trained is as it started when the next run gets it."""
    words = ["freeze=none", "train.limit_steps=4"]
    session = Session(several=True)
    for number, seed in enumerate((0, 1, 0)):
        each = config(*words, seed=seed)
        for name, common in (("alone", None), ("session", session)):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            run(each, folder=folder, listener=Listener(), session=common)
        assert np.array_equal(predictions(tmp_path / f"alone{number}"), predictions(tmp_path / f"session{number}"))


def test_random_weights_are_drawn_anew_for_each_seed() -> None:
    session = Session(several=True)
    weights = []
    for seed in (0, 1, 0):
        network, _ = session.network(config("backbone.pretrained=false", "freeze=none", seed=seed))
        weights.append(next(network.backbone.parameters()).detach().clone())
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_another_depth_of_the_same_network_is_cut_anew() -> None:
    session = Session(several=True)
    asked = [config("freeze=depth", f"freeze.depth={depth}") for depth in (0, 3)]
    depths = [build_classifier(each, session.network(each)[0], 3).depth for each in asked]
    assert depths == [0, 3]


def test_a_probe_needs_a_linear_head() -> None:
    with pytest.raises(ConfigError, match=r"head\.init=probe needs head=linear: head=mlp"):
        load(["head=mlp", "head.hidden=[8]", "head.init=probe"])


def test_the_probe_is_that_of_clean_images_unless_views_are_stored() -> None:
    assert str(probe_config(config("freeze=none", "augment=light")).augment.kind) == "none"
    assert str(probe_config(config("freeze=none", "augment=light", "cache.views=2")).augment.kind) == "light"
    assert probes.probe_config(config("freeze=none", "augment.mixup=0.2")).augment.mixup == 0


def test_without_a_cache_runs_that_share_still_see_each_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cache=off` keeps nothing on disk; what one run of a study has computed serves the next."""
    seen: list[int] = []
    real = Session.decode
    monkeypatch.setattr(
        Session, "decode", lambda self, config, images, places, *rest: seen.append(len(places)) or real(
            self, config, images, places, *rest
        )
    )  # fmt: skip
    session = Session(several=True)
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        run(config("head=logreg"), folder=tmp_path / str(number), listener=Listener(), session=session)
        if not number:
            first = len(seen)
    assert first > 0
    assert len(seen) == first


def test_a_digest_that_is_known_is_that_of_the_tensors_as_they_are() -> None:
    """What is session hashes a network once; one that was changed has a digest of its own."""
    session, asked = Session(several=True), config()
    network, _ = session.network(asked)
    classifier = build_classifier(asked, network, 3)
    first = classifier.frozen_digest(session.digest)
    assert first == classifier.frozen_digest() == classifier.frozen_digest(session.digest)
    with torch.no_grad():
        next(network.backbone.parameters()).view(-1)[0] += 1
    assert classifier.frozen_digest(session.digest) == classifier.frozen_digest() != first
    session.network(asked)  # as it started
    assert classifier.frozen_digest(session.digest) == first
    norm = next(each for each in network.backbone.modules() if isinstance(each, nn.BatchNorm2d))
    images = torch.ones(2, norm.num_features, 4, 4)
    nn.functional.batch_norm(images, norm.running_mean, norm.running_var, training=True)  # which torch does not count
    assert classifier.frozen_digest(session.digest) == classifier.frozen_digest() != first
    session.network(asked)
    next(network.backbone.parameters()).data.view(-1)[0] += 1  # nor this, which nothing here does
    assert classifier.frozen_digest(session.digest_after) == classifier.frozen_digest() != first


def test_runs_that_share_count_what_the_cache_gave_as_those_that_look_it_up(tmp_path: Path) -> None:
    session, used = Session(several=True), []
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        record = run(config("head=logreg"), folder=folder, listener=Listener(), session=session).record
        used.append({name: getattr(record.train.cache, name) for name in ("hits", "misses", "read_bytes")})
    assert used[0]["misses"] == 30 + 24
    assert used[1] == used[2] == used[3]
    assert used[3]["hits"] == 30 + 24
    assert np.array_equal(predictions(tmp_path / "0"), predictions(tmp_path / "3"))


@pytest.mark.parametrize(
    "words",
    [
        ["freeze=none"], ["freeze=last"], ["freeze=depth"], ["freeze=surgical", "freeze.units=[layer2]"],
        ["freeze=norm"], ["freeze=bias"], ["freeze=lora"], ["freeze=gradual"],
    ],
)  # fmt: skip
@pytest.mark.broad(3)
def test_every_policy_that_trains_the_backbone_can_start_from_the_same_probe(words: list[str], start: Start) -> None:
    solved = start("head=logreg", "labels=4", name="solved").record.train.selection
    found = start(*words, "head.init=probe", "labels=4", "train.limit_steps=4", name="started").record
    assert found.status == "finished"
    assert found.train.probe.winner == solved.winner
