import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tlexp import __version__
from tlexp.paths import VERSION, conf_folder, packaged_weights, plugin_folder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_configuration_and_module_and_no_tests(wheel: Path) -> None:
    for kind, source in (("*.yaml", conf_folder()), ("*.py", ROOT / "tlexp"), ("*.j2", ROOT / "tlexp")):
        assert next(source.rglob(kind), None) is not None, kind
        packed = wheel / "tlexp" / ("conf" if kind == "*.yaml" else "")
        for path in source.rglob(kind):
            if not path.is_relative_to(plugin_folder()):
                assert (packed / path.relative_to(source)).is_file(), path
    for path in plugin_folder().rglob("*.py"):
        assert (wheel / path.relative_to(plugin_folder())).is_file(), path
    assert not (wheel / "tlexp" / "plugin").exists()
    assert not (wheel / "hydra_plugins" / "__init__.py").exists()  # other packages put their plugins there as well
    assert not (wheel / "tests").exists()


def test_the_wheel_is_of_the_version_that_the_package_states(wheel: Path) -> None:
    [info] = wheel.glob("*.dist-info")
    assert info.name == f"tlexp-{VERSION}.dist-info"
    assert __version__ == VERSION


def test_the_wheel_holds_the_weights_with_their_card(wheel: Path) -> None:
    for path in packaged_weights()["tiny"].iterdir():
        assert (wheel / "tlexp" / "weights" / "tiny" / path.name).read_bytes() == path.read_bytes()


def test_the_source_distribution_holds_the_pages_for_people(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(tmp_path / f"tlexp-{VERSION}.tar.gz") as archive:
        packed = set(archive.getnames())
    pages = [ROOT / "README.md", *(ROOT / "docs").iterdir()]
    assert {f"tlexp-{VERSION}/{page.relative_to(ROOT)}" for page in pages} <= packed


def test_the_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    command = [sys.executable, "-P", "-m", "tlexp", "--cfg", "job", "experiment=shapes", "seed=7"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "seed: 7" in done.stdout
    where = [sys.executable, "-P", "-c", "from tlexp.paths import conf_folder; print(conf_folder())"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == str(wheel / "tlexp" / "conf")


def test_the_sweeper_is_found_in_a_wheel(wheel: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    command = [sys.executable, "-P", "-m", "tlexp", "-m", "seed=0,1", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "0 of 2 runs are there, 2 would run" in done.stdout


def test_the_sweeper_is_found_in_an_editable_install(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel:editable", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".pth")]
        assert archive.read(path).decode().split() == [str(ROOT), str(ROOT / "tlexp" / "plugin")]
