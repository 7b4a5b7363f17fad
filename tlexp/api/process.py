"""The process that calls: of what Hydra, libraries and tlexp itself change in it, nothing is left behind a call.

Other programs live in it: a notebook, a server, an application of Hydra's own, whose settings a call must not touch.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence

from hydra import version
from hydra.core import utils
from hydra.core.config_store import ConfigStore
from omegaconf.basecontainer import BaseContainer

from tlexp.compose.registration import register
from tlexp.config.vocabulary import vocabulary
from tlexp.errors import Interrupted
from tlexp.jobs.signals import handlers, listen
from tlexp.paths import distrust_working_folder
from tlexp.secrets import guard, spare
from tlexp.terminal import plain_streams
from tlexp.tracking.library import mlflow_guard

_one_at_a_time = threading.Lock()
_SAFE = "PYTHONSAFEPATH"


@contextlib.contextmanager
def borrowed(words: Sequence[str]) -> Iterator[None]:
    """Work in somebody else's process: one call after the other, and it is left as it was found.

    Nothing is carried over from one call to the next: images may have changed in between.

    Args:
        words: Of the call, in which secrets may stand.

    Raises:
        KeyboardInterrupt: Somebody pressed Ctrl-C; checkpoints are written. Another signal does what it did before.
    """
    try:
        with _one_at_a_time, _kept(), mlflow_guard, _kept_hydra():
            spare(vocabulary())
            guard(words)
            with plain_streams(), _forgotten():
                yield
    except Interrupted as error:
        if error.signal_number != signal.SIGINT:
            signal.raise_signal(error.signal_number)
        raise KeyboardInterrupt from None


@contextlib.contextmanager
def _forgotten() -> Iterator[None]:
    """Let go of network and images that the runs of a sweep shared."""
    try:
        yield
    finally:
        if (loaded := sys.modules.get("tlexp.experiment.session")) is not None:  # it takes torch
            loaded.process_session.cache_clear()


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Keep handlers of signals, streams, logs, warnings and what a child process would import."""
    heard_by, streams, safe = handlers(), (sys.stdout, sys.stderr), os.environ.get(_SAFE)
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    logs, level = root.handlers[:], root.level
    try:
        with warnings.catch_warnings():
            yield
    finally:
        listen(heard_by)
        sys.stdout, sys.stderr = streams
        logging.setLogRecordFactory(factory)
        root.handlers[:] = logs
        root.setLevel(level)
        os.environ.pop(_SAFE, None)
        if safe is not None:
            os.environ[_SAFE] = safe


@contextlib.contextmanager
def _kept_hydra() -> Iterator[None]:
    """Keep what Hydra holds once for a process: an application around the call, or none, finds it again."""
    base, job, saved = version.VersionBase.instance(), utils.JobRuntime.instance(), utils._save_config
    stated, name, resolvers = base.getbase(), job.get("name"), dict(BaseContainer._resolvers)
    schemas, path = ConfigStore.instance().repo, sys.path[:]
    schema = schemas.get("_schema.yaml")
    try:
        distrust_working_folder()  # Hydra scans every `hydra_plugins` on the path
        register()
        yield
    finally:
        base.version_base = stated
        job.set("name", name)
        utils._save_config = saved
        BaseContainer._resolvers = resolvers
        sys.path[:] = path
        if schema is not None:
            schemas["_schema.yaml"] = schema
