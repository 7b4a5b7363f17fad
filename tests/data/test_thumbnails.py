"""Thumbnails against what they are of."""

import io

from PIL import Image

from tlexp.data.thumbnails import thumbnail


def test_a_thumbnail_is_small_and_leaves_the_image_as_it_is() -> None:
    image = Image.new("RGB", (300, 100), (200, 10, 10))
    with Image.open(io.BytesIO(thumbnail(image, 70))) as small:
        assert (small.format, small.size, small.mode) == ("JPEG", (70, 23), "RGB")
    assert image.size == (300, 100)


def test_what_the_file_says_of_the_camera_is_left_behind() -> None:
    image = Image.new("RGB", (300, 100))
    exif = image.getexif()
    exif[0x010F] = "maker"
    image.info |= {"exif": exif.tobytes(), "comment": b"at home"}
    small = thumbnail(image)
    assert b"maker" not in small
    assert b"at home" not in small
