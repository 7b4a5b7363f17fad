import pytest
import torch

from tlexp.models.digest import tensors_digest

BASE = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(3)}


def test_order_and_layout_in_memory_do_not_count() -> None:
    turned = {"a": BASE["a"].clone(), "b": BASE["b"].t().contiguous().t()}
    assert tensors_digest(turned) == tensors_digest(BASE)
    assert len(tensors_digest({})) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"b": BASE["b"], "c": BASE["a"]},
        {"b": BASE["b"].reshape(3, 2), "a": BASE["a"]},
        {"b": BASE["b"].view(torch.int32), "a": BASE["a"]},
        {"b": BASE["b"].nextafter(torch.tensor(9.0)), "a": BASE["a"]},
        {"b": BASE["b"]},
    ],
)
def test_names_shapes_types_and_every_bit_count(other: dict[str, torch.Tensor]) -> None:
    assert tensors_digest(other) != tensors_digest(BASE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.uint8])
def test_every_type_has_a_digest(dtype: torch.dtype) -> None:
    assert tensors_digest({"a": torch.ones(2, dtype=dtype)}) != tensors_digest({"a": torch.zeros(2, dtype=dtype)})
