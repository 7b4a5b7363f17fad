"""MLflow's own server answers for an export: arrays, base64, what is broken, and many at once."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.formats.conftest import CLASSES, IMAGES, same_as_the_network, trained
from tlexp.config.head import HeadKind
from tlexp.experiment.reference import predicted
from tlexp.formats import Trained
from tlexp.formats.mlflow import FORMAT
from tlexp.models import save_classifier

PATIENCE = 120
"""Seconds until a server answers, at most: it imports for a few."""

STORES = ("mlflow.store.tracking.sqlalchemy_store", "alembic")
"""What a tracking store needs, and a model has no use for."""

Ask = Callable[[object], tuple[int, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A network, and the folder that MLflow serves."""
    made = trained(HeadKind.knn)
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "served"))
    save_classifier(made.classifier, source, description=made.card)
    made = Trained(classifier=made.classifier, card=made.card, folder=source)
    with pytest.MonkeyPatch.context() as patch:
        for name in STORES:  # an import of one would fail
            patch.setitem(sys.modules, name, None)
        FORMAT.write(made, folder)
    return made, folder


def test_mlflow_gives_the_probabilities_of_the_run(served: tuple[Trained, Path]) -> None:
    made, folder = served
    same_as_the_network(made, FORMAT.snippet(made.card), folder)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def answer(port: int, body: object) -> tuple[int, Any]:
    """Return status and content of the answer to a request."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def ask(served: tuple[Trained, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask a server, which is started as the card says."""
    port, log = free_port(), tmp_path_factory.mktemp("log") / "log"
    words = ["models", "serve", "-m", ".", "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    assert " ".join(words[:9]) in FORMAT.about(served[0].card)
    # It starts its server through a shell, from the path.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=served[1],
            env=environment,
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()  # noqa: PT018
                time.sleep(0.2)
        yield lambda body: answer(port, body)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def encoded(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.slow
def test_a_server_answers_for_photographs_and_arrays_and_says_which_row_is_broken(
    ask: Ask, served: tuple[Trained, Path]
) -> None:
    expected = predicted(served[0], IMAGES)
    table = {"columns": ["image"], "data": [[encoded(image)] for image in IMAGES]}
    status, found = ask({"dataframe_split": table})
    assert status == 200
    assert list(found["predictions"][0]) == list(CLASSES)
    np.testing.assert_allclose([list(row.values()) for row in found["predictions"]], expected, atol=1e-5)
    status, found = ask({"inputs": [IMAGES[3].tolist()]})
    assert status == 200
    np.testing.assert_allclose(list(found["predictions"][0].values()), expected[3], atol=1e-5)
    table["data"][1] = ["aGVsbG8="]
    status, found = ask({"dataframe_split": table})
    assert status == 400
    assert "1 of 5 images cannot be read: row 1: not an image of a supported format" in found["message"]
    status, found = ask({"inputs": [[1, 2, 3]]})
    assert status == 400
    assert "send a table with the column image" in found["message"]


@pytest.mark.slow
def test_two_hundred_requests_at_once_are_all_answered_for_their_own_image(
    ask: Ask, served: tuple[Trained, Path]
) -> None:
    expected = predicted(served[0], IMAGES)
    texts = [encoded(image) for image in IMAGES]

    def one(number: int) -> tuple[int, Any]:
        return ask({"dataframe_split": {"columns": ["image"], "data": [[texts[number % 5]]]}})

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(one, range(200)))
    assert {status for status, _ in answers} == {200}
    for number, (_, found) in enumerate(answers):
        np.testing.assert_allclose(list(found["predictions"][0].values()), expected[number % 5], atol=1e-5)
