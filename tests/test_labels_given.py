"""Labels as people have them beside pictures, and what is told where they cannot be right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samemind
from samemind.errors import InvalidInput
from samemind.inputs.images import open_images

RNG = np.random.default_rng(0)
N = 200
LABELS = RNG.integers(0, 5, N)


def logits_of(labels: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Logits of a model that is right on so many of the inputs."""
    said = np.where(RNG.random(N) < share, labels, RNG.integers(0, 5, N))
    return 3 * np.eye(5)[said] + RNG.standard_normal((N, 5)) / 3


GOOD = [logits_of(LABELS) for _ in range(2)]


def notes_with(labels: np.ndarray) -> list[str]:
    sides = {name: samemind.Side(logits=z) for name, z in zip("AB", GOOD, strict=True)}
    found = samemind.compare(sides, labels=labels, permutations=0, measures=["agreement"])
    return [note for note in found.notes if "where chance gives" in note]


def test_labels_in_the_order_of_the_inputs_bring_no_note() -> None:
    assert notes_with(LABELS) == []


def test_labels_in_another_order_than_the_inputs_are_told() -> None:
    shuffled = RNG.permutation(LABELS)
    (note,) = notes_with(shuffled)
    rates = [f"{np.mean(z.argmax(1) == shuffled):.1%}" for z in GOOD]
    assert note.startswith(f"A and B: right on {rates[0]} and {rates[1]} of the inputs")
    assert note.endswith("Check that the labels are in the order of the inputs.")


def test_classes_that_are_numbered_otherwise_are_told_apart_from_that() -> None:
    renumbered = np.array([1, 2, 3, 4, 0])[LABELS]
    (note,) = notes_with(renumbered)
    best = f"{np.mean(GOOD[0].argmax(1) == LABELS):.1%}"
    assert "With the classes numbered in another order it would be " + best in note


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in (10, 2, 1):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(folder / f"im{i}.png")
    return folder


# Sorted by name they are im1, im10, im2; the labels below are 1, 10 and 2 by name.
TABLES = {
    "file,label": "file,label\nim10.png,0\nim2.png,2\nim1.png,1\n",
    "no titles": "im10.png,0\nim2.png,2\nim1.png,1\n",
    "white space": "im10.png 0\nim2.png 2\nim1.png 1\n",
    "tabs and paths": "./im10.png\t0\n./im2.png\t2\n./im1.png\t1\n",
    "semicolons": "im10.png;0\nim2.png;2\nim1.png;1\n",
    "without endings": "id,label\nim10,0\nim2,2\nim1,1\n",
    "more columns": "filename,width,label\nim10.png,4,0\nim2.png,4,2\nim1.png,4,1\n",
    "more files": "file,label\nim10.png,0\nim2.png,2\nim1.png,1\nim99.png,4\n",
    "words": "file,label\nim10.png,ant\nim2.png,cat\nim1.png,bee\n",
    "in quotes": '"im10.png","0"\n"im2.png","2"\n"im1.png","1"\n',
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_files_and_labels_is_joined_by_name(kind: str, pictures, tmp_path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(TABLES[kind])
    images = open_images(str(pictures), labels=str(path))
    assert images.labels is not None
    assert images.labels.tolist() == [1, 0, 2]  # of im1, im10, im2
    if kind == "words":
        assert images.classes == ("ant", "bee", "cat")
    assert any("not among the inputs" in n for n in images.remarks()) == (kind == "more files")


def test_a_bare_list_states_the_order_that_it_was_taken_in(pictures, tmp_path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("1\n0\n2\n")
    images = open_images(str(pictures), labels=str(path))
    assert images.labels is not None
    assert images.labels.tolist() == [1, 0, 2]
    assert any("from im1.png to im2.png" in note for note in images.remarks())


REFUSED = {
    "a file without a label": ("im1.png,0\nim2.png,1\n", "no label for 1 of 3 files.*im10"),
    "two labels for one": ("im1.png,0\nim1.png,1\nim2.png,1\nim10.png,1\n", "two labels"),
    "neither": ("a b c\n1\n", "no list of class numbers"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tables_that_do_not_fit_are_refused(kind: str, pictures, tmp_path) -> None:
    text, words = REFUSED[kind]
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=words):
        open_images(str(pictures), labels=str(path))


def test_names_that_several_files_have_are_refused(pictures, tmp_path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / "nested" / name
        folder.mkdir(parents=True)
        (pictures / "im1.png").rename(folder / "im.png") if name == "one" else (
            pictures / "im2.png"
        ).rename(folder / "im.png")
    path = tmp_path / "labels.csv"
    path.write_text("im.png,0\n")
    with pytest.raises(InvalidInput, match="several files are called so"):
        open_images(str(tmp_path / "nested"), labels=str(path))
    path.write_text("one/im.png,1\ntwo/im.png,0\n")
    images = open_images(str(tmp_path / "nested"), labels=str(path))
    assert images.labels is not None
    assert images.labels.tolist() == [1, 0]


def test_a_table_for_inputs_without_names_is_refused(tmp_path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 4, 4), np.uint8))
    (tmp_path / "labels.csv").write_text("file,label\na.png,0\nb.png,1\n")
    with pytest.raises(InvalidInput, match="these inputs have no names"):
        open_images(str(tmp_path / "images.npy"), labels=str(tmp_path / "labels.csv"))


def test_a_model_that_always_says_the_same_is_told() -> None:
    constant = np.tile(np.eye(5)[2], (N, 1))
    sides = [samemind.Side(logits=z, kind="logits") for z in (constant, GOOD[1])]
    found = samemind.compare(sides, labels=LABELS, permutations=0, measures=["agreement"])
    assert "model 0 says class 2 of every one of the inputs." in found.notes
    assert not any("where chance gives" in note for note in found.notes)
