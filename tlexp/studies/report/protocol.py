"""How a study measured: the protocol and its terms in words, the environment, and the commands that repeat it."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlexp.config.data import DataSource, Evaluate
from tlexp.config.train import ClassWeights
from tlexp.studies.analysis.deciding import seconds_of_seeds
from tlexp.studies.analysis.findings import Findings
from tlexp.studies.analysis.stages import find_entrants
from tlexp.studies.analysis.table import Column, StudyTable
from tlexp.studies.report.document import TextTable
from tlexp.studies.report.rounds import round_sentences
from tlexp.studies.report.sentences import in_points
from tlexp.terminal import duration, list_item
from tlexp.tracking import Record
from tlexp.tracking.blocks import TrainBlock
from tlexp.tracking.names import SWEEPS_FOLDER

CROSS_FITTED = "cross-fitted: estimated on test images and data seeds that did not choose the column"
_ASKED = {
    "backbones": "Which network",
    "depths": "How much of {network} to freeze",
    "frozen": "Which head for {network}, wholly frozen",
    "heads": "Which head for {network}",
    "policies": "What of {network} to train",
    "sizes": "Which input size for {network}",
}
"""`study.kind` -> the question."""
_ENOUGH_RATES = 3
_FEW_SECONDS = 5
_SOLVED = "tune.trials=0"
"""The override of a column whose head is solved, in a study."""
_FROZEN = "freeze=all"
_OF_SEEDS = ("study.seeds=", "study.name=", "study.minutes=")
"""What a command for more data seeds says anew."""


def is_demonstration(table: StudyTable) -> bool:
    """Return whether a study is of rendered images, which nobody has a question about."""
    return _source(table) == DataSource.shapes


def protocol_sentences(findings: Findings) -> tuple[str, ...]:
    """Return what makes the numbers honest."""
    table = findings.table
    seeds = ", ".join(map(str, table.seeds))
    families = sorted({difference.family for difference in findings.differences})
    return (
        "Budgets are stratified and nested: the images of a smaller one are among those of a larger one of the same "
        "data seed, and all columns share them.",
        *_grouped(table),
        "Everything is selected inside the budget, by log loss after one temperature: on up to five folds, of networks "
        "that are trained with ten images per class or more on a fifth that is held back, with one not at all.",
        *_rest(table),
        f"{_candidates(table)} The best is trained again on the whole budget for the same steps, without early "
        "stopping, and the test split is read once.",
        *_few_rates(table),
        *_weighed(table),
        *_prior(table),
        f"Data seeds: {seeds} ({len(table.seeds)}), paired across columns; {_tested(table)}.",
        "Balanced accuracy is the mean of the classes' recalls, a fraction.",
        "Intervals are 95 %: the variance of a mean or of a difference is that between seeds over the number of seeds, "
        "plus that between test images of what is averaged over seeds, over their number; each share with the t "
        "quantile of its own degrees of freedom (Banerjee 1960), which is on the safe side with few seeds.",
        f"Differences are simultaneous over all pairs of one budget (Bonferroni; {_family(families)}); seeds are never "
        "bootstrapped.",
        "What a column may lose is bounded against the best of the budget alone (Hsu 1984), one-sided and at once for "
        "all columns: the variance between seeds of two columns' difference is the larger of the budget's own and what "
        "their other budgets say of it, and counts that seeds share images of one pool (Nadeau and Bengio 2003).",
        f"The highest mean is taken; in its place a cheaper column if it loses no more than the margin of "
        f"{table.margin:g} at most, or means within a tenth of it.{_favour(table)} It is decided if the bound is at "
        "most the margin, nearly if it is at most three, else open. Cheap is what trains few parameters, and then what "
        "takes few operations to predict an image; seconds do not count.",
        "The accuracy beside a recommendation is cross-fitted: images that chose the column do not score it.",
        *round_sentences(findings),
    )


def _favour(table: StudyTable) -> str:
    """Return what a network that ImageNet's results favour has ahead, where there are several."""
    if all(each.prior is None for each in find_entrants(table)):
        return ""
    return (
        " Where none is known to lose so little, the best column of the network that ImageNet's results favour is "
        "taken if its mean is lower by no more than the standard error of the difference over the seeds."
    )


def glossary(findings: Findings) -> tuple[str, ...]:
    """Return what the words of the recommendations mean."""
    margin = f"{findings.table.margin:g}"
    lines = (
        "column: one way to use the backbone, such as a freeze depth, at every label budget",
        "control: a column that is shown for comparison, does not compete and is never recommended",
        "data seed: one draw of the labelled images; several show how much depends on the draw",
        "run: one training and test, of a column with a budget and a data seed",
        "solved: said of a head that is computed on features that are kept; no layer is trained",
        "for these images alone: draws of more than half of the images to learn from share most, and tell of no others",
        "balanced accuracy: the mean of the classes' recalls, a fraction",
        f"margin: the accuracy that one is ready to lose for a cheaper column, {margin} here, chosen before the study",
        "point: a hundredth of balanced accuracy",
        "operations: the multiplications that a network takes for one image",
        "decided, nearly, open: what may be lost is at most the margin, at most three margins, or more",
        "interval: where the true value lies with 95 % confidence",
        "simultaneous interval, or at once: all of a budget hold together with 95 %, so that each is wider",
        CROSS_FITTED,
    )
    return tuple(f"{line[0].upper()}{line[1:]}." for line in lines)


def margin_words(table: StudyTable) -> str:
    """Return the margin, and how sure what may be lost makes an answer."""
    margin, nearly = in_points(table.margin), in_points(3 * table.margin)
    return (
        f"{margin} (study.margin): an answer is decided if surely no column is better by more, nearly decided up to "
        f"{nearly}, else open"
    )


def one_rate_notices(findings: Findings) -> tuple[str, ...]:
    """Return that freezing may not win, where it does against layers that were trained at a single learning rate."""
    train = {each.name for each in findings.table.columns if _trains_layers(each)}
    beaten = any(
        each.column is not None
        and each.column not in train
        and not train.isdisjoint({*(other.column for other in each.candidates), *each.dropped})
        for each in findings.recommendations
    )
    if _rates(findings.table) != 1 or not beaten:
        return ()
    return (
        "Fine-tuning was tried at one learning rate, which was compared with no other: at a better one it may beat "
        "freezing. tune.trials=4 compares four rates.",
    )


def environment_table(table: StudyTable) -> TextTable:
    """Return device, versions and digests, of one finished replicate."""
    rows = () if table.record is None else tuple(_facts(table.record))
    return TextTable(title="Environment of a finished run", head=("what", "value"), rows=rows)


def commands(table: StudyTable) -> tuple[str, ...]:
    """Return what to type to repeat a study, and to write its report again."""
    command, folder = _stated(table).get("command"), f"{SWEEPS_FOLDER}/{table.name}"  # as a study tells where it lies
    return (*([str(command)] if command else []), f"python -m tlexp report {shlex.quote(folder)}")


def deciding_commands(findings: Findings) -> tuple[str, ...]:
    """Return what to type for as many data seeds as decide every budget that seeds can decide; none without such.

    The study goes on under its name and without its minutes, which might leave out what decides.
    """
    table, seeds = findings.table, _deciding_seeds(findings)
    command = _stated(table).get("command")
    if not seeds or not command:
        return ()
    kept = [word for word in shlex.split(str(command)) if not word.startswith(_OF_SEEDS)]
    return (shlex.join([*kept, f"study.name={table.name}", f"study.seeds={seeds}", "study.minutes=0"]),)


def _deciding_seeds(findings: Findings) -> int:
    """Return as many data seeds as decide every budget that seeds can decide; 0 where there is none."""
    return max((each.deciding.seeds or 0 for each in findings.recommendations if each.deciding), default=0)


def deciding_words(findings: Findings, *, stated: bool = True) -> str:
    """Return which budgets so many data seeds would decide and how long they take, and which none would.

    Where all is decided that is nothing.

    Args:
        findings: Of the study.
        stated: Whether it is said of a command; else it is only which none would.
    """
    open_ones = [(each.labels, each.deciding.seeds) for each in findings.recommendations if each.deciding]
    decided, left = (",".join(name for name, seeds in open_ones if bool(seeds) is wanted) for wanted in (True, False))
    parts = [f"would decide labels={decided}{_deciding_time(findings)}"] if decided and stated else []
    parts += [f"more data seeds alone would not decide labels={left}"] if left else []
    return "; ".join(parts)


def _deciding_time(findings: Findings) -> str:
    """Return in how much time data seeds decide: by what replicates took, or the bill of what was left out."""
    seconds = seconds_of_seeds(findings, _deciding_seeds(findings))
    if findings.table.hurried or findings.table.left_out:
        told = "--dry-run says for how long" if seconds is None else f"up to about {duration(seconds)} by the bill"
        return f"; it takes up all that the minutes left out, {told}"
    if seconds is None:
        return ""
    return f", in {'a few seconds' if seconds < _FEW_SECONDS else f'about {duration(seconds)}'}"


def title_words(table: StudyTable) -> str:
    """Return what a study asks, and of which images; of a kind that is nobody's but its maker's, its name."""
    asked = _ASKED.get(str(_stated(table).get("kind")))
    if asked is None:
        return f"{table.name}: {data_words(table).partition(',')[0]}"
    root, source = _root(table), _source(table)
    images = Path(root).name or root if root else "rendered shapes" if source == DataSource.shapes else source
    network = backbone_facts(table)[0][1].partition(" (")[0]
    return f"{asked.format(network=network)}, on {images or 'unknown images'}"


def backbone_facts(table: StudyTable) -> tuple[tuple[str, str], ...]:
    """Return what a study's backbone is, and where sizes of it are compared these, a name and a value each."""
    sized = re.fullmatch(r"(.*?), (\d+px(?:, \d+px)*)", table.backbone)
    return (("backbone", table.backbone),) if sized is None else (("backbone", sized[1]), ("sizes", sized[2]))


def data_words(table: StudyTable) -> str:
    """Return which images a study is about."""
    source, root = _source(table) or "unknown", _root(table)
    named = f"{source} in {root}" if root else str(source)
    return named + (f", {len(table.classes)} classes, {_tested(table)}" if len(table.labels) else "")


def _tested(table: StudyTable) -> str:
    """Return how many test images there are."""
    count = len(table.labels)
    if table.split is None or table.split == count:
        return f"{count:,} test images"
    others = f"{count - table.split:,} others, of which each data seed leaves some"
    return f"{count:,} test images in all: {table.split:,} of the test split and {others}"


def one_run_words(findings: Findings) -> str:
    """Return why a run of its own reaches something else than an answer says; nothing where that is of one run too.

    It is a sentence, of the network that the run trains.
    """
    table, taken = findings.table, findings.last_taken
    if taken is None or taken.column is None:
        return ""
    draws = len(table.cells[taken.column, taken.labels].finished)
    whole = taken.labels == "all" or table.skipped.get("labels=all", "") == f"the same images as labels={taken.labels}"
    more = "" if whole else ", which learns from all labels, where the answer's learned from fewer"
    if draws < 2 and more:
        return f"It is one network{more}."
    if draws < 2:
        return ""
    count, split = len(table.labels), table.split
    mean = f"a mean over {draws} {'runs' if whole else 'draws of labels'}"
    tested = "" if split is None or split == count else f" and up to {count:,} test images; it is tested on {split:,}"
    return f"It is one network{more}; its accuracy may differ from the answer's: that is {mean}{tested}."


def _facts(record: Record) -> list[tuple[str, str]]:
    environment, weights, data = record.environment, record.train.weights, record.data
    git = environment.git
    facts = {
        "device": environment.device,
        "python": environment.python,
        "platform": environment.platform,
        "versions": ", ".join(f"{name} {version}" for name, version in environment.packages.items()),
        "commit": None if git is None else f"{git.commit}{' with changes' if git.dirty else ''}",
        "weights": None if weights is None else weights.source,
        "digest of the weights": None if weights is None else weights.digest,
        "digest of the images": None if data is None else data.digest,
        "classes": None if data is None else ", ".join(map(list_item, data.classes)),
    }
    return [(name, value) for name, value in facts.items() if value]


def _grouped(table: StudyTable) -> tuple[str, ...]:
    """Return what is kept together, where images have groups."""
    groups = None if table.record is None or table.record.data is None else table.record.data.groups
    if groups is None:
        return ()
    parted = ", neither by the test split nor by a fold of the selection"
    if groups.leaked:
        verb = " is" if groups.leaked == 1 else "s are"
        parted = (
            f" by a fold of the selection, but {groups.leaked} group{verb} both learned from and tested on "
            "(data.on_leak=list; leaks.csv), so that the test may say too much"
        )
    return (
        f"Images of one group ({groups.stated}) are never parted{parted}; budgets are spread over as many groups as "
        f"there are: {groups.pool} to learn from, {groups.held_out} to test on; intervals go by how those differ.",
    )


def _rest(table: StudyTable) -> tuple[str, ...]:
    """Return how the rest of the pool is tested on, where it is."""
    if _mapping(table.about.get("fixed")).get("data.evaluate") != Evaluate.rest:
        return ()
    return (
        "Beside the test split every run is tested on images of the pool that its data seed draws for no budget up to "
        "half of the pool, 2,000 at most, the same for all columns and all such budgets. An image counts by its mean "
        "over the seeds that were tested on it, and the variance between seeds is that of a jackknife.",
    )


def _candidates(table: StudyTable) -> str:
    """Return what is compared: heads are solved for many penalties, everything else is trained for a few rates."""
    train = TrainBlock() if table.record is None else table.record.train
    count = 0 if train.selection is None else len(train.selection.trials)
    probe = None if train.probe is None else train.probe.trials
    same = "Every column that is trained compares the same number of candidate rates"
    compared = f"{same}{f' ({count})' if count and probe else ''}; heads that are solved compare their penalties"
    return f"{compared}{f' ({probe}), and so do the linear probes that trained columns start from' if probe else ''}."


def _few_rates(table: StudyTable) -> tuple[str, ...]:
    """Return once for all runs what each of them would have to say of its best rate."""
    count = _rates(table)
    trained = [column for column in table.columns if _SOLVED not in column.words]
    if not 0 < count < _ENOUGH_RATES or not trained:
        return ()
    why = "A single rate has nothing to be compared with" if count == 1 else "The best of two rates is always an end"
    return (f"{why}: another range, or more rates (tune.trials=4), may do better.",)


def _rates(table: StudyTable) -> int:
    """Return how many learning rates trained columns compare; 0 where nobody says."""
    return int(_stated(table).get("trials") or _mapping(table.about.get("fixed")).get("tune.trials") or 0)


def _trains_layers(column: Column) -> bool:
    """Return whether a column trains layers of its network, not its head alone."""
    return _FROZEN not in column.words and any(word.startswith("freeze=") for word in column.words)


def _weighed(table: StudyTable) -> tuple[str, ...]:
    """Return what a loss that weighs classes means for the columns."""
    if _mapping(table.about.get("fixed")).get("train.class_weights") != ClassWeights.balanced:
        return ()
    without = [column.title for column in table.columns if f"train.class_weights={ClassWeights.none}" in column.words]
    rest = f"; without a loss, and so as ever: {', '.join(without)}" if without else ""
    return (f"In the loss, and where candidates are compared, each class counts the same{rest}.",)


def _prior(table: StudyTable) -> tuple[str, ...]:
    """Return what predictions were corrected to."""
    stated = _mapping(table.about.get("fixed")).get("data.prior")
    if stated is None:
        return ()
    return (
        f"Predictions are corrected to the class frequencies {stated} (data.prior); measures are of these, on the test "
        "images as they lie.",
    )


def _family(families: list[int]) -> str:
    if not families:
        return "no pair was compared"
    return f"{' or '.join(map(str, families))} comparison{'' if families == [1] else 's'} a budget"


def _source(table: StudyTable) -> object:
    """Return where the images come from; None where neither a record nor study.json says so."""
    fixed = _mapping(table.about.get("fixed"))
    return _data(table).get("source") or _stated(table).get("data") or fixed.get("data.source")


def _root(table: StudyTable) -> str:
    """Return the folder or table of the images; nothing where there is none."""
    data, fixed = _data(table), _mapping(table.about.get("fixed"))
    stated = data.get("root") or data.get("train") or fixed.get("data.root") or fixed.get("data.train")
    return str(stated or "")


def _data(table: StudyTable) -> Mapping[str, Any]:
    """Return the settings of the images; none where nothing has finished."""
    return _mapping(None if table.record is None else table.record.config.get("data"))


def _stated(table: StudyTable) -> Mapping[str, Any]:
    return _mapping(table.about.get("study"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
