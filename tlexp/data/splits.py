"""Which of a source's own splits label budgets are drawn from, and which is held out."""

from collections.abc import Collection

TRAIN = "train"
HELD_OUT = ("test", "val", "validation")
"""Names of a held-out split, the first that there is being taken."""


def choose_held_out(given: Collection[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that is held out, None where there is none, and a note on others that could have been."""
    found = [name for name in HELD_OUT if name in given]
    if len(found) < 2:
        return (found[0] if found else None), ()
    first, *rest = found
    return first, (f"{', '.join(rest)} beside {first} is not used: {first} is held out as the test split",)
