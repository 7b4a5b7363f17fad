"""Parts of a whole that are read by a thread of its own while the parts before them are worked on."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np

from tlexp.arrays import Positions

_T = TypeVar("_T")
AHEAD = 2
"""Parts that are read before they are asked for: one is ready, one under way."""


class ReadAhead(Generic[_T]):
    """Reads parts in the order in which they are asked for, a few of them early; used as a context.

    What is read early lies in memory until its turn: `ahead` parts at most, and the one that is worked on. An error of
    reading is raised when the part has its turn. When the context ends, the part under way is waited for, and none is
    begun.

    Args:
        read: Positions of a part -> what is made of it; called by the thread alone.
        size: Positions of a part, at most.
        ahead: Parts that are read early; 0 reads each when it is asked for.
    """

    def __init__(self, read: Callable[[Positions], _T], *, size: int, ahead: int = AHEAD) -> None:
        self._read, self._size, self._ahead = read, size, ahead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tlexp-reading")
        self._begun: dict[bytes, Future[_T]] = {}
        self._expected: list[Positions] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._begun.clear()

    def expect(self, positions: Positions) -> None:
        """Say what will be asked for after what is asked for next; where it is not, it was read for nothing."""
        self._expected = self._split(positions)

    def parts(self, positions: Positions) -> Iterator[_T]:
        """Yield what is made of the parts of positions (n,), in their order."""
        asked = self._split(positions)
        following, self._expected = [*asked, *self._expected], []
        wanted = {part.tobytes() for part in following}
        for key in [key for key in self._begun if key not in wanted]:
            self._begun.pop(key).cancel()
        for place in range(len(asked)):
            for part in following[place : place + 1 + self._ahead]:
                self._begin(part)
            yield self._begun.pop(following[place].tobytes()).result()

    def _begin(self, part: Positions) -> None:
        key = part.tobytes()
        if key not in self._begun:
            self._begun[key] = self._thread.submit(self._read, part)

    def _split(self, positions: Positions) -> list[Positions]:
        return [positions[start : start + self._size] for start in np.arange(0, len(positions), self._size)]
