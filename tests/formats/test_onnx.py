"""onnxruntime alone runs the file, for every head, on batches of any size."""

import json
from pathlib import Path

import pytest

from tests.formats.conftest import CLASSES, SIDE, same_as_the_network, trained
from tlexp.config.head import HeadKind
from tlexp.formats.onnx import FORMAT

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize(
    "kind",
    [
        HeadKind.linear,
        HeadKind.knn,
        *[pytest.param(kind, marks=pytest.mark.slow) for kind in (HeadKind.mlp, HeadKind.attention, HeadKind.cosine)],
    ],
)
def test_a_graph_gives_the_probabilities_of_the_run(kind: HeadKind, tmp_path: Path) -> None:
    made = trained(kind)
    FORMAT.write(made, tmp_path)
    same_as_the_network(made, FORMAT.snippet(made.card), tmp_path)
    described = json.loads((tmp_path / "preprocessing.json").read_text())
    [stated] = onnx.load(tmp_path / "model.onnx").opset_import
    assert stated.version == described["opset"]
    assert described["input"]["shape"] == ["batch", SIDE, SIDE, 3]
    assert described["classes"] == list(CLASSES)
