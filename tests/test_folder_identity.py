"""A folder of one's own images: what its files hold is part of what is made from them."""

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samemind.building import BUILDERS
from samemind.datasets import _fingerprints
from samemind.datasets.base import DATASETS
from samemind.errors import DataError
from samemind.inversion import build_natural
from samemind.study import read_study

STUDY = """
dataset = "folder:{folder}@32"
architectures = ["cifar_small_resnet"]
epsilons = [0]
[training]
epochs = 1
batch_size = 4
learning_rate = 0.1
[evaluation]
split = "val"
strong_count = 0
[inputs]
split = "val"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(_fingerprints, "_KNOWN", {})
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path / "images"


def contents(folder: Path) -> dict[str, str]:
    return dict(DATASETS[f"folder:{folder}@32"].fingerprints)


def study_of(folder: Path):
    path = folder.parent / "mine.toml"
    path.write_text(STUDY.format(folder=folder))
    study = read_study(path)
    assert study.stages  # recipes are made when they are asked for
    return study


def repaint(path: Path) -> None:
    """Changes one pixel; the file keeps its name, and its size and time of change too."""
    before = path.stat()
    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 255
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    path.write_bytes(content.ljust(before.st_size, b"\0")[: max(before.st_size, len(content))])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_same_folder_has_the_same_identity_and_is_read_once(folder, monkeypatch):
    first = contents(folder)
    read = []
    monkeypatch.setattr(_fingerprints, "_hash", lambda path: read.append(path))
    assert contents(folder) == first
    # Nor does another process read it again.
    monkeypatch.setattr(_fingerprints, "_KNOWN", {})
    assert contents(folder) == first
    assert read == []
    assert set(first) == {"train", "val"}
    assert first["train"] != first["val"]


@pytest.mark.parametrize("change", ["repaint", "rename", "add", "remove", "move"])
def test_whatever_changes_in_a_split_changes_its_fingerprint_and_no_other(folder, change):
    before = contents(folder)
    place = folder / "val" / "cat"
    if change == "repaint":
        repaint(place / "1.png")
    elif change == "rename":
        (place / "1.png").rename(place / "9.png")
    elif change == "add":
        (place / "3.png").write_bytes((place / "1.png").read_bytes())
    elif change == "remove":
        (place / "1.png").unlink()
    else:  # the same bytes under another label
        (place / "1.png").rename(folder / "val" / "dog" / "9.png")
    after = contents(folder)
    assert after["val"] != before["val"]
    assert after["train"] == before["train"]


def test_a_changed_folder_gives_new_artifacts_and_only_where_it_matters(folder):
    before = study_of(folder)
    repaint(folder / "val" / "dog" / "0.png")
    after = study_of(folder)
    assert after.checkpoints == before.checkpoints
    assert after.natural.name != before.natural.name
    assert {e.name for e in after.evaluations}.isdisjoint(e.name for e in before.evaluations)
    assert {r.name for r in after.inverted}.isdisjoint(r.name for r in before.inverted)
    repaint(folder / "train" / "dog" / "0.png")
    assert study_of(folder).checkpoints != before.checkpoints


def test_a_folder_that_was_put_back_is_the_old_one(folder):
    before, path = contents(folder), folder / "train" / "cat" / "0.png"
    content = path.read_bytes()
    repaint(path)
    assert contents(folder) != before
    path.write_bytes(content)
    assert contents(folder) == before


def test_a_folder_that_changes_under_a_study_is_not_taken_for_the_old_one(folder, store, execution):
    natural = study_of(folder).natural
    repaint(folder / "val" / "dog" / "0.png")
    with pytest.raises(DataError, match=r"are not those that this study began with"):
        build_natural(natural, store, execution)
    assert not store.has(natural)
    new = study_of(folder).natural
    build_natural(new, store, execution)
    assert store.has(new)


def test_a_damaged_or_unwritable_cache_only_costs_time(folder, cache):
    before = contents(folder)
    for place in cache.rglob("*.json"):
        place.write_text('{"0.png": 3}')
    _fingerprints._KNOWN.clear()
    assert contents(folder) == before
    for place in cache.rglob("*.json"):
        place.unlink()
    (cache / "samemind" / "fingerprints").rmdir()
    (cache / "samemind" / "fingerprints").touch()
    _fingerprints._KNOWN.clear()
    assert contents(folder) == before


def test_published_data_has_no_fingerprint_so_its_artifacts_are_those_of_before():
    assert all(not record.fingerprints for record in DATASETS.values())
    assert "fingerprint" not in read_study("cifar10").checkpoints[0].content
    assert "fingerprint" not in read_study("cifar10").natural.content


def test_no_field_of_a_recipe_hides_what_its_identity_is_made_of():
    computed = {"content", "identity", "name", "label", "kind", "version"}
    for recipe in BUILDERS:
        assert computed.isdisjoint(f.name for f in fields(recipe)), recipe
