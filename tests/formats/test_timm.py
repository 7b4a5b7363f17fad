"""timm loads the folder by itself, and what it says is what the run says."""

import json
from pathlib import Path

import pytest
import timm

from tests.formats.conftest import CLASSES, SIDE, same_as_the_network, trained
from tlexp.config.head import HeadKind
from tlexp.errors import ConfigError
from tlexp.formats.timm import FORMAT


@pytest.mark.parametrize(
    ("kind", "stated"),
    [(HeadKind.linear, {}), (HeadKind.logreg, {"temperature": 1.0, "prior": None}), (HeadKind.ridge, {"prior": None})],
)
def test_timm_gives_the_probabilities_of_the_run(kind: HeadKind, stated: dict[str, object], tmp_path: Path) -> None:
    made = trained(kind, **stated)
    FORMAT.write(made, tmp_path)
    same_as_the_network(made, FORMAT.snippet(made.card), tmp_path)


def test_the_folder_says_what_timm_needs_to_know(tmp_path: Path) -> None:
    made = trained(HeadKind.linear, global_pool="max")
    FORMAT.write(made, tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["architecture"] == "test_resnet"
    assert described["label_names"] == list(CLASSES)
    assert described["model_args"] == {"global_pool": "max"}
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    resolved = timm.data.resolve_model_data_config(model)
    assert list(resolved["input_size"]) == [3, SIDE, SIDE]
    assert tuple(resolved["mean"]) == made.card.preprocessing.mean
    assert resolved["crop_pct"] == made.card.preprocessing.crop_pct
    same_as_the_network(made, FORMAT.snippet(made.card), tmp_path)


@pytest.mark.parametrize("kind", [HeadKind.knn, HeadKind.mlp, HeadKind.attention, HeadKind.cosine])
def test_a_head_that_timm_has_not_is_refused_with_the_formats_that_take_it(kind: HeadKind, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"head={kind} is not one linear layer; choose --format tlexp, onnx, pt2 or m"
    ):
        FORMAT.write(trained(kind), tmp_path)
    assert not list(tmp_path.iterdir())
