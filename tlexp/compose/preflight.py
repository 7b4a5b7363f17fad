"""What of a configuration can be refused by a look at the disk, before torch is loaded and anything is written.

Files are listed, none is opened. What is left for the run: images that cannot be read, weights that do not fit.
"""

import dataclasses
from pathlib import Path

from tlexp.compose.origin import grouper_of, origin_of
from tlexp.config import Config
from tlexp.config.backbone import PIXELS, BackboneConfig, missing_weights
from tlexp.config.data import DataConfig, DataSource
from tlexp.config.labels import parse_labels
from tlexp.config.preprocessing import LARGEST_INPUT, resizes_too_far
from tlexp.config.prior import prior_shares
from tlexp.config.timm_names import is_known
from tlexp.data import Counts, read_class_names
from tlexp.data.classes import NEITHER
from tlexp.data.groups import NEITHER_PREFIX, SHIFTED_PREFIX
from tlexp.data.listing import list_classes, list_tree
from tlexp.errors import ConfigError, DataError, WeightsError


class Preflight:
    """Looks at what configurations name; at the images of a sweep once, however many points it has."""

    def __init__(self) -> None:
        self._counted: dict[str, Counts | None] = {}

    def check(self, config: Config) -> None:
        """Refuse a run that could not begin.

        Raises:
            DataError: Images are missing or lie in no usable form; a class has too few for the label budget.
            WeightsError: The weights' file is missing.
            ConfigError: timm has no such model, data.prior does not name each class, a crop is too small a part, or the
                run to go on with left no checkpoint.
        """
        require_checkpoint(config)
        counts = self.counts(config.data)
        if counts is not None and config.data.prior is not None:
            prior_shares(config.data.prior, counts.classes)
        if counts is not None and not config.study.exists:  # a study skips what the images do not allow
            _require_images(counts, config)
        _require_weights(config.backbone)
        _require_model(config.backbone.name)
        _require_size(config.backbone)

    def counts(self, data: DataConfig) -> Counts | None:
        """Return how many images of each class there are; None where only opening them could tell.

        Raises:
            DataError: Images are missing or lie in no usable form.
        """
        wanted = repr(dataclasses.replace(data, seed=None, source_seed=0))  # which draw, but do not count
        if wanted not in self._counted:
            self._counted[wanted] = count_images(data)
        return self._counted[wanted]


def count_images(data: DataConfig) -> Counts | None:
    """Return how many images of each class there are; None where only opening them could tell.

    Raises:
        DataError: Images are missing or lie in no usable form, or a class is not in the table of names; the table of
            groups cannot be used, images have no group, or a class is one group of which a fifth is to be held out.
    """
    counts, grouper = None, grouper_of(data)
    if data.source is not DataSource.timm:  # which loads torch, and may go through all images
        counts = origin_of(data, image_size=0).counts(classes=data.classes, at_least=data.at_least, grouper=grouper)
    if data.class_names is not None and counts is not None:
        read_class_names(Path(data.class_names).expanduser()).of(counts.classes)
    if data.neither is not None:
        folder = Path(data.neither).expanduser()
        others = list_tree(folder, setting="data.neither", prefix=NEITHER_PREFIX, follow_links=data.follow_links)
        if grouper is not None:
            grouper.name([others], [NEITHER], where=f"data.neither={folder}", prefix=NEITHER_PREFIX)
        counts = counts and (None if others.refused else counts.with_class(NEITHER, len(others.files)))
    if data.shifted is not None and counts is not None:
        shifted = list_classes(
            Path(data.shifted).expanduser(),
            counts.classes,
            others=data.classes is not None,
            setting="data.shifted",
            prefix=SHIFTED_PREFIX,
            follow_links=data.follow_links,
        )
        if grouper is not None:
            grouper.name([shifted], counts.classes, where=f"data.shifted={data.shifted}", prefix=SHIFTED_PREFIX)
    return counts


def require_checkpoint(config: Config) -> Path | None:
    """Return the checkpoint of the run to go on with; None where there is none to go on with.

    Raises:
        ConfigError: It is missing.
    """
    if config.resume is None:
        return None
    from tlexp.tracking.names import CHECKPOINT_FOLDER  # lazy: keeps --help fast

    checkpoint = Path(config.resume) / CHECKPOINT_FOLDER
    if not checkpoint.is_dir():
        raise ConfigError(
            f"resume={config.resume}: {checkpoint} is missing; a finished run has none, and one that was killed "
            "before its first checkpoint has to start anew without resume"
        )
    return checkpoint


def _require_images(counts: Counts, config: Config) -> None:
    """Refuse a label budget that a class cannot fill."""
    try:
        counts.require(parse_labels(config.labels))
    except DataError as error:
        more = "files that cannot be read, and copies, will not count"
        if config.data.source is DataSource.shapes:
            more = f"data.per_class={config.data.per_class} says how many are rendered"
        raise DataError(f"{error}; {more}") from None


def _require_weights(backbone: BackboneConfig) -> None:
    """Refuse a path of weights at which nothing lies."""
    weights = backbone.weights
    if weights is None or backbone.packaged is not None or backbone.random_start or weights.startswith("runs:"):
        return
    if not Path(weights).exists():
        raise WeightsError(missing_weights(weights))


def _require_model(name: str) -> None:
    """Ask timm for a model that the table does not have: it may be a newer one."""
    if name == PIXELS or is_known(name):
        return
    from tlexp.models.backbone import pretrained_cfg  # lazy: torch and timm

    pretrained_cfg(name)


def _require_size(backbone: BackboneConfig) -> None:
    """Ask timm for a model's own size where a stated crop may be too small a part of what images are resized to."""
    if backbone.crop_pct is None or not resizes_too_far(backbone.image_size or LARGEST_INPUT, backbone.crop_pct):
        return
    from tlexp.models.backbone import preprocessing  # lazy: torch and timm

    preprocessing(backbone.name, image_size=backbone.image_size, crop_pct=backbone.crop_pct)
