"""The local cache first; then one question that cannot take longer than stated; then the download."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError

from tlexp.models import hub
from tlexp.models.hub import Remote, cache_folder, fetch, find_cached, find_remote, unreachable

REMOTE = Remote(label="hub timm/x", files=("model.safetensors", "pytorch_model.bin"), repository="timm/x")


class Reply(BaseHTTPRequestHandler):
    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Reply) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "home" / "hub"


def keep(cache: Path, repository: str, file: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    commit = "0" * 40
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    path = folder / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("file", REMOTE.files)
def test_the_cache_is_looked_at_first(own_cache: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: pytest.fail("asked the network"))
    path = keep(own_cache, "timm/x", file)
    assert fetch(REMOTE) == (path, "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(REMOTE) == (path, "")


def test_the_cache_follows_the_environment_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "home" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other"


def test_plain_addresses_use_the_cache_of_torch(tmp_path: Path) -> None:
    remote = find_remote({"url": "https://127.0.0.1/releases/w-abc.pth"})
    assert remote is not None
    assert find_cached(remote) is None
    path = Path(torch.hub.get_dir()) / "checkpoints" / "w-abc.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_cached(remote) == path


def test_remotes_are_what_timm_states() -> None:
    assert find_remote({"url": "", "hf_hub_id": None}) is None
    found = find_remote({"hf_hub_id": "timm/y@v2", "hf_hub_filename": "w.bin", "url": "https://x/y.pth"})
    assert found == Remote(label="hub timm/y", files=("w.bin",), repository="timm/y", revision="v2")


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "unreachable", lambda *_, **__: pytest.fail("asked the network"))
    assert fetch(REMOTE) == (None, "HF_HUB_OFFLINE is set")


def test_a_server_that_never_answers_costs_the_stated_time_in_all(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.PATIENCE_SECONDS == 10
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setenv("HF_ENDPOINT", silent)
    began = time.monotonic()
    path, reason = fetch(REMOTE)
    assert time.monotonic() - began < 2
    assert path is None
    assert f"{silent}/timm/x/resolve/main/model.safetensors is not reachable" in reason


def test_a_name_server_that_never_answers_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    began = time.monotonic()
    assert unreachable("https://hub.invalid/x", seconds=0.3) == "no answer within 0.3 s"
    assert time.monotonic() - began < 2
    released.set()


@pytest.mark.parametrize(("status", "reason"), [(200, ""), (302, ""), (404, ""), (401, ""), (503, "HTTP 503")])
def test_any_answer_but_a_failing_server_counts(
    server: str, status: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reply, "status", status)
    assert unreachable(server, seconds=5) == reason


def test_a_refused_connection_and_a_strange_address_are_said(silent: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "refused" in unreachable(f"http://127.0.0.1:{port}", seconds=5)
    assert unreachable("file:///etc/passwd", seconds=5) == "not an http address"


def test_a_download_that_fails_is_a_reason(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setattr(Reply, "status", 404)
    path, reason = fetch(REMOTE)
    assert path is None
    assert "the download of" in reason
    remote = find_remote({"url": f"{server}/w.pth"})
    assert remote is not None
    assert "failed: HTTPError" in fetch(remote)[1]


def test_a_repository_without_safetensors_gives_its_pickled_file(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    def download(_: str, file: str, **options: object) -> str:
        asked.append((file, str(options["endpoint"])))
        if file.endswith(".safetensors"):
            raise EntryNotFoundError("no such file in the repository")
        return str(tmp_path / file)

    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert fetch(REMOTE) == (tmp_path / "pytorch_model.bin", "")
    assert asked == [(file, server) for file in REMOTE.files]


def test_a_plain_address_is_downloaded_once(server: str) -> None:
    remote = find_remote({"url": f"{server}/w.pth"})
    assert remote is not None
    path, _ = fetch(remote)
    assert path is not None
    assert path == find_cached(remote)
