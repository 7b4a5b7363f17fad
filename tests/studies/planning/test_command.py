"""The command line of a study, and the words of its jobs."""

from tlexp.studies.planning.command import StudyCommand


def test_raw_pixels_take_nothing_of_the_network_beside_them() -> None:
    command = StudyCommand(stated=("backbone=lite0", "backbone.image_size=64", "head.global_pool=avg", "train.seed=1"))
    assert command.overrides(("backbone=pixels", "head=logreg")) == ("train.seed=1", "backbone=pixels", "head=logreg")
    assert command.overrides(("head=logreg",)) == (*command.stated, "head=logreg")
