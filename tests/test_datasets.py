"""The records of all data sets, the layouts that are read, and what is said of damaged ones."""

import pickle
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samemind.datasets import cifar10, fashion_mnist, sat6
from samemind.datasets import imagenet as imagenet_family
from samemind.datasets.base import DATASETS, ArraySplit, Dataset
from samemind.datasets.checking import check
from samemind.datasets.imagenet import imagenet_names
from samemind.datasets.images import ImageSize
from samemind.errors import DataError, InvalidInput, UnknownName


def picture(path: Path, seed: int, size=(40, 30), mode="RGB") -> Path:
    """A noisy image file, reproducible by its seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# -- records


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_record_is_complete(name):
    record = DATASETS[name]
    assert record.name == name
    assert len(record.mean) == len(record.std) == record.channels
    assert len(set(record.classes)) == len(record.classes) > 1
    assert all(count > 0 for count in record.splits.values())
    assert record.citation
    assert record.licence
    assert record.preprocessing


def test_the_classes_of_imagenet_are_in_the_order_of_their_wordnet_ids():
    names = imagenet_names()
    assert len(names) == 1000
    assert list(names) == sorted(names)
    assert DATASETS["imagenet1k"].classes == tuple(names.values())
    assert (names["n01440764"], names["n15075141"]) == ("tench", "toilet tissue")


def ids_of(name: str) -> tuple[str, ...]:
    by_name = {v: k for k, v in imagenet_names().items()}
    return tuple(by_name[c] for c in DATASETS[name].classes)


def test_the_subsets_of_imagenet_are_those_of_the_study_and_of_cmc():
    hundred, cmc = ids_of("imagenet100"), ids_of("imagenet100-cmc")
    assert (hundred[0], hundred[-1], len(hundred)) == ("n01440764", "n02077923", 100)
    assert {"n02869837", "n01749939", "n02488291"} < set(cmc)
    assert len(set(hundred) & set(cmc)) == 8
    for ids in (hundred, cmc):
        assert list(ids) == sorted(ids)


def test_imagenet50_is_drawn_from_imagenet100_as_the_study_drew_it():
    drawn = sorted(random.Random(34786567).sample(tuple(range(100)), 50))
    assert drawn[:5] == [5, 6, 8, 10, 12]
    hundred = ids_of("imagenet100")
    assert ids_of("imagenet50") == tuple(hundred[i] for i in drawn)


def test_data_sets_are_looked_for_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMEMIND_DATA", str(tmp_path / "here"))
    with pytest.raises(DataError, match=f"not in {tmp_path}/here/imagenet/val"):
        DATASETS["imagenet1k"].split("val")
    monkeypatch.delenv("SAMEMIND_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=f"not in {tmp_path}/cache/samemind/data/sat6"):
        DATASETS["sat6"].split("test")


# -- resizing


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (224, 300), (61, 40)])
@pytest.mark.parametrize("target", [ImageSize(resize=255, crop=224), ImageSize(resize=32, crop=32)])
def test_resizing_and_cropping_are_torchvisions_bit_by_bit(tmp_path, size, target):
    from torchvision.transforms import CenterCrop, Compose, Resize

    image = Image.open(picture(tmp_path / "a.png", 0, size))
    expected = Compose([Resize(target.resize), CenterCrop(target.crop)])(image)
    assert np.array_equal(np.asarray(target.apply(image)), np.asarray(expected))


# -- CIFAR-10


class Boom:
    """Unpickled without care, it would raise ZeroDivisionError."""

    def __reduce__(self):
        return (eval, ("1/0",))


def test_a_batch_of_arrays_is_read_without_its_classes():
    content = {b"data": np.arange(12, dtype=np.uint8).reshape(2, 6), b"labels": [1, 2]}
    for protocol in (3, 4):
        found = cifar10.read_arrays(pickle.dumps(content, protocol), Path("x"))
        assert np.array_equal(found["data"], content[b"data"])
        assert found["labels"] == [1, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"data": Boom()}), "it asks for builtins.eval, and only NumPy arrays"),
        (pickle.dumps({"data": Path("x")}), "it asks for pathlib"),
        (pickle.dumps({"data": np.arange(3)})[:40], "is not a batch of images"),
        (b"\x80\x04not a pickle", "is not a batch of images"),
        (b"", "is not a batch of images"),
        (pickle.dumps([1, 2]), "is not a batch of images"),
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_executed(content, words):
    with pytest.raises(DataError, match=f"The file some/batch is not a batch.*{words}|{words}"):
        cifar10.read_arrays(content, Path("some/batch"))


def test_a_batch_that_is_not_the_published_one_is_named(tmp_path):
    folder = tmp_path / cifar10.FOLDER
    folder.mkdir()
    with pytest.raises(DataError, match=r"test_batch cannot be read \(No such file"):
        DATASETS["cifar10"].split("test", tmp_path)
    (folder / "test_batch").write_bytes(b"half of it")
    with pytest.raises(DataError, match=r"test_batch is not the published one: its MD5 is .*10 by"):
        DATASETS["cifar10"].split("test", tmp_path)


def test_batches_of_cifar10_that_lie_there_packed_are_told_so(tmp_path: Path) -> None:
    folder = tmp_path / cifar10.FOLDER
    folder.mkdir()
    (folder / "test_batch.xz").write_bytes(b"")
    with pytest.raises(DataError, match=r"packed: unpack it with `xz -dk .*test_batch.xz`"):
        DATASETS["cifar10"].split("test", tmp_path)
    assert "packed" in DATASETS["cifar10"].lacks("test", tmp_path)


# -- Fashion-MNIST


def idx(array: np.ndarray) -> bytes:
    head = b"\0\0\x08" + bytes([array.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def test_an_idx_file_is_read_in_its_declared_shape(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(array))
    assert np.array_equal(fashion_mnist.read_idx(tmp_path / "a"), array)
    (tmp_path / "b").write_bytes(idx(array)[:-1])
    with pytest.raises(DataError, match=r"b has 39 bytes, but its head declares 40"):
        fashion_mnist.read_idx(tmp_path / "b")
    (tmp_path / "c").write_bytes(b"PK..")
    with pytest.raises(DataError, match="c is not an IDX file"):
        fashion_mnist.read_idx(tmp_path / "c")


def test_clothes_of_the_wrong_number_are_refused(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match="but Fashion-MNIST has 10,000 images"):
        DATASETS["fashion_mnist"].split("test", tmp_path)


# -- ImageNet


IDS = ("n01440764", "n01443537", "n01484850")


def imagenet(root: Path, counts: dict[str, int], split: str):
    """A split of three classes of ImageNet, through the code that opens all thousand."""
    return imagenet_family._open(("imagenet",), IDS, counts, split, root)


def test_imagenet_is_read_from_class_folders(tmp_path):
    for i, wnid in enumerate((*IDS, "n01491361")):
        picture(tmp_path / "imagenet/val" / wnid / "b.JPEG", 10 + i)
        picture(tmp_path / "imagenet/val" / wnid / "a.JPEG", i)
    (tmp_path / "imagenet/val" / IDS[0] / "notes.txt").write_text("no image")
    split = imagenet(tmp_path, {"val": 6}, "val")
    assert split.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [p.name for p in split.paths[:2]] == ["a.JPEG", "b.JPEG"]
    images = split.read([5, 0])
    assert images.shape == (2, 3, 224, 224)
    assert images.dtype == np.uint8
    expected = imagenet_family.SIZE.apply(split.open_image(0))
    assert np.array_equal(images[1], np.asarray(expected).transpose(2, 0, 1))


LABELS = {
    "LOC_val_solution.csv": "ImageId,PredictionString\nv_2,n01443537 1 2 3 4 \n"
    "v_1,n01484850 1 2 3 4 n01484850 5 6 7 8 \nv_3,n01440764 0 0 1 1 \n",
    "val.txt": "v_2.JPEG 1\nv_1.JPEG 2\nv_3.JPEG 0\n",
    "imagenet_2012_validation_synset_labels.txt": "n01484850\nn01443537\nn01440764\n",
}


@pytest.mark.parametrize("name", LABELS)
def test_a_flat_validation_folder_is_read_with_its_label_file(tmp_path, name):
    for i in (1, 2, 3):
        picture(tmp_path / f"imagenet/val/v_{i}.JPEG", i)
    (tmp_path / "imagenet" / name).write_text(LABELS[name])
    split = imagenet(tmp_path, {"val": 3}, "val")
    assert [p.name for p in split.paths] == ["v_1.JPEG", "v_2.JPEG", "v_3.JPEG"]
    assert split.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize("under", ["imagenet/ILSVRC", "ILSVRC"])
def test_imagenet_is_read_as_the_archive_of_the_challenge_unpacks(tmp_path, under):
    place = tmp_path / under / "Data/CLS-LOC"
    for i in (1, 2, 3):
        picture(place / f"val/v_{i}.JPEG", i)
        picture(place / "train" / IDS[i - 1] / f"t_{i}.JPEG", i)
    name = "LOC_val_solution.csv"
    (tmp_path / under).parent.joinpath(name).write_text(LABELS[name])
    assert imagenet(tmp_path, {"val": 3}, "val").labels.tolist() == [2, 1, 0]
    assert imagenet(tmp_path, {"train": 3}, "train").labels.tolist() == [0, 1, 2]


def test_imagenet100_is_read_in_the_parts_that_it_is_packed_in(tmp_path):
    parts = {"train.X1": IDS[2:], "train.X2": IDS[:1], "train.X4": IDS[1:2], "val.X": IDS}
    for part, ids in parts.items():
        for i, wnid in enumerate(ids):
            picture(tmp_path / "imagenet" / part / wnid / f"{wnid}_{i}.JPEG", i)
    train = imagenet(tmp_path, {"train": 3}, "train")
    assert [path.parent.name for path in train.paths] == list(IDS)
    assert train.labels.tolist() == imagenet(tmp_path, {"val": 3}, "val").labels.tolist()
    shutil.rmtree(tmp_path / "imagenet/train.X2")
    with pytest.raises(DataError, match=rf"'{IDS[0]}' is missing: .*train.X1/{IDS[0]} or .*X4"):
        imagenet(tmp_path, {"train": 3}, "train")
    with pytest.raises(DataError, match=r"ILSVRC/Data/CLS-LOC/train.*train\.X1 to train\.X4"):
        imagenet(tmp_path / "elsewhere", {"train": 3}, "train")


def test_the_development_kits_numbers_are_translated_by_its_meta_file(tmp_path):
    from scipy.io import savemat

    for i in (1, 2, 3):
        picture(tmp_path / f"imagenet/val/v_{i}.JPEG", i)
    kit = tmp_path / "imagenet/ILSVRC2012_devkit_t12/data"
    kit.mkdir(parents=True)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("7\n9\n7\n")
    with pytest.raises(DataError, match=r"an order of its own, which only meta\.mat"):
        imagenet(tmp_path, {"val": 3}, "val")
    synsets = np.array([(7, IDS[1]), (9, IDS[0])], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(kit / "meta.mat", {"synsets": synsets})
    assert imagenet(tmp_path, {"val": 3}, "val").labels.tolist() == [1, 0, 1]


def test_what_is_wrong_with_an_imagenet_folder_is_said(tmp_path):
    with pytest.raises(DataError, match=r"must be fetched by hand: register at image-net\.org"):
        imagenet(tmp_path, {"val": 3}, "val")
    picture(tmp_path / "imagenet/val/v_1.JPEG", 1)
    with pytest.raises(DataError, match="lie side by side, and there is no label file"):
        imagenet(tmp_path, {"val": 1}, "val")
    (tmp_path / "imagenet/val.txt").write_text("v_7.JPEG 1\n")
    with pytest.raises(DataError, match=r"val\.txt does not fit the images in .*v_1"):
        imagenet(tmp_path, {"val": 1}, "val")
    picture(tmp_path / "imagenet/train" / IDS[0] / "a.JPEG", 1)
    with pytest.raises(DataError, match="folder of the class 'n01443537' is missing"):
        imagenet(tmp_path, {"train": 1}, "train")
    picture(tmp_path / "imagenet/train" / IDS[1] / "a.JPEG", 1)
    (tmp_path / "imagenet/train" / IDS[2]).mkdir()
    with pytest.raises(DataError, match="folder of the class 'n01484850' is empty"):
        imagenet(tmp_path, {"train": 1}, "train")
    picture(tmp_path / "imagenet/train" / IDS[2] / "a.JPEG", 1)
    with pytest.raises(DataError, match=r"holds 3 images .* there should be 1,300.*'folder:"):
        imagenet(tmp_path, {"train": 1300}, "train")


# -- SAT-6


@pytest.fixture
def few_tiles(monkeypatch):
    """Five SAT-6 tiles and their one-hot labels, with the declared count lowered to five."""
    monkeypatch.setitem(sat6.COUNTS, "test", 5)
    generator = np.random.default_rng(0)
    tiles = generator.integers(0, 256, (5, 28, 28, 4), dtype=np.uint8)
    return tiles, np.eye(6, dtype=np.uint8)[[0, 5, 2, 2, 1]]


def as_csv(root: Path, tiles: np.ndarray, one_hot: np.ndarray) -> None:
    (root / "sat6").mkdir(exist_ok=True)
    np.savetxt(
        root / "sat6/X_test_sat6.csv", tiles.reshape(len(tiles), -1), fmt="%d", delimiter=","
    )
    np.savetxt(root / "sat6/y_test_sat6.csv", one_hot, fmt="%d", delimiter=",")


def as_mat5(root: Path, tiles: np.ndarray, one_hot: np.ndarray) -> None:
    from scipy.io import savemat

    (root / "sat6").mkdir()
    content = {"test_x": np.moveaxis(tiles, 0, -1), "test_y": one_hot.T}
    savemat(root / "sat6" / sat6.MAT_FILE, content)


def as_mat73(root: Path, tiles: np.ndarray, one_hot: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    (root / "sat6").mkdir()
    path = root / "sat6" / sat6.MAT_FILE
    with h5py.File(path, "w", userblock_size=512) as file:
        # MATLAB writes the axes in its own order, which HDF5 readers see reversed.
        file["test_x"] = np.moveaxis(tiles, 0, -1).transpose()
        file["test_y"] = one_hot.T.transpose()
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(head)


@pytest.mark.parametrize("write", [as_csv, as_mat5, as_mat73])
def test_sat6_is_read_from_each_of_its_formats(tmp_path, few_tiles, write):
    tiles, one_hot = few_tiles
    write(tmp_path, tiles, one_hot)
    split = DATASETS["sat6"].split("test", tmp_path)
    assert split.labels.tolist() == [0, 5, 2, 2, 1]
    # The fourth band, near infrared, is dropped.
    assert np.array_equal(split.read(range(5)), tiles[..., :3].transpose(0, 3, 1, 2))


def test_sat6_is_resized_for_the_models_that_read_it(tmp_path, few_tiles):
    from torchvision.transforms import CenterCrop, Resize

    tiles, one_hot = few_tiles
    as_csv(tmp_path, tiles, one_hot)
    for name, resize in (("sat6-32", 32), ("sat6-224", 255)):
        size = DATASETS[name].image_size
        images = DATASETS[name].split("test", tmp_path).read([3, 1])
        assert images.shape == (2, 3, size, size)
        # As the study's code does it: four bands as RGBA, converted to RGB, bilinear.
        tile = Image.fromarray(tiles[3]).convert("RGB")
        expected = np.asarray(CenterCrop(size)(Resize(resize)(tile))).transpose(2, 0, 1)
        assert np.array_equal(images[0], expected)


def test_what_is_wrong_with_sat6_is_said(tmp_path, few_tiles):
    tiles, one_hot = few_tiles
    with pytest.raises(DataError, match=r"neither X_test_sat6\.csv nor sat-6-full\.mat is there"):
        DATASETS["sat6"].split("test", tmp_path)
    as_csv(tmp_path, tiles[:4], one_hot[:4])
    with pytest.raises(DataError, match=r"holds 4 images .* but SAT-6 has 5"):
        DATASETS["sat6"].split("test", tmp_path)
    as_csv(tmp_path, tiles, one_hot * 0)
    with pytest.raises(DataError, match="are not one-hot"):
        DATASETS["sat6"].split("test", tmp_path)
    (tmp_path / "sat6/X_test_sat6.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"X_test_sat6\.csv cannot be read as rows of 3136 bytes"):
        DATASETS["sat6"].split("test", tmp_path)


# -- folders


def test_any_folder_of_class_folders_is_a_data_set(tmp_path):
    for split in ("train", "val"):
        for i, name in enumerate(("cat", "dog")):
            picture(tmp_path / split / name / "1.png", i)
            picture(tmp_path / split / name / "2.jpg", i, mode="L")
    record = DATASETS[f"folder:{tmp_path}@32"]
    assert record.name == f"folder:{tmp_path}@32"
    assert record.classes == ("cat", "dog")
    assert dict(record.splits) == {"train": 4, "val": 4}
    split = record.split("val")
    assert split.read([0, 3]).shape == (2, 3, 32, 32)
    assert split.labels.tolist() == [0, 0, 1, 1]
    assert DATASETS[f"folder:{tmp_path}"].image_size == 224
    assert dict(DATASETS[f"folder:{tmp_path / 'val'}"].splits) == {"all": 4}


def test_what_is_wrong_with_a_folder_is_said(tmp_path):
    with pytest.raises(DataError, match=f"There is no folder {tmp_path}/gone"):
        DATASETS[f"folder:{tmp_path}/gone"]
    with pytest.raises(InvalidInput, match="images of 'big' pixels, which is no size"):
        DATASETS[f"folder:{tmp_path}@big"]
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="has no class folders"):
        DATASETS[f"folder:{tmp_path}"]
    picture(tmp_path / "train/cat/1.png", 1)
    picture(tmp_path / "val/dog/1.png", 1)
    with pytest.raises(DataError, match="not have the same classes: cat, dog are in one only"):
        DATASETS[f"folder:{tmp_path}"]


# -- checking


def faults_of(name: str, root: Path | None = None) -> list[str]:
    return [c.fault for c in check(name, root) if c.fault]


def test_a_sound_data_set_is_checked_to_its_end():
    steps = list(check("digits"))
    assert not any(step.fault for step in steps)
    last = {step.split: step for step in steps}
    assert {s: (c.done, c.total) for s, c in last.items()} == {
        "train": (1257, 1257),
        "test": (540, 540),
    }
    assert [s.done for s in steps if s.split == "test"] == [0, 256, 512, 540]


def test_a_check_names_every_unreadable_image_and_goes_on(tmp_path):
    for split in ("train", "val"):
        for i in range(6):
            picture(tmp_path / split / f"class{i % 2}" / f"{i}.png", i)
    broken = [tmp_path / "train/class0/2.png", tmp_path / "val/class1/5.png"]
    broken[0].write_bytes(broken[0].read_bytes()[:100])
    broken[1].write_bytes(b"")
    faults = faults_of(f"folder:{tmp_path}@32")
    assert len(faults) == 2
    for path, fault in zip(broken, faults, strict=True):
        assert re.match(f"The image {path} cannot be read .*Fetch that file again", fault)


def test_a_split_that_is_not_there_is_no_fault_where_another_one_is(tmp_path, few_tiles):
    as_csv(tmp_path, *few_tiles)
    steps = list(check("sat6", tmp_path))
    absent = [step.absent for step in steps if step.absent]
    assert len(absent) == 1
    assert "X_train_sat6.csv and y_train_sat6.csv suffice" in absent[0]
    faults = [step.fault for step in steps if step.fault]
    assert faults == ["'test' has no image of 2 class(es): grassland, road."]
    # A split of which half is there is one.
    (tmp_path / "sat6/X_train_sat6.csv").write_text("1")
    assert "put y_train_sat6.csv beside it" in faults_of("sat6", tmp_path)[0]
    (tmp_path / "empty").mkdir()
    assert len(faults_of("sat6", tmp_path / "empty")) == 2


def test_a_check_finds_wrong_labels_and_pixels():
    def open_split(name, root):
        return ArraySplit(np.full((3, 1, 2, 2), 7, np.float32), np.array([0, 1, 5]))

    record = Dataset(
        name="wrong",
        summary="",
        classes=("a", "b"),
        image_size=2,
        channels=1,
        mean=(0,),
        std=(1,),
        splits={"test": 4},
        preprocessing="",
        licence="",
        citation="",
        open_split=open_split,
    )
    from samemind.datasets.checking import _check_split

    faults = [c.fault for c in _check_split(record, "test", record.split("test")) if c.fault]
    assert faults == [
        "'test' of wrong has 3 images and 3 labels, but there should be 4. Fetch it again.",
        "'test' has labels outside 0 … 1: [0, 1, 5].",
        "Images 0 … 2 have pixels outside [0, 1].",
    ]


def test_checking_an_unknown_data_set_suggests_one():
    with pytest.raises(UnknownName, match="Did you mean 'cifar10'"):
        list(check("cifar-10"))
