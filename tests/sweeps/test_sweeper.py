import contextlib
import csv
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import beside
from tlexp import cli
from tlexp.config import PROTOCOL, Config
from tlexp.data import Source
from tlexp.experiment import run, session
from tlexp.experiment.images import Budget
from tlexp.jobs import submission
from tlexp.jobs.lease import take_lease
from tlexp.sweeps import pruning, results, sweeper
from tlexp.tracking import RunStatus, read_record
from tlexp.tracking.environment import process_identity

TINY = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "labels=2", "train.limit_steps=2", "tracking=off",
]  # fmt: skip

SEARCHED = ["optim.lr=tag(log,interval(1e-6,1e-1))", "hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=6"]
PRUNES = ["hydra.sweeper.pruner=hyperband", "train.limit_steps=9"]

Sweep = Callable[..., int]


@pytest.fixture
def drawn_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Sweep in this process, in an empty folder, under the name `s`; return the exit status."""
    monkeypatch.chdir(tmp_path)

    def swept(*words: str) -> int:
        given = {word.partition("=")[0] for word in words}
        stated = [word for word in beside(words, TINY) if word.partition("=")[0] not in given]
        monkeypatch.setattr(sys, "argv", ["tlexp", "-m", *stated, "hydra.sweeper.name=s", *words])
        session.process_session.cache_clear()  # a command has a process of its own
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return swept


@pytest.fixture
def sweep(drawn_sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Sweep without plots."""
    monkeypatch.setattr(results, "draw_plots", lambda *_, **__: [])
    return drawn_sweep


def records(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.glob("multirun/*/runs/*/*/record.json"))}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "multirun" / "s" / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_runs_once_in_the_order_of_its_words(
    drawn_sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drawn_sweep("freeze=all,none", "seed=0,1") == 0
    assert (tmp_path / "multirun/s/history.png").is_file()
    assert [(row["freeze"], row["seed"], row["status"]) for row in rows(tmp_path)] == [
        ("all", "0", "finished"),
        ("all", "1", "finished"),
        ("none", "0", "finished"),
        ("none", "1", "finished"),
    ]
    shown = capsys.readouterr()
    assert "ranked by val/loss" in shown.out
    assert "sweep 4/4: done 4, failed 0, left 0\n" in shown.err
    assert not list(tmp_path.glob("multirun/s/runs/*/*/figures"))
    before, table = records(tmp_path), (tmp_path / "multirun/s/results.csv").read_bytes()
    assert drawn_sweep("freeze=all,none", "seed=0,1") == 0
    assert records(tmp_path) == before
    assert (tmp_path / "multirun/s/results.csv").read_bytes() == table


def test_the_runs_of_a_process_share_images_and_network(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(name: str, size: Callable[..., int] = lambda *_: 1) -> None:
        plain = getattr(session, name)

        def counting(*given: object) -> object:
            counts[name] += size(*given)
            return plain(*given)

        monkeypatch.setattr(session, name, counting)

    counted("build_network")
    counted("open_images")
    counted("decode", lambda config, images, positions, *more: len(positions))
    assert sweep("freeze=none,all", "seed=0,1,2", "cache=off") == 0
    assert len(records(tmp_path)) == 6
    assert (counts["build_network"], counts["open_images"]) == (1, 1)
    assert counts["decode"] <= 2 * (8 + 4)  # each image of both splits at most once


def test_more_values_extend_a_sweep(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("seed=0,1") == 0
    before = records(tmp_path)
    assert sweep("seed=0,1,2", "freeze=all,none") == 0
    after = records(tmp_path)
    assert (len(after), len(rows(tmp_path))) == (6, 6)
    assert before.items() <= after.items()


def test_two_spellings_of_one_run_run_once(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("labels=2,'02',0.5,.50") == 0
    assert len(records(tmp_path)) == len(rows(tmp_path)) == 2
    assert "labels='02' is the same run as labels=2 and runs once" in capsys.readouterr().err


def test_without_a_name_the_fixed_settings_name_the_folder(sweep: Sweep, tmp_path: Path) -> None:
    def folders(*words: str) -> list[str]:
        assert sweep("hydra.sweeper.name=null", *words) == 0
        return sorted(path.name for path in (tmp_path / "multirun").iterdir())

    [first] = folders("seed=0,1")
    assert re.fullmatch(r"shapes-seed-[0-9a-f]{8}", first)
    assert folders("seed=0,1,2") == [first]
    assert folders("seed=0,1", "tracking.experiment=other", "train.progress=false") == [first]
    assert len(folders("seed=0,1", "labels=3")) == 2


def test_a_changed_fixed_setting_is_refused_and_named(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=0,1") == 0
    before = records(tmp_path)
    assert sweep("seed=0,1", "labels=3", "optim.lr=0.1") == 2
    shown = capsys.readouterr().err
    assert "labels was 2 and would be 3" in shown
    assert "optim.lr was null and would be 0.1" in shown
    assert records(tmp_path) == before


def under_protocol(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    for module in ("tlexp.config.root", "tlexp.sweeps.points"):
        monkeypatch.setattr(f"{module}.PROTOCOL", number)


def test_a_named_sweep_of_another_protocol_is_not_gone_on_with(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        under_protocol(before, 4)
        assert sweep("seed=0") == 0
    assert read_record(next(tmp_path.glob("multirun/s/runs/*/*"))).status == "finished"
    there = sorted(tmp_path.rglob("*"))
    for words in (["seed=0"], ["seed=0,1"], ["seed=0", "--dry-run"]):
        capsys.readouterr()
        assert sweep(*words) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"multirun/s: protocol was 4 and would be {PROTOCOL}" in told
        assert "the version of tlexp that began it goes on with it, or give the new one another hydra.sweeper" in told
    assert sorted(tmp_path.rglob("*")) == there


def test_a_sweep_without_a_name_says_why_it_starts_anew(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hydra.sweeper.name=null", "seed=0"]
    with monkeypatch.context() as before:
        under_protocol(before, 4)
        assert sweep(*words) == 0
    [old] = (tmp_path / "multirun").iterdir()
    capsys.readouterr()
    for dry in (["--dry-run"], []):
        assert sweep(*words, *dry) == 0
        [note] = [line for line in capsys.readouterr().err.splitlines() if "starts anew" in line]
        assert note.startswith("note: multirun/shapes-")
        assert note.endswith(f" starts anew beside multirun/{old.name}, for runs of different settings are not mixed: "
                             f"protocol was 4 and is {PROTOCOL}")  # fmt: skip
    assert len(list((tmp_path / "multirun").iterdir())) == 2
    assert sweep(*words, "--dry-run") == 0
    assert sweep(*words, "labels=3", "--dry-run") == 0
    assert "starts anew" not in capsys.readouterr().err


def test_a_run_that_was_lost_before_it_began_is_no_good_end(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweeper.JobRunner, "run", lambda self, jobs: bool(list(jobs)))  # as where a queue lost them
    assert sweep("seed=0,1") == 3
    assert "2 of 2 runs did not finish; the same command typed again runs them again" in capsys.readouterr().err


def test_a_failure_stays_inside_its_run_and_runs_again(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["freeze=depth", "freeze.depth=99,1,2"]
    assert sweep(*words) == 3
    shown = capsys.readouterr()
    assert [row["status"] for row in rows(tmp_path)] == ["failed", "finished", "finished"]
    assert "freeze.depth=99 is out of range" in rows(tmp_path)[0]["reason"]
    assert "freeze.depth=99 is out of range" in shown.out
    assert "error: 1 of 3 runs did not finish; the same command typed again runs them again" in shown.err
    assert "Traceback" not in shown.err
    before = records(tmp_path)
    assert sweep(*words) == 3
    after = records(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert len(rows(tmp_path)) == 3


def test_too_many_failures_stop_the_sweep(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("freeze=depth", "freeze.depth=1,98,99,2", "hydra.sweeper.max_failure_rate=0.2") == 3
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "failed", "", ""]
    assert "max_failure_rate=0.2: 1 of 4 runs failed and the sweep stopped" in capsys.readouterr().err


def test_divergence_and_our_own_faults_are_told_apart(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run.draw_labels

    def broken(config: Config, source: Source) -> Budget:
        if config.seed == 1:
            raise KeyError("stem")
        return plain(config, source)

    monkeypatch.setattr(run, "draw_labels", broken)
    assert sweep("seed=0,1", "freeze=none", "optim.lr=1e30,1e-3", "labels=4", "train.limit_steps=20") == 3
    found = {(row["seed"], row["optim.lr"]): row for row in rows(tmp_path)}
    assert found["0", "1e+30"]["status"] == "diverged"
    assert found["0", "0.001"]["status"] == "finished"
    assert found["1", "0.001"]["status"] == "failed"
    assert found["1", "0.001"]["reason"] == "'stem'"
    assert len(list(tmp_path.glob("multirun/s/runs/*/*/traceback.txt"))) == 2


def test_what_a_kill_or_a_bad_disk_leaves_is_run_again(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("seed=0,1,2") == 0
    table = (tmp_path / "multirun/s/results.csv").read_bytes()
    first, second, third = records(tmp_path)
    Path(first).unlink()
    Path(second).write_bytes(Path(second).read_bytes().replace(b'"status"', b'"state"'))
    kept = Path(third).read_bytes()
    assert sweep("seed=0,1,2") == 0
    assert Path(third).read_bytes() == kept
    assert len([path for path in records(tmp_path) if path not in (second, third)]) == 2
    assert (tmp_path / "multirun/s/results.csv").read_bytes() == table


def test_settings_that_do_not_fit_are_refused_before_anything_runs(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("optim.lr=-1,0.1,x", "seed=0,1") == 2
    shown = capsys.readouterr().err
    assert "optim.lr=-1" in shown
    assert "optim.lr=x: must be a finite number" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["seed=0,1", "hydra.sweeper.objective=test/accuracy"], "the test split is read once"),
        (["seed=0,1", "hydra.sweeper.objective=val/acc"], "is no figure to rank by: val/loss"),
        (["seed=0,1", "hydra.sweeper.max_failure_rate=2"], "must be in [0, 1]"),
        (["seed=0,1", "hydra.sweeper.name=a/b"], "hydra.sweeper.name=a/b: use letters"),
        (["optim.lr=interval(0.1,1)"], "say how many settings to try with hydra.sweeper.n_trials=40"),
        (["optim.lr=interval(0.1,1)", "labels=1", "hydra.sweeper.n_trials=4"], "leaves none for validation"),
        (["labels=interval(2,8)", "hydra.sweeper.n_trials=4"], "labels=5.0"),
        (["seed=0,1", "hydra.sweeper.sampler=grid"], "sampler=grid: must be one of auto, tpe, random"),
        (["seed=0,1", "hydra.sweeper.n_trials=x"], "n_trials=x: must be a whole number"),
        (["seed=0,1", "hydra.sweeper.n_trial=4"], "n_trial is no setting of sweeps (did you mean n_trials?)"),
        (["experiment=shapes,null"], "must be a string or a list"),
        (
            ["seed=0,1", "hydra.sweeper.pruner=median"],
            "every point of this sweep is known beforehand and all are wanted",
        ),
        ([*SEARCHED, "hydra.sweeper.pruner=halving"], "pruner=halving: must be one of none, median, hyperband"),
        (
            [*SEARCHED, "hydra.sweeper.pruner=median", "hydra.sweeper.objective=val/accuracy"],
            "ends runs by their val/loss, but hydra.sweeper.objective=val/accuracy (maximize) ranks by something else",
        ),
        (
            [*SEARCHED, "hydra.sweeper.pruner=median", "hydra.sweeper.direction=maximize"],
            "hydra.sweeper.objective=val/loss (maximize) ranks by something else",
        ),
        (
            ["optim.weight_decay=interval(0.1,1)", *SEARCHED[1:], "head=ridge", "hydra.sweeper.pruner=hyperband"],
            "hydra.sweeper.pruner=hyperband: head=ridge is solved at once and has no middle",
        ),
        (
            ["train.label_smoothing=interval(0,0.2)", *SEARCHED[1:], "hydra.sweeper.pruner=median", "tune.trials=2"],
            "tune.trials=2 has each run search by itself",
        ),
        (
            [*SEARCHED, "hydra.sweeper.pruner=median", "tune.validate=false"],
            "needs the validation part that tune.validate=false leaves out",
        ),
        ([*SEARCHED, "hydra.sweeper.pruner=median"], "fits of 2 steps are too short to be ended in their middle"),
    ],
)
def test_what_a_sweep_refuses(
    words: list[str], text: str, sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*words) == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_and_writes_nothing(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("seed=0,1,2", "--dry-run") == 0
    assert "multirun/s: 0 of 3 runs are there, 3 would run" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert sweep("seed=0,1") == 0
    capsys.readouterr()
    before = sorted(tmp_path.rglob("*"))
    assert sweep("seed=0,1,2", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "   seed  there     to do",
        "0  0     finished",
        "1  1     finished",
        "2  2     -         run",
        "multirun/s: 2 of 3 runs are there, 1 would run",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_without_squeue_a_sweep_for_slurm_is_refused_before_it_has_a_folder(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr(submission, "program", lambda name: None)
    assert sweep("seed=0,1", "hydra/launcher=submitit_slurm") == 2
    assert "squeue is not in the PATH" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "multirun").exists()


def test_a_dry_run_tells_what_a_scheduler_has(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=0,1") == 0
    _, record = map(Path, records(tmp_path))
    record.unlink()
    assert take_lease(record.parent) is not None
    (tmp_path / "multirun/s/.submitted").mkdir()
    job = record.parent.relative_to(tmp_path / "multirun/s").as_posix()
    (tmp_path / "multirun/s/.submitted/x.json").write_text(json.dumps({"cluster": "slurm", "jobs": [job]}))
    monkeypatch.setattr(submission, "_queue", lambda: None)
    capsys.readouterr()
    assert sweep("seed=0,1,2", "--dry-run") == 0
    assert "multirun/s: 1 of 3 runs are there, 1 is under way, 1 would run" in capsys.readouterr().out


def test_a_dry_run_is_of_a_sweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["tlexp", "--dry-run"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "for a single run: tlexp plan" in capsys.readouterr().err


def test_a_search_goes_on_where_it_was(sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optim.lr=tag(log,interval(1e-4,1e-1))", "seed=0,1", "hydra.sweeper.sampler=random"]
    assert sweep(*words, "hydra.sweeper.n_trials=2") == 0
    before, first = records(tmp_path), rows(tmp_path)
    assert [row["seed"] for row in first] == ["0", "1", "0", "1"]  # each setting once for every seed
    assert [first[0]["optim.lr"] == first[1]["optim.lr"], first[1]["optim.lr"] == first[2]["optim.lr"]] == [True, False]
    assert all(1e-4 <= float(row["optim.lr"]) <= 1e-1 for row in first)
    Path(next(iter(before))).unlink()
    capsys.readouterr()
    assert sweep(*words, "hydra.sweeper.n_trials=3", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "2 more runs have settings that random will choose" in shown
    assert "3 of 6 runs are there, 3 would run" in shown
    assert sweep(*words, "hydra.sweeper.n_trials=3") == 0
    again = rows(tmp_path)
    assert [(row["optim.lr"], row["seed"]) for row in again[:4]] == [(row["optim.lr"], row["seed"]) for row in first]
    assert [row["test/loss"] for row in again[:4]] == [row["test/loss"] for row in first]
    assert len({row["optim.lr"] for row in again}) == 3
    assert len(records(tmp_path)) == 6


@pytest.fixture
def small_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fits of nine steps and parts of two images be looked at."""
    monkeypatch.setattr(sweeper, "LEAST_STEPS", 2)
    monkeypatch.setattr(pruning, "LEAST_STEPS", 2)
    monkeypatch.setattr(pruning, "LEAST_IMAGES", 2)


@pytest.mark.usefixtures("small_fits")
def test_a_search_that_prunes_leaves_the_others_as_they_are(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*SEARCHED, *PRUNES, "seed=0,1", "hydra.sweeper.pruner=none") == 0
    whole = {(row["optim.lr"], row["seed"]): row for row in rows(tmp_path)}
    (tmp_path / "multirun").rename(tmp_path / "whole")
    capsys.readouterr()
    assert sweep(*SEARCHED, *PRUNES, "seed=0,1") == 0
    shown, found = capsys.readouterr(), rows(tmp_path)
    ends = Counter(row["status"] for row in found)
    assert ends.keys() == {"finished", "pruned"}
    assert ends.total() == len(whole) == 12
    for row in found:
        if row["status"] == "finished":
            assert row == whole[row["optim.lr"], row["seed"]]
        else:
            assert not any(text for name, text in row.items() if "/" in name)
    for first, second in zip(found[::2], found[1::2], strict=True):
        if first["status"] == "pruned":
            assert second["status"] == "pruned"
            assert second["reason"] == "a run of these settings with another seed was pruned"
    assert f"12 runs: {ends['finished']} finished, {ends['pruned']} pruned" in shown.out
    assert "sweep 12/12: done 12, failed 0, left 0" in shown.err
    assert re.search(r"^pruned: optim\.lr=\S+ seed=[01]: after ", shown.err, re.MULTILINE)
    there = records(tmp_path)
    assert sweep(*SEARCHED, *PRUNES, "seed=0,1") == 0
    assert records(tmp_path) == there
    assert rows(tmp_path) == found
    assert (
        capsys.readouterr().err.splitlines()[1:]
        == [line for line in shown.err.splitlines() if line.startswith("sweep 12/12: done 12, failed 0, left 0")][-1:]
    )


@pytest.mark.usefixtures("small_fits")
def test_a_pruned_run_says_where_and_does_not_run_again(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(*SEARCHED, *PRUNES) == 0
    there, before = records(tmp_path), rows(tmp_path)
    pruned = [record for path in there if (record := read_record(Path(path))).status is RunStatus.pruned]
    assert pruned
    for record in pruned:
        block = record.train.pruned
        assert block is not None
        assert record.reason is not None
        assert re.fullmatch(
            "after (1/3|all) of its fit on a part of the labels, its validation loss was not among the best third",
            record.reason,
        )
        assert (block.steps, block.step in (3, 9), record.metrics) == (9, True, {})
    assert not list(tmp_path.glob("multirun/s/runs/*/*/checkpoint"))
    capsys.readouterr()
    assert sweep(*SEARCHED, *PRUNES) == 0
    assert records(tmp_path) == there
    assert rows(tmp_path) == before
    assert sweep(*SEARCHED, *PRUNES, "--dry-run") == 0
    assert "multirun/s: 6 of 6 runs are there, 0 would run" in capsys.readouterr().out


def test_runs_that_are_not_looked_at_say_so(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweeper, "LEAST_STEPS", 2)
    assert sweep(*SEARCHED, *PRUNES, "hydra.sweeper.n_trials=2") == 0
    assert capsys.readouterr().err.count("note: hydra.sweeper.pruner=hyperband: some runs are not looked at") == 1


def test_a_cost_that_runs_do_not_have_is_nothing_to_search_by(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["head=ridge", "optim.weight_decay=tag(log,interval(1e-3,1e-1))", "hydra.sweeper.n_trials=2"]
    assert sweep(*words, "hydra.sweeper.objective=cost/flops", "train.limit_steps=null") == 2
    shown = capsys.readouterr().err
    assert "finished without it, so there is nothing to search by; not every head and device has this cost" in shown
    assert "more labels" not in shown


def test_a_search_of_a_finite_space_never_repeats_a_run(sweep: Sweep, tmp_path: Path) -> None:
    words = [
        "freeze=all,none", "labels=2,3", "hydra.sweeper.n_trials=3",
    ]  # fmt: skip
    assert sweep(*words) == 0
    assert len({(row["freeze"], row["labels"]) for row in rows(tmp_path)}) == 3
    assert len(records(tmp_path)) == 3


def test_records_name_their_words_and_the_study_its_settings(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("freeze=all,none") == 0
    [first, _] = [read_record(Path(path)) for path in records(tmp_path)]
    assert "tracking=off" in first.overrides
    assert not any(word.startswith("hydra") for word in first.overrides)
    about = json.loads((tmp_path / "multirun/s/study.json").read_text())
    assert about["swept"] == ["freeze"]
    assert about["fixed"]["labels"] == "2"
    assert not [name for name in about["fixed"] if name.startswith(("freeze.", "tracking.", "hydra"))]


def test_a_run_that_was_not_whole_in_the_store_is_written_again(sweep: Sweep, store: str, tmp_path: Path) -> None:
    words = ["seed=0,1", "tracking=mlflow", f"tracking.uri={store}"]
    assert sweep(*words) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        # As a kill leaves a run whose record was published a moment before.
        dead = json.dumps(process_identity() | {"pid": 1, "started": 0})
        [(broken,)] = database.execute("select run_uuid from runs where name like 'seed=1 %'").fetchall()
        database.execute("update runs set status = 'RUNNING', end_time = null where run_uuid = ?", [broken])
        database.execute("delete from tags where key = 'tlexp.status' and run_uuid = ?", [broken])
        database.execute("update tags set value = ? where key = 'tlexp.process' and run_uuid = ?", [dead, broken])
    before = records(tmp_path)
    assert sweep(*words) == 0
    assert records(tmp_path) == before
    query = (
        "select r.name, r.status, t.value from runs r join tags t on t.run_uuid = r.run_uuid and t.key = 'tlexp.study' "
        "where r.lifecycle_stage = 'active' order by r.name"
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        found = database.execute(query).fetchall()
    assert [(status, study) for _, status, study in found] == [("FINISHED", "s")] * 3


def test_runs_that_could_not_begin_are_refused_before_the_sweep_has_a_folder(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["data=folder", "data.root=wrong", "seed=0,1"], ["labels=9,99", "seed=0,1", "--dry-run"]):
        assert sweep(*words) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": each")[0].partition(";")[0] for line in told] == [
        "error: data.root=wrong does not exist", "error: labels=9", "error: labels=99",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("swept", [["freeze=all,last"], ["optim.lr=interval(0.1,1)", "hydra.sweeper.n_trials=1"]])
def test_a_sweep_that_finished_needs_its_images_no_more(
    swept: list[str], sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [f"photos/{kind}/{number}.png" for kind in "ab" for number in range(5)]
    for number, name in enumerate(photos):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number * 20, 0, 0)).save(tmp_path / name)
    words = ["data=folder", "data.root=photos", *swept]
    assert sweep(*words) == 0
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert sweep(*words) == 0
    capsys.readouterr()
    assert sweep(*words, "seed=0,1", "hydra.sweeper.name=t") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: data.root=photos does not exist")
