"""The images of a run and its label budget, from the configuration."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlexp.cache import cache_folder
from tlexp.compose.origin import grouper_of, origin_of
from tlexp.config import Config, Preprocessing
from tlexp.config.cache import CacheMode
from tlexp.config.data import DataSource, Evaluate
from tlexp.config.labels import LabelBudget, parse_labels
from tlexp.config.prior import prior_shares
from tlexp.config.tune import SearchKind
from tlexp.data import (
    ClassNames,
    Decoding,
    Fold,
    ImageBank,
    Images,
    Index,
    Reading,
    Source,
    add_neither,
    add_shifted,
    draw_budget,
    draw_rest,
    load_bank,
    name_classes,
    read_class_names,
    selection_folds,
)
from tlexp.errors import BadImagesError, ConfigError, DataError
from tlexp.paths import publish
from tlexp.secrets import masked_name
from tlexp.terminal import short_path
from tlexp.tracking.blocks import DataBlock, GroupsBlock
from tlexp.tracking.names import BAD_IMAGES_FILE
from tlexp.train import Listener

MOST_REST = 2000
"""Images of the pool that a network is tested on beside its test split: they pass it once for each run."""


def open_images(config: Config, expected: Preprocessing, listener: Listener) -> Source:
    """Return the images, checked.

    Raises:
        DataError: They do not allow a run.
        ConfigError: The name of a class is a secret, or data.prior does not name each class once.
    """
    data = config.data
    names = _class_names(config)
    origin = origin_of(data, image_size=expected.image_size)
    if names is not None and data.source is not DataSource.timm:  # opening those takes long
        names.of(origin.class_names(classes=data.classes, at_least=data.at_least))
    reading = Reading(
        on_bad=data.on_bad,
        follow_links=data.follow_links,
        decoding=decoding_of(config, expected),
        progress=listener.images,
        grouper=grouper_of(data),
        index=_index(config),
    )
    source = origin.open(classes=data.classes, at_least=data.at_least, source_seed=data.source_seed, reading=reading)
    if data.neither is not None:
        source = add_neither(source, Path(data.neither).expanduser(), source_seed=data.source_seed, reading=reading)
    if data.shifted is not None:
        some = data.classes is not None
        source = add_shifted(source, Path(data.shifted).expanduser(), some=some, reading=reading)
    if data.prior is not None:
        source = dataclasses.replace(source, prior=prior_shares(data.prior, source.classes))
    source = source if names is None else name_classes(source, names, neither=data.neither is not None)
    _require_public(source.classes)
    return source


def decoding_of(config: Config, expected: Preprocessing) -> Decoding:
    """Return how files become pixels for a network."""
    data = config.data
    return Decoding.of(data.decoder, expected, max_pixels=data.max_pixels, bits=data.bits)


def _index(config: Config) -> Index:
    """Return what earlier commands found in image files; nothing where nothing is to be kept."""
    keeps = config.cache.mode is not CacheMode.off and config.cache.max_bytes > 0
    return Index(cache_folder(config.cache.dir) if keeps else None, recheck=config.data.recheck)


@contextlib.contextmanager
def listing_bad_images(folder: Path) -> Iterator[None]:
    """Write all images that cannot be used to a file in a folder, and remove one of an earlier attempt.

    Raises:
        BadImagesError: As inside, with the place of the file.
    """
    path = folder / BAD_IMAGES_FILE
    try:
        yield
    except BadImagesError as error:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            publish(path, "".join(f"{line}\n" for line in error.lines))
        except OSError:
            raise error from None  # the images matter more than the list
        raise error.listed_in(short_path(path)) from error
    path.unlink(missing_ok=True)


def count_classes(config: Config, expected: Preprocessing) -> int:
    """Return how many classes the images have, without reading one.

    Raises:
        DataError: The folder or table is missing or has no usable form, or a class is not there, or has no name.
        ConfigError: The name of a class is a secret.
    """
    data = config.data
    origin = origin_of(data, image_size=expected.image_size)
    found = origin.class_names(classes=data.classes, at_least=data.at_least)
    names = _class_names(config)
    _require_public(found if names is None else names.of(found))
    return len(found) + (data.neither is not None)


def _class_names(config: Config) -> ClassNames | None:
    path = config.data.class_names
    return None if path is None else read_class_names(Path(path).expanduser())


def _require_public(classes: Sequence[str]) -> None:
    """Refuse secrets as names of classes: under another name nobody could tell which class is meant.

    Raises:
        ConfigError: A name holds one.
    """
    hidden = [public for name in classes if (public := masked_name(name)) != name]
    if hidden:
        raise ConfigError([f"class {name}: everybody sees this name, and it may hold no secret" for name in hidden])


def describe_images(source: Source, counts: dict[str, dict[str, int]], budget: "Budget | None" = None) -> DataBlock:
    """Return what a record says of the images.

    Args:
        source: Where they are.
        counts: Images of each class in each split.
        budget: What was drawn of them; None where nothing is yet.
    """
    return DataBlock(
        digest=source.digest,
        classes=tuple(source.classes),
        counts=counts,
        pool=per_class(source.classes, source.pool.labels),
        pool_from=source.pool_from,
        held_out_from=source.held_out_from,
        short_sides=source.short_sides,
        groups=_describe_groups(source, budget),
        skipped=source.skipped_lines,
    )


def _describe_groups(source: Source, budget: "Budget | None") -> GroupsBlock | None:
    groups = source.groups
    if groups is None:
        return None
    names = source.pool.names
    return GroupsBlock(
        stated=groups.stated,
        pool=groups.count(names),
        budget=None if budget is None else groups.count(names[place] for place in budget.positions.tolist()),
        held_out=groups.count(source.held_out.names),
        leaked=source.leaked,
    )


def per_class(classes: Sequence[str], labels: NDArray[np.int64]) -> dict[str, int]:
    """Return how many images of each class there are among labels (N,) int64."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def decode(
    config: Config, images: Images, positions: NDArray[np.int64], expected: Preprocessing, listener: Listener
) -> ImageBank:
    """Return images decoded, resized and cropped for the backbone."""
    return load_bank(images, positions, expected, memory_bytes=config.data.memory_bytes, progress=listener.images)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The label budget: positions in the pool, their labels, and the folds for selection inside it.

    Attributes:
        rest: Positions in the pool of images that the network is tested on beside the test split.
    """

    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    folds: tuple[Fold, ...]
    rest: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def smallest_fold(self) -> int:
        """Training images of the smallest fold; all of the budget's where it has none."""
        return min((len(fold.train) for fold in self.folds), default=len(self.positions))


def draw_labels(config: Config, source: Source) -> Budget:
    """Draw the label budget from the pool and split it for selection.

    Raises:
        DataError: A class has too few images, or images of one group alone, which leave nothing to select on.
        ConfigError: train.refit=false with several folds, or tune.trials with none.
    """
    asked = parse_labels(config.labels)
    seed, classes, groups = config.data_seed, source.classes, source.group_codes(source.pool)
    positions = draw_budget(source.pool.labels, asked, seed=seed, classes=classes, groups=groups)
    labels = source.pool.labels[positions]
    folds: tuple[Fold, ...] = ()
    if config.tune.validate:
        smallest = int(np.bincount(labels, minlength=len(classes)).min())
        drawn = None if groups is None else groups[positions]
        pooled = config.head.kind.solved
        folds = selection_folds(labels, per_class=smallest, seed=seed, pooled=pooled, groups=drawn, classes=classes)
    if config.tune.trials > 1 and config.tune.search is SearchKind.ranges and not folds:
        raise ConfigError(
            f"tune.trials={config.tune.trials} needs images to compare candidates on, but labels={config.labels} is "
            "one per class: use at least 2, or leave tune.trials out for the policy's default rates"
        )
    if not config.train.refit and len(folds) > 1:
        raise ConfigError(
            f"train.refit=false needs one split, but labels={config.labels} is selected on {len(folds)} folds: "
            "use at least 10 labels per class, or leave train.refit out"
        )
    rest = _rest(config, source, asked)
    return Budget(positions=positions, labels=labels, folds=folds, rest=rest)


def pooled_folds(config: Config, source: Source, budget: Budget) -> tuple[Fold, ...]:
    """Return folds that make up a budget, for what needs no fit; none where nothing was to be selected on.

    Args:
        config: Of the run.
        source: With the groups that are never parted.
        budget: As it was drawn.
    """
    if not budget.folds:
        return ()
    codes, labels, classes = source.group_codes(source.pool), budget.labels, source.classes
    groups = None if codes is None else codes[budget.positions]
    smallest = int(np.bincount(labels, minlength=len(classes)).min())
    seed = config.data_seed
    return selection_folds(labels, per_class=smallest, seed=seed, pooled=True, groups=groups, classes=classes)


def _rest(config: Config, source: Source, asked: LabelBudget) -> NDArray[np.int64]:
    """Return on which images of the pool a network is tested as well.

    Raises:
        DataError: That is asked for, but the test split is given.
    """
    if config.data.evaluate is not Evaluate.rest:
        return np.empty(0, np.int64)
    if source.held_out_from is not None:
        raise DataError(
            f"data.evaluate=rest: the test images are {source.held_out_from}, and a test split that is given stays as "
            "it is; leave data.evaluate out"
        )
    labels, seed = source.pool.labels, config.data_seed
    return draw_rest(labels, asked, seed=seed, classes=len(source.classes), most=MOST_REST)
