"""Pictures: which readers may look at a file, named once for every place that opens one.

Pillow goes by what a file begins with, not by its name, and some of its readers hand the file to
other programs: a PostScript file called `.png` would be run by Ghostscript.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from samemind.files.reading import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

READERS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""Names of Pillow's readers, all of which decode in this process; all others are left out."""


@contextmanager
def open_picture(source: Path | BinaryIO) -> Iterator[Image]:
    """A picture, of which the head is read, and the pixels when they are asked for.

    **Raises:** `UnreadableFile` for what is no regular file; whatever Pillow raises over others.
    """
    from PIL import Image

    if not isinstance(source, Path):
        with Image.open(source, formats=READERS) as image:
            yield image
        return
    with open_regular(source) as stream, Image.open(stream, formats=READERS) as image:
        yield image
