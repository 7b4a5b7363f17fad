"""Classes and images that the recommended model tells wrong, as they are told."""

from tlexp.studies.analysis.findings import ClassRecall, Mistake, ModelFinding
from tlexp.studies.report.mistakes import mistake_card, recall_table

CLASSES = ("cat", "dog")
MODEL = ModelFinding(
    column="ridge",
    labels="20",
    seeds=3,
    recalls=(
        ClassRecall(label=1, images=1200, recall=0.75, taken_for=0, share=0.2),
        ClassRecall(label=0, images=4, recall=1.0, taken_for=None, share=None),
    ),
    mistakes=(Mistake(image=7, name="dog/1.jpg", label=1, predicted=0, confidence=0.876, wrong=3),),
)


def test_a_class_stands_with_what_it_is_taken_for() -> None:
    assert recall_table(MODEL, CLASSES).rows == (("dog", "0.750", "1,200", "cat (20 %)"), ("cat", "1.000", "4", "–"))


def test_a_mistake_is_told_by_its_name_or_else_its_place_with_the_image_where_it_is_there() -> None:
    card = mistake_card(MODEL.mistakes[0], CLASSES, b"jpeg")
    assert (card.thumbnail, card.lines) == (b"jpeg", ("dog, taken for cat (0.88)", "dog/1.jpg"))
    unnamed = Mistake(image=7, name=None, label=1, predicted=0, confidence=0.876, wrong=3)
    assert mistake_card(unnamed, (), None).lines == ("1, taken for 0 (0.88)", "test image 7")
