"""Which files a folder of images consists of, and which class each belongs to. Nothing is opened here.

Either root/train and root/test (or val; `splits` knows the spellings), each with one folder per class, or root itself
with one folder per class, or two such folders anywhere. Classes are sorted by name, character by character ("10" before
"9"), as torchvision's ImageFolder does.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tlexp.data.classes import NEITHER, choose_classes, listed, require_equal, taken_classes
from tlexp.data.decode import EXTENSIONS, printable
from tlexp.data.files import Listing
from tlexp.data.refusals import above, absent, better, did_you_mean, flat, has_form, misread, nested
from tlexp.data.split_folders import FORM, find_splits
from tlexp.data.walk import Naming, Walk, is_folder, leads_out, loose_images, subfolders, visible_entries
from tlexp.errors import DataError

_COUNTS = {1: "one is", 2: "two are"}
_TREE = "it needs one folder per class"
_ANY = "it needs a folder of images"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where classes and splits lie.

    Attributes:
        root: The root, links resolved; None where training and test folder are named apart.
        classes: Printable class names, sorted.
        pool: The folder whose subfolders are the classes.
        held_out: The same for the test split; None where it has to be split off the pool.
        notes: Remarks for the user.
    """

    root: Path | None
    classes: tuple[str, ...]
    pool: Path
    held_out: Path | None
    notes: tuple[str, ...]

    def naming(self, split: Path) -> Naming:
        """Return how the images of a split are named: two folders as if they were train and test of one root."""
        if self.root is not None:
            return Naming(root=self.root)
        if self.held_out is None:
            return Naming(root=self.pool, setting="data.train")
        name = "train" if split == self.pool else "test"
        return Naming(root=split, setting=f"data.{name}", prefix=f"{name}/")

    def shown(self, split: Path) -> str:
        """Return a split for messages."""
        return self.naming(split).shown(split)


def find_layout(root: Path, *, follow_links: bool, classes: Sequence[str] | None = None, at_least: int = 2) -> Layout:
    """Find splits and classes below a root.

    Args:
        root: The folder.
        follow_links: Whether splits may be links out of it.
        classes: Those to use; all when None.
        at_least: So many classes are needed.

    Raises:
        DataError: The root is missing, a file, unreadable, empty, flat or one folder too high; its folders are parts of
            a data set rather than classes, or two mean the same split; there are too few classes; a wanted class is
            missing; two class names are hard to tell apart; the splits have different classes; a split is a link out of
            the root.
    """
    root = _folder(root, "data.root", FORM)
    pool, held_out, notes = find_splits(Naming(root=root), stated=classes is not None)
    naming = Naming(root=root)
    held_out = None if held_out is None else _innermost(held_out, naming, follow_links)
    layout = Layout(root=root, classes=(), pool=_innermost(pool, naming, follow_links), held_out=held_out, notes=notes)
    return _with_classes(layout, classes, at_least)


def find_trees(
    train: Path, test: Path | None, *, follow_links: bool, classes: Sequence[str] | None = None, at_least: int = 2
) -> Layout:
    """Find classes where training and test folder are named apart: all that lies in them is a class folder.

    Args:
        train: A folder with one folder per class.
        test: Another one; None where a test split has to be split off.
        follow_links: Whether a folder that is nested in one of the same name may be a link out of it.
        classes: Those to use; all when None.
        at_least: So many classes are needed.

    Raises:
        DataError: A folder is missing, a file, unreadable, empty or flat; they are the same, or one lies in the other;
            one is nested behind a link; their folders are splits; there are too few classes; a wanted class is
            missing; two class names are hard to tell apart; the two have different classes.
    """
    pool = _folder(train, "data.train", _TREE)
    held_out = None if test is None else _folder(test, "data.test", _TREE)
    if held_out is not None and (pool.is_relative_to(held_out) or held_out.is_relative_to(pool)):
        relation = "are the same folder" if pool == held_out else "lie one inside the other"
        raise DataError(
            f"data.train={printable(str(pool))} and data.test={printable(str(held_out))} {relation}, so that images "
            "would be tested that were learned; name two folders apart, or data.train alone to hold out a fifth"
        )
    if held_out is not None:
        held_out = _innermost(held_out, Naming(root=held_out, setting="data.test"), follow_links).resolve()
    pool = _innermost(pool, Naming(root=pool, setting="data.train"), follow_links).resolve()
    layout = Layout(root=None, classes=(), pool=pool, held_out=held_out, notes=())
    return _with_classes(layout, classes, at_least)


def _innermost(split: Path, naming: Naming, follow_links: bool) -> Path:
    """Return the folder of a split that holds its classes, see `nested`.

    Raises:
        DataError: It lies behind a link out of the folder that was named.
    """
    inner = nested(split)
    if not follow_links and leads_out(inner, naming.root):
        raise DataError(f"{naming.shown(inner)} is a link out of {naming.setting}; data.follow_links=true follows it")
    return inner


def _with_classes(layout: Layout, wanted: Sequence[str] | None, at_least: int) -> Layout:
    """Return the layout with its classes, which both splits have."""
    pool, held_out = layout.pool, layout.held_out
    found = _classes(layout, pool, at_least)
    if wanted is None and (wrong := misread(layout.naming(pool), pool)):
        raise DataError(wrong)
    left = taken_classes(found, wanted)
    deeper = (
        [folder for name, folder in subfolders(pool).items() if name in left and has_form(folder)]
        if len(left) < at_least
        else []
    )
    offer = did_you_mean("data.root", deeper) if pool == layout.root else ""
    chosen = choose_classes(found, wanted, where=layout.shown(pool), at_least=at_least, offer=offer)
    if held_out is not None:
        others = taken_classes(_classes(layout, held_out, at_least), wanted)
        require_equal(
            chosen,
            choose_classes(others, None, where=layout.shown(held_out)),
            where=layout.shown(held_out),
            than=layout.shown(pool),
            way_out="both need the same class folders",
        )
    return dataclasses.replace(layout, classes=chosen)


def list_images(split: Path, layout: Layout, *, follow_links: bool) -> Listing:
    """List the files of one split; what lies deeper inside a class folder belongs to that class.

    Raises:
        DataError: A folder cannot be read, or a class has no image.
    """
    folders = subfolders(split)
    walk = Walk(layout.naming(split), follow_links=follow_links)
    for entry in visible_entries(split):
        if not is_folder(entry):
            walk.pass_over(entry)
    for label, name in enumerate(layout.classes):
        walk.visit(folders[name], label)
    empty = [name for label, name in enumerate(layout.classes) if label not in walk.labels]
    if empty:
        offer = did_you_mean(layout.naming(split).setting, better(split)) if split == layout.root else ""
        emptied = f"folder{'' if len(empty) == 1 else 's'}{'' if layout.held_out is None else ' in both splits'}"
        raise DataError(
            f"{layout.shown(split)}: no image in class {listed(empty)}; {offer and f'{offer} Else '}add images or "
            f"remove the {emptied}, or leave it out, 'data.classes=[-NAME]' (images end in "
            f"{' '.join(sorted(EXTENSIONS))})"
        )
    return walk.listing()


def deeper_notes(split: Path, layout: Layout, listing: Listing) -> Iterator[str]:
    """Say which class folders hold images in several folders, as those of a data set one folder too high would."""
    if several := _folders_inside(split, layout, listing):
        label, names = next(iter(sorted(several.items())))
        meant = meant_root(layout, listing)
        offer = "" if meant is None else f": {did_you_mean('data.root', [meant])}"
        yield (
            f"images lie in folders inside {len(several)} of the class folders, e.g. {layout.classes[label]} holds "
            f"{listed(names)}; all below a class folder belongs to its class{offer}"
        )


def meant_root(layout: Layout, listing: Listing) -> Path | None:
    """Return the folder below the root that holds the classes by its looks, beside others; None where none does."""
    if layout.pool != layout.root:
        return None
    several = _folders_inside(layout.pool, layout, listing)
    if len(several) != 1:
        return None
    ((label, names),) = several.items()
    folder = subfolders(layout.pool)[layout.classes[label]]
    return folder if len(names) > len(layout.classes) and not loose_images(folder) else None


def _folders_inside(split: Path, layout: Layout, listing: Listing) -> dict[int, list[str]]:
    """Return the folders that hold the images of a class, for classes that have several of them."""
    start = len(PurePosixPath(layout.naming(split).image(str(split))).parts)
    inside: defaultdict[int, set[str]] = defaultdict(set)
    for file in listing.files:
        parts = file.name.split("/")[start:]
        inside[file.label].update(parts[1:-1][:1])
    return {label: sorted(names) for label, names in inside.items() if len(names) > 1}


def list_tree(root: Path, *, setting: str, prefix: str, follow_links: bool) -> Listing:
    """List all images below a folder, however deep, as one class.

    Args:
        root: The folder.
        setting: Names it in messages.
        prefix: Stands in front of the images' names.
        follow_links: Follow links out of it.

    Raises:
        DataError: It is missing, no folder, cannot be read or holds no image.
    """
    root = _folder(root, setting, _ANY)
    walk = Walk(Naming(root=root, setting=setting, prefix=prefix), follow_links=follow_links)
    walk.visit(root, 0)
    if not walk.labels:
        raise DataError(
            f"{setting}={printable(str(root))} holds no image, at any depth (images end in "
            f"{' '.join(sorted(EXTENSIONS))})"
        )
    return walk.listing()


def list_classes(
    root: Path, classes: Sequence[str], *, others: bool, setting: str, prefix: str, follow_links: bool
) -> Listing:
    """List a folder that has one folder for each class.

    Args:
        root: The folder.
        classes: The classes, in the order of their labels.
        others: Whether folders of other classes may lie there.
        setting: Names the folder in messages.
        prefix: Stands in front of the images' names.
        follow_links: Follow links out of it.

    Raises:
        DataError: It is missing, no folder, cannot be read, or has other classes; a class has no image.
    """
    root = _folder(root, setting, _ANY)
    folders = subfolders(root)
    require_equal(
        classes,
        [name for name in folders if name in classes or not others],
        where=f"{setting}={printable(str(root))}",
        than="the run",
        way_out="it needs one folder for each class of the run"
        + (f", {NEITHER} among them as data.neither is given" if NEITHER in classes else "")
        + "; data.classes=[...] keeps those that both have",
    )
    walk = Walk(Naming(root=root, setting=setting, prefix=prefix), follow_links=follow_links)
    for label, name in enumerate(classes):
        walk.visit(folders[name], label)
    if empty := [name for label, name in enumerate(classes) if label not in walk.labels]:
        raise DataError(f"{setting}={printable(str(root))}: no image in class {listed(empty)}; add images")
    return walk.listing()


def _folder(path: Path, setting: str, form: str) -> Path:
    """Return a folder, links resolved.

    Raises:
        DataError: There is none.
    """
    if not path.is_dir():
        raise DataError(absent(path, setting, form))
    return path.resolve()


def _classes(layout: Layout, split: Path, at_least: int) -> tuple[str, ...]:
    """Return the class names of a split, sorted.

    Raises:
        DataError: Fewer than `at_least`.
    """
    names = tuple(subfolders(split))
    if len(names) >= at_least:
        return names
    loose, where, tested = loose_images(split), layout.shown(split), split == layout.held_out
    setting = layout.naming(split).setting
    if split != layout.root and not tested:
        setting = "data.train"
    named = split == layout.root or (layout.root is None and not tested)
    others = [] if tested else better(split) or (above(split) if named else [])
    way_out = did_you_mean(setting, others) or (FORM if layout.root is not None else _TREE)
    found = f"one class only ({names[0]})" if names else "no class folders"
    reason = f"{where}: {found}, at least {_COUNTS[at_least]} needed; {way_out}"
    if loose and not names:
        reason = flat(where, split, loose, setting=setting if named else "")
    alone = f"; data.train={printable(str(layout.pool))} without data.test holds out a fifth instead" if tested else ""
    raise DataError(reason + alone)
