"""A study, told top to bottom: what it is, what it will take, its columns, and the report.

The records in its folder are the truth, as those of a sweep are: the same command typed again goes on.
"""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from tlexp.config.tracking import TrackingConfig
from tlexp.data import Images, copies_csv, leaks_csv
from tlexp.errors import TrackingError, TrainingError
from tlexp.experiment.session import process_session
from tlexp.jobs.folder import Attempt
from tlexp.jobs.index import RunIndex
from tlexp.jobs.planned import Planned, way_out
from tlexp.jobs.predecessor import predecessor_note
from tlexp.jobs.progress import say
from tlexp.jobs.runner import HydraContext, Job, JobRunner
from tlexp.jobs.tracked import TrackedSweep
from tlexp.paths import publish, publish_json
from tlexp.studies.analysis.analyse import analyse
from tlexp.studies.analysis.reading import read_table
from tlexp.studies.column import COLUMN_FILE, COLUMNS
from tlexp.studies.planning.costs import Estimate, estimate
from tlexp.studies.planning.minutes import leave_out_again, refuse_longer, shorten
from tlexp.studies.planning.study_plan import PlannedColumn, StudyPlan
from tlexp.studies.planning.survey import survey
from tlexp.studies.report.report import write_report
from tlexp.studies.report.summary import summary
from tlexp.terminal import one_line
from tlexp.tracking import names
from tlexp.tracking.overview import show_sweep
from tlexp.tracking.store import serve_command
from tlexp.train import Listener


def study(overrides: Sequence[str], context: HydraContext, *, dry_run: bool = False) -> None:
    """Run every replicate that has not finished, and write the report.

    Args:
        overrides: Of the command line, without those that are Hydra's own.
        context: What Hydra hands over.
        dry_run: Say what would run and how long it would take.

    Raises:
        ConfigError: The overrides do not fit, the study does not fit its minutes, or another process works on it.
        TrainingError: The study came to its end, but some runs did not finish.
        Interrupted: A signal asked to stop.
    """
    session = process_session()
    plan = StudyPlan(overrides, context, session, Listener())
    plan.folder.agree(plan.fixed)
    index = RunIndex(plan.folder.attempts())
    done = frozenset(run.key for _, run in plan.runs if index.counting(run.key) is not None)
    begun = plan.begun
    again = () if begun is None else leave_out_again(plan, begun)
    found = estimate(plan, session, done)
    if begun is None:
        shorten(plan, found)
    print(survey(plan, found, again=again))  # noqa: T201 - this is what people see first
    if begun is None:
        refuse_longer(plan, found)
    about = plan.about({"seconds": round(found.total(plan), 1)})
    if note := predecessor_note(plan.folder.path, about):
        say(f"note: {note}")
    if dry_run:
        return
    with plan.folder.locked():
        plan.folder.state(about)
        _list_images(plan)
        _run(plan, context, found)
        failed = _report(plan)
    if failed:
        raise TrainingError(f"{failed} of {len(plan.runs)} runs did not finish; the same command typed again runs them")


def _list_images(plan: StudyPlan) -> None:
    """List the images that all runs leave out as copies, those of groups on both sides, and the test images."""
    copies, leaks = plan.source.copies, plan.source.leaks
    for name, found, table in (
        (names.COPIES_FILE, copies, copies_csv(copies)),
        (names.LEAKS_FILE, leaks, leaks_csv(leaks)),
    ):
        path = plan.folder.path / name
        path.unlink(missing_ok=True)
        if found:
            publish(path, table)
    publish_json(plan.folder.path / names.TEST_IMAGES_FILE, {"names": list(plan.source.held_out.names)}, indent=None)


def report(folder: Path, *, tracking: TrackingConfig | None = None, images: Images | None = None) -> str:
    """Write the report of a study's folder and return the summary for people.

    Args:
        folder: Of the study.
        tracking: Where it is shown; nowhere when None.
        images: Of its test split; those that an earlier report showed are shown again when None.

    Raises:
        TlexpError: The folder holds no study, or one of its files was changed.
    """
    findings = analyse(read_table(folder))
    files = write_report(folder, findings, images)
    lines = [summary(findings, folder)]
    if tracking is not None and tracking.enabled:
        try:
            shown = show_sweep(folder, files, uri=tracking.uri, experiment=tracking.experiment)
            command = serve_command(shown.uri)
            lines.append("\n".join([f"compare {shown.comparison}", *([f"show    {command}"] if command else [])]))
        except TrackingError as error:
            lines.append(one_line(f"MLflow does not show the study: {error}"))
    return "\n\n".join(lines)


def _run(plan: StudyPlan, context: HydraContext, found: Estimate) -> None:
    """Run the columns that have something left to do."""
    tracked = TrackedSweep(plan.folder.path, plan.columns[0].composed.config.tracking)
    tracked.close_dead()
    left = [column for column in plan.columns if any(run.key not in found.done for run in column.runs)]
    if left:
        tracked.ensure()
    with way_out(), JobRunner(context, plan.folder, _hear, ending=COLUMN_FILE) as runner:
        runner.run(_assign(plan, left))
    index = RunIndex(plan.folder.attempts())
    tracked.mend([index.outcome(number, _planned(column, run.key)) for number, (column, run) in enumerate(plan.runs)])


def _assign(plan: StudyPlan, columns: Sequence[PlannedColumn]) -> Iterator[Job]:
    for column in columns:
        name = column.column.name
        folder = plan.folder.path / COLUMNS / name / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        publish_json(folder / names.JOB_FILE, {"column": name}, indent=None)
        attempt = Attempt(folder=folder, key=name, number=0, point={"column": name}, record=None)
        yield Job(planned=_planned(column, name), attempt=attempt)


def _planned(column: PlannedColumn, key: str) -> Planned:
    name = column.column.name
    overrides = (*column.overrides, f"study.column={name}")
    return Planned(point={"column": name}, overrides=overrides, key=key, composed=column.composed)


def _hear(job: Job, reason: str | None) -> bool:
    if reason is not None:
        say(f"failed: {job.planned.key}: {reason}")
    return True


def _report(plan: StudyPlan) -> int:
    """Write the report; return how many runs did not finish."""
    tracking = plan.columns[0].composed.config.tracking
    print(report(plan.folder.path, tracking=tracking, images=plan.source.held_out))  # noqa: T201
    index = RunIndex(plan.folder.attempts())
    return sum(index.counting(run.key) is None for _, run in plan.runs)
