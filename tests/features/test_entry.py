"""The one decider of where training enters a network: what it promises, and that all who ask it hear the same.

All policies meet all caches with a linear head, and the augmentations in turn; the other heads do so with the policies
that differ in kind: all, last and lpft. The slow harness lets all meet all. No image is read and no step made for a
decision.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tests.composed import load
from tests.conftest import SMALL
from tlexp.cache import CutKey, Use
from tlexp.config import Config
from tlexp.config.augment import AugmentConfig, AugmentKind
from tlexp.config.cache import CacheConfig, CacheMode
from tlexp.config.entry import EVERY_UNIT, EntryKind, EntryRule
from tlexp.config.freeze import FreezeConfig, FreezePolicy
from tlexp.config.head import HeadConfig, HeadKind
from tlexp.data import ImageBank, Source
from tlexp.errors import ConfigError
from tlexp.experiment import estimate
from tlexp.experiment.build import build_classifier, build_setup
from tlexp.experiment.images import Budget, draw_labels
from tlexp.experiment.inputs import RunInputs
from tlexp.experiment.session import Session
from tlexp.features import entry as entry_module
from tlexp.features.batches import FitSetup, ImageSet
from tlexp.features.entry import Entry, Prefix, Room, Storage, open_entries, open_entry, row_count
from tlexp.features.extractor import digests_of
from tlexp.models import Classifier, feature_width
from tlexp.models.cut import Cut, Cutter
from tlexp.models.tracing import CutError
from tlexp.studies import prefetch
from tlexp.studies.prefetch import fill_cuts
from tlexp.train import FitPhase, Listener

UNITS = ("stem", "layer1", "layer2", "layer3", "layer4")


def _freeze(policy: str, **more: Any) -> FreezeConfig:
    return FreezeConfig(policy=FreezePolicy(policy), **more)


POLICIES = {
    "none": _freeze("none"),
    "all": _freeze("all"),
    "last": _freeze("last"),
    "depth=0": _freeze("depth", depth="0"),
    "depth=2": _freeze("depth", depth="2"),
    "depth=5": _freeze("depth", depth="5"),
    "depth=layer2": _freeze("depth", depth="layer2"),
    "surgical": _freeze("surgical", units=["layer3"]),
    "surgical-stem": _freeze("surgical", units=["stem"]),
    "lpft=0": _freeze("lpft", probe_share=0.0),
    "lpft": _freeze("lpft", probe_share=0.5),
    "lpft=1": _freeze("lpft", probe_share=1.0),
    "gradual=1": _freeze("gradual", phases=1),
    "gradual=3": _freeze("gradual", phases=3),
    "gradual=6": _freeze("gradual", phases=6),
    "norm": _freeze("norm"),
    "bias": _freeze("bias"),
    "lora": _freeze("lora", rank=8, alpha=16.0),
}
HEADS = {
    "linear": HeadConfig(),
    "mlp": HeadConfig(kind=HeadKind.mlp, hidden=[8]),
    "cosine": HeadConfig(kind=HeadKind.cosine),
    "logreg": HeadConfig(kind=HeadKind.logreg),
    "units": HeadConfig(units=["layer2", "layer4"]),
    "attention": HeadConfig(kind=HeadKind.attention),
}
PAIRS = [*((policy, "linear") for policy in POLICIES)] + [
    (policy, head) for head in HEADS if head != "linear" for policy in ("all", "last", "lpft")
]
AUGMENTS = {
    "none": (AugmentConfig(), 0),
    "light": (AugmentConfig(kind=AugmentKind.light), 0),
    "views": (AugmentConfig(kind=AugmentKind.light), 2),
    "mixup": (AugmentConfig(mixup=0.2), 0),
}
AMPLE, BUDGET, ALL = "ample", "of the budget", "of the budget and of what is evaluated"
"""Room for rows: more than enough, for those of the label budget alone, or just for all."""
CACHES = {
    "auto": (CacheMode.auto, AMPLE, AMPLE),
    "on": (CacheMode.on, AMPLE, AMPLE),
    "off": (CacheMode.off, AMPLE, AMPLE),
    "off, no memory": (CacheMode.off, AMPLE, "1"),
    "off, memory for the budget": (CacheMode.off, AMPLE, BUDGET),
    "off, memory for all": (CacheMode.off, AMPLE, ALL),
    "auto, no room": (CacheMode.auto, "1", AMPLE),
    "auto, room for the budget": (CacheMode.auto, BUDGET, AMPLE),
    "auto, room for all": (CacheMode.auto, ALL, "1"),
}
"""Mode, the limit of the folder, and memory."""


@dataclass
class Desk:
    """A session of many runs on the small shapes, with one cutter a network, which makes each cut once."""

    base: Config
    session: Session = field(default_factory=lambda: Session(several=True))
    cutters: list[Cutter] = field(default_factory=list)
    cuts: dict[Any, Cut] = field(default_factory=dict)

    def cutter(self, classifier: Classifier, setup: FitSetup) -> Cutter:
        """Return the cutter of a backbone; one that is made anew would be the same."""
        for cutter in self.cutters:
            if cutter._backbone is classifier.backbone:
                return cutter
        self.cutters.append(BUILD_CUTTER(classifier, setup))
        return self.cutters[-1]

    def cut(self, cutter: Cutter, depth: int, *, still: set[str]) -> Cut:
        """Return a cut of a cutter."""
        key = id(cutter), depth, frozenset(still)
        if key not in self.cuts:
            self.cuts[key] = CUT(cutter, depth, still=still)
        return self.cuts[key]

    def parts(self, config: Config) -> tuple[Classifier, Source, Budget, FitSetup]:
        """Return what a run opens its inputs with."""
        network, _ = self.session.network(config)
        source = self.session.images(config, network.expected, Listener())
        budget = draw_labels(config, source)
        sizes = {"images": len(budget.positions), "classes": len(source.classes)}
        setup = build_setup(config, network, torch.device("cpu"), **sizes)
        return build_classifier(config, network, len(source.classes)), source, budget, setup

    def inputs(self, config: Config) -> RunInputs:
        """Return what a run takes."""
        return self.opened(config)[0]

    def opened(self, config: Config) -> tuple[RunInputs, Classifier, FitSetup]:
        """Return what a run takes, its network and how it is trained."""
        classifier, source, budget, setup = self.parts(config)
        return RunInputs(config, self.session, classifier, source, budget, setup, Listener()), classifier, setup

    def row_bytes(self, config: Config) -> int:
        """Return the size of a row of the run's first cut; of anything where it has none."""
        classifier, _, _, setup = self.parts(config)
        room = Room(mode=CacheMode.off, disk_bytes=None, memory_bytes=10**12)
        entries = open_entries(config.entry_rule, classifier, setup, lambda: room, images=1, tested=1)
        return next((entry.prefix.cut.row_bytes for entry in entries if entry.prefix is not None), 512)

    def some(self, policy: str, head: str) -> Iterator[tuple[str, Config]]:
        """Yield one run for each cache, with the augmentations taking turns, in another order for each policy."""
        found = dict(self.configs(policy, head))
        for turn, cache in enumerate(CACHES, start=PAIRS.index((policy, head))):
            names = [*AUGMENTS][turn % len(AUGMENTS) :] + [*AUGMENTS][: turn % len(AUGMENTS)]
            told = next((f"{name}; {cache}" for name in names if f"{name}; {cache}" in found), None)
            if told is not None:
                yield told, found[told]

    def configs(
        self, policy: str, head: str, *, augments: Iterable[str] = AUGMENTS, caches: Iterable[str] = CACHES
    ) -> Iterator[tuple[str, Config]]:
        """Yield the runs of a policy and a head that compose, with what tells one from the others."""
        alone = dataclasses.replace(self.base, freeze=POLICIES[policy], head=HEADS[head])
        size = 512 if alone.problems() else self.row_bytes(alone)
        for augment in augments:
            varied, views = AUGMENTS[augment]
            rows = {BUDGET: row_count(30, views=views), ALL: row_count(30, views=views, tested=24)}
            for cache in caches:
                mode, limit, memory = CACHES[cache]
                disk = {"1": 1, AMPLE: 10**12} | {name: count * size for name, count in rows.items()}
                held = {"1": 1, AMPLE: 10**12} | {name: 2 * count * size for name, count in rows.items()}
                config = dataclasses.replace(
                    alone,
                    augment=varied,
                    cache=CacheConfig(mode=mode, views=views, max_bytes=disk[limit]),
                    data=dataclasses.replace(alone.data, memory_bytes=held[memory]),
                )
                if not config.problems():
                    yield f"{augment}; {cache}", config


Runs = Callable[[Desk, str, str], Iterator[tuple[str, Config]]]
BUILD_CUTTER, CUT = entry_module.build_cutter, Cutter.cut


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    base = load([*SMALL, f"cache.dir={tmp_path_factory.mktemp('cache')}"]).config
    return Desk(base=base)


@pytest.fixture(autouse=True)
def _constant(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """Reading beats computing always, whatever this machine is busy with."""
    monkeypatch.setattr(Prefix, "seconds", lambda self, setup: 1.0)
    monkeypatch.setattr(entry_module, "build_cutter", desk.cutter)
    monkeypatch.setattr(Cutter, "cut", lambda cutter, depth, *, still: desk.cut(cutter, depth, still=still))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs are opened, but no image is read."""
    monkeypatch.setattr(RunInputs, "_read", lambda self, classifier, entry: entry)


Decision = tuple[int, Storage, bool, int, str | None]


def decision(entry: Entry) -> Decision:
    return entry.depth, entry.storage, entry.prefix is not None, entry.width, entry.reason


def trained(classifier: Classifier, setup: FitSetup) -> list[set[str]]:
    """Return what trains in each phase, frozen as a fit freezes it."""
    found = []
    for phase in setup.plan.phases:
        if len(setup.plan.phases) > 1:
            classifier.refreeze(phase.depth)
        found.append({name for name, _ in classifier.trainable_parameters()})
    return found


@dataclass
class Steps:
    """Stands in for the steps that an estimate measures: remembers what each would have trained, and on what."""

    trained: list[set[str]] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)

    def __call__(self, classifier: Classifier, batches: Any, plan: Any, batch: int) -> float:
        rows, _ = batches.batch(0)
        self.trained.append({name for name, _ in classifier.trainable_parameters()})
        self.widths.append(rows.shape[1] if rows.ndim == 2 else 0)
        return 1.0


def refusal(desk: Desk, config: Config) -> ConfigError:
    """Return what refuses a run that composes."""
    with pytest.raises(ConfigError) as refused:
        desk.inputs(config)
    return refused.value


@pytest.mark.usefixtures("unread")
class TestAllHearTheSame:
    @pytest.mark.parametrize("runs", [Desk.some, pytest.param(Desk.configs, marks=pytest.mark.slow)])
    @pytest.mark.parametrize(("policy", "head"), PAIRS)
    @pytest.mark.broad(4)
    def test_an_estimate_enters_where_the_run_does(
        self, policy: str, head: str, runs: Runs, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[Entry] = []
        compared = 0
        monkeypatch.setattr(estimate, "predict", lambda *parts, **more: None)
        spied = estimate.open_entries
        monkeypatch.setattr(
            estimate,
            "open_entries",
            lambda *parts, **more: (opened.append(entry) or entry for entry in spied(*parts, **more)),
        )
        for told, config in runs(desk, policy, head):
            try:
                inputs, classifier, setup = desk.opened(config)
            except ConfigError:
                continue  # cache=on, with nothing to keep: see below
            expected = trained(classifier, setup)
            opened.clear()
            monkeypatch.setattr(estimate, "_step_seconds", steps := Steps())
            estimate.measure_costs(config, desk.session, images=30, classes=3, tested=24)
            if config.head.kind.solved:
                assert not opened, told
                continue
            compared += 1
            assert [*map(decision, opened)] == [*map(decision, inputs.entries)], told
            assert steps.trained == expected, told
            assert steps.widths == [entry.width if entry.keeps_rows else 0 for entry in inputs.entries], told
        assert compared or HEADS[head].kind.solved

    @pytest.mark.parametrize("policy", ["last", "depth=2", "surgical"])
    def test_a_run_needs_room_for_what_is_evaluated_as_well(self, policy: str, desk: Desk) -> None:
        augments = "none", "views"
        runs = desk.configs(policy, "linear", augments=augments)
        kept = {told: desk.inputs(config).entries[0].storage for told, config in runs}
        for augment in augments:
            assert [kept[f"{augment}; {cache}"] for cache in CACHES] == [
                Storage.disk,
                Storage.disk,
                Storage.memory,
                Storage.nowhere,
                Storage.nowhere,
                Storage.memory,
                Storage.memory,
                Storage.memory,
                Storage.disk,
            ]

    @pytest.mark.parametrize(("policy", "head"), PAIRS)
    @pytest.mark.broad(2)
    def test_a_cache_that_must_keep_is_refused_with_the_reason(self, policy: str, head: str, desk: Desk) -> None:
        for told, config in desk.configs(policy, head, caches=["auto"]):
            entries = desk.inputs(config).entries
            demanding = dataclasses.replace(config, cache=dataclasses.replace(config.cache, mode=CacheMode.on))
            if any(entry.keeps_rows for entry in entries):
                assert demanding.problems() == []
                assert any(entry.storage is Storage.disk for entry in desk.inputs(demanding).entries), told
                continue
            assert entries[0].reason is not None
            refused = demanding.problems() or [str(refusal(desk, demanding))]
            assert any(problem.startswith("cache.mode=on, but ") for problem in refused), told
            assert any(entries[0].reason in problem for problem in refused), told

    @pytest.mark.parametrize("augment", AUGMENTS)
    @pytest.mark.parametrize("head", ["linear", "units"])
    @pytest.mark.broad(2)
    def test_what_is_filled_ahead_is_what_runs_keep_on_disk(
        self, head: str, augment: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(prefetch, "build_cutter", desk.cutter)
        monkeypatch.setattr(prefetch, "FeatureExtractor", Filler)
        for policy, depth in (("depth=2", 2), ("depth=layer2", 3), ("last", 4), ("all", 5)):
            for told, config in desk.configs(policy, head, augments=[augment]):
                try:
                    [entry] = desk.inputs(config).entries
                except ConfigError:
                    continue
                Filler.keys = []
                fill_cuts([config], [depth], desk.session, device=torch.device("cpu"), listener=Listener())
                if head == "linear" or Filler.keys:  # a network that cannot be followed is filled by its runs
                    assert bool(Filler.keys) is (entry.storage is Storage.disk), (policy, told)


class Filler:
    """Stands in for the extractor that fills the cache ahead of a study."""

    keys: ClassVar[list[CutKey]] = []

    def __init__(self, *parts: Any, keys: Any, **more: Any) -> None:
        Filler.keys = [key(None) for key in keys]
        self.use, self.makers = Use(), ()

    def fill(self, *parts: Any, **more: Any) -> None:
        """Nothing is read."""


IMAGES = EntryRule(kind=EntryKind.images, reason="it is forbidden")
PREFIX = EntryRule(kind=EntryKind.prefix, reason=EVERY_UNIT)
FEATURES = EntryRule(kind=EntryKind.features, reason=None)
UNCUT = EntryRule(kind=EntryKind.features, reason=None, uncut="it reads ahead")
ROOM = Room(mode=CacheMode.auto, disk_bytes=10**12, memory_bytes=10**12)

Open = Callable[..., Entry]


@pytest.fixture
def classifier(desk: Desk) -> Classifier:
    return desk.parts(desk.base)[0]


@pytest.fixture
def setup(desk: Desk) -> FitSetup:
    return desk.parts(desk.base)[3]


@pytest.fixture
def opened(classifier: Classifier, setup: FitSetup) -> Open:
    """Open the entry of a phase that freezes so many units."""

    def opening(rule: EntryRule, depth: int, *, rows: int = 54, **room: Any) -> Entry:
        phase = FitPhase(steps=1, depth=depth)
        return open_entry(rule, classifier, phase, setup, dataclasses.replace(ROOM, **room), rows=rows)

    return opening


class TestOpenEntry:
    @pytest.mark.parametrize("depth", [0, 2, 5])
    def test_images_where_the_rule_says_so(self, depth: int, opened: Open) -> None:
        assert opened(IMAGES, depth) == Entry(reason="it is forbidden")

    @pytest.mark.parametrize("rule", [FEATURES, UNCUT])
    @pytest.mark.parametrize(("disk_bytes", "storage"), [(10**12, "disk"), (1, "disk"), (None, "memory")])
    @pytest.mark.parametrize("memory_bytes", [1, 10**12])
    def test_features_are_always_kept(
        self,
        rule: EntryRule,
        disk_bytes: int | None,
        storage: str,
        memory_bytes: int,
        opened: Open,
        classifier: Classifier,
    ) -> None:
        entry = opened(rule, 5, disk_bytes=disk_bytes, memory_bytes=memory_bytes)
        width = feature_width(classifier.backbone)
        assert entry == Entry(depth=5, storage=Storage(storage), width=width, memory_bytes=memory_bytes)

    def test_images_where_all_or_none_is_frozen_otherwise(self, opened: Open) -> None:
        assert opened(PREFIX, 5) == Entry(reason=EVERY_UNIT)
        assert opened(PREFIX, 0) == opened(FEATURES, 0) == Entry(reason="none")

    @pytest.mark.parametrize("rule", [PREFIX, FEATURES])
    @pytest.mark.parametrize("depth", [1, 2, 3, 4])
    def test_behind_the_cut_after_the_frozen_units_otherwise(self, rule: EntryRule, depth: int, opened: Open) -> None:
        entry = opened(rule, depth)
        assert entry.prefix is not None
        assert (entry.depth, entry.prefix.cut.depth, entry.reason) == (depth, depth, None)
        assert entry.width == entry.prefix.cut.width > 0
        assert entry.memory_bytes == ROOM.memory_bytes

    def test_images_where_the_network_cannot_be_cut(self, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        assert opened(UNCUT, 2) == Entry(reason="cannot be cut behind layer1: it reads ahead")

        def refuse(*parts: Any) -> Cutter:
            raise CutError("not today")

        monkeypatch.setattr(entry_module, "build_cutter", refuse)
        assert opened(FEATURES, 3) == Entry(reason="cannot be cut behind layer2: not today")

    @pytest.mark.parametrize(
        ("mode", "disk", "memory", "pays", "storage"),
        [
            ("on", 0, 0, False, "disk"),
            ("auto", 54, 0, True, "disk"),
            ("auto", 54, 108, False, "memory"),
            ("auto", 53, 108, True, "memory"),
            ("auto", 53, 107, True, "nowhere"),
            ("auto", None, 108, True, "memory"),
            ("auto", None, 107, True, "nowhere"),
            ("off", 54, 108, True, "memory"),
            ("off", 54, 107, True, "nowhere"),
        ],
    )
    def test_what_crosses_is_kept_where_it_has_room_and_pays(
        self,
        mode: str,
        disk: int | None,
        memory: int,
        pays: bool,
        storage: str,
        opened: Open,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Room counts in rows."""
        monkeypatch.setattr(Prefix, "seconds", lambda self, setup: 1.0 if pays else 0.0)
        size = 4 * opened(FEATURES, 2).width
        entry = opened(
            FEATURES,
            2,
            mode=CacheMode(mode),
            disk_bytes=None if disk is None else disk * size,
            memory_bytes=memory * size,
        )
        assert entry.storage == storage
        assert entry.depth == (0 if storage == "nowhere" else 2)
        assert entry.prefix is not None
        assert entry.reason is None

    @pytest.mark.parametrize("rule", [IMAGES, PREFIX, FEATURES, UNCUT])
    @pytest.mark.parametrize("depth", [0, 2, 5])
    @pytest.mark.parametrize("before", [0, 3, 5])
    def test_the_classifier_is_frozen_as_in_the_phase(
        self, rule: EntryRule, depth: int, before: int, opened: Open, classifier: Classifier, setup: FitSetup
    ) -> None:
        classifier.refreeze(before)
        opened(rule, depth)
        frozen = [unit.name for unit in classifier.units[:depth] for _ in unit.parameters]
        still = [name for name, parameter in classifier.backbone.named_parameters() if not parameter.requires_grad]
        assert classifier.depth == depth
        assert len(still) == len(frozen)

    @pytest.mark.parametrize("policy", ["norm", "bias", "lora", "surgical", "surgical-stem"])
    def test_what_trains_behind_the_depth_is_left_to_the_policy(self, policy: str, desk: Desk) -> None:
        classifier, _, _, setup = desk.parts(dataclasses.replace(desk.base, freeze=POLICIES[policy]))
        before = {name for name, _ in classifier.trainable_parameters()}
        open_entry(PREFIX, classifier, setup.plan.phases[0], setup, ROOM, rows=54)
        assert {name for name, _ in classifier.trainable_parameters()} == before

    def test_a_cutter_that_is_there_cuts(
        self, desk: Desk, classifier: Classifier, setup: FitSetup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cutter = desk.cutter(classifier, setup)
        monkeypatch.delattr(entry_module, "build_cutter")
        entry = open_entry(FEATURES, classifier, FitPhase(steps=1, depth=2), setup, ROOM, rows=54, cutter=cutter)
        assert entry.prefix is not None
        assert entry.prefix.cutter is cutter


@pytest.mark.parametrize(("images", "views", "tested"), [(20, 2, 8), (1, 0, 0), (30, 0, 24), (7, 5, 1)])
def test_rows_are_each_view_the_clean_images_and_what_is_evaluated(images: int, views: int, tested: int) -> None:
    every = [(view, image) for view in (*range(views), None) for image in range(images)]
    assert row_count(images, views=views, tested=tested) == len(every) + tested


class TestPhasesShareTheRoom:
    """Each has what those before it leave."""

    @staticmethod
    def _open(desk: Desk, depths: tuple[int, ...], room: Room, *, views: int = 0) -> tuple[Entry, ...]:
        classifier, _, _, setup = desk.parts(desk.base)
        plan = dataclasses.replace(setup.plan, phases=tuple(FitPhase(steps=1, depth=depth) for depth in depths))
        setup = dataclasses.replace(setup, plan=plan, views=views)
        return tuple(open_entries(FEATURES, classifier, setup, lambda: room, images=10, tested=4))

    @pytest.mark.parametrize("views", [0, 2])
    @pytest.mark.parametrize(("disk_bytes", "copies"), [(10**12, 1), (None, 2)])
    def test_rows_fill_memory_once_beside_a_folder_and_twice_without(
        self, disk_bytes: int | None, copies: int, views: int, desk: Desk
    ) -> None:
        room = dataclasses.replace(ROOM, disk_bytes=disk_bytes)
        entries = self._open(desk, (5, 4, 2), room, views=views)
        assert [entry.depth for entry in entries] == [5, 4, 2]
        left = [ROOM.memory_bytes]
        for entry in entries[:2]:
            left.append(left[-1] - copies * 10 * (views + 1) * entry.width * 4)
        assert [entry.memory_bytes for entry in entries] == left

    def test_what_does_not_fit_takes_no_memory_and_neither_do_images(self, desk: Desk) -> None:
        size = 10 * 4 * feature_width(desk.parts(desk.base)[0].backbone)
        entries = self._open(desk, (5, 2, 1), dataclasses.replace(ROOM, memory_bytes=size - 1))
        assert [entry.memory_bytes for entry in entries] == [size - 1] * 3
        entries = self._open(desk, (4, 0, 0), ROOM)
        assert [entry.memory_bytes for entry in entries][1:] == [0, 0]
        nowhere = self._open(desk, (2, 5), dataclasses.replace(ROOM, disk_bytes=None, memory_bytes=6000))
        assert [entry.storage for entry in nowhere] == [Storage.nowhere, Storage.memory]
        assert nowhere[1].memory_bytes == 6000

    def test_what_is_evaluated_counts_in_the_last_alone(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        counted: list[int] = []
        spied = entry_module.open_entry
        monkeypatch.setattr(
            entry_module, "open_entry", lambda *parts, rows: counted.append(rows) or spied(*parts, rows=rows)
        )
        self._open(desk, (5, 4, 2), ROOM, views=1)
        assert counted == [20, 20, 24]

    def test_the_classifier_is_frozen_as_in_the_last(self, desk: Desk) -> None:
        classifier, _, _, setup = desk.parts(dataclasses.replace(desk.base, freeze=POLICIES["gradual=3"]))
        entries = open_entries(FEATURES, classifier, setup, lambda: ROOM, images=10, tested=4)
        assert [classifier.depth for _ in entries] == [phase.depth for phase in setup.plan.phases]
        assert classifier.depth == 0


KEPT = {
    "features": ("all", CacheMode.auto, 10**12),
    "features without a folder": ("all", CacheMode.off, 10**12),
    "features where they lie": ("all", CacheMode.auto, 1),
    "cut on disk": ("depth=2", CacheMode.on, 10**12),
    "cut where it lies": ("depth=2", CacheMode.on, 1),
    "cut in memory": ("depth=2", CacheMode.off, 10**12),
    "images past a cut": ("depth=2", CacheMode.off, 1),
    "images": ("none", CacheMode.auto, 10**12),
}


class TestEntry:
    """An entry with the label budget, as a run has it."""

    @pytest.fixture(params=KEPT)
    def run(self, request: pytest.FixtureRequest, desk: Desk) -> tuple[Entry, Classifier, FitSetup, ImageSet]:
        policy, mode, memory = KEPT[request.param]
        config = dataclasses.replace(
            desk.base,
            freeze=POLICIES[policy],
            augment=AugmentConfig(kind=AugmentKind.light),
            cache=dataclasses.replace(desk.base.cache, mode=mode, views=2),
            data=dataclasses.replace(desk.base.data, memory_bytes=memory),
        )
        classifier, source, budget, setup = desk.parts(config)
        [entry] = RunInputs(config, desk.session, classifier, source, budget, setup, Listener()).entries
        pixels = entry.budget.pixels(np.arange(30))
        bank = ImageBank(pixels=pixels, labels=torch.from_numpy(entry.budget.labels))
        return entry, classifier, setup, ImageSet(bank, setup, digests_of(source.pool, budget.positions))

    def test_what_crosses_is_what_the_extractor_keeps_to_the_bit(self, run: Any) -> None:
        entry, classifier, _, images = run
        positions = np.array([3, 0, 29, 17, 3])
        crossed = torch.cat([entry.cross(classifier, chunk) for chunk, _ in images.chunks(positions)])
        kept = torch.cat([chunk for chunk, _ in entry.budget.chunks(positions)])
        assert torch.equal(crossed, kept)
        assert (entry.rows is not None, entry.images is None) == (entry.keeps_rows,) * 2

    def test_a_fit_begins_with_the_batches_of_its_positions(self, run: Any) -> None:
        entry, classifier, _, images = run
        positions = np.arange(0, 30, 2)
        network, batches = entry.begin(classifier, positions)
        expected = images.batches(positions)
        for step in (0, 1, 2):  # both views, and the seams between them
            seen, labels = batches.batch(step)
            shown, _ = expected.batch(step)
            assert torch.equal(seen, entry.cross(classifier, shown))
            assert torch.equal(labels, torch.from_numpy(entry.budget.labels[positions[batches.positions(step)]]))
            assert network(seen).shape == (len(labels), 3)

    def test_the_network_that_trains_is_the_classifier_entered(self, run: Any) -> None:
        entry, classifier, _, images = run
        classifier.eval()
        [(shown, _)] = images.chunks(np.arange(30))
        with torch.no_grad():
            expected = classifier.features(shown)
            network = entry.network(classifier)
            seen = entry.cross(classifier, shown)
            features = network.features(seen)
            again = entry.network(network).features(seen)
        if entry.prefix is None:  # a cut network passes in chunks, where a whole one takes its batch as it comes
            assert torch.equal(features, expected)
        torch.testing.assert_close(features, expected)
        assert torch.equal(features, again)
        own = dict(classifier.named_parameters())
        assert all(own[name] is parameter for name, parameter in network.named_parameters())
        assert {name for name, _ in network.trainable_parameters()} == {
            name for name, _ in classifier.trainable_parameters()
        }
