"""Does the network that was saved say what its run said, and what does it cost beyond decoding and passing the images?

    python tests/benchmarks/bench_predict.py --photos FOLDER [--images 300] [--backbones tiny lite0]

FOLDER has a folder for each class. For each backbone and head a run is made on the first images of each class, and its
own test images are predicted again: by the run's folder and by its export, to the bit. Then predicting all of these is
timed against decoding and passing the same images with the same calls, one after the other.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.composed import load
from tlexp.data.decode import Decoding
from tlexp.data.transforms import fit_image, normalise
from tlexp.data.walk import subfolders
from tlexp.experiment.export import export
from tlexp.experiment.run import run
from tlexp.models.classifier import in_chunks
from tlexp.predictor import Predictor
from tlexp.predictor.photos import find_photos
from tlexp.train import Listener

HEADS = ("linear", "mlp", "logreg", "knn", "attention")


def choose(photos: Path, images: int, folder: Path) -> Path:
    """Link the first images of each class into training and test folders; return their folder."""
    classes = subfolders(photos)
    for name, source in classes.items():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for place, path in enumerate(paths[: images // len(classes) + 20]):
            split = "train" if place < 20 else "test"
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / split / name / path.name)
    return folder


def compare(chosen: Path, backbone: str, head: str, folder: Path) -> Predictor:
    """Make a run, print whether run and export say the same of its test images, and return the network."""
    words = ("data=folder", f"data.root={chosen}", f"backbone={backbone}", f"head={head}", "freeze=all", "labels=20")
    quick = ("tracking=off", "train.limit_steps=60", "tune.trials=2", "data.on_bad=skip")
    folder.mkdir()
    run(load((*words, *quick)).config, folder=folder, listener=Listener())
    export(folder, folder / "export", half=False)
    with np.load(folder / "predictions.npz") as file:
        expected = file["probability"]
    for place in (folder, folder / "export"):
        predictor = Predictor.load(place)
        found = predictor.score(chosen / "test", on_bad="skip").probabilities.astype(np.float32)
        same = found.shape == expected.shape and np.array_equal(found, expected)
        print(f"{backbone:6} {head:10} {place.name:8} {len(found)} images, equal to the bit: {same}", flush=True)
    return predictor


def measure(predictor: Predictor, photos: Path) -> None:
    """Print what predict takes, and what decoding and passing the same images takes."""
    expected, found = predictor.card.preprocessing, find_photos(photos)
    began = time.perf_counter()
    fitted = np.stack([fit_image(photo.load(Decoding(max_pixels=10**8))[1], expected) for photo in found])
    raw = torch.from_numpy(fitted).permute(0, 3, 1, 2).contiguous()
    batch = normalise(raw, expected.mean, expected.std).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        in_chunks(lambda images: [predictor._classifier(images)], batch)
    plain = time.perf_counter() - began
    began = time.perf_counter()
    predictor.score(photos, on_bad="skip")
    seconds = time.perf_counter() - began
    print(f"{len(found)} images: decoded and passed {plain:.2f} s, predict {seconds:.2f} s, {seconds / plain:.2f} x")


def main() -> None:
    """Compare and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--backbones", nargs="+", default=["tiny", "lite0"])
    parser.add_argument("--heads", nargs="+", default=HEADS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose(arguments.photos, arguments.images, Path(folder) / "photos")
        for backbone in arguments.backbones:
            for head in arguments.heads:
                predictor = compare(chosen, backbone, head, Path(folder) / f"{backbone}-{head}")
            measure(predictor, chosen / "test")


if __name__ == "__main__":
    main()
