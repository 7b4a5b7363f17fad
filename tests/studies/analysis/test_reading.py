import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Start
from tests.studies.conftest import DEPTHS, MakeTable
from tlexp.errors import ConfigError, DataError, TrackingError
from tlexp.experiment.artifacts import write_predictions
from tlexp.jobs.folder import SweepFolder
from tlexp.jsonfile import to_json
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.findings import Sureness
from tlexp.studies.analysis.reading import find_study, read_table
from tlexp.studies.analysis.screen import Entrant
from tlexp.studies.analysis.table import Column, Role, StudyTable
from tlexp.studies.report.report import write_report
from tlexp.studies.report.summary import summary
from tlexp.tracking import MetricsLog, Record, RunStatus, publish_record
from tlexp.tracking.environment import process_identity

COLUMNS = tuple(dataclasses.replace(column, entrant="tiny") for column in DEPTHS[:2])


class Study:
    """A study's folder, as the sweep leaves it, made from a table."""

    def __init__(self, folder: Path, table: StudyTable, make_record: Callable[..., Record]) -> None:
        self.folder, self.table, self.make_record = folder, table, make_record
        self.keys: dict[tuple[str, str, int], str] = {}
        for column, labels in table.cells:
            for seed in table.seeds:
                self.keys[column, labels, seed] = f"{len(self.keys):016x}" + "ef" * 24
        columns = [dataclasses.asdict(column) for column in table.columns]
        study = table.about["study"] | {
            "columns": columns,
            "replicates": {key: list(place) for place, key in self.keys.items()},
        }
        folder.mkdir(parents=True)
        SweepFolder(folder).state({"fixed": {}, "swept": ["study.column"], "study": study})

    def attempt(self, place: tuple[str, str, int], number: int = 1) -> Path:
        """Make an attempt's folder, taken up by a process that is dead."""
        folder = self.folder / "runs" / self.keys[place][:16] / f"{number:03d}-abcdef012345"
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"key": self.keys[place], "number": 0, "point": {}}))
        (folder / "process.json").write_text(json.dumps(process_identity() | {"pid": 2**22 + 1, "started": 1}))
        return folder

    def finish(self, place: tuple[str, str, int], number: int = 1, **changes: object) -> Path:
        """Make an attempt that finished with what the table says."""
        folder = self.attempt(place, number)
        replicate = next(each for each in self.table.cells[place[:2]].replicates if each.seed == place[2])
        correct, labels = replicate.correct, self.table.labels
        assert correct is not None
        predicted = np.where(correct, labels, (labels + 1) % 4)
        write_predictions(folder, 0.1 + 0.6 * np.eye(4)[predicted], labels)
        with MetricsLog(folder / "metrics.jsonl") as log:
            log.write(phase="select", fold=0, step=1, values={"train/loss": 9.0})
            for step, loss in replicate.losses:
                log.write(phase="final", fold=None, step=step, values={"train/loss": loss, "train/lr": 0.1})
        train = {"steps": 3, "selection": to_json(replicate.selection), "outside_protocol": ["train.steps"]}
        values = {"key": self.keys[place], "train": train, "metrics": dict(replicate.metrics)} | changes
        publish_record(folder, self.make_record(**values))
        return folder

    def fail(self, place: tuple[str, str, int], number: int = 1) -> None:
        record = self.make_record(key=self.keys[place], status=RunStatus.diverged, reason="the loss is nan")
        publish_record(self.attempt(place, number), record)


@pytest.fixture
def study(tmp_path: Path, make_table: MakeTable, make_record: Callable[..., Record]) -> Study:
    table = make_table(
        columns=COLUMNS, seeds=2, budgets=["5", "20"], failed=(), waiting=(), missing=[("freeze-1", "5")]
    )
    return Study(tmp_path / "multirun" / "made-up", table, make_record)


@pytest.fixture
def whole(study: Study) -> Study:
    for place in study.keys:
        study.finish(place)
    return study


def test_a_table_is_read_back_as_it_was(whole: Study) -> None:
    found, table = read_table(whole.folder), whole.table
    for name in ("name", "backbone", "columns", "budgets", "per_class", "classes", "seeds", "margin", "skipped"):
        assert getattr(found, name) == getattr(table, name), name
    assert (found.labels == table.labels).all()
    assert set(found.cells) == set(table.cells)
    for place, cell in table.cells.items():
        for read, made in zip(found.cells[place].replicates, cell.replicates, strict=True):
            assert read.correct is not None
            assert (read.correct == made.correct).all()
            assert (read.seed, read.status, read.metrics, read.selection) == (
                made.seed,
                made.status,
                made.metrics,
                made.selection,
            )
            assert read.losses == made.losses
            assert read.outside == ("train.steps",)
    assert found.record.data.classes == table.classes
    assert analyse(found).recommendations == analyse(table).recommendations


def test_what_is_told_is_the_columns_as_they_are(whole: Study) -> None:
    column = read_table(whole.folder).columns[0]
    assert isinstance(column, Column)
    assert column.role is Role.depth
    assert column.words == ("freeze=depth", "freeze.depth=0")


def test_nothing_has_run_yet(study: Study) -> None:
    found = read_table(study.folder)
    assert all(each.status is None for cell in found.cells.values() for each in cell.replicates)
    assert (len(found.labels), found.classes, found.record) == (0, (), None)
    assert {each.sureness for each in analyse(found).recommendations} == {Sureness.nothing}


@pytest.mark.parametrize("order", ["failed first", "failed last"])
def test_an_attempt_that_finished_counts_whatever_else_happened(study: Study, order: str) -> None:
    place = ("freeze-0", "5", 1)
    study.fail(place, 1 if order == "failed first" else 2)
    study.finish(place, 2 if order == "failed first" else 1)
    assert read_table(study.folder).cells["freeze-0", "5"].replicates[1].status is RunStatus.finished


def test_a_failed_replicate_shows_why(study: Study) -> None:
    study.fail(("freeze-0", "5", 1))
    found = read_table(study.folder).cells["freeze-0", "5"].replicates[1]
    assert (found.status, found.reason, found.correct) == (RunStatus.diverged, "the loss is nan", None)


def test_an_attempt_without_a_record_was_killed_or_is_at_work(study: Study) -> None:
    study.attempt(("freeze-0", "5", 0))
    alive = study.attempt(("freeze-0", "5", 1))
    (alive / "process.json").write_text(json.dumps(process_identity()))
    killed, working = read_table(study.folder).cells["freeze-0", "5"].replicates
    assert killed.status is RunStatus.killed
    assert killed.reason is not None
    assert working.status is None


def test_what_a_job_lost_has_failed_unless_a_later_one_does_it(study: Study) -> None:
    """It may have died before its first run began, or in one; the study that saw it says so."""
    places = [("freeze-0", labels, seed) for labels in ("5", "20") for seed in (0, 1)]
    folder = study.folder / "columns" / "freeze-0" / "abcdef012345"
    folder.mkdir(parents=True)
    lost = {"column": "freeze-0", "lost": [study.keys[place] for place in places[:3]], "reason": "no memory"}
    (folder / "column.json").write_text(json.dumps(lost))
    study.attempt(places[1])
    study.finish(places[2])
    cells = read_table(study.folder).cells
    found = [each for labels in ("5", "20") for each in cells["freeze-0", labels].replicates]
    assert [each.status for each in found] == [RunStatus.failed, RunStatus.failed, RunStatus.finished, None]
    assert {each.reason for each in found[:2]} == {"no memory"}
    (folder / "column.json").write_text("{")
    assert read_table(study.folder).cells["freeze-0", "5"].replicates[0].status is None


def test_records_are_read_without_what_launched_them(whole: Study) -> None:
    launched = [*whole.folder.glob("runs/*/*/job.json"), *whole.folder.glob("runs/*/*/process.json")]
    assert launched
    for path in launched:
        path.unlink()
    assert {e.status for cell in read_table(whole.folder).cells.values() for e in cell.replicates} == {
        RunStatus.finished
    }


def test_a_damaged_record_is_a_failed_replicate(whole: Study) -> None:
    path = next(whole.folder.glob("runs/*/*/record.json"))
    path.write_text(path.read_text().replace('"finished"', '"pruned"'))
    table = read_table(whole.folder)
    (failed,) = [e for cell in table.cells.values() for e in cell.replicates if e.status is not RunStatus.finished]
    assert failed.status is RunStatus.failed
    assert "was changed after it was written" in (failed.reason or "")


def test_a_record_of_another_run_does_not_count(study: Study) -> None:
    study.finish(("freeze-0", "5", 0), key="12" * 32)
    found = read_table(study.folder).cells["freeze-0", "5"].replicates[0]
    assert found.status is RunStatus.failed
    assert "record of another run" in (found.reason or "")


def test_changed_predictions_are_refused(whole: Study) -> None:
    path = next(whole.folder.glob("runs/*/*/predictions.npz"))
    write_predictions(path.parent, np.eye(4)[whole.table.labels], whole.table.labels)
    with pytest.raises(TrackingError, match=re.escape(f"{path} was changed after its record was written")):
        read_table(whole.folder)
    path.unlink()
    with pytest.raises(TrackingError, match=re.escape(f"{path} is missing")):
        read_table(whole.folder)


def test_replicates_tested_on_other_images_are_refused(study: Study) -> None:
    study.finish(("freeze-0", "5", 0))
    other = study.finish(("freeze-0", "5", 1), data={"digest": "12" * 32, "classes": [], "counts": {}, "skipped": []})
    with pytest.raises(DataError, match=re.escape(f"{other / 'predictions.npz'} was tested on other images than")):
        read_table(study.folder)


def test_replicates_with_other_test_labels_are_refused(study: Study) -> None:
    study.finish(("freeze-0", "5", 0))
    study.table = dataclasses.replace(study.table, labels=study.table.labels[::-1])
    study.finish(("freeze-0", "5", 1))
    with pytest.raises(DataError, match="paired image by image"):
        read_table(study.folder)


def test_a_study_is_found_by_name_and_by_path(whole: Study) -> None:
    root = whole.folder.parent
    assert find_study("made-up", root) == whole.folder
    assert find_study(str(whole.folder), root) == whole.folder


def test_an_unknown_study_is_answered_with_the_nearest_names(whole: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    root = whole.folder.parent
    shutil.copytree(whole.folder, root / "flowers")
    (root / "made-plain").mkdir()
    SweepFolder(root / "made-plain").state({"fixed": {}, "swept": []})
    with pytest.raises(ConfigError, match=r"^'made-ub' is no study below .*: did you mean made-up$"):
        find_study("made-ub", root)
    with pytest.raises(ConfigError, match=r"'made-plain' is a sweep, whose table is its results.csv, and no study"):
        find_study("made-plain", root)
    monkeypatch.chdir(root.parent)
    with pytest.raises(ConfigError, match=r"made-plain' is a sweep, "):
        find_study(f"{root.name}/made-plain", Path(root.name))
    with pytest.raises(ConfigError, match=r"there are flowers, made-up$"):
        find_study("xyz", root)
    with pytest.raises(ConfigError, match=r"none has been run yet$"):
        find_study("made-up", root / "nowhere")


def test_what_is_no_study_is_refused(tmp_path: Path, whole: Study) -> None:
    with pytest.raises(ConfigError, match=r"study\.json is missing"):
        read_table(tmp_path)
    SweepFolder(tmp_path).state({"fixed": {}, "swept": []})
    with pytest.raises(ConfigError, match="is about a sweep that is no study"):
        read_table(tmp_path)
    path = whole.folder / "study.json"
    about = json.loads(path.read_text())
    del about["study"]["seeds"]
    path.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="study lacks seeds"):
        read_table(whole.folder)
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_table(whole.folder)


def test_a_real_run_is_read(start: Start, tmp_path: Path) -> None:
    """Its accuracy, told anew from its predictions, is the one of its record."""
    (tmp_path / "multirun" / "real" / "runs" / "pending").mkdir(parents=True)
    outcome = start("freeze=none", "train.limit_steps=12", name="multirun/real/runs/pending/001-abcdef012345")
    assert outcome.record is not None
    folder = tmp_path / "multirun" / "real"
    (folder / "runs" / "pending").rename(folder / "runs" / outcome.record.key[:16])
    stated = {
        "name": "real",
        "backbone": "tiny",
        "margin": 0.01,
        "seeds": [0],
        "budgets": [{"labels": "10", "per_class": 10.0}],
        "columns": [{"name": "freeze-0", "title": "0 of 5 units frozen", "role": "depth", "depth": 0}],
        "skipped": {},
        "replicates": {outcome.record.key: ["freeze-0", "10", 0]},
    }
    SweepFolder(folder).state({"fixed": {}, "swept": [], "study": stated})
    table = read_table(folder)
    finding = analyse(table).cells["freeze-0", "10"]
    assert finding.accuracy is not None
    assert finding.accuracy.value == pytest.approx(outcome.record.metrics["test/balanced_accuracy"])
    assert finding.plain == pytest.approx(outcome.record.metrics["test/accuracy"])
    assert table.cells["freeze-0", "10"].replicates[0].losses[-1][0] == 12
    assert len(table.classes) == 3


def test_the_folder_of_another_version_is_read_with_what_it_says(whole: Study, tmp_path: Path) -> None:
    """Records of the first version know less as well: no pool, no norm of what is frozen."""
    path = whole.folder / "study.json"
    about = json.loads(path.read_text())
    study = about["study"]
    for name in ("command", "kind", "estimate"):
        study.pop(name, None)
    study["demonstration"] = True
    study["columns"] = [
        {"later": 1, **{name: column[name] for name in ("name", "title", "role", "depth")}}
        for column in study["columns"]
    ]
    study["budgets"] = [{"labels": each["labels"], "per_class": each["per_class"]} for each in study["budgets"]]
    path.write_text(json.dumps(about))
    table = read_table(whole.folder)
    assert [column.name for column in table.columns] == [column.name for column in COLUMNS]
    assert (table.names, table.conditional) == ((), frozenset())
    findings = analyse(table)
    assert write_report(tmp_path, findings)[0].is_file()
    assert summary(findings, tmp_path).count(" per class ") == min(2, len(table.budgets))


def test_what_an_image_takes_is_that_of_the_columns_own_network(study: Study) -> None:
    """What training took is another number, which heads that are solved do not have."""
    path = study.folder / "study.json"
    about = json.loads(path.read_text())
    about["study"]["operations"] = 16
    path.write_text(json.dumps(about))
    assert {cell.operations for cell in read_table(study.folder).cells.values()} == {16}
    del about["study"]["operations"]
    entrant = Entrant(name="tiny", columns=("freeze-1",), operations=5)
    path.write_text(json.dumps({**about, "study": {**about["study"], "entrants": [dataclasses.asdict(entrant)]}}))
    found = read_table(study.folder).cells
    assert (found["freeze-1", "20"].operations, found["freeze-0", "20"].operations) == (5, None)
