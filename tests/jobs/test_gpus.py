import os
import subprocess
import sys
from pathlib import Path

import pytest

from tlexp.jobs import gpus
from tlexp.jobs.gpus import take_gpu, visible_gpus


@pytest.fixture(autouse=True)
def _let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_held", [])


def test_gpus_are_those_that_may_be_used(tmp_path: Path) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2, 3"}, tmp_path) == ["2", "3"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({}, tmp_path / "missing") == []


def test_one_gpu_is_left_alone(tmp_path: Path) -> None:
    assert take_gpu(tmp_path, workers=2, gpus=["0"]) is None
    assert take_gpu(tmp_path, workers=2, gpus=[]) is None


def test_each_worker_process_has_a_gpu_and_keeps_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tlexp.jobs.gpus import take_gpu\n"
        f"take = lambda: take_gpu(Path({str(tmp_path)!r}), workers=4, gpus=['5', '7'])\n"
        "print(take(), take(), flush=True); sys.stdin.read()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, env=dict(os.environ))
        for _ in range(4)
    ]
    taken = [process.stdout.readline().split() for process in processes if process.stdout is not None]
    for process in processes:
        process.communicate()
    assert all(first == again for first, again in taken)
    assert sorted(first for first, _ in taken) == ["5", "5", "7", "7"]
