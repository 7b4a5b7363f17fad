import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tlexp.errors import Interrupted
from tlexp.jobs.signals import NUMBERS, Handlers, Signals, handlers, listen


@pytest.fixture(autouse=True)
def as_heard() -> Iterator[Handlers]:
    before = handlers()
    yield before
    listen(before)


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
    assert signals.received == signal.SIGTERM, "who swallowed it is asked again"


def test_a_sweep_s_own_request_is_heard_unless_a_signal_came() -> None:
    signals = Signals(lambda: signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    signals.waits = True
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == signal.SIGINT


def test_another_thread_leaves_the_handlers_as_they_are_for_python_would_refuse(as_heard: Handlers) -> None:
    thread = threading.Thread(target=lambda: heard.append(Signals(lambda: None)))
    heard: list[Signals] = []
    thread.start()
    thread.join()
    assert heard[0].received is None
    assert handlers() == as_heard
