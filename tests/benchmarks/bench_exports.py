"""How like the run exports are, on real photographs.

    python tests/benchmarks/bench_exports.py FOLDER [--images 300] [--labels 20] [--backbones tiny lite0 vit] \
[--heads linear mlp logreg knn attention] [--formats timm onnx pt2 mlflow]

A run of each backbone and head is trained on the photographs of FOLDER (data=folder), with all units frozen, and
written in each format that takes it. A process of its own loads the export by its card's snippet and is asked about
photographs, as `tlexp export` does with fewer. A row for each: the largest difference of a probability to the run's own
network, and the share of photographs of the same class. vit is timm's test_vit with random weights.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.compose.load import load
from tlexp.data.decode import Decoding
from tlexp.errors import ConfigError, DataError
from tlexp.experiment.reference import predicted
from tlexp.experiment.run import run
from tlexp.formats import ExportFormat, Reference, Trained, compare, format_of
from tlexp.models import load_classifier
from tlexp.predictor.photos import find_photos
from tlexp.train import Listener

WORDS = ["data=folder", "freeze=all", "tracking=off", "tracking.figures=false", "tune.trials=0", "tune.validate=false"]
BACKBONES = {
    "tiny": ["backbone=tiny"],
    "lite0": ["backbone=lite0"],
    "vit": ["backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false"],
}
HEADS = {name: [f"head={name}"] for name in ("linear", "mlp", "logreg", "knn", "attention")}
FORMATS = [str(name) for name in ExportFormat if name is not ExportFormat.tlexp]


def photographs(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """Return images spread over all of a folder."""
    found = find_photos(folder)
    images = []
    for place in np.unique(np.linspace(0, len(found) - 1, count).astype(int)):
        try:
            images.append(np.asarray(found[place].load(Decoding(max_pixels=1 << 28))))
        except DataError as error:
            print(f"{found[place].name}: {error}")
    return images


def train(words: list[str], folder: Path) -> Trained:
    loaded = load(words)
    folder.mkdir()
    run(loaded.config, shown=loaded.shown, folder=folder, listener=Listener(), overrides=words)
    classifier, described = load_classifier(folder)
    return Trained(classifier=classifier, card=described.card, folder=folder)


def row(trained: Trained, name: str, reference: Reference, folder: Path) -> str:
    """Return what a format makes of a network."""
    folder.mkdir()
    wanted = format_of(ExportFormat(name))
    try:
        wanted.write(trained, folder)
    except ConfigError as error:
        return f"refused: {str(error).partition(': ')[2].partition(';')[0]} | -"
    _, likeness = compare(folder, wanted.snippet(trained.card), lambda: reference)
    return f"{likeness.difference:.1e} | {likeness.agreement:.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    options = parser.parse_args()
    images = photographs(options.folder, options.images)
    print(f"{len(images)} photographs\n\n| backbone | head | format | largest difference | same class |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="tlexp-exports-") as place:
        for backbone in options.backbones:
            for head in options.heads:
                words = [*WORDS, f"data.root={options.folder}", f"labels={options.labels}"]
                made = train([*words, *BACKBONES[backbone], *HEADS[head]], Path(place) / f"{backbone}-{head}")
                said = Reference(images=images, probabilities=predicted(made, images), told="")
                for name in options.formats:
                    folder = Path(place) / f"{backbone}-{head}-{name}"
                    told = row(made, name, said, folder)
                    print(f"| {backbone} | {head} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
