"""What a network is to be applied to: files, folders of them, images in memory and arrays, each with a name.

Arrays are (H, W, 3) or (H, W), uint8; one of (N, H, W, 3) stands for N images.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from tlexp.data.decode import Decoding, decode_image, printable, require_size
from tlexp.data.files import ImageFile
from tlexp.data.walk import Naming, Walk
from tlexp.errors import BadImagesError, DataError

Photographs = Any
"""A path, an image of Pillow's, an array, or several of them in any order."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One image, not yet decoded.

    Attributes:
        name: The path as it was given, below a folder that was given, or `image N` for what has none; printable.
        load: Returns what names its content, 32 bytes (none for an image in memory), and the image as upright RGB, or
            raises DataError with the reason, without the name.
    """

    name: str
    load: Callable[[Decoding], tuple[bytes, Image.Image]]

    @classmethod
    def of(cls, file: ImageFile) -> Self:
        """Return the image of a file."""

        def load(asked: Decoding) -> tuple[bytes, Image.Image]:
            digest, decoded = file.load(asked)
            return bytes.fromhex(digest), decoded.image

        return cls(name=file.name, load=load)


def find_photos(
    images: Photographs, *, follow_links: bool = False, root: Path | None = None, all_there: bool = False
) -> list[Photo]:
    """Return all images in the order in which they were given, those of a folder by name, whatever lies how deep.

    What cannot be opened is among them and says so when it is loaded.

    Args:
        images: One or several.
        follow_links: Follow links that lead out of a folder.
        root: The folder that they may not lead out of, above a folder that is given; that itself when None.
        all_there: Refuse paths where nothing lies.

    Raises:
        DataError: A folder holds no image, something is neither a path nor an image, or nothing lies at a path.
    """
    photos: list[Photo] = []
    stated = list(_several(images))
    if all_there:
        _require_there([os.fspath(given) for given in stated if isinstance(given, str | os.PathLike)])
    for given in stated:
        if isinstance(given, str | os.PathLike) and os.path.isdir(given):  # noqa: PTH112 - takes both kinds
            found = photos_below(Path(given), follow_links=follow_links, root=root)
            if not found:
                raise DataError(f"{printable(os.fsdecode(given))}: no image lies in this folder, nor below it")
            photos += found
        else:
            photos.append(_single(given, f"image {len(photos)}"))
    return photos


def _require_there(paths: Sequence[str | bytes]) -> None:
    missing = [printable(os.fsdecode(path)) for path in paths if not os.path.exists(path)]  # noqa: PTH110 - many paths
    if missing:
        raise BadImagesError(
            f"{len(missing)} of {len(paths)} paths lead nowhere:",
            [f"{path}: no such file or folder" for path in missing],
            f"Name what is there; what begins with no / is looked for in {printable(str(Path.cwd()))}",
        )


def _several(images: Photographs) -> Iterable[Any]:
    if isinstance(images, np.ndarray):
        return images if images.ndim == 4 else [images]
    alone = isinstance(images, str | os.PathLike | Image.Image) or not isinstance(images, Iterable)
    return [images] if alone else images


def _single(given: Any, name: str) -> Photo:
    if isinstance(given, Photo):
        return given
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        return Photo.of(ImageFile(path=path, name=printable(path), label=0))
    if isinstance(given, Image.Image):
        return Photo(name=name, load=lambda asked: (b"", decode_image(given, asked).image))
    if isinstance(given, np.ndarray):
        return Photo(name=name, load=lambda asked: (b"", _of_array(given, asked)))
    raise DataError(f"{name} is of type {type(given).__name__}: give paths, images of Pillow's, or arrays of uint8")


def _of_array(values: np.ndarray, asked: Decoding) -> Image.Image:
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)) or not values.size:
        raise DataError(f"an array {values.shape} of {values.dtype}: give (H, W, 3) or (H, W) of uint8")
    require_size(values.shape[1], values.shape[0], asked)
    return Image.fromarray(values).convert("RGB")


def photos_below(folder: Path, *, follow_links: bool, root: Path | None = None) -> list[Photo]:
    """Return the images of a folder by name, however deep they lie; none where it holds none.

    Args:
        folder: The folder.
        follow_links: Follow links that lead out of it.
        root: The folder that they may not lead out of, above it; itself when None.
    """
    root = folder if root is None else root
    prefix = "" if str(root) == "." else f"{printable(str(root)).rstrip('/')}/"
    naming = Naming(root=root.resolve(), setting="the folder", prefix=prefix, follow="--follow-links")
    walk = Walk(naming, follow_links=follow_links)
    walk.visit(root.resolve() / folder.relative_to(root), 0)
    found = {file.name: Photo.of(file) for file in walk.files}
    found |= {name: Photo(name=name, load=_refusal(reason)) for name, reason in walk.listing().refused}
    return [found[name] for name in sorted(found)]


def _refusal(reason: str) -> Callable[[Decoding], tuple[bytes, Image.Image]]:
    def refuse(asked: Decoding) -> tuple[bytes, Image.Image]:
        raise DataError(reason)

    return refuse
