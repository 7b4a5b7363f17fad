"""The card of an export, in Markdown: what the network is, how it was made, and how it is used."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tlexp.config.backbone import PIXELS, backbone_told
from tlexp.data.decode import Decoding
from tlexp.formats import Format, Likeness, Reference
from tlexp.models import Classifier, ModelCard
from tlexp.models.digest import tensors_digest
from tlexp.models.prior import PriorShift, told_shares
from tlexp.terminal import list_item, one_line
from tlexp.tracking import Record
from tlexp.tracking.blocks import Environment

MADE_BY = "Made by tlexp"
"""Stands in every card; by it an export is known."""
_CLASSES = 20
"""Classes that the card of an export names that holds them all in model.json."""
_TEMPERATURE = "{:.4g}: for probabilities divide the logits by it (model.json has all its digits) before the softmax"
_USE = """\
In this folder:

```python
{snippet}

{opened}
for name, probability in zip(classes, probabilities([image])[0]):
    print(f"{{probability:.3f}} {{name}}")
```
"""
_OPENED = """\
from PIL import ImageOps

photo = Image.open("photo.jpg")
image = ImageOps.exif_transpose(photo).convert("RGB")  # upright, as for training"""
_OPENED_GREY = """\
import numpy as np
from PIL import ImageOps

photo = Image.open("photo.jpg")
image = ImageOps.exif_transpose(photo)  # upright, as for training
if image.mode.startswith("I"):  # grey of 16 bits, of which the training images used {bits}
    image = Image.fromarray((np.asarray(image) >> {shift}).astype(np.uint8))
image = image.convert("RGB")"""
_FIRST = 'photo = Image.open("photo.jpg")\n'
_DRAFTED = "photo.draft(None, ({side}, {side}))  # a JPEG at the smallest scale with such sides, as for training\n"


@dataclass(frozen=True, kw_only=True)
class CheckedExport:
    """An export in the format of others, which was compared with the run.

    Attributes:
        format: What it is.
        reference: What the run's network says of some images.
        likeness: How like that is what the export says.
    """

    format: Format
    reference: Reference
    likeness: Likeness

    def told(self) -> str:
        """Return how it was checked, for people."""
        return (
            f"loaded in a process of its own and compared with the run on {self.reference.told}: probabilities differ "
            f"by at most {self.likeness.difference:.2g}, {self.likeness.agreement:.1%} keep their class"
        )


def own_card(
    record: Record, classifier: Classifier, card: ModelCard, weights: Path, *, half: bool, command: Sequence[str]
) -> str:
    """Return the card of an export that runs start from.

    Args:
        record: Of the run.
        classifier: As it was written.
        card: How it is built.
        weights: Its file.
        half: Whether it is in half precision.
        command: What the run was started with.
    """
    kind = "float16, normalisation float32" if half else "float32"
    facts = {
        **_network(classifier, card),
        "classes": _classes(card.classes),
        "file": f"{weights.name}, {weights.stat().st_size:,} bytes, {kind}",
        "digest": f"{tensors_digest(classifier.backbone.state_dict())} in the records of runs that start from it",
        **({} if card.temperature == 1 else {"temperature": _TEMPERATURE.format(card.temperature)}),
        **({} if card.prior is None else {"class frequencies": _frequencies(card.classes, card.prior)}),
        **_unknown(record),
        **_making(record, card, command),
    }
    return f"{_title(card)}{MADE_BY}; use it with `backbone.weights=FOLDER`.\n\n{_table(facts)}"


def format_card(
    record: Record,
    classifier: Classifier,
    card: ModelCard,
    files: Sequence[Path],
    checked: CheckedExport,
    *,
    command: Sequence[str],
) -> str:
    """Return the card of an export that other programs load.

    Args:
        record: Of the run.
        classifier: Its network.
        card: How that is built.
        files: What was written.
        checked: In which format, and how it compares with the run.
        command: What the run was started with.
    """
    shown = format_snippet(checked.format, card)
    told = ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in files)
    shift = card.prior
    facts = {
        **_network(classifier, card),
        "classes": one_line(", ".join(map(list_item, card.classes))),
        "files": told,
        "checked": checked.told(),
        **({} if card.temperature == 1 else {"temperature": f"{card.temperature:.4g}, applied already"}),
        **(
            {}
            if shift is None
            else {"class frequencies": f"{told_shares(card.classes, shift.wanted)}, applied already"}
        ),
        **_making(record, card, command),
    }
    about = checked.format.about(card)
    return f"{checked.format.front}{_title(card)}{MADE_BY}. {about}\n\n{shown}\n{_table(facts)}"


def format_snippet(format_: Format, card: ModelCard) -> str:
    """Return what loads an export and asks it of one photograph, as a block of Markdown."""
    opened = _OPENED if card.bits is None else _OPENED_GREY.format(bits=card.bits, shift=card.bits - 8)
    decoding = Decoding.of(card.decoder, card.preprocessing, max_pixels=card.max_pixels, bits=card.bits)
    if decoding.least_side is not None:
        opened = opened.replace(_FIRST, _FIRST + _DRAFTED.format(side=decoding.least_side))
    return _USE.format(snippet=format_.snippet(card).strip(), opened=opened)


def _title(card: ModelCard) -> str:
    return f"# {backbone_told(card.backbone, card.origin)}, trained on {len(card.classes)} classes\n\n"


def _table(facts: dict[str, str]) -> str:
    r"""Return facts as a table of Markdown; what parts its columns is escaped, in names of classes and in code.

    >>> print(_table({"classes": "x | y"}), end="")
    | | |
    |---|---|
    | classes | x \| y |
    """
    shown = {name: one_line(text).replace("|", "\\|") for name, text in facts.items()}
    rows = "\n".join(f"| {name} | {text} |" for name, text in shown.items())
    return f"| | |\n|---|---|\n{rows}\n"


def _network(classifier: Classifier, card: ModelCard) -> dict[str, str]:
    expected, name = card.preprocessing, card.backbone
    parameters = sum(parameter.numel() for parameter in classifier.backbone.parameters())
    architecture = "raw pixels" if name == PIXELS else f"timm's {name}"
    return {
        "architecture": f"{architecture}, {parameters:,} parameters without the head",
        "input": f"{expected.image_size} px, mean {list(expected.mean)}, std {list(expected.std)}, "
        f"{expected.interpolation}, crop {expected.crop_pct:g}",
    }


def _classes(classes: Sequence[str]) -> str:
    """Return the names of classes, as many as one reads.

    >>> _classes(["ant", "bee, wild"]), _classes([f"c{number}" for number in range(22)])[-33:]
    ('2: ant, "bee, wild"', 'c18, c19 and 2 more in model.json')
    """
    more = len(classes) - _CLASSES
    first = ", ".join(map(list_item, classes[:_CLASSES]))
    return f"{len(classes)}: {first}" + (f" and {more:,} more in model.json" if more > 0 else "")


def _making(record: Record, card: ModelCard, command: Sequence[str]) -> dict[str, str]:
    """Return how the network was made."""
    return {
        "started from": card.origin,
        "images": "unknown" if record.data is None else f"{record.learned}; digest {record.data.digest}",
        "command": f"`{shlex.join(['python', '-m', 'tlexp', *command])}`",
        "code": _code(record.environment),
        "seeds": ", ".join(f"{name} {value}" for name, value in vars(record.seeds).items()),
        "steps": "unknown" if record.train.steps is None else f"{record.train.steps:,}",
        "time": f"{record.metrics.get('cost/seconds', 0.0) / 60:.1f} minutes, ended {record.ended}",
        "device": f"{record.environment.device}, {record.environment.cpu_count} CPU cores",
        "packages": ", ".join(f"{name} {found}" for name, found in record.environment.packages.items()),
        "test": ", ".join(_measures(record)),
    }


def _unknown(record: Record) -> dict[str, str]:
    """Return what marking images that are none of the classes costs, where that is known."""
    if not record.train.false_alarms:
        return {}
    told = ", ".join(f"{share:.1%} at {level}" for level, share in record.train.false_alarms.items())
    return {"none of these": f"false alarms of `tlexp predict --outliers` on the test images: {told}"}


def _measures(record: Record) -> Iterator[str]:
    for name, value in record.metrics.items():
        if name.startswith("test/"):
            yield f"{name.removeprefix('test/')} {value:.4f}"


def _frequencies(classes: Sequence[str], shift: PriorShift) -> str:
    """Return how predictions are corrected, which the weights do not know."""
    return (
        f"the weights learned {told_shares(classes, shift.trained)}; the test's predictions are corrected to "
        f"{told_shares(classes, shift.wanted)}: add log(wanted / trained) of model.json's prior to the divided logits"
    )


def _code(environment: Environment) -> str:
    """Return version and commit of the program that trained the network."""
    version, git = environment.packages.get("tlexp", "of an unknown version"), environment.git
    if git is None:
        return f"tlexp {version}"
    return f"tlexp {version}, commit {git.commit}{' with changes' if git.dirty else ''}"
