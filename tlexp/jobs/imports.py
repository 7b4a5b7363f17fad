"""Large imports in less time: nobody looks for garbage while modules are made, which stay anyway."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def large_imports() -> Iterator[None]:
    """Collect no garbage inside, and pass over all that is there afterwards: a million objects of torch and timm.

    For processes of the command alone: what somebody else's process has made so far may become garbage yet.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
