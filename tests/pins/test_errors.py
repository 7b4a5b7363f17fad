"""What is said of settings that do not allow a run, word for word."""

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.pins.conftest import stored_values
from tlexp.errors import TlexpError

WRONG = [
    "backbone=resnet5 optim.lrr=3 optim.lr=0.01x labels=2.5 tune.lr=[1,0.1] head.norm=bach",
    "data=folder",
    "data=folder data.root=nowhere",
    "data=csv data.root=nowhere.csv",
    "data.num_classes=1",
    "labels=25",
    "labels=0",
    "freeze=depth freeze.depth=9",
    "freeze=depth freeze.depth=layer9",
    "freeze=all freeze.depth=2",
    "freeze=surgical freeze.units=[layer9]",
    "freeze=gradual freeze.phases=7",
    "freeze=gradual freeze.phases=4 train.limit_steps=3",
    "freeze=lpft train.limit_steps=1",
    "freeze=lpft head.init=probe",
    "freeze=lora freeze.rank=0",
    "freeze.norm=keep backbone.pretrained=false",
    "cache=on freeze=none",
    "cache=on freeze=bias",
    "cache=on freeze=depth freeze.depth=0",
    "cache=on freeze=depth freeze.depth=0.01",
    "cache=on freeze=depth freeze.depth=5",
    "cache=on freeze=last head.units=[layer2,layer4]",
    "cache=on freeze.norm=update",
    "cache=on freeze=last freeze.norm=update",
    "cache=on augment=light",
    "cache=on freeze=gradual augment=light",
    "cache=on augment.mixup=0.2",
    "cache.views=2",
    "head=logreg freeze=none",
    "head=logreg freeze=depth freeze.depth=2",
    "head=logreg augment=light",
    "head=ridge augment=light cache.views=2",
    "head=flatten_mlp head.global_pool=max",
    "head.units=[layer9]",
    "head.init=probe head=mlp freeze=none",
    "backbone=pixels freeze=none",
    "tune.trials=3 labels=1",
    "tune.trials=3 optim.lr=0.1",
    "resume=",
    "resume=FOLDER/nowhere",
]


def test_wrong_settings_are_told_in_the_words_that_they_were(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {}
    for number, words in enumerate(WRONG):
        given = [word.replace("FOLDER", str(tmp_path)) for word in words.split()]
        try:
            start(*given, name=str(number))
        except TlexpError as error:
            told[words] = f"{type(error).__name__}: {error}".replace(str(tmp_path), "FOLDER")
        else:
            told[words] = "not refused"
    assert "not refused" not in told.values()
    assert told == stored_values("errors.json", told)
