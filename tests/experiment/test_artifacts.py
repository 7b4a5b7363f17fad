"""Tables that a run leaves for people."""

import csv
import io

import numpy as np

from tlexp.experiment.artifacts import predictions_table

CLASSES = ("cat", "dog")


def rows(names: list[str]) -> list[dict[str, str]]:
    labels, probabilities = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.75, 0.25], [0.0, 1.0]])
    table = predictions_table(names, labels, probabilities, CLASSES)
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_every_image_stands_with_its_name_what_it_is_taken_for_and_whether_that_is_right() -> None:
    assert [tuple(row.values()) for row in rows(["cat/1.jpg", "dog/1.jpg", "dog/2.jpg"])] == [
        ("cat/1.jpg", "cat", "cat", "0.9", "yes"),
        ("dog/1.jpg", "dog", "cat", "0.75", "no"),
        ("dog/2.jpg", "dog", "dog", "1.0", "yes"),
    ]


def test_a_file_name_is_no_formula() -> None:
    found = [row["path"] for row in rows(["=HYPERLINK(1).jpg", "@a.jpg", "a,b.jpg"])]
    assert found == ["'=HYPERLINK(1).jpg", "'@a.jpg", "a,b.jpg"]
