"""What the runs of a sweep were given, images and weights, and whether it stayed the same."""

import json
from collections import defaultdict
from collections.abc import Sequence

from tlexp.jobs.outcome import JobOutcome
from tlexp.tracking import RunStatus


def changed_inputs(runs: Sequence[JobOutcome]) -> list[str]:
    """Return a sentence for each kind of input that runs of the same settings saw in different states.

    Records are taken over by their settings; that images or weights changed in the meantime shows when others of the
    same sweep ran later.
    """
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.record is None or run.record.status is not RunStatus.finished or run.folder is None:
            continue
        config = run.record.config
        about = json.dumps([config["backbone"], config["data"]], sort_keys=True)
        found["images", about]["" if run.record.data is None else run.record.data.digest].append(run.folder.name)
        # Random weights follow from the seed.
        about = json.dumps([config["backbone"], config["seed"]], sort_keys=True)
        weights = run.record.train.weights
        found["weights", about]["" if weights is None else weights.digest].append(run.folder.name)
    return [
        f"the {kind} changed during the sweep: runs {', '.join(fewest)} saw others than the rest; remove their folders "
        "and type the command again"
        for (kind, _), states in found.items()
        if len(states) > 1
        for fewest in sorted(states.values(), key=len)[:-1]
    ]
