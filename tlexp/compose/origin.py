"""Where a configuration has its images."""

from pathlib import Path

from tlexp.config.data import DataConfig, DataSource
from tlexp.data import Folder, Origin, Shapes, TableFile


def origin_of(data: DataConfig, *, image_size: int) -> Origin:
    """Return where the images come from.

    Args:
        data: Without problems.
        image_size: Side of the backbone's input, in which shapes are rendered.
    """
    if data.source is DataSource.shapes:
        return Shapes(
            per_class=data.per_class,
            test_per_class=data.test_per_class,
            num_classes=data.num_classes,
            size=data.size or image_size,
            noise=data.noise,
            clutter=data.clutter,
        )
    if data.source.in_memory:
        from tlexp.data import IN_MEMORY  # lazy: Pillow

        return IN_MEMORY[data.source]
    root, train, test = (
        None if path is None else Path(path).expanduser() for path in (data.root, data.train, data.test)
    )
    if data.source is DataSource.timm:
        from tlexp.data import TimmSet  # lazy: timm and torch

        return TimmSet(
            name=data.name or "",
            root=root,
            split=data.split,
            test_split=data.test_split,
            columns=data.columns,
            download=data.download,
        )
    if data.source is DataSource.csv:
        assert root is not None  # a configuration without one has problems
        return TableFile(path=root, columns=data.columns, follow_links=data.follow_links)
    return Folder(root=root, train=train, test=test, follow_links=data.follow_links)
