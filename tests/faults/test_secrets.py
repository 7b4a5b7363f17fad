"""Twenty secrets planted in twenty ways, and every byte that is written or shown searched for them.

Each command runs in a fork and in a folder of its own, which is searched whole: runs, sweeps, studies, the cache,
mlflow.db with its artifacts, what was printed, and the names of files. `expose` takes the masks away, and for what
is refused before anything is read the guard that refuses it: the harness must then find every secret.
"""

import base64
import http.server
import importlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.faults.forks import begin
from tlexp.tracking import read_record

RUN = [
    "backbone=tiny", "backbone.image_size=32", "data.per_class=8", "data.test_per_class=4", "data.num_classes=2",
    "labels=4", "train.limit_steps=2", "tracking.figures=false",
]  # fmt: skip
PHOTOS = ["data=folder", "data.root=${oc.env:PHOTOS}"]
ON_PHOTOS = [*RUN[:2], *RUN[5:], *PHOTOS]
DEAD = "127.0.0.1:9"
"""Where nobody answers; the run goes on and says so."""
OFF = ["tracking=off"]
STORED = "0.00123422"
"""A secret learning rate, which is a parameter of a run."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A function that yields why something is refused.

    Attributes:
        module: Where it is.
        name: Of the function.
        told: What it says.
        off: What stands in its place to show what it keeps out.
    """

    module: str
    name: str
    told: str
    off: Callable[..., Iterator[str]]

    def take_away(self) -> None:
        """Let nothing be refused, wherever the function was imported to."""
        getattr(importlib.import_module(self.module), self.name).__code__ = self.off.__code__


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that is handed secrets.

    Attributes:
        words: Of the command line.
        secrets: Way -> secret.
        variables: Of its environment.
        files: To be there before, name -> text.
        first: Called in its process.
        status: How it ends; with the masks off it may end otherwise.
        guard: Refuses the words before anything of them is read, so that no secret ever comes to be.
    """

    words: list[str]
    secrets: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    first: Callable[[], None] = lambda: None
    status: int = 0
    guard: "Guard | None" = None


def crash() -> None:
    """Let every run crash with what its environment holds, as a library's error may show it, once its store is open."""

    def crashed(*words: object) -> None:
        raise RuntimeError(" ".join(os.environ[name] for name in ("MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "WEIGHTS")))

    importlib.import_module("tlexp.experiment.recorder").RunRecorder.selected = crashed


def uri(path: str) -> str:
    return f'tracking.uri="http://{DEAD}/{path}"'


COMMANDS = {
    "run": Command(
        words=[
            *ON_PHOTOS,
            f'tracking.uri="http://me:literal%2101@{DEAD}/${{oc.env:TWO}}/${{oc.select:tracking.none,${{oc.env:THREE}}}}'
            '/${oc.env:${oc.env:FIVE}}/${data[root]}?api_key=query-key-06"',
        ],
        secrets={
            "a password in tracking.uri": "literal!01",
            "oc.env": "from-env-02",
            "oc.select": "selected-03",
            "a reference with brackets": "photos-04",
            "a variable named by a variable": "nested-05",
            "a key of a URI": "query-key-06",
        },
        variables={
            "TWO": "from-env-02", "THREE": "selected-03", "FIVE": "FIFTH", "FIFTH": "nested-05", "PHOTOS": "photos-04",
        },
        files={"photos-04": ""},
    ),
    "decoded": Command(
        words=[*RUN, uri("${oc.decode:${oc.env:SIX}}")],
        secrets={"oc.decode": "decoded-07"},
        variables={"SIX": "'decoded-07'"},
        status=2,
        guard=Guard(
            module="tlexp.compose.interpolation", name="text_problems", told="${oc.decode:...} is no way to a value",
            off=lambda text: iter(()),
        ),
    ),
    "configuration": Command(
        words=["--config-dir=own", "--config-name=mine", *RUN],
        secrets={"a configuration of one's own": "primary-08"},
        variables={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9/?password=primary-08&user=me"},
        files={
            "own/mine.yaml": "defaults: [config, _self_]\n"
            "tracking: {uri: 'http://127.0.0.1:9/?password=primary-08&user=me'}\n",
        },
    ),
    "experiment": Command(
        words=["--config-dir=own", "experiment=theirs", *RUN],
        secrets={"an experiment's file": "experiment-09"},
        files={
            "own/experiment/theirs.yaml": f"# @package _global_\ntracking: {{uri: 'http://me:experiment-09@{DEAD}'}}\n",
        },
        status=2,
    ),
    "sweep's name": Command(
        words=["-m", "--dry-run", *RUN, *OFF, "seed=0,1", "hydra.sweeper.name=${oc.env:NAME}"],
        secrets={"hydra.sweeper": "sweep-name-10"},
        variables={"NAME": "sweep-name-10"},
        status=2,
        guard=Guard(
            module="tlexp.compose.hydra_node", name="_typed_problems", told="must be a plain value, without ${...}",
            off=lambda path, value, line: iter(()),
        ),
    ),
    "study's name": Command(
        words=["study=quick", "--dry-run", *RUN[:-3], *OFF, "study.name=${oc.env:NAME}"],
        secrets={"study.name": "study-name-11"},
        variables={"NAME": "study-name-11"},
        status=2,
    ),
    "reason": Command(
        words=[*ON_PHOTOS, *OFF],
        secrets={"the reason of a failure": "broken-12"},
        variables={"PHOTOS": "broken-12"},
        files={"broken-12": "", "broken-12/a/bad.png": "no image"},
        status=2,
    ),
    "crash": Command(
        words=["--debug", *RUN, "data.class_names=${oc.env:WEIGHTS}", "optim.lr=${oc.env:RATE}"],
        secrets={
            "a traceback": "crashed-13", "MLFLOW_TRACKING_PASSWORD": "shell-pass-14", "a token": "hf-token-15",
            "a number in the tracking store": STORED,
        },
        variables={
            "WEIGHTS": "crashed-13", "MLFLOW_TRACKING_PASSWORD": "shell-pass-14", "HF_TOKEN": "hf-token-15",
            "RATE": STORED,
        },
        files={"crashed-13": "a,b\ncircle,c\nsquare,d\n"},
        first=crash,
        status=1,
    ),
    "plan": Command(
        words=["plan", "--json", *RUN[:-3], "labels=${oc.env:LABELS}"],
        secrets={"the plan as JSON": "000000000004"},
        variables={"LABELS": "000000000004"},
    ),
    "sweep": Command(
        words=["-m", *RUN[:-3], "labels=4", "train.limit_steps=2", "seed=0,1", "head=linear", "hydra/launcher=joblib",
               "hydra.launcher.n_jobs=2", f"tracking.uri='http://me:job-17@{DEAD}','http://me:job-18@{DEAD}'"],
        secrets={"a job of a sweep": "job-17", "a second value of a sweep": "job-18"},
    ),
    "search": Command(
        words=["-m", *RUN, *OFF, "optim.lr=interval(0.1,1)", "hydra.sweeper.n_trials=1",
               f"hydra.sweeper.storage=postgresql://me:stored-22@{DEAD}/search"],
        secrets={"the database of a search": "stored-22"},
        status=2,
    ),
    "study": Command(
        words=["study=quick", "study.labels=[2]", "study.seeds=1", "study.controls=false", "backbone=tiny",
               "backbone.image_size=32", *PHOTOS, f"tracking.uri=http://me:study-19@{DEAD}"],
        secrets={"a study and its report": "album-20", "the command of a study": "study-19"},
        variables={"PHOTOS": "album-20"},
        files={"album-20": ""},
    ),
}  # fmt: skip
ECHOED = "echoed-16"
"""What a server sends back."""


def test_none_of_twenty_secrets_is_written_or_shown(tmp_path: Path, ready_store: Path) -> None:
    assert {way for name in COMMANDS for way in attacked(tmp_path, ready_store, name)} == set()
    assert echoed(tmp_path / "echo") == []
    assert sum(len(command.secrets) for command in COMMANDS.values()) + 1 >= 20


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.guard is not None])
def test_what_is_refused_before_it_is_read_gives_no_secret_away_without_masks(
    name: str, tmp_path: Path, ready_store: Path
) -> None:
    guard = COMMANDS[name].guard
    assert attacked(tmp_path, ready_store, name, plant=unmask) == []
    assert guard is not None
    assert guard.told in (tmp_path / name.replace(" ", "-") / "errors.txt").read_text()


@pytest.mark.slow
def test_the_harness_finds_each_of_them_where_masks_and_guards_are_off(tmp_path: Path, ready_store: Path) -> None:
    found = {name: attacked(tmp_path, ready_store, name, plant=partial(expose, name)) for name in COMMANDS}
    assert found == {name: list(command.secrets) for name, command in COMMANDS.items()}
    assert STORED.encode() in (tmp_path / "crash/mlflow.db").read_bytes()
    assert echoed(tmp_path / "echo", plant=unmask) == [ECHOED]


def test_a_folder_that_a_variable_names_serves_every_verb(tmp_path: Path, ready_store: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(ready_store.read_bytes())
    command = Command(words=[], secrets={}, variables={"PHOTOS": "pictures-21"}, files={"pictures-21": ""})
    prepare(tmp_path, command)
    words = [*RUN[:2], "labels=4", "freeze=none", "train.limit_steps=8", "tracking.figures=false", *PHOTOS]

    def ends(*words: str, status: int = 0, first: Callable[[], None] = lambda: None) -> str:
        def prepared() -> None:
            set_up(tmp_path, command)
            first()

        started = begin(tmp_path, *words, first=prepared)
        assert started.ended() == status, started.errors
        assert "pictures-21" not in started.errors + started.shown
        return started.errors + started.shown

    store = f"http://me:kept-nowhere@{DEAD}"
    told = ends(*words, f"tracking.uri={store}", first=interrupt, status=143)
    assert "go on with: python -m tlexp resume=" in told
    [run] = tmp_path.glob("outputs/*")
    assert f"tracking.uri=http://me:***@{DEAD} held a secret, which is not kept: give tracking.uri again" in ends(
        f"resume={run}", status=2
    )
    ends(f"resume={run}", "tracking.uri=null")
    [whole] = [path for path in tmp_path.glob("outputs/*") if path != run]
    record = read_record(whole)
    assert record.config["data"]["root"] == "${oc.env:PHOTOS}"
    assert "data.root=${oc.env:PHOTOS}" in record.overrides
    assert "closed: 0" in ends("sync", str(whole), "--uri", f"sqlite:///{tmp_path}/other.db")
    ends("export", str(whole), "exported")
    assert "'data.root=${oc.env:PHOTOS}'" in (tmp_path / "exported/README.md").read_text()
    shutil.copytree(tmp_path / "pictures-21", tmp_path / "album")
    ends("predict", str(whole), "album", "--out", "said.csv", "--uri", store)
    assert f"http://{DEAD} cannot take the run" in ends(
        "evaluate", str(whole), "album", "--out", "measured", "--uri", store
    )
    ends("-m", *words, *OFF, "seed=0,1", "train.limit_steps=1", "hydra.sweeper.name=swept")
    photos = tmp_path / "pictures-21"
    assert not holds(tmp_path, "pictures-21", without={photos, *photos.rglob("*")})
    assert not holds(tmp_path, "kept-nowhere")


def interrupt() -> None:
    """Let a signal arrive in the middle of the training."""
    questions = iter([None] * 3)
    signals = importlib.import_module("tlexp.jobs.signals").Signals
    signals.received = property(lambda self: next(questions, signal.SIGTERM))


# --- the harness


def attacked(place: Path, store: Path, name: str, *, plant: Callable[[], None] | None = None) -> list[str]:
    """Run a command, with a bug in it or none, and return the ways by which a secret got out."""
    command, folder = COMMANDS[name], place / name.replace(" ", "-")
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(store.read_bytes())
    prepare(folder, command)
    before = set(folder.rglob("*"))
    started = begin(folder, *command.words, first=lambda: set_up(folder, command, plant))
    ended = started.ended()
    assert plant or ended == command.status, started.errors
    return [way for way, secret in command.secrets.items() if holds(folder, secret, without=before)]


def set_up(folder: Path, command: Command, plant: Callable[[], None] | None = None) -> None:
    os.environ |= {"TLEXP_CACHE_DIR": str(folder / "cache"), **command.variables}
    if plant is not None:
        plant()
    command.first()


def expose(name: str) -> None:
    """Take away all that keeps a command's secrets."""
    guard = COMMANDS[name].guard
    if guard is not None:
        guard.take_away()
    unmask()


def unmask() -> None:
    """Let secrets through, wherever the functions were imported to."""
    secrets = importlib.import_module("tlexp.secrets")
    secrecy = importlib.import_module("tlexp.compose.secrecy")
    secrets.masked.__code__ = (lambda text: text).__code__
    secrets._masked_at.__code__ = (lambda key, value: value).__code__
    secrecy.hide_variables.__code__ = (lambda shown, composed, unresolved: None).__code__


def prepare(folder: Path, command: Command) -> None:
    """Put the files of a command into its folder; one without a text is a folder of images."""
    draw = np.random.default_rng(0)
    for name, text in command.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.write_text(text)
            continue
        for label in "ab":
            (path / label).mkdir(parents=True)
            for number in range(12):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / label / f"{number}.png")


def holds(folder: Path, secret: str, *, without: Collection[Path] = ()) -> bool:
    """Return whether a folder holds a secret in any form, in a file or in a file's name."""
    login = f"me:{secret}"
    forms = [secret, quote(secret, safe=""), *(base64.b64encode(text.encode()).decode() for text in (secret, login))]
    return any(
        form.encode() in content
        for path in folder.rglob("*")
        for content in contents(path, folder, before=path in without)
        for form in forms
    )


def contents(path: Path, folder: Path, *, before: bool) -> Iterator[bytes]:
    """Yield a path's name and bytes; what a test put there itself is not searched."""
    if not before:
        yield str(path.relative_to(folder)).encode()
    if path.is_file() and (not before or path.name == "mlflow.db"):
        yield path.read_bytes()


class Echo(http.server.BaseHTTPRequestHandler):
    """A tracking server that is well, refuses everything, and says what it was told."""

    def do_GET(self) -> None:
        healthy = self.path == "/health"
        body = f"no: {self.headers} {ECHOED} {quote(ECHOED)}".encode()
        self.send_response(200 if healthy else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *words: object) -> None:
        pass


def echoed(folder: Path, *, plant: Callable[[], None] | None = None) -> list[str]:
    """Return the secret that a server sends back, if it got out."""
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        command = Command(words=[*RUN, f"tracking.uri=http://me:{ECHOED}@127.0.0.1:{server.server_port}"], secrets={})
        run = begin(folder, *command.words, first=lambda: set_up(folder, command, plant))
        assert run.ended() == 0, run.errors
    finally:
        server.shutdown()
        server.server_close()
    assert "cannot take the run" in run.errors
    return [ECHOED] if holds(folder, ECHOED) else []
