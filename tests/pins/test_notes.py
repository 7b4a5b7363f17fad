"""What a record notes for its readers, and what it says of the cache, for policies and ways of keeping rows."""

from tests.pins.conftest import Runs, stored_values

NOTED = [
    "",
    "cache=off",
    "augment=light",
    "augment=light cache=off",
    "augment=light cache.views=2",
    "freeze.norm=update",
    "augment.mixup=0.2",
    "freeze=none train.limit_steps=2",
    "freeze=depth freeze.depth=5 train.limit_steps=2",
    "freeze=depth freeze.depth=2 train.limit_steps=2",
    "freeze=depth freeze.depth=2 train.limit_steps=2 cache=off",
    "freeze=depth freeze.depth=2 train.limit_steps=2 cache=off data.memory_bytes=1",
    "freeze=last augment=flip train.limit_steps=2",
    "freeze=last head.units=[layer2,layer4] train.limit_steps=2",
    "freeze=gradual freeze.phases=3 head.units=[layer2,layer4] train.limit_steps=3",
    "freeze=gradual freeze.phases=3 augment=light train.limit_steps=3",
    "freeze=lpft train.limit_steps=2 cache=off",
    "freeze=lora train.limit_steps=2 backbone.pretrained=false",
    "head=logreg cache=on",
]


def test_runs_note_what_they_noted(runs: Runs) -> None:
    found = {}
    for words in NOTED:
        record = runs.record(f"{words} labels=4 tune.validate=false")
        cache = record["train"].get("cache")
        notes = [note for note in record["notes"] if not note.startswith("test accuracy")]  # it is a processor's own
        found[words] = {"notes": notes, "cache": cache and sorted(cache)}
    assert found == stored_values("notes.json", found)
