"""A server that speaks as much of MLflow's protocol as a run needs, and can be told to misbehave in nine ways."""

import contextlib
import http.server
import itertools
import json
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Mode(StrEnum):
    """How the server behaves."""

    well = "well"
    dead = "nothing listens"
    hangs = "takes connections and says nothing"
    mute = "answers its health page and then nothing"
    slow = "takes its time for each call"
    refuses = "refuses everybody"
    errors = "has an internal error each time"
    garbage = "replies with something else"
    cut = "closes in the middle of a reply"
    restarts = "dies with its runs half-written, and returns"


_SLOW_SECONDS = 0.3
MISBEHAVIOURS = tuple(mode for mode in Mode if mode is not Mode.well)


class MisbehavingServer:
    """Listens on a port of its own; `mode` may be set at any time, by `behave`.

    Attributes:
        far_seconds: What each call takes where the server is well but far away.
        calls: How often each path was asked for.
        most_at_once: So many calls were in its hands at once.
    """

    def __init__(self) -> None:
        self.mode, self.far_seconds = Mode.well, 0.0
        self.calls: Counter[str] = Counter()
        self.most_at_once = self._at_once = 0
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._listening: http.server.ThreadingHTTPServer | None = None
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            self._port = reserved.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._listen()

    def behave(self, mode: Mode) -> None:
        """Behave so from now on."""
        self.mode = mode
        if mode in (Mode.dead, Mode.restarts):
            self._close()
        elif self._listening is None:
            self._listen()
        if mode is Mode.well:
            self._released.set()  # who hangs gets no answer
            self._released = threading.Event()

    def stop(self) -> None:
        """Listen no more."""
        self._released.set()
        self._close()

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that are not deleted."""
        return [run for run in self._runs.values() if run["info"]["lifecycle_stage"] == "active"]

    def points(self, run: dict[str, Any]) -> list[tuple[str, int, float]]:
        """Return all points of a run's curves in order."""
        return sorted((point["key"], int(point["step"]), float(point["value"])) for point in run["points"])

    # --- the wire

    def _listen(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815 - the names are http.server's

            def log_message(self, *words: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

            def handle_error(self, *words: object) -> None:
                pass

        self._listening = Server(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._listening.serve_forever, args=(0.01,), daemon=True).start()

    def _close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.shutdown()
            listening.server_close()

    def _handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        path = address.path.removeprefix("/api/2.0/")
        self.calls[path] += 1
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(_SLOW_SECONDS if self.mode is Mode.slow else self.far_seconds)
        with self._lock:
            self._at_once -= 1
        if self.mode is Mode.hangs or (self.mode is Mode.mute and path != "/health"):
            self._released.wait(30)
            request.close_connection = True
            return
        status, reply = self._reply(path, address.query, body)
        text = b"<html>a page</html>" if self.mode is Mode.garbage else json.dumps(reply).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text) + (100 if self.mode is Mode.cut else 0)))
        request.end_headers()
        request.wfile.write(text)
        request.close_connection = True

    def _reply(self, path: str, query: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.mode is Mode.refuses:
            return 403, {"error_code": "PERMISSION_DENIED", "message": "who are you"}
        if self.mode is Mode.errors:
            return 500, {"error_code": "INTERNAL_ERROR", "message": "no disk"}
        if path == "/health" or path.startswith("mlflow-artifacts/"):
            return 200, {}
        asked = {name: values[0] for name, values in parse_qs(query).items()} | json.loads(body or b"{}")
        answer = getattr(self, "_" + re.sub(r"\W", "_", path.removeprefix("mlflow/")), None)
        if answer is None:
            return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": path}
        with self._lock:
            try:
                return 200, answer(**asked)
            except FileExistsError as error:
                return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": f"{error} is there"}
            except KeyError as error:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no {error}"}

    # --- what is stored

    def _experiments_get_by_name(self, experiment_name: str) -> dict[str, Any]:
        known = {"Default": "0"} | self._experiments
        made = {"experiment_id": known[experiment_name], "name": experiment_name, "lifecycle_stage": "active"}
        return {"experiment": made}

    def _experiments_create(self, name: str, **_: Any) -> dict[str, Any]:
        if name in self._experiments:
            raise FileExistsError(name)
        self._experiments[name] = str(len(self._experiments) + 1)
        return {"experiment_id": self._experiments[name]}

    def _experiments_search(self, **_: Any) -> dict[str, Any]:
        return {"experiments": []}

    def _runs_create(
        self, experiment_id: str, start_time: int, tags: Sequence[dict[str, str]] = (), run_name: str = "", **_: Any
    ) -> dict[str, Any]:
        number = uuid.uuid4().hex
        info = {
            "run_id": number, "run_uuid": number, "experiment_id": experiment_id, "run_name": run_name,
            "status": "RUNNING", "start_time": start_time, "lifecycle_stage": "active",
            "artifact_uri": f"mlflow-artifacts:/{experiment_id}/{number}/artifacts",
        }  # fmt: skip
        self._runs[number] = {"info": info, "points": [], "tags": {}, "params": {}}
        self._runs_log_batch(number, tags=tags)
        return self._runs_get(number)

    def _runs_get(self, run_id: str, **_: Any) -> dict[str, Any]:
        run = self._runs[run_id]
        latest = {point["key"]: point for point in run["points"]}
        pairs = {
            kind: [{"key": key, "value": value} for key, value in run[kind].items()] for kind in ("tags", "params")
        }
        return {"run": {"info": run["info"], "data": {"metrics": list(latest.values()), **pairs}}}

    def _runs_log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = (), **_: Any
    ) -> dict[str, Any]:
        run = self._runs[run_id]
        run["points"] += metrics
        run["params"] |= {each["key"]: each["value"] for each in params}
        run["tags"] |= {each["key"]: each["value"] for each in tags}
        return {}

    def _runs_log_inputs(self, **_: Any) -> dict[str, Any]:
        return {}

    def _runs_set_tag(self, run_id: str, key: str, value: str, **_: Any) -> dict[str, Any]:
        self._runs[run_id]["tags"][key] = value
        return {}

    def _runs_update(self, run_id: str, **changes: Any) -> dict[str, Any]:
        self._runs[run_id]["info"] |= {name: changes[name] for name in ("status", "end_time") if name in changes}
        return {"run_info": self._runs[run_id]["info"]}

    def _runs_delete(self, run_id: str) -> dict[str, Any]:
        self._runs[run_id]["info"]["lifecycle_stage"] = "deleted"
        return {}

    def _runs_search(self, experiment_ids: list[str], filter: str = "", **_: Any) -> dict[str, Any]:
        tag = re.fullmatch(r'tags\.`(.*)` = "(.*)"', filter)
        found = [
            run["info"]["run_id"]
            for run in self.runs()
            if run["info"]["experiment_id"] in experiment_ids
            and (run["tags"].get(tag[1]) == tag[2] if tag else run["info"]["status"] == "RUNNING")
        ]
        return {"runs": [self._runs_get(number)["run"] for number in found]}

    def _metrics_get_history(self, run_id: str, metric_key: str, **_: Any) -> dict[str, Any]:
        return {"metrics": [point for point in self._runs[run_id]["points"] if point["key"] == metric_key]}


@contextlib.contextmanager
def misbehaving_server() -> Iterator[MisbehavingServer]:
    """Give a server that behaves well as yet."""
    made = MisbehavingServer()
    try:
        yield made
    finally:
        made.stop()
