"""A sweep's own run in the tracking store: its tables and plots, beside the runs of its points.

The runs lie side by side, none inside another: MLflow's pages (3.17) fold nested ones away and chart their parents
alone, also where a filter finds them all.

<sweep>/overview.json   what is shown there, with the digests of its files: where a store was away, it is shown later
"""

import contextlib
import shlex
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from tlexp.errors import TrackingError
from tlexp.jsonfile import from_json, read_json, to_json
from tlexp.paths import file_digest, publish_json
from tlexp.secrets import kept_uri, masked_values
from tlexp.terminal import short_path
from tlexp.tracking import names
from tlexp.tracking.client import RunWriter, open_writer, run_tags, tagged
from tlexp.tracking.environment import environment
from tlexp.tracking.mlflow import TrackedRun, told_command, tracked_run
from tlexp.tracking.patience import SWEEP_SECONDS, attempt
from tlexp.tracking.projection import copied
from tlexp.tracking.record import RunStatus
from tlexp.tracking.store import absolute_uri, ensure_store

_LONGEST_NOTE = 4000
"""Characters; stores take 5,000 or more."""
_DEEPEST = 3
"""Parts of the name of a file: those of a report lie in a folder of their own."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """overview.json.

    Attributes:
        place: Host and folder of the sweep, which tell sweeps of one name apart.
        written: When, in UTC to the microsecond: copies of the folder may hold earlier states.
        uri: The store that was asked for, without a password; None where it was the usual one.
        experiment: Name of the MLflow experiment.
        told: What came out, in lines for people.
        files: What is shown, name below the folder -> digest.
    """

    place: str
    written: str
    uri: str | None
    experiment: str
    told: str
    files: dict[str, str]


def show_sweep(folder: Path, files: Sequence[Path], *, uri: str | None, experiment: str, told: str = "") -> TrackedRun:
    """Put a sweep's files into its own run, and return where that is. A sweep that goes on goes on with its run.

    Args:
        folder: The sweep's folder, which gives the run its name.
        files: What to show; an older file of the same name is replaced.
        uri: Tracking URI; None takes MLFLOW_TRACKING_URI, else mlflow.db of the working folder.
        experiment: Name of the MLflow experiment.
        told: What came out, in lines for people: the description of the run.

    Raises:
        TrackingError: A file cannot be read, or the store is away or refuses; that costs SWEEP_SECONDS at most.
    """
    try:
        store = absolute_uri(uri)
        overview = Overview(
            place=f"{socket.gethostname()}:{folder.resolve()}",
            written=datetime.now(UTC).isoformat(timespec="microseconds"),
            uri=None if uri is None else kept_uri(uri),
            experiment=experiment,
            told=told,
            files={path.relative_to(folder).as_posix(): file_digest(path) for path in files if path.is_file()},
        )
    except OSError as error:
        raise TrackingError(f"{folder} cannot be read ({error}): mend that, and type the same command again") from error
    overview = from_json(Overview, masked_values(to_json(overview)), "it")  # as it is read again
    with contextlib.suppress(OSError):  # where the disk is full it cannot be shown later
        publish_json(folder / names.OVERVIEW_FILE, to_json(overview))
    try:
        return attempt(
            store,
            lambda: _show(overview, folder.resolve().name, files, store, experiment),
            seconds=SWEEP_SECONDS,
            file_seconds=SWEEP_SECONDS,
        )
    except TrackingError as error:
        again = told_command(f"tlexp sync {shlex.quote(short_path(folder))}", store)
        raise TrackingError(f"{error}; write it there later, with all its runs: {again}") from error


def read_overview(path: Path) -> Overview:
    """Return what an overview.json says, which may be anybody's.

    Raises:
        TrackingError: It is damaged.
    """
    try:
        return from_json(Overview, read_json(path), "it", strict=True)
    except (OSError, ValueError, TypeError) as error:
        raise TrackingError(f"{path} cannot be read ({error}): type the command of the sweep again") from error


def replay_sweep(overview: Overview, folder: Path, *, uri: str, experiment: str) -> bool:
    """Show a sweep in a store that does not have it in this state or a later one; return whether it had to be.

    Of its folder nothing is read but what its overview vouches for.

    Args:
        overview: Of the sweep.
        folder: Its own, which may be anybody's.
        uri: Absolute tracking URI.
        experiment: Name of the MLflow experiment.

    Raises:
        TrackingError: A file is another one by now, or lies elsewhere.
    """
    writer = open_writer(uri, experiment)
    found = writer.client.search_runs([writer.experiment_id], tagged(names.TAG_SWEEP, overview.place))
    if found and found[0].data.tags.get(names.TAG_OVERVIEW, "") >= overview.written:
        return False
    with tempfile.TemporaryDirectory(prefix="tlexp-replay-") as made:
        copies = {name: Path(made) / name for name in overview.files}
        changed = [name for name in copies if not (_lies_in(folder, name) and _copied(folder, overview, name, made))]
        if changed:
            raise TrackingError(f"{folder} holds changed files ({', '.join(changed)}): type its command again")
        files = [path for path in copies.values() if path.exists()]
        _show(overview, folder.name, files, uri, experiment)
    return True


def _lies_in(folder: Path, name: str) -> bool:
    """Return whether a name is that of a file below a folder, by no link."""
    parts = PurePosixPath(name).parts
    plain = 0 < len(parts) <= _DEEPEST and not any(part == ".." or part.startswith(("/", ".")) for part in parts)
    return plain and (folder / name).parent.resolve().is_relative_to(folder.resolve())


def _copied(folder: Path, overview: Overview, name: str, into: str) -> bool:
    target = Path(into) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return copied(folder / name, target, overview.files[name])


def _show(overview: Overview, name: str, files: Sequence[Path], uri: str, experiment: str) -> TrackedRun:
    ensure_store(uri)
    writer = open_writer(uri, experiment)
    run_id = _run_of(writer, name, overview)
    writer.client.set_terminated(run_id, "FINISHED")  # first: what goes wrong from here on leaves no run open
    for path in files:
        writer.send(path, names.artifact_folder(path.name))
    writer.tag({names.TAG_OVERVIEW: overview.written})  # last: it is whole
    return tracked_run(uri, writer.experiment_id, run_id, study=name)


def _run_of(writer: RunWriter, name: str, overview: Overview) -> str:
    """Return the id of the sweep's run, made where there is none."""
    tags = run_tags(environment("")) | {
        names.TAG_SWEEP: overview.place,
        names.TAG_STUDY: name,
        names.TAG_STATUS: RunStatus.finished.value,
        names.TAG_NOTE: _described(name, overview.told),
    }
    found = writer.client.search_runs([writer.experiment_id], tagged(names.TAG_SWEEP, tags[names.TAG_SWEEP]))
    if not found:
        return writer.create(run_name=name, tags=tags)
    writer.go_on(found[0])
    writer.tag(tags)
    return writer.run_id


def _described(name: str, told: str) -> str:
    """Return what came out as Markdown, and how its runs are found."""
    if not told:
        return ""
    table = told[:_LONGEST_NOTE].replace("```", "~~~").rstrip()
    return f"Its runs: ``{tagged(names.TAG_STUDY, name)}``\n\n```\n{table}\n```"
