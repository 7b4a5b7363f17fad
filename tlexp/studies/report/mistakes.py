"""What the recommended model tells wrong, as a table of classes and as cards of images."""

from collections.abc import Sequence

from tlexp.studies.analysis.findings import Mistake, ModelFinding
from tlexp.studies.report.document import ImageCard, TextTable
from tlexp.studies.report.sentences import in_percent
from tlexp.studies.report.tables import NONE, format_number


def recall_table(model: ModelFinding, classes: Sequence[str]) -> TextTable:
    """Return the recall of each class, the worst first."""
    return TextTable(
        title="Recall of each class, the worst first",
        head=("class", "recall", "test images", "most often taken for"),
        rows=tuple(
            (
                class_name(classes, recall.label),
                format_number(recall.recall),
                f"{recall.images:,}",
                NONE
                if recall.taken_for is None or recall.share is None
                else f"{class_name(classes, recall.taken_for)} ({in_percent(recall.share)})",
            )
            for recall in model.recalls
        ),
    )


def mistake_card(mistake: Mistake, classes: Sequence[str], thumbnail: bytes | None) -> ImageCard:
    """Return an image that is told wrong, with what it is taken for."""
    return ImageCard(
        thumbnail=thumbnail,
        lines=(
            f"{class_name(classes, mistake.label)}, taken for {class_name(classes, mistake.predicted)} "
            f"({mistake.confidence:.2f})",
            mistake.name or f"test image {mistake.image}",
        ),
    )


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class, or its number where nobody says."""
    return classes[label] if label < len(classes) else str(label)
