"""Pictures: which readers may look at a file, named once for every place that opens one.

Pillow goes by what a file begins with, not by its name, and some of its readers hand the file to
other programs: a PostScript file called `.png` would be run by Ghostscript.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from samemind.errors import InvalidInput, UnreadableFile
from samemind.files.reading import open_regular, shown
from samemind.lazy import np

if TYPE_CHECKING:
    from PIL.Image import Image

READERS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""Names of Pillow's readers, all of which decode in this process; all others are left out."""


@contextmanager
def open_picture(source: Path | BinaryIO) -> Iterator[Image]:
    """A picture, of which the head is read, and the pixels when they are asked for.

    **Raises:** `UnreadableFile` for what is no regular file; whatever Pillow raises over others.
    """
    from PIL import Image, UnidentifiedImageError

    if not isinstance(source, Path):
        with Image.open(source, formats=READERS) as image:
            yield image
        return
    with open_regular(source) as stream:
        try:
            image = Image.open(stream, formats=READERS)
        except UnidentifiedImageError:
            reason = f"it is of none of the kinds that are read: {', '.join(READERS)}"
            raise UnreadableFile(shown(source), reason) from None
        with image:
            yield image


SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
ORIENTATION, PHOTOMETRIC = 0x0112, 262  # tags of EXIF and of TIFF
AS_STORED = 1  # of the orientations; also what a file without one means


def eight_bit(image: Image, mode: str) -> Image:
    """A picture in a mode of Pillow's with eight bits per channel ('RGB' or 'L').

    Pixels of 16 bits are scaled by their range (65,535 is white) and floating-point numbers by
    theirs, [0, 1]. The picture is taken as it is stored: EXIF does not turn it, transparency is
    dropped and an animation is its first picture, as torchvision and timm read them.

    **Raises:** `InvalidInput` for integers of 32 bits and numbers outside of [0, 1], of which no
    file says what is white.
    """
    from PIL.Image import fromarray

    # Portable greymaps of more than eight bits are scaled to 16 by Pillow, and said to have 32.
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format == "PPM"):
        values = np.asarray(image).astype(np.uint32)
        if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:
            values = (
                65_535 - values
            )  # a TIFF whose zero is white, which Pillow turns at 8 bits only
        image = fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.asarray(image)
        if not values.min() >= 0 or not values.max() <= 1:
            raise InvalidInput(
                f"its pixels are floating-point numbers from {values.min():g} to "
                f"{values.max():g}, and only [0, 1] says what is white. Save it with 8 or 16 bits."
            )
        image = fromarray(np.rint(values * 255).astype(np.uint8))
    elif image.mode == "I":
        raise InvalidInput(
            "its pixels are integers of 32 bits, and no file says which of them is white. Save it "
            "with 8 or 16 bits."
        )
    return image.convert(mode)


def peculiarities(image: Image) -> set[str]:
    """What of a picture is left unread: 'turned', 'transparent', 'animated', or none of them."""
    found = set()
    if image.getexif().get(ORIENTATION, AS_STORED) != AS_STORED:
        found.add("turned")
    if image.has_transparency_data:
        found.add("transparent")
    if getattr(image, "is_animated", False):
        found.add("animated")
    return found
