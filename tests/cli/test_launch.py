"""What commands import of what is large: no more than they use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import SMALL

NETWORK = ["scipy", "timm", "torch", "torchvision"]
LOOK = """
import json, os, sys

LARGE = {
    "alembic", "datasets", "jinja2", "joblib", "matplotlib", "mlflow", "onnx", "optuna", "pandas", "peft", "pyarrow",
    "scipy", "scipy.signal", "scipy.stats", "sklearn", "sqlalchemy", "timm", "torch", "torchmetrics", "torchvision",
    "transformers",
}

def look(name):
    with open("found", "a") as file:
        print(json.dumps([name, sorted(LARGE & set(sys.modules))]), file=file)
"""
SCRIPT = """

def command(words):
    sys.argv = ["tlexp", *words.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
    look(words.split()[0])

words = sys.argv[1]
import tlexp.jobs.worker
from tlexp.cli import launch, main
look("worker that waits")
command("cache")
if not (child := os.fork()):
    import tlexp.studies.report.told
    look("report")
    os._exit(0)
os.waitpid(child, 0)
command(words)
command("predict run photo.png")
"""


def test_a_command_imports_nothing_large_that_it_does_not_use(tmp_path: Path, cache: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    words = " ".join([*SMALL, "hydra.run.dir=run"])
    command = [sys.executable, "-c", LOOK + SCRIPT, words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert found(tmp_path) == {
        "worker that waits": [],
        "cache": [],
        "report": ["jinja2", "matplotlib"],
        SMALL[0]: NETWORK,
        "predict": NETWORK,
    }


def found(folder: Path) -> dict[str, list[str]]:
    return dict(json.loads(line) for line in (folder / "found").read_text().splitlines())


AT_WORK = """
names = {"study.json": "sweep or study", "record.json": "run"}

def hear(event, arguments):
    if event == "os.rename" and (name := names.pop(os.path.basename(arguments[1]), None)):
        look(name)

sys.addaudithook(hear)
"""
"""Looks when a process publishes what a sweep is, and when it publishes the record of its first run."""


@pytest.mark.parametrize(
    ("words", "begins", "runs"),
    [
        (["labels=10", "seed=0", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "-m"], [], ["joblib", *NETWORK]),
        (["study=quick", "study.labels=[4]", "study.seeds=1", "study.controls=false"], NETWORK[1:], NETWORK),
    ],
)
def test_nor_does_a_process_at_work_for_a_sweep_or_a_study(
    tmp_path: Path, cache: Path, words: list[str], begins: list[str], runs: list[str]
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(LOOK + AT_WORK)  # in each process, workers too
    path = os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "tlexp", *(word for word in SMALL if word != "labels=10"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert not done.returncode, done.stderr
    assert found(tmp_path) == {"sweep or study": begins, "run": runs}
