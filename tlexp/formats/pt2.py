"""`--format pt2`: the network's graph with its weights, as `torch.export` writes it, for PyTorch alone.

torch writes weights as plain bytes and the graph as JSON; the one pickle in such a file would be the example input,
which is left out here.
"""

from pathlib import Path

import torch

from tlexp.formats.fitting import fitting_snippet
from tlexp.formats.format import Format, Trained
from tlexp.formats.standalone import exported_program
from tlexp.models import ModelCard
from tlexp.paths import publish_json

_PROGRAM, _CLASSES = "model.pt2", "classes.json"
_SNIPPET = """\
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

classes = json.loads(Path("classes.json").read_text(encoding="utf-8"))
model = torch.export.load("model.pt2").module()


{fitting}

def probabilities(images):
    \"\"\"Return one row per image and one column per class; it takes any number of images.\"\"\"
    return model(torch.from_numpy(np.stack([fitted(image) for image in images]))).numpy(force=True)
"""


def _write(trained: Trained, folder: Path) -> None:
    program = exported_program(trained)
    program._example_inputs = None
    torch.export.save(program, folder / _PROGRAM)
    publish_json(folder / _CLASSES, list(trained.card.classes), ensure_ascii=False)


def _snippet(card: ModelCard) -> str:
    return _SNIPPET.format(fitting=fitting_snippet(card.preprocessing))


def _about(card: ModelCard) -> str:
    side = card.preprocessing.image_size
    return (
        f"`{_PROGRAM}` takes resized images (B, {side}, {side}, 3) uint8, B of any size, and returns probabilities "
        f"(B, {len(card.classes)}): normalisation, temperature and softmax are inside. It was written by PyTorch "
        f"{torch.__version__} and holds no pickle; `torch.export.load` would load one, so load such files only from "
        "those you trust."
    )


FORMAT = Format(write=_write, snippet=_snippet, about=_about)
