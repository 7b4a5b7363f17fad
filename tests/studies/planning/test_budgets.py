import numpy as np

from tlexp.studies.planning.budgets import allowed_budgets

CLASSES = ("ant", "bee")
STATED = ("1", "2", "5", "20", "all")


def test_a_study_leaves_out_budgets_that_a_class_of_one_group_cannot_be_selected_in() -> None:
    labels, groups = np.repeat([0, 1], 30), np.repeat(np.arange(12), 5)
    found, skipped = allowed_budgets(STATED, labels, CLASSES, groups=groups)
    assert not skipped
    assert [(budget.labels, budget.groups, budget.folds) for budget in found] == [
        ("1", 1, 0), ("2", 2, 2), ("5", 5, 5), ("20", 6, 1), ("all", 6, 1)
    ]  # fmt: skip
    one = np.where(labels == 0, 0, groups)
    found, skipped = allowed_budgets(STATED, labels, CLASSES, groups=one)
    assert [budget.labels for budget in found] == ["1"]
    assert skipped["labels=5"] == (
        "all images of ant are one group (data.group), which leaves nothing to compare settings on"
    )
    assert len(allowed_budgets(STATED, labels, CLASSES, groups=one, compared=False)[0]) == 5


def test_few_groups_make_fewer_folds() -> None:
    labels, groups = np.repeat([0, 1], 30), np.repeat(np.arange(6), 10)
    found, _ = allowed_budgets(("2", "5", "9", "10"), labels, CLASSES, groups=groups)
    assert [budget.folds for budget in found] == [2, 3, 3, 1]
    plain, _ = allowed_budgets(("2", "5", "9", "10"), labels, CLASSES)
    assert [budget.folds for budget in plain] == [2, 5, 5, 1]


def test_of_classes_that_are_too_small_the_smallest_is_named() -> None:
    labels = np.repeat([0, 1, 2], [9, 3, 4])
    found, skipped = allowed_budgets(("5", "3"), labels, ("ant", "bee", "cat"))
    assert [budget.labels for budget in found] == ["3"]
    assert skipped == {"labels=5": "the smallest class, bee, has 3 images"}
