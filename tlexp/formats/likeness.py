"""How like a run's network its export is, which a clean process loads and asks by the snippet of the card.

images (H, W, 3) uint8 of any size; probabilities (N, K).
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.errors import WeightsError
from tlexp.paths import publish

MOST_DIFFERENCE = 1e-3
"""Of a probability."""
LEAST_AGREEMENT = 0.999
"""Share of images that have to keep their class."""
_PATH = """\
import sys

sys.path += [path for path in {path!r} if path not in sys.path]
"""
"""An isolated process forgets PYTHONPATH and what a user has installed for himself, where packages may lie."""
_ASKED = """

held = np.load(sys.argv[1])
images = [Image.fromarray(held[name]) for name in held.files]
np.save(sys.argv[2], np.concatenate([probabilities(images[at : at + 16]) for at in range(0, len(images), 16)]))
"""
_ISOLATED = ("-I", "-B", "-W", "ignore")
"""A clean process imports nothing of the folder that it looks at, its working folder, and leaves nothing there.

What the export takes from its own folder it names itself, as MLflow does with the code in a model.
"""
_OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a run's own network says.

    Attributes:
        images: As they are before they are resized.
        probabilities: Theirs, (N, K).
        told: What the images are, for people.
    """

    images: Sequence[NDArray[np.uint8]]
    probabilities: NDArray[np.float64]
    told: str


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How an export differs from the run.

    Attributes:
        difference: Largest difference of a probability.
        agreement: Share of images of the same class.
    """

    difference: float
    agreement: float

    @property
    def enough(self) -> bool:
        """Whether it may stand for the run."""
        return self.difference <= MOST_DIFFERENCE and self.agreement >= LEAST_AGREEMENT

    @classmethod
    def of(cls, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> "Likeness":
        """Return how like two tables of probabilities are; what is no number is like none."""
        apart = np.abs(ours - theirs)
        difference = float(apart.max()) if np.isfinite(apart).all() else float("inf")
        return cls(difference=difference, agreement=float((ours.argmax(1) == theirs.argmax(1)).mean()))


def compare(folder: Path, snippet: str, reference: Reference) -> Likeness:
    """Return how like the run an export is; a process of its own loads it.

    Args:
        folder: Of the export.
        snippet: Defines `probabilities`; it is run in the folder.
        reference: What the run's own network says.

    Raises:
        WeightsError: It does not load, or answers something else than probabilities of those classes.
    """
    with tempfile.TemporaryDirectory(prefix="tlexp-check-") as place:
        script, images, answers = (Path(place) / name for name in ("ask.py", "images.npz", "answers.npy"))
        publish(script, f"{_PATH.format(path=_packages())}\nimport numpy as np\n{snippet}{_ASKED}")
        np.savez(images, *reference.images)
        done = subprocess.run(
            [sys.executable, *_ISOLATED, str(script), str(images), str(answers)],
            cwd=folder,
            env={**os.environ, **_OFFLINE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = next(iter(reversed(done.stderr.strip().splitlines())), f"status {done.returncode}")
            raise WeightsError(f"the export does not load in a process of its own ({reason}), so it is not published")
        theirs = np.load(answers, allow_pickle=False).astype(np.float64)
    if theirs.shape != reference.probabilities.shape:
        raise WeightsError(f"the export answers a table {theirs.shape}, not {reference.probabilities.shape}")
    return Likeness.of(reference.probabilities, theirs)


def _packages() -> list[str]:
    """Return where this process finds packages, but for the working folder."""
    return [path for path in sys.path if Path(path).is_absolute() and Path(path) != Path.cwd()]
