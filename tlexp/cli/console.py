"""What people see in the terminal at the end of a run."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from tlexp.compose.words import path_word, unquoted_values
from tlexp.config.backbone import PACKAGED, PIXELS, backbone_told
from tlexp.config.data import DataSource
from tlexp.config.freeze import FreezeConfig, FreezePolicy
from tlexp.experiment.run import Outcome
from tlexp.jsonfile import read_json
from tlexp.secrets import MASK
from tlexp.terminal import aligned, one_line, short_path
from tlexp.tracking import Record, names
from tlexp.tracking.blocks import FreezeBlock
from tlexp.tracking.store import serve_command

_SAME = ("backbone", "data")
"""Groups that choose the network and the images."""
_NETWORK = ("backbone=", "backbone.name", "backbone.weights")
"""What says which network it is."""
_OWN_PIXELS = ("backbone.mean", "backbone.std", "backbone.interpolation", "backbone.crop_pct")
"""How one network takes its images."""
_OWN_UNITS = ("freeze.units", "freeze.depth", "freeze.by")
"""Settings of a policy that names or counts the units of one network."""
_TINY = f"{PACKAGED}tiny"
_MADE = (DataSource.shapes, DataSource.digits)
"""Images that are nobody's own."""


def summary(outcome: Outcome, folder: Path, *, own_files: bool = True, seconds: float = 0.0) -> str:
    """Return the end of a run for people: what it was, its scores with intervals, its cost and where it lies.

    Args:
        outcome: Of the run.
        folder: Its own.
        own_files: Whether its overrides are all that one has to type, as no configuration files of others are read.
        seconds: For how long one has waited.
    """
    record = outcome.record
    config = record.config
    title = (
        f"{_network(_backbone(record), record.freeze)}, head={config['head']['kind']}, "
        f"data={config['data']['source']}, labels={config['labels']}, seed={config['seed']}"
    )
    rows: list[tuple[str, ...]] = [("", "images", "accuracy", "95 % interval", "balanced", "macro F1", "nll", "ece")]
    for split, found in outcome.splits.items():
        scores, (low, high) = found.metrics, found.accuracy_interval
        rows.append(
            (
                split,
                f"{found.count:,}",
                f"{scores['accuracy']:.3f}",
                f"{low:.3f} .. {high:.3f}",
                *(f"{scores[name]:.3f}" for name in ("balanced_accuracy", "macro_f1", "nll", "ece")),
            )
        )
    table = aligned(rows, right=range(len(rows[0])))
    assert record.train.weights is not None  # known before training
    start = [f"weights {record.train.weights.source}", f"images  {_images(record)}", f"labels  {record.learned}"]
    end = [
        *_promises(folder),
        *_alarms(record.train.false_alarms),
        *_cost(record.metrics, seconds),
        *_places(outcome, folder),
        "",
        *_next(record, folder, own_files=own_files, meant=outcome.meant),
    ]
    return "\n".join(map(one_line, ["", title, *start, "", *table, "", *end]))


def _backbone(record: Record) -> str:
    weights = record.train.weights
    name = str(record.config["backbone"]["name"])
    return name if weights is None else backbone_told(name, weights.source)


def _images(record: Record) -> str:
    """Return what the start of a run, which tells them one by one, does not: how large the network saw its images."""
    assert record.data is not None  # known before training
    where = f", {record.data.pool_from}" if record.data.pool_from else ""
    return f"{len(record.data.classes):,} classes{where}, seen at {record.train.image_size} px"


def _network(name: str, freeze: FreezeBlock) -> str:
    """Return a backbone and how much of it is frozen.

    >>> surgical, none = FreezeBlock(policy="surgical", units=("stem", "layer4")), FreezeBlock(policy="none", units=())
    >>> _network("tiny", surgical), _network("tiny", none), _network("pixels", none)
    ('tiny, freeze=surgical (2 units frozen)', 'tiny, freeze=none', 'raw pixels')
    """
    if name == PIXELS:
        return "raw pixels"
    phases, frozen = len(freeze.phases or ()), len(freeze.units or ())
    units = f" ({frozen} unit{'' if frozen == 1 else 's'} frozen)" if frozen else ""
    return f"{name}, freeze={freeze.policy}" + (f" ({phases} phases)" if phases else units)


def _alarms(shares: dict[str, float] | None) -> list[str]:
    """Return what marking images that are none of the classes would cost on the test split, where that is known.

    >>> _alarms({"0.01": 0.0, "0.05": 0.0625}), _alarms(None)
    (['predict --outliers 0.01 marks 0.0 % of the test images as like no class, 0.05 marks 6.2 %'], [])
    """
    told = [f"{level} marks {share:.1%}".replace("%", " %") for level, share in (shares or {}).items()]
    first, *more = told or [""]
    known = [f"{first} of the test images as like no class", *more]
    return [f"predict --outliers {', '.join(known)}"] if told else []


def _cost(metrics: dict[str, float], seconds: float) -> list[str]:
    cost = {name: metrics.get(names.cost_metric(name)) for name in names.COSTS}
    trainable, total = cost["trainable_parameters"] or 0, cost["total_parameters"] or 1
    speed = cost["images_per_second"]
    parts = [
        f"{seconds:.1f} s in all, {cost['seconds'] or 0:.1f} s of them from network and images to the test",
        *([] if speed is None else [f"{speed:,.0f} training images per second"]),
        f"{trainable:,.0f} of {total:,.0f} parameters trained",
    ]
    return [", ".join(parts)]


def _next(record: Record, folder: Path, *, own_files: bool, meant: Path | None = None) -> list[str]:
    """Return what to type next: what the network is for, a better one, a study, and the trained network for others.

    Who has all labels learned from has chosen the network, by a study maybe, and is sent to none. Where a folder below
    the root holds the classes by its looks, nothing more is trained on the root before that is settled.
    """
    # Complete settings may hold what fits their network alone, or what a study chooses by itself.
    complete = not own_files or any(_of(word, ("experiment",)) for word in record.overrides)
    words = [word for word in record.overrides if not _of(word, ("resume",)) and MASK not in word]
    made, all_labels = record.config["data"]["source"] in _MADE, record.config["labels"] == "all"
    kept, run = (folder / names.MODEL_WEIGHTS_FILE).is_file(), shlex.quote(short_path(folder))
    lines = [] if meant is None or complete else [_below(words, record, meant)]
    complete |= meant is not None
    if not made:
        lines += [(f"python -m tlexp predict {run} FOLDER", "what new photographs show")] * kept
    elif not complete:
        photos = [*_without(words, ("data",)), "data=folder", "data.root=FOLDER"]
        lines.append((_typed(*photos), "the same on your photographs, in a folder for each class"))
    if not complete and record.train.weights is not None and record.train.weights.source == _TINY:
        lines.append(_larger(words, record))
    if not complete and record.config["backbone"]["name"] != PIXELS and not all_labels:
        same = [word for word in _without(words, ("data.seed",)) if _of(word, _SAME)]
        lines.append((_typed("study=quick", *same), "heads and labels compared; each image passes once"))
    if not complete and not made and not all_labels:
        all_of_them = [*_without(words, ("labels",)), "labels=all"]
        lines.append((_typed(*all_of_them), "the same from all of your labels"))
    lines += [(f"python -m tlexp export {run} FOLDER", "the trained network, for others")] * kept
    return [f"next    {line}" for line in aligned(lines)] if lines else []


def _below(words: Sequence[str], record: Record, meant: Path) -> tuple[str, str]:
    """Return the same from a folder below the root, and how to say that the root is meant nevertheless."""
    typed = [*_without(words, ("data.root", "data.classes")), path_word("data.root", short_path(meant))]
    as_it_is = shlex.quote(path_word("data.train", str(record.config["data"]["root"])))
    told = f"the same with the classes in {meant.name}; if it is itself one, {as_it_is} in place of data.root"
    return _typed(*typed), told


def _larger(words: Sequence[str], record: Record) -> tuple[str, str]:
    """Return the same with a larger network, and in words what of it was meant for this one and is left out."""
    freeze = FreezeConfig(policy=FreezePolicy(record.freeze.policy), depth=record.config["freeze"]["depth"])
    own_units = () if freeze.carries_over else ("freeze=", *_OWN_UNITS)
    settings = _without(words, _NETWORK)
    kept = _without(settings, (*_OWN_PIXELS, "head.units", *own_units))
    told = f"a network of ImageNet; this one is small{_left_out(settings, kept)}"
    return _typed("backbone=lite0", *kept), told


def _left_out(words: Sequence[str], kept: Sequence[str]) -> str:
    """Return in words what of a run's words is not kept.

    >>> _left_out(["freeze=depth", "seed=2", "freeze.depth=2"], ["seed=2"]), _left_out(["seed=2"], ["seed=2"])
    ('; without freeze=depth freeze.depth=2', '')
    """
    lost = [word for word in unquoted_values(words) if word not in unquoted_values(kept)]
    return f"; without {shlex.join(lost)}" if lost else ""


def _without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the words but for those of some groups and settings; `freeze=` names the choice of an option alone.

    >>> _without(["freeze=depth", "freeze.norm=keep", "seed=2"], ["freeze="])
    ['freeze.norm=keep', 'seed=2']
    """
    return [word for word in words if not _of(word, names) and f"{_key(word)}=" not in names]


def _of(word: str, names: Iterable[str]) -> bool:
    """Return whether an override states one of the groups or settings, or a setting of one of the groups.

    >>> _of("freeze.depth=layer2", ["freeze"]), _of("freeze=depth", ["freeze"]), _of("data.size=32", ["data.seed"])
    (True, True, False)
    """
    key = _key(word)
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def _typed(*words: str) -> str:
    return shlex.join(["python", "-m", "tlexp", *unquoted_values(words)])


def _places(outcome: Outcome, folder: Path) -> list[str]:
    lines = [f"record  {short_path(folder / names.RECORD_FILE)}"]
    if outcome.tracked is not None:
        lines.append(f"MLflow  {outcome.tracked.link}{_served_by(outcome.tracked.uri)}")
        lines.append(f"compare {outcome.tracked.comparison}")
    return lines


def _promises(folder: Path) -> list[str]:
    """Return which promises of accuracy hold where the network may abstain, and how much of the test split it answers.

    Nothing where there is nothing to find them by.
    """
    path = folder / names.EVALUATION_FILE
    found = read_json(path)["answering"] if path.is_file() else []
    kept = [
        f"{each['promised']:g} answers {each['coverage']:.0%}".replace("%", " %")
        for each in found
        if each["threshold"] is not None
    ]
    broken = [f"{each['promised']:g}" for each in found if each["threshold"] is None]
    first, *more = kept or [""]
    told = [", ".join([f"{first} of the test images, right in as many as it says", *more])] if kept else []
    told += [f"{', '.join(broken)} would take more labelled images"] if broken else []
    return [f"predict --abstain {'; '.join(told)}"] if told else []


def _served_by(uri: str) -> str:
    """Return the command that shows a store that is no server."""
    command = serve_command(uri)
    return f"   (after `{command}`{' in this folder' if command == 'mlflow ui' else ''})" if command else ""
