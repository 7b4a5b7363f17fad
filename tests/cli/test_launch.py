"""What commands import of what is large: no more than they use."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import SMALL

SCRIPT = """
import json, os, sys

LARGE = {
    "alembic", "datasets", "joblib", "matplotlib", "mlflow", "onnx", "optuna", "pandas", "peft", "pyarrow",
    "scipy", "scipy.signal", "scipy.stats", "sklearn", "sqlalchemy", "timm", "torch", "torchmetrics", "torchvision",
    "transformers",
}

def look(name):
    with open("found", "a") as file:
        print(json.dumps([name, sorted(LARGE & set(sys.modules))]), file=file)

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
    command = [sys.executable, "-c", SCRIPT, words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    found = dict(json.loads(line) for line in (tmp_path / "found").read_text().splitlines())
    network = ["scipy", "timm", "torch", "torchvision"]
    assert found == {
        "worker that waits": [],
        "cache": [],
        "report": ["matplotlib", "scipy"],
        SMALL[0]: network,
        "predict": network,
    }
