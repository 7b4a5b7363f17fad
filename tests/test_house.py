"""Where things live: what stands on top of the package, that a name means one thing, and which test is about what."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tlexp.paths import PACKAGE

TESTS = Path(__file__).resolve().parent
MODULES = {"__init__", "__main__", "arrays", "confidence", "errors", "jsonfile", "paths", "secrets", "terminal"}
"""All that may lie directly in the package; everything else has a folder."""
OF_ROOT = {"__main__", "cli"}
"""What stands above the root package, and alone may import it."""

LAWS = {
    "cache/test_package": "what a package offers",
    "data/test_package": "what a package offers",
    "models/test_package": "what a package offers",
    "compose/test_sharing": "what tests share is what Hydra composes",
    "data/test_folder_layouts": "folders of images as people have them",
    "experiment/test_cuts": "runs behind a cut equal runs on images",
    "experiment/test_features": "runs on known features equal runs on images",
    "experiment/test_groups": "groups of images in whole runs",
    "experiment/test_heads": "every head on every kind of backbone",
    "experiment/test_phases": "policies of several phases, as whole runs",
    "experiment/test_sources": "images of every source, as whole runs",
    "experiment/test_weights": "the weights that come with the package",
    "studies/test_simulate": "how often a study is wrong where the truth is known",
    "train/test_neighbours": "neighbours as heads that are solved",
    "train/test_phases": "one fit in several phases",
}
"""Tests of laws that span modules; those in `faults` and `pins` all do."""


def modules() -> list[Path]:
    """Return all files of the package, without the plugin, which another package scans."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "plugin" not in path.parts]


def public_types(path: Path) -> Iterator[str]:
    """Yield the public classes and aliases in CamelCase that a module defines."""
    for node in ast.parse(path.read_text()).body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.ClassDef):
            targets = [ast.Name(node.name)]
        elif isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        yield from (name for name in names if name[0].isupper() and not name.isupper())


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports from, as they are written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_nothing_else_lies_directly_in_the_package() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= MODULES


def test_a_public_name_means_one_thing() -> None:
    places = defaultdict(set)
    for path in modules():
        for name in public_types(path):
            places[name].add(str(path.relative_to(PACKAGE)))
    double = {name: sorted(found) for name, found in places.items() if len(found) > 1}
    assert not double


def test_what_lies_below_does_not_import_the_root_package() -> None:
    below = [path for path in modules() if path.relative_to(PACKAGE).with_suffix("").parts[0] not in OF_ROOT]
    assert [str(path.relative_to(PACKAGE)) for path in below if "tlexp" in imported(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(TESTS.glob("*/**/test_*.py"))
        if path.relative_to(TESTS).parts[0] not in ("faults", "pins")
    ],
    ids=lambda path: str(path.relative_to(TESTS)),
)
def test_a_test_lies_where_its_module_does(path: Path) -> None:
    place = path.relative_to(TESTS)
    mirrored = PACKAGE / place.with_name(place.name.removeprefix("test_"))
    law = str(place.with_suffix(""))
    assert mirrored.is_file() != (law in LAWS), f"name {law} after its module, or say in LAWS what it holds"


def test_every_law_is_there() -> None:
    assert [law for law in LAWS if not (TESTS / f"{law}.py").is_file()] == []


ENCODED = {
    "paths.py": "where values are masked one by one",
    "tracking/environment.py": "a process has to be found again by its host's own name",
    "models/export.py": "a network can only be built again from the card as it is",
}
"""Modules that write texts as bytes, which are not searched for secrets, and why."""
OPENED = {
    "paths.py": "where all files are written",
    "tracking/curves.py": "adds numbers line by line",
    "cache/cut_folder.py": "adds numbers line by line",
    "tracking/projection.py": "copies what a run has written",
}
"""Modules that write files by themselves, and what."""
STORES = {"tracking/client.py", "tracking/stale.py"}
"""Modules that write texts into tracking stores."""


def called(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each function that a file calls, and its arguments, as they are written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                ", ".join(ast.unparse(each) for each in [*node.args, *(more.value for more in node.keywords)]),
            )


def test_what_is_written_passes_where_secrets_are_masked() -> None:
    encoding, opening, storing = set(), set(), set()
    for path in modules():
        place = str(path.relative_to(PACKAGE))
        for function, words in called(path):
            name = function.rpartition(".")[2]
            if name == "publish" and "encode(" in words:
                encoding.add(place)
            writes = name == "open" and any(mode in words for mode in ("'w", "'a", "'x", "'r+"))
            if writes or name in ("write_text", "write_bytes", "dump") or function in ("os.write", "OmegaConf.save"):
                opening.add(place)
            if name in ("set_tag", "log_batch", "log_param", "log_inputs", "create_run", "set_tags", "log_text"):
                storing.add(place)
    assert encoding == set(ENCODED)
    assert opening == set(OPENED)
    assert storing == STORES
