"""best-<labels>.yaml: the best candidate of a label budget as a whole configuration that runs as it is."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tlexp.compose.places import typed_again
from tlexp.paths import conf_folder, publish
from tlexp.sweeps.ranking import Standing
from tlexp.tracking.names import folder_name


def write_best(folder: Path, standing: Standing, *, objective: str) -> Path | None:
    """Write the first of the standing, as it ran with its first finished seed; None where nothing is ranked.

    Every setting is stated, so that it does not depend on later defaults; what came from an environment variable is
    read from there again.
    """
    if not standing.ranked:
        return None
    best = standing.ranked[0]
    record = best.finished[0].record
    found = best.summary(objective)
    assert record is not None
    assert found is not None
    path = folder / f"best-{folder_name(standing.labels)}.yaml"
    spread = "" if found.deviation is None else f", standard deviation {found.deviation:.4g}"
    count = len(standing.ranked) + len(standing.unranked)
    comment = [
        " ".join([f"# {_command(path)}", *typed_again(record.config)]),
        f"# Best of {count} at labels={standing.labels}: {objective} {found.mean:.4g}{spread}, {_seeds(found.count)}; "
        f"here seed={record.config['seed']}.",
    ]
    values = _hydra_part() | record.config
    publish(path, "\n".join(comment) + "\n" + OmegaConf.to_yaml(OmegaConf.create(values)))
    return path


def command(path: Path) -> str:
    """Return the command that runs a written file, from any folder: its first line."""
    return path.read_text().partition("\n")[0].removeprefix("# ")


def _command(path: Path) -> str:
    return f"python -m tlexp --config-path {shlex.quote(str(path.parent.resolve()))} --config-name {path.stem}"


def _hydra_part() -> dict[str, Any]:
    """Return what Hydra itself has to know, as in the file of defaults: that one is not found from another folder."""
    defaults = OmegaConf.to_container(OmegaConf.load(conf_folder() / "config.yaml"), resolve=False)
    assert isinstance(defaults, dict)
    of_hydra = [entry for entry in defaults["defaults"] if isinstance(entry, dict) and "hydra/" in next(iter(entry))]
    return {"defaults": ["_schema", "_self_", *of_hydra], "hydra": defaults["hydra"]}


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean over {count} seeds"
