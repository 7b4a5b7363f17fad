"""The contract of what learns from a label budget: a network that is trained, or a head that is solved."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.composed import composed
from tests.conftest import SMALL
from tlexp.arrays import Logits
from tlexp.config.head import HeadKind
from tlexp.config.optim import Choice, Rates
from tlexp.data import Fold
from tlexp.errors import DivergedError, Interrupted
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.images import draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.features.batches import LabelledSet
from tlexp.learn import trained as trained_module
from tlexp.learn.calibration import calibrate_logits
from tlexp.learn.learner import build_learner, solved_candidates, trained_candidates
from tlexp.learn.search import Search
from tlexp.learn.selection import FINAL, Learner, Selection, refit
from tlexp.learn.solved import SolvedLearner
from tlexp.learn.trained import TrainedLearner
from tlexp.models import Classifier
from tlexp.models.digest import tensors_digest
from tlexp.train import CANDIDATES, Checkpoint, FitReport, Listener, Watch, logreg

RATES = (Rates(lr=3e-2, weight_decay=1e-2), Rates(lr=1e-3, weight_decay=1e-1))
DECAYS = (Choice(weight_decay=1e-2), Choice(weight_decay=1.0))
COUNTS = (Choice(neighbours=1), Choice(neighbours=4))
TRAINED: dict[str, list[str]] = {
    "images": ["freeze=none"],
    "cut": ["freeze=depth", "freeze.depth=2", "cache=off"],
    "cut, past it": ["freeze=depth", "freeze.depth=2", "cache=off", "data.memory_bytes=1"],
    "features": ["cache=off"],
    "features, views": ["cache=off", "augment=light", "cache.views=2"],
    "features, mlp": ["cache=off", "head=mlp", "head.hidden=[8]"],
    "features, dropout": ["cache=off", "head=mlp", "head.hidden=[8]", "head.dropout=0.3"],
    "bias": ["freeze=bias"],
    "phases": ["freeze=gradual", "freeze.phases=3", "cache=off", "head=mlp", "head.hidden=[8]", "head.dropout=0.3"],
}
SOLVED: dict[str, tuple[str, tuple[Choice, ...]]] = {
    "logreg": ("logreg", DECAYS),
    "ridge": ("ridge", DECAYS),
    "knn": ("knn", COUNTS),
    "nearest_mean": ("nearest_mean", (Choice(), Choice())),
}


class Stop(Listener):
    """Asks to stop once it is told to, and to look once it is told where."""

    stopping = False
    places: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, float]] = []

    def looks(self, steps: int, images: int) -> frozenset[int]:
        assert images == 6
        return self.places

    def validated(self, fit_id: str, step: int, steps: int, loss: float) -> None:
        self.seen.append((fit_id, step, steps, loss))

    def should_stop(self) -> int | None:
        return 15 if self.stopping else None


@dataclass(frozen=True, kw_only=True)
class Given:
    """A learner of 30 images of 3 classes, the whole network that it began with, folds, and what it may compare."""

    learner: Learner[Any]
    classifier: Classifier
    folds: tuple[Fold, ...]
    candidates: tuple[Any, ...]
    test: LabelledSet
    listener: Stop
    checkpoint: Path

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """A copy of all that the learner predicts with."""
        return {name: tensor.clone() for name, tensor in self.learner.classifier.state_dict().items()}  # type: ignore[attr-defined]


Build = Callable[[str], Given]
SESSION = Session(several=True)
FOLDS = tuple(
    Fold(train=np.setdiff1d(np.arange(30), own), validation=own)
    for own in (np.arange(0, 30, 5), np.arange(1, 30, 5), np.arange(2, 30, 5))
)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build the learner of a name, over the checkpoint of the test."""

    def built(name: str) -> Given:
        words, candidates = (
            (TRAINED[name], RATES) if name in TRAINED else ([f"head={name}", "cache=off"], SOLVED[name][1])
        )
        config = composed(*SMALL, *words).config
        network, _ = SESSION.network(config)
        listener, device = Stop(), torch.device("cpu")
        source = SESSION.images(config, network.expected, listener)
        budget = draw_labels(config, source)
        classifier = build_classifier(config, network, 3)
        setup = build_setup(config, network, device, images=30, classes=3)
        inputs = RunInputs(config, SESSION, classifier, source, budget, setup, listener)
        learner = build_learner(
            classifier,
            inputs.entries,
            setup,
            config.head.kind,
            checkpoint=None if name in SOLVED else Checkpoint(tmp_path / "checkpoint", key="one", seconds=0),
            listener=listener,
        )
        [(_, test)] = inputs.held_out()
        return Given(
            learner=learner,
            classifier=classifier,
            folds=FOLDS,
            candidates=candidates,
            test=test,
            listener=listener,
            checkpoint=tmp_path / "checkpoint",
        )

    return built


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


WHOLE, PART = np.arange(30), np.arange(0, 30, 2)


class TestLearner:
    @pytest.fixture(params=[*TRAINED, *SOLVED])
    def given(self, request: pytest.FixtureRequest, build: Build) -> Given:
        return build(request.param)

    def test_it_has_the_budget_and_says_what_it_spent_before(self, given: Given) -> None:
        assert np.bincount(given.learner.budget.labels).tolist() == [10, 10, 10]
        assert given.learner.beforehand == 0.0

    def test_a_fold_is_learned_from_its_training_part_alone(self, given: Given) -> None:
        """Its outputs are those of the network that is trained on it."""
        fold = given.folds[0]
        _, logits, labels = given.learner.fit_fold("select-0-fold0", fold, given.candidates[0])
        given.learner.train("other", fold.train, given.candidates[0])
        expected, same_labels = given.learner.predict(given.learner.budget, fold.validation)
        assert np.array_equal(labels, same_labels)
        assert_like(logits, expected, share=0 if isinstance(given.learner, TrainedLearner) else 1e-5)

    def test_it_starts_anew_and_gives_the_same_bits(self, given: Given) -> None:
        learner, (first, second) = given.learner, given.candidates
        learner.train("one", PART, first)
        state, (logits, _) = given.state, learner.predict(given.test, np.arange(24))
        learner.train("between", WHOLE, second)
        changed = given.state
        learner.fit_fold("select-0-fold0", given.folds[0], second)
        learner.train("two", PART, first)
        assert same(given.state, state)
        assert np.array_equal(learner.predict(given.test, np.arange(24))[0], logits)
        assert not same(changed, state)

    def test_it_knows_what_it_is_fitted_on(self, given: Given) -> None:
        learner, (first, second) = given.learner, given.candidates
        assert not learner.is_fitted_on(PART, first)
        learner.train("one", PART, first)
        assert learner.is_fitted_on(PART, first)
        assert learner.is_fitted_on(PART.copy(), dataclasses.replace(first))
        assert not learner.is_fitted_on(WHOLE, first)
        assert not learner.is_fitted_on(PART + 1, first)
        assert not learner.is_fitted_on(PART[::-1].copy(), first)
        assert learner.is_fitted_on(PART, second) is (first == second)
        learner.train("two", WHOLE, second)
        assert not learner.is_fitted_on(PART, first)
        assert learner.is_fitted_on(WHOLE, second)

    def test_whatever_came_between_it_is_fitted_only_while_it_is_as_it_was(self, given: Given) -> None:
        learner, (first, second) = given.learner, given.candidates
        trains = isinstance(learner, TrainedLearner)

        def still() -> bool:
            kept = learner.is_fitted_on(PART, first)
            assert not kept or same(given.state, state)
            return kept

        learner.train("one", PART, first)
        state = given.state
        learner.predict(given.test, np.arange(24))
        assert still()
        learner.fit_fold("select-0-fold0", given.folds[0], second)
        assert still() is not trains  # a head is solved beside the network
        learner.train("two", PART, first)
        if learner.many:
            learner.fit_folds(given.folds, given.candidates)
            assert still() is not trains
            learner.train("three", PART, first)
        given.listener.stopping = True
        with pytest.raises(Interrupted):
            learner.train("four", WHOLE, second)
        assert still() is not trains
        assert not learner.is_fitted_on(WHOLE, second)

    def test_predictions_are_in_order_and_of_the_same_bits_in_any(self, given: Given) -> None:
        learner = given.learner
        learner.train("one", PART, given.candidates[0])
        for images, count in ((learner.budget, 30), (given.test, 24)):
            logits, labels = learner.predict(images, np.arange(count))
            assert (logits.shape, logits.dtype) == ((count, 3), np.float32)
            assert np.array_equal(labels, images.labels)
            for places in (np.arange(count)[::-1].copy(), np.array([7, 3, 3, 20])):
                shuffled, same_labels = learner.predict(images, places)
                assert np.array_equal(shuffled, logits[places])
                assert np.array_equal(same_labels, labels[places])

    def test_distances_come_beside_the_same_predictions(self, given: Given) -> None:
        learner = given.learner
        learner.train("one", PART, given.candidates[0])
        reference = learner.reference(PART)
        logits, distances, labels = learner.compare(given.test, np.arange(24), reference)
        plain, same_labels = learner.predict(given.test, np.arange(24))
        assert np.array_equal(logits, plain)
        assert np.array_equal(labels, same_labels)
        assert (distances.shape, distances.dtype) == ((24,), np.float32)
        assert np.array_equal(learner.compare(given.test, np.array([7, 3]), reference)[1], distances[[7, 3]])
        learned = learner.compare(learner.budget, PART, reference)[1]
        assert learned.max() < 1.0
        assert np.median(learned) <= np.median(distances), "what it learned from has itself beside it"

    def test_a_fold_s_distances_are_those_of_what_was_trained_on_it(self, given: Given) -> None:
        learner, fold, candidate = given.learner, given.folds[0], given.candidates[0]
        learner.fit_fold("select-0-fold0", fold, candidate)
        learner.train("final", WHOLE, candidate)
        found = learner.fold_distances(fold, candidate)
        learner.train("other", fold.train, candidate)
        expected = learner.compare(learner.budget, fold.validation, learner.reference(fold.train))[1]
        assert np.array_equal(found, expected)
        asked: list[object] = []
        given.classifier.head.register_forward_hook(lambda *_: asked.append(_))
        learner.fold_distances(fold, candidate)
        assert not asked, "heads have no part in distances"

    def test_it_learns(self, given: Given) -> None:
        given.learner.train("one", WHOLE, given.candidates[0])
        logits, labels = given.learner.predict(given.learner.budget, WHOLE)
        assert (logits.argmax(1) == labels).mean() > 0.5

    def test_what_is_frozen_stays_to_the_bit(self, given: Given) -> None:
        learner, classifier = given.learner, given.classifier
        frozen, names = classifier.frozen_digest(), {name for name, _ in classifier.trainable_parameters()}
        backbone = tensors_digest(classifier.backbone.state_dict())
        learner.fit_fold("select-0-fold0", given.folds[0], given.candidates[0])
        learner.train("one", PART, given.candidates[1])
        learner.predict(given.test, np.arange(24))
        assert classifier.frozen_digest() == frozen
        assert {name for name, _ in classifier.trainable_parameters()} == names
        moved = tensors_digest(classifier.backbone.state_dict()) != backbone
        assert moved is any(name.startswith("backbone.") for name in names)

    def test_the_whole_network_holds_what_was_learned(self, given: Given) -> None:
        """Whatever it takes instead of images, what is saved is the classifier that it began with."""
        given.learner.train("one", PART, given.candidates[0])
        whole = given.classifier.state_dict()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in given.state.items())


class TestLooks:
    """Where a network is trained, its fit on a fold can be looked at in between."""

    @pytest.fixture(params=[*TRAINED])
    def given(self, request: pytest.FixtureRequest, build: Build) -> Given:
        return build(request.param)

    def test_a_fold_that_is_looked_at_is_the_same_to_the_bit(
        self, given: Given, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        learner, fold, rates = given.learner, given.folds[0], given.candidates[0]
        _, plain, _ = learner.fit_fold("one", fold, rates)
        state = given.state
        assert given.listener.seen == []
        steps = composed(*SMALL).config.train.count_steps(30)
        given.listener.places = frozenset({1, 2, steps})
        asked: list[object] = []
        predict = TrainedLearner.predict
        monkeypatch.setattr(
            TrainedLearner,
            "predict",
            lambda self, images, positions: [asked.append((images, positions)), predict(self, images, positions)][1],
        )
        _, logits, labels = learner.fit_fold("two", fold, rates)
        assert np.array_equal(logits, plain)
        assert same(given.state, state)
        assert [(name, step, count) for name, step, count, _ in given.listener.seen] == [
            ("two", 1, steps),
            ("two", 2, steps),
            ("two", steps, steps),
        ]
        losses = [loss for *_, loss in given.listener.seen]
        assert losses[-1] == calibrate_logits(logits, labels).loss
        assert losses[0] != losses[1]
        for images, positions in asked:
            assert images is learner.budget
            assert np.array_equal(positions, fold.validation)

    def test_a_look_is_at_what_so_many_steps_gave(self, build: Build) -> None:
        given = build("images")
        given.listener.places = frozenset({2})
        given.learner.fit_fold("one", given.folds[0], given.candidates[0])
        (*_, loss), _ = given.listener.seen
        assert isinstance(given.learner, TrainedLearner)
        seen: list[Logits] = []
        watch = Watch(
            steps=frozenset({2}),
            look=lambda step: seen.append(given.learner.predict(given.learner.budget, given.folds[0].validation)[0]),
        )
        given.learner.train("two", given.folds[0].train, given.candidates[0], watch=watch)
        labels = given.learner.budget.labels[given.folds[0].validation]
        assert loss == calibrate_logits(seen[0], labels).loss

    def test_the_final_fit_is_not_looked_at(self, given: Given) -> None:
        given.listener.places = frozenset({1})
        given.learner.train(FINAL, WHOLE, given.candidates[0])
        assert given.listener.seen == []

    def test_logits_that_are_not_finite_in_between_end_nothing(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = build("images")
        given.listener.places = frozenset({1})

        def broken(*_: object) -> None:
            raise DivergedError("not finite")

        monkeypatch.setattr(TrainedLearner, "predict", broken)
        given.learner.fit_fold("one", given.folds[0], given.candidates[0])
        assert [step for _, step, *_ in given.listener.seen] == [composed(*SMALL).config.train.count_steps(30)]


class TestFoldsAtOnce:
    """Where all candidates can be tried at once, each gives what it gives alone."""

    @pytest.mark.parametrize("name", ["features", "features, views", "features, mlp", *SOLVED])
    def test_a_fold_alone_is_what_it_is_among_all(self, name: str, build: Build) -> None:
        check_folds(build(name), share=2 * logreg.TOLERANCE if name == "logreg" else 1e-4)

    def test_dropout_behind_a_hidden_layer_draws_what_a_head_alone_draws(self, build: Build) -> None:
        check_folds(build("features, dropout"), share=1e-4)


def check_folds(given: Given, *, share: float) -> None:
    """See that all candidates on all folds give what each gives on each, but for a share of the largest logit."""
    learner, folds, candidates = given.learner, given.folds, given.candidates
    together = learner.fit_folds(folds, candidates)
    assert [len(fits or ()) for fits in together] == [len(folds)] * len(candidates)
    for number, (candidate, fits) in enumerate(zip(candidates, together, strict=True)):
        for place, (fold, (report, logits, labels)) in enumerate(zip(folds, fits or (), strict=True)):
            alone, own, own_labels = learner.fit_fold(f"select-{number}-fold{place}", fold, candidate)
            assert np.array_equal(labels, learner.budget.labels[fold.validation])
            assert np.array_equal(labels, own_labels)
            assert_like(logits, own, share=share)
            assert alone.converged == report.converged
            assert alone.steps == report.steps or isinstance(learner, SolvedLearner)


def assert_like(logits: Logits, expected: Logits, *, share: float) -> None:
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= share * np.abs(expected).max()


class TestStoredFits:
    """Of a network that is trained; heads are solved too quickly to be kept."""

    @pytest.mark.parametrize("name", TRAINED)
    def test_a_fold_that_is_stored_is_not_repeated(
        self, name: str, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = build(name)
        fits = [first.learner.fit_fold(f"select-0-fold{place}", fold, RATES[0]) for place, fold in enumerate(FOLDS[:2])]

        def repeated(*parts: Any, **more: Any) -> None:
            raise AssertionError("a fit that was there")

        second = build(name)
        monkeypatch.setattr(trained_module, "fit", repeated)
        for given in (first, second):
            before = given.state
            for place, (report, logits, labels) in enumerate(fits):
                again = given.learner.fit_fold(f"select-0-fold{place}", FOLDS[place], RATES[0])
                assert again[0] == report
                assert np.array_equal(again[1], logits)
                assert np.array_equal(again[2], labels)
            assert same(given.state, before)
        for place, fold in enumerate(FOLDS[:2]):
            known = [given.learner.fold_distances(fold, RATES[0]) for given in (first, second)]
            assert np.array_equal(*known), f"of fold {place}"
        with pytest.raises(AssertionError, match="a fit that was there"):
            second.learner.fit_fold("select-0-fold2", FOLDS[2], RATES[0])

    @pytest.mark.parametrize("name", ["features", "features, views", "features, mlp"])
    def test_folds_that_are_stored_are_not_repeated(
        self, name: str, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wild = Rates(lr=1e30, weight_decay=0.0)
        found = build(name).learner.fit_folds(FOLDS, [*RATES, wild])
        monkeypatch.delattr(trained_module, "train_many")
        again = build(name).learner.fit_folds(FOLDS, [*RATES, wild])
        assert [fits is None for fits in again] == [fits is None for fits in found]
        for fits, stored in zip(found, again, strict=True):
            for (report, logits, labels), (same_report, same_logits, same_labels) in zip(
                fits or (), stored or (), strict=True
            ):
                assert report == same_report
                assert np.array_equal(logits, same_logits)
                assert np.array_equal(labels, same_labels)

    def test_the_fit_on_the_whole_is_repeated(self, build: Build) -> None:
        """It is what the run is for, and its network is wanted."""
        given = build("features")
        given.learner.train(FINAL, WHOLE, RATES[0])
        assert not given.checkpoint.joinpath(f"{FINAL}.done.safetensors").exists()


class TestLaidOut:
    """Which learner is built, and where it enters."""

    @pytest.mark.parametrize("name", TRAINED)
    def test_a_head_with_steps_is_trained(self, name: str, build: Build) -> None:
        learner = build(name).learner
        assert isinstance(learner, TrainedLearner)
        assert learner.many is name.startswith("features")
        [(rows, _)] = [*learner.budget.chunks(np.arange(3))]
        assert rows.ndim == (2 if name == "cut" or name.startswith("features") else 4)

    @pytest.mark.parametrize("name", SOLVED)
    def test_a_head_without_is_solved(self, name: str, build: Build) -> None:
        learner = build(name).learner
        assert isinstance(learner, SolvedLearner)
        assert learner.many


REPORT = FitReport(steps=1, seconds=1.0, images_per_second=1.0, flops=None, peak_bytes=None, curve=[])


def selection(winner: Any) -> Selection[Any]:
    return Selection(kind="split", trials=(), winner=winner, reports=(REPORT,), logits=None, labels=None, flags=())


class TestRefit:
    @pytest.fixture(params=["images", "features", "phases", "logreg", "knn"])
    def given(self, request: pytest.FixtureRequest, build: Build) -> Given:
        return build(request.param)

    def test_anew_it_learns_from_the_whole_budget(self, given: Given) -> None:
        winner = given.candidates[0]
        given.learner.train("select", FOLDS[0].train, winner)
        report, positions = refit(given.learner, selection(winner), FOLDS[:1], anew=True)
        assert report != REPORT
        assert np.array_equal(positions, WHOLE)
        assert given.learner.is_fitted_on(WHOLE, winner)

    def test_kept_it_stays_as_it_was_selected(self, given: Given) -> None:
        winner = given.candidates[0]
        given.learner.train("select", FOLDS[0].train, winner)
        state = given.state
        report, positions = refit(given.learner, selection(winner), FOLDS[:1], anew=False)
        assert report is REPORT
        assert np.array_equal(positions, FOLDS[0].train)
        assert same(given.state, state)

    @pytest.mark.parametrize("other", ["candidate", "positions", "nothing"])
    def test_kept_but_fitted_on_something_else_it_learns_from_the_fold(self, other: str, given: Given) -> None:
        winner, loser = given.candidates
        if other != "nothing":
            positions = PART if other == "positions" else FOLDS[0].train
            given.learner.train("select", positions, loser if other == "candidate" else winner)
        report, positions = refit(given.learner, selection(winner), FOLDS[:1], anew=False)
        assert report != REPORT
        assert np.array_equal(positions, FOLDS[0].train)
        assert given.learner.is_fitted_on(FOLDS[0].train, winner)

    def test_without_a_fold_there_is_nothing_to_keep(self, given: Given) -> None:
        _, positions = refit(given.learner, selection(given.candidates[0]), (), anew=False)
        assert np.array_equal(positions, WHOLE)
        assert given.learner.is_fitted_on(WHOLE, given.candidates[0])


DEFAULT = Rates(lr=1e-2, weight_decay=1e-3)


class TestTrainedCandidates:
    @pytest.mark.parametrize(
        ("trials", "around", "many", "count"),
        [
            (0, False, True, 0),
            (1, False, True, 0),
            (1, True, True, 0),
            (5, False, False, 0),
            (5, False, True, 5),
            (5, True, False, 5),
            (5, True, True, 5),
        ],
    )
    def test_as_many_as_trials_where_they_stand_beforehand(
        self, trials: int, around: bool, many: bool, count: int
    ) -> None:
        search = Search(trials=trials, lr=(1e-4, 1.0), weight_decay=(1e-5, 1e-1), seed=0, around=around)
        found = trained_candidates(search, DEFAULT, many=many)
        assert len(found) == len(set(found)) == count
        if count and not around:
            assert found[0] == DEFAULT
            assert all(1e-4 <= rates.lr <= 1.0 and 1e-5 <= rates.weight_decay <= 1e-1 for rates in found)
        if count and around:
            assert all(DEFAULT.lr / 10 < rates.lr < DEFAULT.lr * 10 for rates in found)
        assert found == trained_candidates(search, DEFAULT, many=many)


class TestSolvedCandidates:
    @pytest.mark.parametrize(
        ("kind", "trials", "decay", "smallest", "default", "expected"),
        [
            ("nearest_mean", 0, None, 20, Choice(), [Choice()]),
            ("nearest_mean", 7, None, 20, Choice(), [Choice()]),
            ("knn", 1, None, 20, Choice(neighbours=5), [Choice(neighbours=5)]),
            ("knn", 1, None, 3, Choice(neighbours=3), [Choice(neighbours=3)]),
            ("knn", 0, None, 1, Choice(neighbours=1), [Choice(neighbours=1)]),
            ("knn", 0, None, 0, Choice(neighbours=1), [Choice(neighbours=1)]),
            ("logreg", 0, 0.3, 20, Choice(weight_decay=0.3), [Choice(weight_decay=0.3)]),
            ("ridge", 5, 0.3, 20, Choice(weight_decay=0.3), [Choice(weight_decay=0.3)]),
            ("logreg", 1, None, 20, Choice(weight_decay=0.1), [Choice(weight_decay=0.1)]),
            ("ridge", 1, None, 20, Choice(weight_decay=0.1), [Choice(weight_decay=0.1)]),
        ],
    )
    def test_one_where_nothing_is_compared(
        self, kind: str, trials: int, decay: float | None, smallest: int, default: Choice, expected: list[Choice]
    ) -> None:
        found = solved_candidates(HeadKind(kind), trials=trials, weight_decay=decay, smallest=smallest)
        assert found == (default, expected)

    @pytest.mark.parametrize("kind", ["logreg", "ridge"])
    @pytest.mark.parametrize("trials", [0, 2, 5])
    def test_penalties_are_the_usual_ones_or_as_many_between_their_ends(self, kind: str, trials: int) -> None:
        usual = CANDIDATES[kind]
        default, found = solved_candidates(HeadKind(kind), trials=trials, weight_decay=None, smallest=20)
        decays = [choice.weight_decay for choice in found]
        assert default == Choice(weight_decay=0.1)
        assert len(decays) == (trials or len(usual))
        assert (decays[0], decays[-1]) == pytest.approx((usual[0], usual[-1]))
        steps = np.diff(np.log([decay for decay in decays if decay is not None]))
        assert trials == 0 or steps == pytest.approx(np.full(trials - 1, steps[0]))

    @pytest.mark.parametrize(("trials", "smallest"), [(0, 4), (0, 10**6), (2, 10**6), (3, 4)])
    def test_neighbours_are_the_usual_counts_that_the_smallest_fold_has(self, trials: int, smallest: int) -> None:
        _, found = solved_candidates(HeadKind.knn, trials=trials, weight_decay=None, smallest=smallest)
        counts = [choice.neighbours for choice in found]
        possible = sorted({int(min(count, smallest)) for count in CANDIDATES["knn"]})
        assert counts == possible[: trials or None]
        assert all(choice.weight_decay is None for choice in found)
