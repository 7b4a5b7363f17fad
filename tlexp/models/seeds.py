"""Weights drawn from a seed of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw what is initialised inside from the seed; the CPU's global generator is left as it was.

    `torch.manual_seed` would also reseed every accelerator, for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
