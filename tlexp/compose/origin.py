"""Where a configuration has its images, and what says which of them belong together."""

from pathlib import Path

from tlexp.config.data import DataConfig, DataSource
from tlexp.config.group import GroupKind, parse_group
from tlexp.data import Folder, Grouper, Origin, Shapes, TableFile, read_group_table
from tlexp.data.groups import NEITHER_PREFIX, SHIFTED_PREFIX


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
    root, train, test = map(_path, (data.root, data.train, data.test))
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


def grouper_of(data: DataConfig) -> Grouper | None:
    """Return what says which images belong together; None where each stands for itself.

    Args:
        data: Without problems.

    Raises:
        DataError: A table cannot be used, or has no such column.
    """
    if data.group is None:
        return None
    rule, table = parse_group(data.group), None
    if rule.kind is GroupKind.table:
        table = read_group_table(Path(rule.value).expanduser())
    elif rule.kind is GroupKind.column:
        assert data.root is not None  # a configuration without one has problems
        table = TableFile(
            path=Path(data.root).expanduser(), columns=data.columns, follow_links=data.follow_links
        ).groups(rule.value)
    return Grouper(rule=rule, on_leak=data.on_leak, table=table, folders=_folders(data))


def _folders(data: DataConfig) -> dict[str, Path]:
    """Return what the names of images begin with -> the folder below which they go on."""
    root, train, test, neither, shifted = map(_path, (data.root, data.train, data.test, data.neither, data.shifted))
    named = {
        "": root.parent if root is not None and data.source is DataSource.csv else root or train,
        "train/": train,
        "test/": test,
        NEITHER_PREFIX: neither,
        SHIFTED_PREFIX: shifted,
    }
    return {start: folder for start, folder in named.items() if folder is not None}


def _path(typed: str | None) -> Path | None:
    return None if typed is None else Path(typed).expanduser()
