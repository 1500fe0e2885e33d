"""Real images: CIFAR-10 as published, photographs of ImageNet, small folders of class folders."""

import csv
import shutil
import tarfile

import numpy as np
import pytest

from samemind.datasets import imagenet as imagenet_family
from samemind.datasets.base import DATASETS
from samemind.datasets.checking import check
from samemind.datasets.cifar10 import FOLDER
from samemind.errors import DataError

pytestmark = pytest.mark.data


def test_the_published_batches_of_cifar10_have_their_checksums_and_sizes(cifar_root):
    faults = [c.fault for c in check("cifar10", cifar_root) if c.fault]
    assert faults == []


def test_cifar10_is_what_torchvision_reads(cifar_root):
    from torchvision.datasets import CIFAR10

    for name, train in (("train", True), ("test", False)):
        split = DATASETS["cifar10"].split(name, cifar_root)
        theirs = CIFAR10(str(cifar_root), train=train, download=False)
        assert split.labels.tolist() == theirs.targets
        assert np.array_equal(split.images.transpose(0, 2, 3, 1), theirs.data)
    assert tuple(theirs.classes) == DATASETS["cifar10"].classes


def test_the_mean_of_cifar10_is_the_declared_one(cifar_root):
    record = DATASETS["cifar10"]
    pixels = record.split("train", cifar_root).images / np.float32(255)
    np.testing.assert_allclose(pixels.mean((0, 2, 3), dtype=np.float64), record.mean, atol=6e-5)
    # The declared deviations are those within an image, averaged over the images.
    within = pixels.std((2, 3), dtype=np.float64).mean(0)
    np.testing.assert_allclose(within, record.std, atol=6e-4)


def test_a_flipped_bit_in_a_batch_of_cifar10_is_found(cifar_root, tmp_path):
    shutil.copytree(cifar_root / FOLDER, tmp_path / FOLDER)
    path = tmp_path / FOLDER / "test_batch"
    content = bytearray(path.read_bytes())
    content[12345] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="test_batch is not the published one"):
        DATASETS["cifar10"].split("test", tmp_path)


def test_photographs_of_imagenet_are_read_from_class_folders(real_data, tmp_path):
    with tarfile.open(real_data / "imagenet-samples/imagenet-samples.tar") as archive:
        archive.extractall(tmp_path / "all", filter="data")
    ids = []
    for path in sorted((tmp_path / "all/imagenet-samples").glob("*.JPEG"))[:40]:
        wnid = path.name.split("_")[0]
        ids.append(wnid)
        (tmp_path / "imagenet/val" / wnid).mkdir(parents=True)
        shutil.copy(path, tmp_path / "imagenet/val" / wnid)
    split = imagenet_family._open(("imagenet",), tuple(ids), {"val": 40}, "val", tmp_path)
    images = split.read(range(40))
    assert images.shape == (40, 3, 224, 224)
    # Photographs, not noise or black frames: every one has light and dark.
    assert (images.reshape(40, -1).std(1) > 10).all()
    # The mean of natural images lies near the declared one; forty of them vary by some 0.05.
    means = images.mean((0, 2, 3)) / 255
    np.testing.assert_allclose(means, DATASETS["imagenet1k"].mean, atol=0.1)


def test_the_photographs_of_imagenet_are_what_torchvision_makes_of_them(real_data, tmp_path):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    with tarfile.open(real_data / "imagenet-samples/imagenet-samples.tar") as archive:
        archive.extractall(tmp_path / "all", filter="data")
    paths = sorted((tmp_path / "all/imagenet-samples").glob("*.JPEG"))
    for path in paths:
        folder = tmp_path / "imagenet/train" / path.name.split("_")[0]
        folder.mkdir(parents=True)
        path.rename(folder / path.name)
    ids = tuple(sorted(p.name for p in (tmp_path / "imagenet/train").iterdir()))
    assert len(ids) == 938
    split = imagenet_family._open(("imagenet",), ids, {"train": 938}, "train", tmp_path)
    # Labels count in the order of the sorted ids, whose names are those of the index.
    with (real_data / "imagenet-samples/index.csv").open() as index:
        rows = {row["wnid"]: row for row in csv.DictReader(index)}
    names = imagenet_family.imagenet_names()
    assert [rows[wnid]["wnid"] for wnid in sorted(rows)] == list(names)
    assert all(int(rows[wnid]["class_index"]) == i for i, wnid in enumerate(names))
    theirs = ImageFolder(
        str(tmp_path / "imagenet/train"),
        v2.Compose([v2.Resize(255), v2.CenterCrop(224), v2.PILToTensor()]),
    )
    assert split.labels.tolist() == theirs.targets
    assert [str(p) for p in split.paths] == [path for path, _ in theirs.samples]
    some = range(0, 938, 9)
    for found, i in zip(split.read(some), some, strict=True):
        assert np.array_equal(found, theirs[i][0].numpy()), split.paths[i].name


def test_tiny_imagenet_as_it_is_unpacked_is_a_data_set(real_data, tmp_path):
    from torchvision.datasets import ImageFolder

    with tarfile.open(real_data / "tiny-imagenet-32/train.tar.xz") as archive:
        members = [m for m in archive if m.name.split("/")[1:2] < ["n01700000"]]
        archive.extractall(tmp_path, members, filter="data")
    # Its images lie one folder deeper than ImageNet's: train/n01443537/images/*.JPEG.
    name = f"folder:{tmp_path}@32"
    record = DATASETS[name]
    theirs = ImageFolder(str(tmp_path / "train"))
    assert list(record.classes) == theirs.classes
    split = record.split("train")
    assert len(split) == 150 * len(record.classes) > 0
    assert split.labels.tolist() == theirs.targets
    assert np.array_equal(split.read([7])[0].transpose(1, 2, 0), np.asarray(theirs[7][0]))
    assert [c.fault for c in check(name) if c.fault] == []


def test_satellite_tiles_in_class_folders_are_a_data_set(real_data, tmp_path):
    with tarfile.open(real_data / "eurosat/eurosat-rgb-2000a.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    name = f"folder:{tmp_path}/EuroSAT_RGB@64"
    record = DATASETS[name]
    assert len(record.classes) == 10
    assert dict(record.splits) == {"all": 2000}
    assert [c.fault for c in check(name) if c.fault] == []
