"""Files of ours that somebody damaged, and every verb that reads them: refused with the file's name, or passed over.

    python -m pytest tests/faults/test_damaged_files.py -m slow [-k sync]      # every damage of every file, by verb

What the user can mend never ends as a fault of the program. A run that was killed, a sweep and a study are made once;
each case damages one file of a copy. The default run takes some of the cases, the long one all of them.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.faults.forks import finish
from tests.faults.test_kill_study import undrawn
from tlexp import cli
from tlexp.tracking.record import _checksum

TINY = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "train.limit_steps=2", "tracking=off", "cache=off",
]  # fmt: skip
SWEEP = ["-m", *TINY, "labels=2,4", "hydra.sweeper.name=swept"]
STUDY = [
    *TINY, "study=freeze_vs_labels", "study.depths=[0,all]", "study.labels=[2]", "study.seeds=2",
    "study.controls=false", "tune.trials=1", "study.name=asked",
]  # fmt: skip
RUN, KILLED, PHOTOS = "outputs/whole", "outputs/killed", "photos"
SPARSE = 151
"""The default run takes every so manyth case."""


@dataclass(frozen=True)
class Reader:
    """Files, as a pattern below the folder, and the words of a command that reads them."""

    files: str
    words: list[str]

    def __str__(self) -> str:
        return f"{self.files} {' '.join(word for word in self.words[:2] if word not in TINY)}"


READERS = [
    Reader(f"{RUN}/record.json", ["export", RUN, "out"]),
    Reader(f"{RUN}/model.json", ["export", RUN, "out"]),
    Reader(f"{RUN}/model.safetensors", ["export", RUN, "out"]),
    Reader(f"{RUN}/model.json", [*TINY, "labels=2", f"backbone.weights={RUN}"]),
    Reader(f"{RUN}/model.safetensors", [*TINY, "labels=2", f"backbone.weights={RUN}"]),
    Reader(f"{RUN}/model.json", ["predict", RUN, PHOTOS]),
    Reader(f"{RUN}/model.safetensors", ["predict", RUN, PHOTOS]),
    Reader(f"{RUN}/record.json", ["evaluate", RUN, PHOTOS, "--out", "out"]),
    Reader(f"{RUN}/record.json", ["sync", RUN, "--uri", "sqlite:///mlflow.db"]),
    Reader(f"{RUN}/record.json", ["sync", RUN]),
    Reader(f"{KILLED}/checkpoint/*", [f"resume={KILLED}"]),
    Reader("multirun/swept/study.json", [*SWEEP, "--dry-run"]),
    Reader("multirun/swept/runs/*/*/job.json", [*SWEEP, "--dry-run"]),
    Reader("multirun/swept/runs/*/*/process.json", [*SWEEP, "--dry-run"]),
    Reader("multirun/swept/runs/*/*/record.json", [*SWEEP, "--dry-run"]),
    Reader("multirun/swept/study.json", ["report", "swept"]),
    Reader("multirun/asked/study.json", ["report", "asked"]),
    Reader("multirun/asked/study.json", [*STUDY, "--dry-run"]),
    Reader("multirun/asked/runs/*/*/job.json", [*STUDY, "--dry-run"]),
    Reader("multirun/asked/runs/*/*/process.json", ["report", "asked"]),
    Reader("multirun/asked/runs/*/*/record.json", ["report", "asked"]),
    Reader("multirun/asked/runs/*/*/metrics.jsonl", ["report", "asked"]),
    Reader("multirun/asked/runs/*/*/predictions.npz", ["report", "asked"]),
    Reader("multirun/asked/columns/*/*/column.json", [*STUDY, "--dry-run"]),
]


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_in_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def written(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(change(path.read_bytes())))


def void(_: object) -> None:
    return None


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": written(lambda _: b""),
    "cut": written(lambda content: content[: len(content) // 2]),
    "text": written(lambda _: b"\x1b[2Jnot what it was\n"),
    "zeros": written(lambda content: bytes(len(content))),
    "no-utf8": written(lambda content: b"\xff\xfe" + content),
    "list": written(lambda _: b"[]"),
    "object": written(lambda _: b"{}"),
    "nan": written(lambda content: content.replace(b": 0", b": NaN", 1) + b" "),
    "deep": written(lambda _: b'{"a":' * 20_000 + b"[" * 20_000),
    "large": written(lambda content: content + b" " * 10_000_000 + b"x"),
    "folder": folder_in_place,
    "pipe": pipe_in_place,
    "loop": link_to_itself,
    "gone": lambda path: path.unlink(),
}
WRONG: list[Any] = [None, [], {}, "\x1b[2Jx", 5, -1.5, True, [[]], {"a": {}}]
"""What keys are given in turn."""


def retyped(path: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield two damages for each key of a JSON file, two or three deep: another type, or the key is gone."""
    depth = 3 if path.name == "study.json" else 2
    for number, place in enumerate(places(json.loads(path.read_bytes()), depth)):
        for each in (2 * number, 2 * number + 1):
            value = [*WRONG, "drop"][each % (len(WRONG) + 1)]
            yield f"{'.'.join(map(str, place))}={value!r}", changed(place, value)


def places(values: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    if depth == 0 or not isinstance(values, dict | list):
        return
    for key in list(values)[:20] if isinstance(values, dict) else range(min(1, len(values))):
        yield (key,)
        yield from ((key, *rest) for rest in places(values[key], depth - 1))


def changed(place: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        values = json.loads(path.read_bytes())
        inner = values
        for key in place[:-1]:
            inner = inner[key]
        if value == "drop":
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        if "checksum" in values and place != ("checksum",):
            del values["checksum"]
            values["checksum"] = _checksum(values)
        path.write_text(json.dumps(values))

    return change


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, ready_store: Path) -> Path:
    """A folder with a run, one that was interrupted, a sweep and a study."""
    root = tmp_path_factory.mktemp("made")
    shutil.copy(ready_store, root / "mlflow.db")
    finish(root, *TINY, "labels=2", "tracking=mlflow", f"hydra.run.dir={RUN}")
    finish(root, *SWEEP)
    finish(root, *STUDY, first=undrawn)
    finish(root, *TINY, "labels=2", f"hydra.run.dir={KILLED}", "train.checkpoint_seconds=0.001", first=kept)
    (root / KILLED / "record.json").unlink()
    for name in json.loads((root / RUN / "model.json").read_bytes())["card"]["classes"]:
        (root / PHOTOS / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / PHOTOS / name / "1.png")
    return root


def kept() -> None:
    """Let a run leave its checkpoint behind, as one that is killed does."""
    shutil.rmtree = lambda *_, **__: None  # type: ignore[assignment]


@dataclass(frozen=True)
class Case:
    """A damage of one file, and who reads it."""

    name: str
    reader: Reader
    path: Path
    damage: Callable[[Path], None]


def cases(root: Path, reader: Reader) -> Iterator[Case]:
    """Yield the damages of a reader's files; they lie below `root`."""
    found = sorted(root.glob(reader.files))
    assert found, reader
    for path in found if "checkpoint" in reader.files else found[:1]:
        damages = list(DAMAGES.items())
        if path.suffix == ".json":
            damages += list(retyped(path))
        for damage, make in damages:
            yield Case(f"{reader} {damage}", reader, path.relative_to(root), make)


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    sys.argv = ["tlexp", *words]
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), "".join(capsys.readouterr())


@pytest.fixture
def faults(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[Case]], list[str]]:
    """Damage one file after the other, and return what ends as it should not."""
    monkeypatch.setattr(sys, "argv", [])
    undraw(monkeypatch)
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)

    def found(chosen: list[Case]) -> Iterator[str]:
        for case in chosen:
            case.damage(case.path)
            status, shown = outcome(case.reader.words, capsys)
            if status not in (0, 2, 3) or "internal error" in shown or "Traceback" in shown or "\x1b" in shown:
                yield f"{case.name}: {status}: {shown[-300:]}"
            for each in (case.path, Path("out")):
                shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
            shutil.copy(made / case.path, case.path)
        with capsys.disabled():
            print(f"\n{len(chosen)} damaged files")

    return lambda chosen: list(found(chosen))


def undraw(monkeypatch: pytest.MonkeyPatch) -> None:
    from tlexp.studies.report import panels, plots
    from tlexp.studies.report.rendering import RenderedFigure

    for module in (plots, panels):
        monkeypatch.setattr(module, "render_figure", lambda *_: RenderedFigure(svg=b"<svg></svg>", png=b""))


Faults = Callable[[list[Case]], list[str]]


def test_some_damaged_files_are_refused_or_passed_over(made: Path, faults: Faults) -> None:
    assert faults([case for reader in READERS for case in cases(made, reader)][::SPARSE]) == []


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_every_damaged_file_is_refused_or_passed_over(reader: Reader, made: Path, faults: Faults) -> None:
    assert faults(list(cases(made, reader))) == []
