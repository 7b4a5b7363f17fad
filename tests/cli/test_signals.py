import signal
import subprocess
import sys

import pytest

NUMBERS = (signal.SIGTERM, signal.SIGINT)

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
