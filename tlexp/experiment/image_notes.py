"""What is worth knowing of the images by themselves, before any network sees them."""

from collections import Counter
from collections.abc import Iterator

from tlexp.data import Source, copy_notes


def image_notes(images: Source) -> Iterator[str]:
    """Yield what is known of the images by themselves: of their groups, folders, copies, and what was left out."""
    if (groups := images.groups) is not None:
        names = [name for split in (images.pool, images.held_out) for name in split.names]
        kept = f"{images.leaked:,} of which are learned from and tested on" if images.leaked else "which no split parts"
        yield f"{len(names):,} images are {groups.count(names):,} groups, {kept} ({groups.stated})"
        if several := _under_several_classes(images):
            yield (
                f"{several:,} groups lie under several classes: where they are others by the same name, such as "
                "folders that are numbered in each class, a pattern or a table tells them apart"
            )
    yield from images.notes
    yield from copy_notes(images.copies)
    if images.skipped:
        first, *others = (name for name, _ in images.skipped)
        yield f"unreadable images left out: {first}{f' and {len(others):,} more, see record.json' if others else ''}"


def _under_several_classes(images: Source) -> int:
    """Return how many groups have images of more than one class."""
    assert images.groups is not None
    pairs = {
        (images.groups.of[name], label)
        for split in (images.pool, images.held_out)
        for name, label in zip(split.names, split.labels.tolist(), strict=True)
    }
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())
