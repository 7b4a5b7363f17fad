import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tlexp import __version__, cli
from tlexp.paths import conf_folder

Run = Callable[..., int]


def test_the_public_name_is_this() -> None:
    assert cli.__all__ == ["main"]


def test_version(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("--version") == 0
    assert capsys.readouterr().out.strip() == f"tlexp {__version__}"


LIGHT = ["--help", "--version", "optim.lr=x", "backbone=resnet5 labels=0", "--cfg job"]
"""Commands that need no numbers either."""
REFUSED = [
    "data=folder data.root=wrong",
    "plan data=csv data.root=wrong.csv",
    "study=quick data=folder data.root=wrong",
    "-m data=folder data.root=wrong seed=0,1",
    "labels=300",
    "backbone.weights=mine.pth",
    "resume=wrong",
]
"""Commands that the disk refuses."""
HEAVY = """
import json, os, sys
from tlexp.cli import main
light, refused = json.loads(sys.argv[1])
heavy = {"torch", "timm", "mlflow", "sklearn"}
for words in [*light, *refused]:
    sys.argv = ["tlexp", *words.split()]
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    numbers = {"optuna", "numpy", "matplotlib", "PIL"} if words in light else set()
    assert not (heavy | numbers) & set(sys.modules), words
    assert words in light or status == 2, words
    assert os.listdir() == [], words
    print("end of", words, file=sys.stderr)
"""


def test_help_mistakes_and_what_the_disk_refuses_import_no_heavy_library_and_leave_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEAVY, json.dumps([LIGHT, REFUSED])]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    for before, words in itertools.pairwise([*LIGHT, *REFUSED]):
        told = done.stderr.partition(f"end of {before}\n")[2].partition(f"end of {words}\n")[0]
        assert words not in REFUSED or told.startswith("error: "), told


def test_a_model_that_timm_does_not_have_leaves_nothing(
    tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp("backbone=timm", "backbone.name=resnet5") == 2
    assert "backbone.name=resnet5: timm has no model 'resnet5' (did you mean resnet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_mistakes_end_with_two_without_a_traceback_and_leave_nothing(
    tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp("freeze=al", "optim.lr=x") == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.splitlines()[0].startswith("error: freeze=al is no option (did you mean all?)")
    assert shown.splitlines()[1].startswith("error: optim.lr=x: must be a finite number")
    assert list(tmp_path.iterdir()) == []
    assert tlexp("freeze=al", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_word_that_is_neither_verb_nor_override_is_refused(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("trian") == 2
    told = capsys.readouterr().err
    assert (
        "trian is neither a verb (plan, doctor, export, predict, evaluate, cache, report, sync) nor an override" in told
    )
    assert tlexp("freeze=all", "plan") == 2
    assert "plan is a verb and goes first: tlexp plan freeze=all" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("reprot s", "nor an override such as labels=20 (did you mean report or export?); see tlexp --help"),
        ("train labels=20", "error: train is no verb, and none is needed: python -m tlexp labels=20 trains\n"),
        ("fit", "error: fit is no verb, and none is needed: python -m tlexp trains\n"),
        ("run -m seed=0,1", "error: run is no verb, and none is needed: python -m tlexp -m seed=0,1 trains\n"),
        ("plan labels=5, 20", "error: labels=5, 20: a blank stands beside the comma"),
        ("-m freeze=all,nonee seed=0,1", "error: freeze=nonee is no option (did you mean none?); options: all, bias"),
        ("/", "as labels=20; for the images in that folder: data=folder data.root=/; see tlexp --help\n"),
        ("data=folder data.root=my photos", "if the value has one, quote it: 'data.root=my photos'\n"),
    ],
)
def test_what_was_meant_is_shown(
    words: str, text: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp(*words.split()) == 2
    told = capsys.readouterr().err
    assert text in told
    assert len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_have_any_name(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ([], ["plan"]):
        assert tlexp(*verb, "data=folder", "data.root=meine Füße (1)") == 2
        assert capsys.readouterr().err.startswith("error: data.root=meine Füße (1) does not exist")


def test_several_values_need_a_sweep(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ([], ["plan"]):
        assert tlexp(*verb, "freeze=all,none") == 2
        assert "freeze=all,none holds several values: -m runs each of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--hepl", "error: --hepl is no flag (did you mean --help"),
        ("plan --jsn", "error: --jsn is no flag (did you mean --json"),
        ("plan --cgf=job", "error: --cgf is no flag (did you mean --cfg"),
        ("-m --dyr-run seed=0,1", "error: --dyr-run is no flag (did you mean --dry-run"),
        ("--xyzzy --jsn", "error: --xyzzy is no flag; see tlexp --help, and --hydra-help for Hydra's own"),
        (
            "freeze=all --cfg job labels=5",
            "error: labels=5 stands apart from other settings: give all of them in a row",
        ),
    ],
)
def test_a_flag_that_is_none_is_named_with_the_nearest(
    words: str, text: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp(*words.split()) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(text)
    assert "usage:" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["resume=", "resume=''", 'resume=""'])
@pytest.mark.parametrize("verb", [[], ["plan"]])
def test_resuming_needs_a_run(
    verb: list[str], word: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp(*verb, word) == 2
    assert "error: resume= names no run: give the folder of one, resume=outputs/" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_resumed_and_nothing_is_made(
    tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "done" / ".hydra").mkdir(parents=True)
    (tmp_path / "done" / ".hydra" / "overrides.yaml").write_text("[labels=2]")
    before = sorted(tmp_path.rglob("*"))
    assert tlexp("resume=done") == 2
    assert "error: resume=done: done/checkpoint is missing; a finished run has none" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("word", ["+hydra.launcher.n_jobs=2", "hydra.launcher.n_jobs=2", "++hydra.launcher.n_jobs=2"])
def test_settings_of_a_launcher_need_one(
    word: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp("-m", word, "seed=0,1") == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {word}: runs go one by one unless a launcher is chosen; add hydra/launcher=joblib")
    assert "pip install 'tlexp[parallel]'" in shown
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_chosen_launcher_are_its_own(tlexp: Run) -> None:
    assert tlexp("-m", "--dry-run", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1") == 0


def test_a_pickled_rerun_is_refused(tlexp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tlexp("--experimental-rerun", "config.pickle") == 2
    assert "use resume=RUN" in capsys.readouterr().err


def test_the_module_and_the_script_are_the_same(tmp_path: Path) -> None:
    for command in ([sys.executable, "-m", "tlexp"], [str(Path(sys.executable).with_name("tlexp"))]):
        if not Path(command[0]).exists():
            pytest.fail(f"{command[0]} is missing: install the package with pip install -e '.[test]'")
        done = subprocess.run([*command, "--version"], check=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() == f"tlexp {__version__}"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-m freeze=all,none --cfg hydra", "--multirun and --cfg exclude each other: --cfg and --info show one"),
        ("-m freeze=all,none --cfg job", "leave -m out and give each setting one value"),
        ("-m freeze=all,none --info", "--multirun and --info exclude each other"),
        ("--cfg job --info", "--cfg and --info exclude each other"),
        ("--cfg job freeze=all,none", "freeze=all,none holds several values: -m runs each of them, all else takes one"),
        ("--info all hydra.mode=MULTIRUN freeze=all,none", "freeze=all,none holds several values"),
        ("--resolve", "--resolve fills in what --cfg shows: add --cfg job"),
    ],
)
def test_flags_that_do_not_go_together_are_the_user_s_to_mend(
    words: str, text: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tlexp(*words.split()) == 2
    shown = capsys.readouterr().err
    assert text in shown
    assert "internal error" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["tri\x1b[2Jan"],
        ["labels=\x1b]0;mine\x07"],
        ["lab\x9bels=20"],
        ["data=folder", "data.root=wr\u202egno"],
        ["--\x1b[31m"],
        ["--cfg", "job", "tracking.experiment=a\x1b[2Jb"],
        ["report", "\x1b[2J"],
        ["export", "no\x1brun", "x"],
        ["sync", "no\x1b[2Jne"],
        ["cache", "--dir", "no\x1b[2Jne"],
        ["resume=\x1b[2J"],
        ["--debug", "backbone=\x1b[2J"],
    ],
    ids=repr,
)
def test_nobody_s_words_are_printed_with_escapes(
    words: list[str], tlexp: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tlexp(*words)
    shown = "".join(capsys.readouterr())
    assert "internal error" not in shown
    assert [line for line in shown.splitlines() if not line.replace("\t", "").isprintable()] == []
    assert "\\x1b" in shown or "\\x9b" in shown or "\\u202e" in shown


@pytest.mark.parametrize("flag", ["--config-path", "--config-dir"])
def test_a_folder_of_configurations_lies_below_the_working_folder(
    flag: str, tlexp: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(conf_folder(), tmp_path / "mine")
    (tmp_path / "mine" / "own.yaml").write_text("defaults: [config, _self_]\nlabels: 7\n")
    assert tlexp(flag, "mine", "--config-name", "own", "--cfg", "job") == 0
    assert "labels: 7\n" in capsys.readouterr().out
    assert tlexp(flag, "yours", "--cfg", "job") == 2
    assert f"{flag}=yours: no such folder" in capsys.readouterr().err


def test_nothing_is_imported_from_the_working_folder(tmp_path: Path) -> None:
    for name in ("hydra_plugins/evil/__init__.py", "torch.py", "hydra.py", "yaml/__init__.py", "mod/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"open({str(tmp_path / 'canary')!r}, 'a').write(__name__)\n")
    words = ["--cfg", "job", "backbone=tiny"]
    done = subprocess.run([sys.executable, "-m", "tlexp", *words], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, (tmp_path / "canary").exists()) == (0, False), done.stderr
