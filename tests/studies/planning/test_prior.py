import pytest

from tlexp.errors import ConfigError
from tlexp.studies.planning.prior import TABLE, find_prior


def test_a_name_without_a_tag_means_the_default_weights() -> None:
    assert find_prior("tf_efficientnet_lite0") == find_prior("tf_efficientnet_lite0.in1k")
    found = find_prior("tf_efficientnet_lite0")
    assert found is not None
    assert (found.top1, found.image_size, found.parameters) == (74.846, 224, 4.65)


def test_weights_that_never_knew_the_classes_have_no_prior() -> None:
    assert find_prior("vit_small_patch14_dinov2") is None


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet5000"):
        find_prior("resnet5000")


def test_the_table_names_its_source_and_licence() -> None:
    first = TABLE.read_text().splitlines()[:3]
    assert all(line.startswith("#") for line in first)
    assert "Apache-2.0" in first[2]
