import os
import signal
import subprocess
import sys
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
    assert signals.received == signal.SIGTERM, "who swallowed it is asked again"


def test_a_sweep_s_own_request_is_heard_unless_a_signal_came() -> None:
    signals = Signals(lambda: signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    signals.waits = True
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == signal.SIGINT


LOADING = """
import builtins, os, signal, sys
from tlexp.__main__ import main
real = builtins.__import__
def load(name, *others):
    if name == {module!r}:
        builtins.__import__ = real
        try:
            os.kill(os.getpid(), {number})
        except Exception:  # as libraries do that can go without a part
            pass
    return real(name, *others)
builtins.__import__ = load
sys.argv = ["tlexp", "plan", "labels=2"]
main()
"""


@pytest.mark.broad(2)
@pytest.mark.parametrize("module", ["argparse", "tlexp.cli.command", "tlexp.compose.load"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_while_modules_load_ends_the_command_with_its_status(module: str, number: int) -> None:
    code = LOADING.format(module=module, number=int(number))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + number, "")
