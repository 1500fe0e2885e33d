"""Pictures of every mode that people have: read by their own range, or refused by name."""

import numpy as np
import pytest
from PIL import Image

from samemind.datasets.base import DATASETS
from samemind.errors import DataError
from samemind.inputs.images import open_images

RAMP = np.linspace(0, 255, 64)[None].repeat(48, 0).astype(np.uint8)
EXPECTED = RAMP[:, 8:56] / 255  # the middle 48 of 64 columns


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def pgm16(path) -> None:
    values = (RAMP.astype(np.uint16) * 16).astype(">u2").tobytes()
    path.write_bytes(b"P5\n64 48\n4080\n" + values)


GREY = Image.fromarray(RAMP)
WIDE = Image.fromarray(RAMP.astype(np.uint16) * 257)
KINDS = {
    "grey.png": lambda p: GREY.save(p),
    "grey16.png": lambda p: WIDE.save(p),
    "grey16.tif": lambda p: WIDE.save(p),
    "grey16.pgm": pgm16,
    "unit.tif": lambda p: Image.fromarray((RAMP / 255).astype(np.float32)).save(p),
    "colour.png": lambda p: GREY.convert("RGB").save(p),
    "palette.png": lambda p: GREY.convert("P").save(p),
    "alpha.png": lambda p: Image.fromarray(np.dstack([RAMP] * 3 + [RAMP * 0])).save(p),
    "grey-alpha.png": lambda p: GREY.convert("LA").save(p),
    "turned.png": lambda p: GREY.save(p, exif=exif(6)),
    "moving.gif": lambda p: GREY.save(
        p, save_all=True, append_images=[Image.fromarray(255 - RAMP)]
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", KINDS)
def test_a_picture_has_the_pixels_that_it_shows(name, channels, tmp_path):
    KINDS[name](tmp_path / name)
    pixels = open_images(str(tmp_path)).read([0], size=48, crop=1.0, channels=channels)
    assert pixels.shape == (1, channels, 48, 48)
    # A palette and rounding to eight bits may cost a step of 1/255.
    assert np.abs(pixels.numpy()[0] - EXPECTED).max() <= 1.01 / 255


def test_a_data_set_of_folders_reads_them_alike(tmp_path):
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    for name in ("grey.png", "grey16.png", "unit.tif", "alpha.png", "turned.png"):
        KINDS[name](folder / name)
    split = DATASETS[f"folder:{tmp_path}@48"].split("train")
    found = split.read(range(5)) / 255.0
    assert np.abs(found - EXPECTED).max() <= 1.01 / 255
    assert np.array_equal(np.asarray(split.open_image(1))[..., 0], RAMP)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAMP.astype(np.int32) * 257, "integers of 32 bits"),
        (RAMP.astype(np.float32), "floating-point numbers from 0 to 255"),
        (RAMP * np.float32("nan"), "floating-point numbers from nan to nan"),
    ],
)
def test_pixels_without_a_known_white_are_refused_by_name(values, words, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"a\.tif cannot be read: .*{words}.*8 or 16 bits\.$"):
        open_images(str(tmp_path)).read([0], size=48, crop=1.0, channels=3)


def test_what_is_left_unread_is_told_with_its_count(tmp_path):
    for name in KINDS:
        KINDS[name](tmp_path / name)
    told = open_images(str(tmp_path)).remarks()
    assert [(t.split(" ")[0], t.split("pictures ")[1].split(" ")[0]) for t in told] == [
        ("1", "are"), ("2", "have"), ("1", "are")
    ]  # fmt: skip
    assert "EXIF" in told[0]
    assert open_images("digits", count=3).remarks() == []
