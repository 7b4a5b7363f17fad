"""What `import tlexp` offers, and what it does not load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tlexp

OFFERED = """
import json, sys
import tlexp
heavy = {"torch", "timm", "hydra", "omegaconf", "mlflow", "numpy", "pandas", "optuna", "sklearn", "matplotlib"}
after_import = sorted(heavy & set(sys.modules))
from tlexp import run
after_name = sorted({"torch", "timm", "mlflow", "sklearn"} & set(sys.modules))
try:
    run("freeze=al", folder="there")
except tlexp.ConfigError as error:
    told = str(error)
print(json.dumps([after_import, after_name, sorted({"torch", "timm", "mlflow"} & set(sys.modules)), told]))
"""


def test_the_public_names_are_these() -> None:
    assert tlexp.__all__ == [
        "BudgetAnswer",
        "ConfigError",
        "Predictor",
        "RunResult",
        "StudyAnswer",
        "TlexpError",
        "__version__",
        "load",
        "run",
        "runs",
        "study",
        "sweep",
    ]
    assert dir(tlexp) == tlexp.__all__
    assert all(getattr(tlexp, name) is not None for name in tlexp.__all__)
    assert {name for name in dir(tlexp) if not (getattr(tlexp, name).__doc__ or name == "__version__")} == set()


@pytest.mark.parametrize(
    ("stated", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_wait_awake_for_a_short_time_unless_it_is_said(stated: dict[str, str], spins: str | None) -> None:
    unsaid = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import sys, os, json, tlexp; print(json.dumps([os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules]))"
    said = subprocess.run(
        [sys.executable, "-c", code], env=unsaid | stated, stdout=subprocess.PIPE, check=True, text=True
    )
    assert json.loads(said.stdout) == [spins, False], "torch reads it when it loads"


def test_a_name_that_is_none_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'tlexp' has no attribute 'trian'"):
        tlexp.trian  # type: ignore[attr-defined]  # noqa: B018
    for verb in ("predict", "evaluate"):
        with pytest.raises(
            AttributeError, match=rf"has no attribute '{verb}': .*tlexp\.load\(RUN\)\.predict\(IMAGES\)"
        ):
            getattr(tlexp, verb)


def test_what_names_no_network_is_told_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(tlexp.ConfigError, match=r"^tlexp.load takes the folder of .* models:/NAME/1, and no NoneType$"):
        tlexp.load(None)  # type: ignore[arg-type]

    class Result:
        folder = tmp_path

    with pytest.raises(tlexp.ConfigError, match=r"and no Result: take its \.folder$"):
        tlexp.load(Result())  # type: ignore[arg-type]


def test_an_import_loads_nothing_heavy_nor_does_a_mistake_in_settings(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OFFERED], cwd=tmp_path, capture_output=True, text=True, check=True)
    after_import, after_name, after_mistake, told = json.loads(done.stdout)
    assert (after_import, after_name, after_mistake) == ([], [], [])
    assert told.startswith("freeze=al is no option (did you mean all?)")
    assert list(tmp_path.iterdir()) == []
