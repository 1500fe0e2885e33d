"""The one way of reading what is not believed: FIFOs, devices, loops, strange names, pictures."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import samemind
from samemind.datasets.base import DATASETS
from samemind.datasets.checking import check
from samemind.datasets.images import images_of_class, open_rgb
from samemind.errors import DataError, InvalidInput, SamemindError, UnreadableFile
from samemind.files.pictures import READERS
from samemind.files.reading import (
    DEEPEST,
    depth_of,
    expanded,
    files_below,
    open_regular,
    parsed_json,
    read_bytes,
    read_json,
    read_text,
    shown,
    split_name,
)
from samemind.inputs.arrays import read_arrays
from samemind.inputs.images import open_images
from samemind.inputs.labels import read_labels
from samemind.study import read_study

NESTED = st.recursive(
    st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
SOURCES = sorted(Path(samemind.__file__).parent.rglob("*.py"))


def special(folder: Path, kind: str) -> Path:
    """Something that is no regular file, though a file may be looked for in its place."""
    path = folder / f"{kind}.png"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "terminal":
        path.symlink_to("/dev/tty")
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "long":
        path = folder / ("x" * 5000)
    elif kind == "null":
        path = folder / "a\0b"
    return path


KINDS = ["fifo", "folder", "socket", "endless", "terminal", "circle", "long", "null", "absent"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, open_regular])
def test_only_regular_files_are_read_and_errors_name_the_file(tmp_path, kind, read):
    path = special(tmp_path, kind)
    with pytest.raises(UnreadableFile) as error:
        read(path)
    assert shown(path)[:100] in str(error.value)
    assert len(str(error.value)) < 500
    assert error.value.is_missing == (kind == "absent")


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_a_file_is_read_whole_or_refused_for_its_size(tmp_path, size):
    path = tmp_path / "a"
    path.write_bytes(bytes(size))
    assert read_bytes(path, most=size) == bytes(size)
    assert read_bytes(path) == bytes(size)
    if size:
        with pytest.raises(UnreadableFile, match=f"has {size} bytes, and {size - 1} are the most"):
            read_bytes(path, most=size - 1)


def test_files_of_the_system_that_state_no_size_are_read():
    assert read_text("/proc/self/status").startswith("Name:")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000 + "]" * 100_000, "deep"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "deep"),
        ('{"a":' * 100 + "1" + "}" * 100, "deep"),
        ("NaN", "no number"),
        ("[-Infinity]", "no number"),
        ("1e999", "too large"),
        ("9" * 10_000, "JSON"),
        ("{", "JSON"),
        ('"\\', "JSON"),
        ("", "JSON"),
    ],
)
def test_json_that_is_no_json_or_endless_is_refused(tmp_path, text, why):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UnreadableFile, match=why) as error:
        read_json(path)
    assert str(path) in str(error.value)


def test_json_that_is_as_deep_as_may_be_is_read():
    text = "[" * DEEPEST + "]" * DEEPEST
    assert depth_of(parsed_json(text, "a")) == DEEPEST
    assert parsed_json("[" + "[]," * 1000 + "[]]", "a") == [[]] * 1001


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_the_depth_of_json_is_counted_as_by_hand(content):
    def by_hand(value) -> int:
        if not isinstance(value, (list, dict)):
            return 0
        held = value.values() if isinstance(value, dict) else value
        return 1 + max(map(by_hand, held), default=0)

    assert depth_of(content) == min(by_hand(content), DEEPEST + 1)


# -- walks


def tree(folder: Path) -> Path:
    for name in ("a", "b/c", "b/d"):
        (folder / name).mkdir(parents=True)
        (folder / name / "0.png").write_bytes(b"")
    return folder


def test_walks_follow_links_but_no_loop(tmp_path):
    tree(tmp_path)
    plain = {p.relative_to(tmp_path) for p in files_below(tmp_path)}
    assert plain == {Path(n) / "0.png" for n in ("a", "b/c", "b/d")}
    for name in ("l1", "l2", "a/up", "b/c/up"):
        (tmp_path / name).symlink_to(tmp_path)
    assert {p.relative_to(tmp_path) for p in files_below(tmp_path)} == plain
    (tmp_path / "copy").symlink_to(tmp_path / "a")
    found = {p.relative_to(tmp_path) for p in files_below(tmp_path)}
    assert found == plain | {Path("copy/0.png")}
    assert {p.relative_to(tmp_path) for p in files_below(tmp_path, follows_links=False)} == plain
    assert images_of_class(tmp_path) == sorted(tmp_path / p for p in found)


def test_knots_of_links_are_refused_at_once(tmp_path):
    """Forty folders, each with two links to the next: 2^40 ways, and no loop."""
    for level in range(40):
        (tmp_path / str(level)).mkdir()
        for name in ("x", "y"):
            (tmp_path / str(level) / name).symlink_to(tmp_path / str(level + 1))
    (tmp_path / "40").mkdir()
    with pytest.raises(UnreadableFile, match="in more than 64 ways"):
        list(files_below(tmp_path / "0"))


def test_the_order_of_images_is_that_of_before(tmp_path):
    for name in ("b/0.png", "a-b/0.png", "a/1.png", "a/b/0.png", "a/0.PNG", "a/0.txt", "z.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    before = [
        Path(place) / name
        for place, _, names in sorted(os.walk(tmp_path, followlinks=True))
        for name in sorted(names)
        if not name.endswith("txt")
    ]
    assert images_of_class(tmp_path) == before


# -- folders of pictures


def folder_of(place: Path, *classes: bytes) -> Path:
    for name in classes or (b"a", b"b"):
        inner = os.fsencode(place) + b"/" + name
        Path(os.fsdecode(inner)).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 200, "u1")).save(os.fsdecode(inner + b"/0.png"))
    return place


@pytest.mark.parametrize("kind", ["fifo", "endless", "socket", "circle"])
def test_a_special_file_among_pictures_is_one_clear_error(tmp_path, kind):
    folder_of(tmp_path)
    path = special(tmp_path / "a", kind)
    with pytest.raises(DataError, match=f"{path.name} cannot be read"):
        list(check(f"folder:{tmp_path}@8"))
    with pytest.raises(DataError, match=f"{path.name} cannot be read"):
        open_rgb(path)
    assert len(open_images(str(tmp_path))) == 2


def test_names_that_are_not_utf8_are_shown_and_read(tmp_path):
    folder_of(tmp_path, b"a", b"caf\xe9")
    record = DATASETS[f"folder:{tmp_path}@8"]
    assert record.classes == ("a", r"caf\xe9")
    assert not [step.fault for step in check(f"folder:{tmp_path}@8") if step.fault]
    assert open_images(str(tmp_path)).classes == ("a", r"caf\xe9")
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/0.png")
    Path(odd).write_bytes(b"no picture")
    with pytest.raises(DataError) as error:
        open_rgb(Path(odd))
    assert r"caf\xe9" in str(error.value)
    str(error.value).encode("utf-8")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        DATASETS[f"folder:{os.fsdecode(os.fsencode(tmp_path) + bytes([0xE9]))}"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("~nobody-of-this-name/x", "no user 'nobody-of-this-name'"),
        ("x" * 5000, "no folder"),
        ("{}@100000", "100000 × 100000 pixels, and 8,192 × 8,192 are the most"),
        ("{}@" + "9" * 5000, "are the most"),
        ("{}@²", "no size"),
        ("a\0b", "no folder"),
    ],
)
def test_folders_that_cannot_be_are_told(tmp_path, text, why):
    folder_of(tmp_path)
    with pytest.raises(SamemindError, match=why):
        DATASETS["folder:" + text.format(tmp_path)]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-this-name"])
def test_names_that_no_file_can_have_are_errors_of_ours(tmp_path, name):
    from samemind.checkpoints.reading import read_weights

    for ask in (
        lambda: read_study(f"{name}.toml"),
        lambda: read_arrays(Path(f"{name}.npy")),
        lambda: read_weights(Path(f"{name}.pt")),
        lambda: open_images(name),
        lambda: read_labels(Path(f"{name}.txt")),
    ):
        with pytest.raises(SamemindError):
            ask()


def test_a_home_that_nobody_has_is_an_error_of_ours():
    assert expanded("~/x") == Path("~/x").expanduser()
    with pytest.raises(UnreadableFile, match="knows no user"):
        expanded("~nobody-of-this-name")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".mat", ".safetensors", ".txt"])
def test_arrays_and_labels_in_a_fifo_are_refused(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    os.mkfifo(path)
    for read in (read_arrays, read_labels):
        with pytest.raises(InvalidInput):
            read(path)


# -- pictures


@pytest.mark.slow
def test_a_postscript_file_named_png_starts_no_program(tmp_path):
    """The stand-in for Ghostscript writes a file when it is started for anything."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo 10.0 && exit 0\necho >> {tmp_path}/ran\n'
    )
    program.chmod(0o755)
    folder_of(tmp_path / "ds")
    bad = tmp_path / "ds" / "a" / "bad.png"
    bad.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"
    )
    code = (
        "import sys; from pathlib import Path; from samemind.datasets.images import open_rgb\n"
        "from samemind.inputs.images import open_images\n"
        "for ask in (lambda: open_rgb(Path(sys.argv[1])), lambda: open_images(sys.argv[2]).read("
        "[0, 1, 2], size=8, crop=1.0, channels=3)):\n"
        "    try:\n        ask(); print('read')\n"
        "    except Exception as error:\n        print(error)\n"
        "if len(sys.argv) > 3:\n    from PIL import Image\n"
        "    try:\n        Image.open(sys.argv[1]).load()\n    except Exception: pass\n"
    )
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    asked = [sys.executable, "-c", code, str(bad), str(bad.parent.parent)]
    found = subprocess.run(asked, capture_output=True, text=True, check=True, env=os.environ | path)
    assert found.stdout.count("bad.png cannot be read") == 2
    assert not (tmp_path / "ran").exists()
    # The stand-in is a real one: Pillow by itself would have started it.
    subprocess.run([*asked, "and"], capture_output=True, check=True, env=os.environ | path)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", READERS)
def test_the_named_readers_read(tmp_path, name):
    pixels = Image.fromarray(np.arange(192, dtype="u1").reshape(8, 8, 3))
    path = tmp_path / "a.png"  # whatever it is called
    pixels.save(path, format=name)
    assert open_rgb(path).size == (8, 8)


def test_pictures_are_opened_in_one_place_only():
    calls = {
        source.name
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == "open"
        and isinstance(node.value, ast.Name)
        and node.value.id == "Image"
    }
    assert calls == {"pictures.py"}


def test_small_files_are_read_in_one_place_only():
    """`read_text` and `read_bytes` of paths: of our own package, of /proc, and of what we drew."""
    own = {
        "page.py", "imagenet.py", "fingerprint.py", "loading.py", "leases.py", "model_tables.py",
    }  # fmt: skip
    found = {
        source.name
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("read_text", "read_bytes")
    }
    assert found == own


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("epoch=3.pt", ""), ("epoch=3.pt::ema", ""), ("onnx:epoch=3.pt", ""), ("lr=0.1", ""),
        ("hf:lr=0.1", ""), ("a=epoch=3.pt", "a"), ("a=hf:lr=0.1", "a"), ("a=hf:plain", "a"),
        ("a=timm:tiny_vit_5m_224", "a"), ("a=nowhere=3.pt", "a"), ("timm:tiny_vit_5m_224", ""),
    ],
)  # fmt: skip
def test_an_equals_sign_of_a_file_is_no_name_of_a_model(
    reference: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epoch=3.pt").touch()
    (tmp_path / "lr=0.1").mkdir()
    (tmp_path / "plain").mkdir()
    assert split_name(reference) == (name, reference.removeprefix(f"{name}=" if name else ""))
