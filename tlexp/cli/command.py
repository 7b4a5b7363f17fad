"""The command: its first word names a verb, its end is an exit status."""

import os
import shlex
import signal
import sys

from tlexp import __version__
from tlexp.cli.arguments import take
from tlexp.cli.complaint import FINDINGS, INTERNAL, SIGNALLED, USER, complain
from tlexp.cli.launch import launch
from tlexp.cli.page import page
from tlexp.cli.signals import hear
from tlexp.cli.verbs import VERBS
from tlexp.config.casting import nearest
from tlexp.config.vocabulary import vocabulary
from tlexp.errors import ConfigError, Interrupted, TlexpError, TrainingError
from tlexp.secrets import guard, spare
from tlexp.terminal import plain_streams


def main() -> None:
    """Run the command line and exit with its status; nothing that it prints holds escapes."""
    hear()
    with plain_streams():
        _main()


def _main() -> None:
    words = sys.argv[1:]
    spare(vocabulary())
    guard(words)
    debug = take(words, "--debug")
    try:
        sys.exit(_dispatch(words))
    except TlexpError as error:
        complain(error, debug=debug)
        sys.exit(FINDINGS if isinstance(error, TrainingError) else USER)
    except (Interrupted, KeyboardInterrupt) as error:
        number = error.signal_number if isinstance(error, Interrupted) else signal.SIGINT
        sys.exit(SIGNALLED + number)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; that is no fault
        sys.exit(SIGNALLED + signal.SIGPIPE)
    except OSError as error:
        complain(error, debug=debug)
        sys.exit(USER)
    except Exception as error:  # noqa: BLE001 - the last frame: whatever arrives here is our own fault
        complain(error, debug=debug)
        print("this is a fault in tlexp itself; --debug shows where", file=sys.stderr)
        sys.exit(INTERNAL)


_TRAINS = ("train", "fit", "run")
"""What people type where no verb is needed."""


def _no_verb(words: list[str]) -> str:
    """Return what is wrong with a first word that is no verb."""
    first, *others = words
    if first in _TRAINS:
        return f"{first} is no verb, and none is needed: {shlex.join(['python', '-m', 'tlexp', *others])} trains"
    from tlexp.compose.words import of_folder  # lazy: keeps --help fast

    return (
        f"{first} is neither a verb ({', '.join(VERBS)}) nor an override such as labels=20{nearest(first, VERBS)}"
        f"{of_folder(first)}; see tlexp --help"
    )


def _dispatch(words: list[str]) -> int:
    verb = words[0] if words and words[0] in VERBS else None
    if words and verb is None and not words[0].startswith("-") and "=" not in words[0]:
        raise ConfigError(_no_verb(words))
    misplaced = next((word for word in words[1:] if word in VERBS), None)
    if misplaced is not None and verb is None:
        raise ConfigError(f"{misplaced} is a verb and goes first: tlexp {misplaced} {' '.join(words[:1])} ...")
    if (verb is None or not VERBS[verb].has_help) and take(words, "--help", "-h"):
        print(page())
        return 0
    if take(words, "--version"):
        print(f"tlexp {__version__}")
        return 0
    if verb is None:
        return launch(words)
    return VERBS[verb].run(words[1:])
