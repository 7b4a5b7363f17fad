import signal
from collections.abc import Callable
from typing import Any

from tlexp.data import Images
from tlexp.train import Listener


class Stopper(Listener):
    """Asks to stop at the n-th question."""

    def __init__(self, question: int) -> None:
        self.left = question

    def should_stop(self) -> int | None:
        self.left -= 1
        return signal.SIGTERM if self.left < 0 else None


class Spy:
    """Images that remember which of them were read, and refuse while they must not be."""

    def __init__(self, images: Images, open_now: Callable[[], bool]) -> None:
        self.images, self.open_now, self.read_indices = images, open_now, list[int]()
        self.labels, self.names = images.labels, images.names

    def digest(self, index: int) -> bytes:
        return self.images.digest(index)

    def read(self, index: int) -> Any:
        assert self.open_now(), "an image was read that must not be read yet"
        self.read_indices.append(index)
        return self.images.read(index)
