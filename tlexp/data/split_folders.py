"""Which folders of a root are its splits, and whether they are splits at all."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tlexp.data.decode import printable
from tlexp.data.refusals import flat, images_below, unused
from tlexp.data.splits import HELD_OUT, TRAIN, choose_held_out, require_one_each, splits_meant
from tlexp.data.walk import Naming, loose_images, subfolders
from tlexp.errors import DataError

FORM = "data.root needs one folder per class (root/cat, root/dog), or root/train and root/test with such folders"
_ONE_EACH = "rename or remove all but one, or name the folders with data.train=DIR data.test=DIR"


def find_splits(naming: Naming, *, stated: bool) -> tuple[Path, Path | None, tuple[str, ...]]:
    """Return the folder of the training pool, that of the test split if there is one, and notes.

    Args:
        naming: The root, which is the pool itself where it has no splits.
        stated: Whether the user named the classes, of which one may be called as a split is.

    Raises:
        DataError: There is no folder; two folders mean one split; the training split is missing; a folder may be a
            split or a class.
    """
    root, where, folders = naming.root, naming.shown(naming.root), subfolders(naming.root)
    if not folders:
        loose = loose_images(root)
        raise DataError(
            flat(where, root, loose, setting=naming.setting) if loose else f"{where} holds no folder; {FORM}"
        )
    meant = splits_meant(folders)
    given = [name for split in (TRAIN, *HELD_OUT) for name in meant.get(split, ())]
    if TRAIN not in meant:
        if not meant or (stated and len(given) < len(folders)):
            return root, None, ()
        raise DataError(_no_train(root, where, given, [name for name in folders if name not in given]))
    # A class may be called "train" too: then its folder holds images, not folders, and no other split stands beside it.
    if len(given) == 1 < len(folders) and not subfolders(folders[given[0]]):
        return root, None, ()
    require_one_each(meant, where=where, way_out=_ONE_EACH)
    train, *_ = given
    held_out, notes = choose_held_out(given[1:])
    rest = [path for name, path in folders.items() if name not in given]
    if held_out is None and (others := [path for path in rest if images_below(path)]):
        raise DataError(_split_or_class(where, folders[train], others[0]))
    return folders[train], None if held_out is None else folders[held_out], (*notes, *_beside(root, train, rest))


def _no_train(root: Path, where: str, given: Sequence[str], others: Sequence[str]) -> str:
    """Return the refusal of held-out splits without a training split."""
    if not others:
        return f"{where} has {', '.join(given)} but no train folder; {FORM}"
    return (
        f"{where} has {', '.join(given)} beside other folders and no train folder, so it may be a split or a class; "
        f"data.train={printable(str(root))} takes every folder as a class, 'data.classes=[{','.join(others[:3])}"
        f"{',...' if len(others) > 3 else ''}]' leaves it out"
    )


def _split_or_class(where: str, train: Path, other: Path) -> str:
    """Return the refusal of a folder called train that nothing shows to be a split."""
    return (
        f"{where} has {printable(train.name)} with folders in it beside images in {printable(other.name)} and no test "
        f"folder, so it may be a split or a class; data.train={printable(str(train))} takes the classes in it, "
        f"data.train={printable(str(train.parent))} every folder as a class"
    )


def _beside(root: Path, train: str, rest: Sequence[Path]) -> Iterator[str]:
    """Say what lies beside the splits and is not used."""
    if rest:
        yield f"folders beside {train} are not used: {', '.join(unused(path) for path in rest)}"
    if loose := loose_images(root):
        yield f"images beside {train} are not used: {len(loose)}, e.g. {loose[0]}"
