"""`--format onnx`: the network as an ONNX graph with its normalisation inside, and the resizing beside it as JSON."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import torch

from tlexp.formats.fitting import fitting_snippet, resized_side
from tlexp.formats.format import Format, Trained
from tlexp.formats.standalone import INPUT, OUTPUT, exported_program
from tlexp.models import ModelCard
from tlexp.paths import publish_json

OPSET = 18
"""Of the operators: the lowest that torch's exporter writes without converting."""
_MODEL, _DESCRIPTION = "model.onnx", "preprocessing.json"
_SNIPPET = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

classes = json.loads(Path("preprocessing.json").read_text(encoding="utf-8"))["classes"]
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])


{fitting}

def probabilities(images):
    \"\"\"Return one row per image and one column per class; it takes any number of images.\"\"\"
    return session.run(None, {{"images": np.stack([fitted(image) for image in images])}})[0]
"""


def _write(trained: Trained, folder: Path) -> None:
    program = exported_program(trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of outdated calls of its own
        graph: Any = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        graph.save(folder / _MODEL, external_data=False)
    publish_json(folder / _DESCRIPTION, _described(trained.card), ensure_ascii=False)


def _described(card: ModelCard) -> dict[str, Any]:
    """Return what somebody needs to feed the graph from another language."""
    expected = card.preprocessing
    side = expected.image_size
    return {
        "opset": OPSET,
        "input": {"name": INPUT, "type": "uint8", "shape": ["batch", side, side, 3], "channels": "RGB"},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["batch", len(card.classes)]},
        "resize_short_side": resized_side(expected),
        "centre_crop": side,
        "inside_the_graph": "division by 255, normalisation, temperature, softmax",
        "preprocessing": dataclasses.asdict(expected),
        "classes": list(card.classes),
    }


def _snippet(card: ModelCard) -> str:
    return _SNIPPET.format(fitting=fitting_snippet(card.preprocessing))


def _about(card: ModelCard) -> str:
    side = card.preprocessing.image_size
    return (
        f"`{_MODEL}` (opset {OPSET}) takes resized images `{INPUT}` (B, {side}, {side}, 3) uint8, B of any size, and "
        f"returns `{OUTPUT}` (B, {len(card.classes)}): normalisation, temperature and softmax are inside. How an image "
        f"is resized stands in `{_DESCRIPTION}`. It needs `pip install onnxruntime pillow numpy`."
    )


FORMAT = Format(write=_write, snippet=_snippet, about=_about)
