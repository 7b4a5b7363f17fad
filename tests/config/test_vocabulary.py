import pytest

from tests.composed import load
from tlexp.config.vocabulary import vocabulary
from tlexp.secrets import guard, masked, spare


@pytest.mark.parametrize("word", ["shapes", "test_resnet", "resnet50", "backbone", "data.per_class", "multirun"])
def test_a_password_that_is_a_word_of_configurations_hides_none(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", word)
    monkeypatch.setenv("OTHER_PASSWORD", "hunter2")
    for learn_first in (True, False):
        if learn_first:
            guard()
        spare(vocabulary())
        guard()
        assert masked(f"data={word} hunter2") == f"data={word} ${{oc.env:OTHER_PASSWORD}}"


def test_the_backbone_keeps_its_name_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "test_resnet")
    spare(vocabulary())
    guard()
    assert load(["backbone.name=test_resnet"]).shown["backbone"]["name"] == "test_resnet"
