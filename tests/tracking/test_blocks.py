"""What a record's blocks are in JSON: records/ holds one of each kind of run, from before blocks had types.

tracked: a head that is solved, in a tracking store, without a checkout or a user's name.
folds, phases: a network that is trained with candidates; in phases.
probe: a head that starts from the tuned probe.
early, killed: what ended before its images were known; while it trained.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlexp.errors import TrackingError
from tlexp.jsonfile import to_json
from tlexp.tracking import Record, publish_record, read_record
from tlexp.tracking.blocks import Checkout, DataBlock, ProbeBlock, TrainBlock
from tlexp.tracking.record import _checksum

RECORDS = Path(__file__).parent / "records"
KINDS = ("tracked", "folds", "phases", "probe", "early", "killed")
Change = Callable[[dict[str, Any]], object]


def stored(kind: str) -> Record:
    return read_record(RECORDS / f"{kind}.json")


def changed(folder: Path, change: Change, kind: str = "tracked") -> Path:
    """Return the path of a record that was written with a change, so that its checksum vouches for it."""
    values = json.loads((RECORDS / f"{kind}.json").read_text())
    del values["checksum"]
    change(values)
    path = folder / "record.json"
    path.write_text(json.dumps(values | {"checksum": _checksum(values)}))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_written_as_it_was_read_to_the_last_byte(tmp_path: Path, kind: str) -> None:
    record = stored(kind)
    assert publish_record(tmp_path, record).read_bytes() == (RECORDS / f"{kind}.json").read_bytes()
    assert read_record(tmp_path) == record


def test_blocks_hold_what_the_record_says() -> None:
    tracked, folds, phases = stored("tracked"), stored("folds"), stored("phases")
    assert (tracked.seeds.seed, tracked.freeze.policy, tracked.environment.git) == (0, "all", None)
    assert tracked.tracking is not None
    assert tracked.tracking.uri == "sqlite:///mlflow.db"
    assert folds.environment.git == Checkout(commit="f" * 40, dirty=True)
    assert folds.data is not None
    assert folds.data.classes == ("circle", "square", "triangle")
    assert folds.data.counts["test"] == {"circle": 8, "square": 8, "triangle": 8}
    assert folds.train.selection is not None
    assert (folds.train.selection.folds, len(folds.train.selection.trials)) == (4, 2)
    assert [phase.steps for phase in phases.freeze.phases or ()] == [2, 2]


def test_what_a_run_did_not_come_to_is_none() -> None:
    early, killed, folds = stored("early"), stored("killed"), stored("folds")
    assert (early.data, early.train, early.freeze.depth, early.tracking) == (None, TrainBlock(), None, None)
    assert (killed.train.steps, killed.train.selection, killed.freeze.digest_after) == (6, None, None)
    assert (folds.train.probe, folds.freeze.phases) == (None, None)
    assert isinstance(stored("probe").train.probe, ProbeBlock)


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    def earlier(values: dict[str, Any]) -> None:
        del values["freeze"]["norm"], values["train"]["selection"]["unsolved"], values["notes"]
        del values["environment"]["process"]["machine"], values["environment"]["process"]["pid_namespace"]

    record = read_record(changed(tmp_path, earlier))
    assert (record.freeze.norm, record.environment.process.machine, record.notes) == (None, None, [])
    assert record.train.selection is not None
    assert record.train.selection.unsolved == ()


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    def later(values: dict[str, Any]) -> None:
        values["train"] |= {"momentum": 0.9}
        values["environment"]["process"] |= {"cgroup": None}

    assert read_record(changed(tmp_path, later)) == stored("tracked")


def test_a_whole_number_where_others_have_fractions_stays_one(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda values: values["train"]["selection"]["trials"][0].update(loss=1))
    assert '"loss": 1}' in json.dumps(to_json(read_record(path).train))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda values: values.update(status="well"), "status is 'well', none of finished, failed"),
        (lambda values: values.update(mood="fine"), "it has mood"),
        (lambda values: values.pop("freeze"), "it lacks freeze"),
        (lambda values: values.pop("status"), "it lacks status"),
        (lambda values: values.update(train=[]), r"train is \[\], not a block of values"),
        (lambda values: values["freeze"].pop("policy"), "freeze lacks policy"),
        (lambda values: values["train"].update(steps="three"), r"train\.steps is 'three', not int"),
        (lambda values: values["data"].update(classes="ab"), r"data\.classes is 'ab', not tuple"),
        (
            lambda values: values["data"]["counts"]["test"].update(star=0.5),
            r"counts\.test\.star is 0\.5, not int",
        ),
        (lambda values: values["train"]["selection"]["trials"][1].update(loss="low"), r"trials\[1\]\.loss is 'low'"),
        (lambda values: values["environment"].update(packages=None), r"environment\.packages is None, not dict"),
    ],
)
def test_what_no_version_wrote_is_refused(tmp_path: Path, change: Change, rule: str) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(TrackingError, match=rf"does not have the fields of a record \(.*{rule}.*\): restore the file"):
        read_record(path)


MONKEYS = DataBlock(
    digest="ab" * 32,
    classes=("n0", "n1"),
    counts={"train": {"n0": 20, "n1": 20}, "test": {"n0": 26, "n1": 28}},
    pool={"n0": 1104, "n1": 110},
    pool_from="training/",
    held_out_from="validation/",
    short_sides=(183, 400, 1200),
    skipped=(),
)


def test_it_is_told_which_classes_there_are_and_what_is_tested() -> None:
    assert MONKEYS.told == (
        "2 classes (n0 1,104, n1 110); 1,214 to learn from, training/; tested on 54, validation/; "
        "short sides 183 to 1,200 px, half at most 400"
    )


def test_a_part_that_was_split_off_is_told_as_that() -> None:
    assert "tested on 54, a fifth that was split off" in dataclasses.replace(MONKEYS, held_out_from=None).told


def test_of_many_classes_the_first_are_named() -> None:
    many = dataclasses.replace(MONKEYS, classes=tuple(f"c{number}" for number in range(242)), pool=None)
    assert many.told.startswith("242 classes (c0, c1, c2, c3, c4, c5, c6, c7, 234 more)")


def test_records_from_before_say_what_they_know() -> None:
    old = DataBlock(digest="ab" * 32, classes=("a", "b"), counts={"test": {"a": 1, "b": 2}}, skipped=())
    assert old.told == "2 classes (a, b); tested on 3"


@pytest.mark.parametrize(
    ("val", "rest", "refit", "told"),
    [
        (0, 0, True, "60 of 90 images learned from; tested on 42 in test"),
        (9, 3, True, "60 of 90 images learned from (9 of them only once settings had been chosen on them); "
         "tested on 42 in test, 3 in rest"),
        (12, 0, False, "48 of 90 images learned from (12 more only held out, to choose settings on them); "
         "tested on 42 in test"),
    ],
)  # fmt: skip
def test_images_that_are_counted_in_several_places_are_told_in_one_sentence(
    val: int, rest: int, refit: bool, told: str
) -> None:
    counts = {"train": {"a": 60 - val}, "val": {"a": val}, "test": {"a": 40, "b": 2}, "rest": {"a": rest}}
    block = DataBlock(digest="", classes=("a", "b"), counts=counts, pool={"a": 50, "b": 40}, skipped=())
    assert block.learned(refit=refit) == told
