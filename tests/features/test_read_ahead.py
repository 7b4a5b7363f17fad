"""Parts come in order and each is read once, a few of them early; whatever ends it, no thread is left behind."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from tlexp.arrays import Positions
from tlexp.features.read_ahead import ReadAhead


class Reader:
    """Remembers what it has read; a position in `broken` cannot be read."""

    def __init__(self, *broken: int) -> None:
        self.parts: list[list[int]] = []
        self.threads: set[str] = set()
        self.broken = set(broken)

    def __call__(self, positions: Positions) -> list[int]:
        self.parts.append(positions.tolist())
        self.threads.add(threading.current_thread().name)
        if self.broken & set(positions.tolist()):
            raise ValueError(f"{positions} cannot be read")
        return [10 * position for position in positions.tolist()]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    yield
    assert not [each for each in threading.enumerate() if each.name.startswith("tlexp-reading")]


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_parts_come_in_order_and_each_is_read_once(ahead: int) -> None:
    reader = Reader()
    with ReadAhead(reader, size=3, ahead=ahead) as reading:
        reading.expect(np.arange(8, 12))
        assert list(reading.parts(np.arange(8))) == [[0, 10, 20], [30, 40, 50], [60, 70]]
        assert list(reading.parts(np.arange(8, 12))) == [[80, 90, 100], [110]]
        assert list(reading.parts(np.arange(0))) == []
    assert reader.parts == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9, 10], [11]]
    assert all(name.startswith("tlexp-reading") for name in reader.threads)


def test_the_next_parts_are_read_while_one_is_worked_on_but_no_more_of_them() -> None:
    reader = Reader()
    with ReadAhead(reader, size=1, ahead=2) as reading:
        reading.expect(np.array([7, 8, 9]))
        for number, _ in enumerate(reading.parts(np.arange(3))):  # the last two are read over into what is expected
            until(lambda number=number: len(reader.parts) == number + 3)
            time.sleep(0.01)
            assert len(reader.parts) == number + 3
        assert reader.parts == [[0], [1], [2], [7], [8]]


def test_what_was_expected_in_vain_is_not_mixed_up_with_what_is_asked_for() -> None:
    reader = Reader()
    with ReadAhead(reader, size=2) as reading:
        reading.expect(np.array([4, 5, 6, 7]))
        assert list(reading.parts(np.arange(4))) == [[0, 10], [20, 30]]
        assert list(reading.parts(np.array([6, 7, 8]))) == [[60, 70], [80]]
    assert reader.parts.count([6, 7]) == 1


def test_an_error_is_raised_when_its_part_has_its_turn() -> None:
    with ReadAhead(Reader(4), size=2) as reading:
        parts = reading.parts(np.arange(6))
        assert [next(parts), next(parts)] == [[0, 10], [20, 30]]
        with pytest.raises(ValueError, match="cannot be read"):
            next(parts)
    with ReadAhead(Reader(4), size=2) as reading:
        reading.expect(np.arange(4, 6))
        assert list(reading.parts(np.arange(4))) == [[0, 10], [20, 30]]  # nobody has asked for it


def test_an_interruption_begins_no_other_part() -> None:
    reader, goes_on = Reader(), threading.Event()

    def slowly(positions: Positions) -> list[int]:
        made = reader(positions)
        assert goes_on.wait(20)
        return made

    def interrupted() -> None:
        with ReadAhead(slowly, size=1) as reading:
            threading.Timer(0.02, goes_on.set).start()
            next(reading.parts(np.arange(100)))
            goes_on.clear()
            threading.Timer(0.02, goes_on.set).start()  # a part under way is waited for
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(reader.parts) <= 3
