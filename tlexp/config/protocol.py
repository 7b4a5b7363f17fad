"""The protocol's numbers: batch size and training length from the size of the label budget."""

PROTOCOL = 9
"""Raised whenever the same configuration gives other results than before; part of every run's key."""


CHUNK = 32
"""Images that frozen layers see at once on a CPU, the last ones filled up with zeros; part of every cut's key."""


def protocol_batch_size(images: int) -> int:
    """Return b = min(32, n) for a budget of n images."""
    return min(32, images)


def protocol_steps(images: int) -> int:
    """Return T = clip(30 * ceil(n / b), 200, 5000) optimiser steps for a budget of n images.

    >>> protocol_steps(10), protocol_steps(1000), protocol_steps(10**6)
    (200, 960, 5000)
    """
    batches = -(-images // protocol_batch_size(images))
    return min(max(30 * batches, 200), 5000)
