import pytest

from tlexp.data.splits import choose_held_out, split_meant, splits_meant

MEANINGS = {
    "train": "train Train TRAINING trn train_set training-set trainset TrainSet seg_train train2017 train.1",
    "test": "test Testing TST test_set testset seg_test hold-out holdout held_out test1",
    "evaluation": "Evaluation eval eval_set",
    "val": "val VALID validation ValidationSet dev val_set dev_set development val2017",
    None: "cat trains testament dev+ops valley invalid vale contest pretrain latest set data images 1 _ training_day",
}


@pytest.mark.parametrize(("meaning", "names"), MEANINGS.items())
def test_names_mean_the_split_that_people_mean(meaning: str | None, names: str) -> None:
    assert {name: split_meant(name) for name in names.split()} == dict.fromkeys(names.split(), meaning)


def test_names_of_one_meaning_are_kept_apart() -> None:
    assert splits_meant(["Train", "cat", "dev", "train"]) == {"train": ["Train", "train"], "val": ["dev"]}


def test_test_is_held_out_before_val() -> None:
    assert choose_held_out(["train"]) == (None, ())
    assert choose_held_out(["dev", "train"]) == ("dev", ())
    held_out, notes = choose_held_out(["dev", "Testing", "train"])
    assert held_out == "Testing"
    assert notes == ("dev beside Testing is not used: Testing is held out as the test split",)


@pytest.mark.parametrize("other", ["eval", "evaluation", "holdout", "Testing", "validation", "dev"])
def test_test_by_its_own_name_comes_before_every_other(other: str) -> None:
    note = f"{other} beside test is not used: test is held out as the test split"
    assert choose_held_out(["train", other, "test"]) == choose_held_out(["test", "train", other]) == ("test", (note,))
    assert choose_held_out(["train", "validation", "val"])[0] == "val"
