"""What crosses a cut, as one row of numbers per image and back again.

Tensors of several images share their first dimension, whose length is that of the batch or a multiple of it (windows,
patches of a patch); a row holds an image's part of each of them. Sizes are no part of a row: they are worked out from
the batch. rows (B, D) of one dtype.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Form:
    """How a tensor of a batch looks.

    Attributes:
        times: Length of the first dimension per image.
        shape: Of the other dimensions.
        order: The other dimensions as they lie in memory, outermost first: kernels are chosen by it.
        dtype: Of the values.
    """

    times: int
    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numbers(self) -> int:
        """Values per image."""
        return self.times * math.prod(self.shape)

    def pack(self, tensor: Tensor) -> Tensor:
        """Return the tensor as (B, numbers)."""
        return tensor.permute(0, *(1 + place for place in self.order)).reshape(len(tensor) // self.times, -1)

    def unpack(self, rows: Tensor) -> Tensor:
        """Return the tensor of rows (batch, numbers), which may share their memory."""
        lying = [self.shape[place] for place in self.order]
        back = [1 + self.order.index(place) for place in range(len(self.shape))]
        return rows.reshape(len(rows) * self.times, *lying).permute(0, *back).to(self.dtype)

    def __str__(self) -> str:
        sizes = "x".join(map(str, (*([f"{self.times}B"] if self.times > 1 else []), *self.shape)))
        return f"{str(self.dtype).removeprefix('torch.')}({sizes} as {','.join(map(str, self.order))})"


@dataclass(frozen=True)
class Multiple:
    """An int that is a multiple of the batch."""

    times: int


class Here:
    """The device that the batch is on."""


class UnfitError(Exception):
    """A value is not one of each image's own; says how. Never leaves the package."""


def form_of(two: Any, three: Any) -> Any:
    """Return the form of a value from how it looked with two and with three images: see `look`.

    Tensors become `Form`, ints that follow the batch `Multiple`, devices `Here`; all else stands for itself.

    Raises:
        UnfitError: It follows the batch in another way.
    """
    if isinstance(two, _Look) and isinstance(three, _Look):
        times = two.shape[0] // 2 if two.shape else 0
        if not times or (two.shape[0], three.shape[0]) != (2 * times, 3 * times) or two.shape[1:] != three.shape[1:]:
            raise UnfitError(f"a tensor of {list(two.shape)} for two images is not made of rows of one image each")
        if not two.dtype.is_floating_point:
            raise UnfitError(f"a tensor of {two.dtype} crosses")
        return Form(times, two.shape[1:], three.order, two.dtype)
    if isinstance(two, list | tuple) and type(two) is type(three) and len(two) == len(three):
        return type(two)(form_of(a, b) for a, b in zip(two, three, strict=True))
    if isinstance(two, dict) and isinstance(three, dict) and two.keys() == three.keys():
        return {key: form_of(value, three[key]) for key, value in two.items()}
    if isinstance(two, Here) and isinstance(three, Here):
        return two
    if type(two) is type(three) and two == three:
        return two
    if type(two) is type(three) is int and two % 2 == 0 and three == two // 2 * 3:
        return Multiple(two // 2)
    raise UnfitError(f"a value that is {two} for two images and {three} for three follows the batch in no simple way")


@dataclass(frozen=True)
class _Look:
    """How a tensor looks, without its values."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype


def look(value: Any) -> Any:
    """Return a value with its tensors replaced by how they look."""
    if isinstance(value, Tensor):
        strides = value.stride()[1:]
        order = tuple(sorted(range(len(strides)), key=lambda place: -strides[place]))
        return _Look(tuple(value.shape), order, value.dtype)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.device):
        return Here()
    if type(value) in (list, tuple):
        return type(value)(look(each) for each in value)
    return {key: look(each) for key, each in value.items()} if isinstance(value, dict) else value


def forms_in(form: Any) -> list[Form]:
    """Return the forms of the tensors in a value's form, in order."""
    return [each for each in tree_leaves(form) if isinstance(each, Form)]


def restored(form: Any, batch: int, device: torch.device, tensors: Iterator[Tensor]) -> Any:
    """Return a value of a form, for so many images."""
    if isinstance(form, Form):
        return next(tensors)
    if isinstance(form, Multiple):
        return form.times * batch
    if isinstance(form, Here):
        return device
    if isinstance(form, list | tuple):
        return type(form)(restored(each, batch, device, tensors) for each in form)
    if isinstance(form, dict):
        return {key: restored(each, batch, device, tensors) for key, each in form.items()}
    return form


def pack(forms: Sequence[Form], values: Sequence[Any]) -> Tensor:
    """Return rows of values that cross, in a tensor of their own, which no later step can write into."""
    tensors = [leaf for leaf in tree_leaves(list(values)) if isinstance(leaf, Tensor)]
    rows = [form.pack(tensor) for form, tensor in zip(forms, tensors, strict=True)]
    dtype = row_dtype(forms)
    return torch.cat([row.to(dtype) for row in rows], 1) if len(rows) > 1 else rows[0].clone()


def unpack(forms: Sequence[Form], rows: Tensor) -> list[Tensor]:
    """Return the tensors that cross, of rows."""
    parts = torch.split(rows, [form.numbers for form in forms], 1)
    return [form.unpack(part) for form, part in zip(forms, parts, strict=True)]


def row_dtype(forms: Sequence[Form]) -> torch.dtype:
    """Return a dtype that holds the values of all tensors exactly: half kinds of their own kind, else float32."""
    found = {form.dtype for form in forms}
    return found.pop() if len(found) == 1 else torch.float32 if torch.float64 not in found else torch.float64
