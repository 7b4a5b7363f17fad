import pytest

from tests.composed import load
from tlexp.tracking.params import run_params


def params(*words: str, kept: tuple[str, ...] = ()) -> dict[str, object]:
    return dict(run_params(load(words).shown, kept=kept))


def test_a_run_states_what_it_uses() -> None:
    found = params("freeze=all", "tracking=off", "train.progress=false")
    core = {"backbone.name", "freeze.policy", "head.kind", "labels", "seed", "optim.name", "data.per_class"}
    assert len(found) < 50
    assert core <= found.keys()
    assert not [name for name, value in found.items() if value in (None, "[]")]
    assert not [name for name in found if name.startswith(("tracking.", "tune.trials", "augment.", "cache.dir"))]
    assert "train.progress" not in found


@pytest.mark.parametrize(
    ("words", "stated", "left"),
    [
        (["head=logreg"], ["head.kind"], ["optim.name", "optim.clip_norm", "train.label_smoothing", "head.activation"]),
        (["head=logreg", "optim.weight_decay=0.1"], ["optim.weight_decay"], ["optim.name"]),
        (
            ["data=folder", "data.root=photos"],
            ["data.root", "data.on_bad", "data.decoder"],
            ["data.per_class", "data.split"],
        ),
        (["head=mlp"], ["head.activation", "head.hidden"], []),
        (["augment=light"], ["augment.kind"], []),
        (["augment.mixup=0.2"], ["augment.mixup"], []),
        (["tune.trials=3"], ["tune.trials", "tune.lr", "tune.search"], []),
        (["freeze=depth", "freeze.depth=2"], ["freeze.depth", "freeze.by"], []),
        ([], ["tune.validate"], ["tune.lr", "freeze.by", "data.on_leak", "data.on_bad", "data.decoder"]),
    ],
)
def test_groups_that_a_run_does_not_use_are_left_out(words: list[str], stated: list[str], left: list[str]) -> None:
    found = params(*words)
    assert [name for name in stated if name not in found] == []
    assert [name for name in left if name in found] == []


def test_what_a_sweep_varies_stays() -> None:
    assert params(kept=("augment.mixup", "optim.lr")).keys() >= {"augment.mixup", "optim.lr"}


def test_of_a_reference_nothing_is_known() -> None:
    shown = load([]).shown
    shown["head"]["kind"] = "${oc.env:HEAD}"
    assert run_params(shown).keys() >= {"optim.name", "head.activation"}
