"""The command line: finds the verb, strips tlexp's own flags before Hydra sees them, presents errors.

Nothing heavy is imported at the top: `--help`, `--version`, completion and mistakes in settings answer at once.
"""

from tlexp.cli.command import main

__all__ = ["main"]
