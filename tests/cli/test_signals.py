import os
import signal
from collections.abc import Iterator

import pytest

from tlexp.cli.signals import Signals
from tlexp.errors import Interrupted

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_remembered_for_the_loop_and_the_second_ends_the_run(number: int) -> None:
    signals = Signals(lambda: None)
    signals.waits = True
    assert signals.received is None
    os.kill(os.getpid(), number)
    assert signals.received == number
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), number)


def test_outside_the_loop_a_signal_ends_the_run_at_once() -> None:
    signals = Signals(lambda: None)
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received is None


def test_a_sweep_s_own_request_is_heard_unless_a_signal_came() -> None:
    signals = Signals(lambda: signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    signals.waits = True
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == signal.SIGINT
