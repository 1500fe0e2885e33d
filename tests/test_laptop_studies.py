"""The studies that ship at the size of a laptop, run for real with fewer images still.

CIFAR-10 is the real one; ImageNet and SAT-6 are made up, in the layout and the numbers of files in
which people have them.
"""

import re
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samemind.datasets.base import DATASETS
from samemind.execution import InProcess
from samemind.study import Study, read_study, study_path
from samemind.study.collecting import collect
from samemind.study.running import advance
from within_bounds import check_within_bounds

FEWER = {
    r"count = (10_000|2000)": "count = 96",
    r"count = (1000|500)": "count = 40",
    r"count = (300|100)$": "count = 24",
    r"epochs = \d+": "epochs = 1",
    r"batch_size = \d+": "batch_size = 32",
    r"strong_count = \d+": "strong_count = 8",
    r"strong_steps = \d+": "strong_steps = 2",
    r"^steps = \d+": "steps = 3",
}


def smaller(name: str, folder: Path) -> Study:
    """A study that ships at the size of a laptop, with fewer images, epochs and steps."""
    text = study_path(name).read_text(encoding="utf-8")
    for key, value in FEWER.items():
        text, n = re.subn(key, value, text, flags=re.MULTILINE)
        assert n == 1, key
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return read_study(folder / f"{name}.toml")


def check_run(name: str, folder: Path, store, execution) -> Study:
    """Runs a study to its end: every cell of the full one, on natural and on inverted images."""
    study = smaller(name, folder)
    result = advance(study, store, InProcess(), execution)
    assert [str(o.error) for o in result.failed] == []
    assert result.blocked == 0
    full = read_study(name.removesuffix("-laptop"))
    cells = {(s.epsilon, s.inputs) for s in full.scores}
    assert {(s.epsilon, s.inputs) for s in study.scores} == cells
    assert sum(epsilon > 0 for epsilon, inputs in cells if inputs == "inverted") >= 2
    for scores in study.scores:
        table = store.open(scores).table("scores.parquet")
        assert set(study.comparison.measures) == set(table["measure"])
        # Fewer inputs have no neighbourhoods of 500: the same measures, at other k.
        plain = [{m.partition("@")[0] for m in s.comparison.measures} for s in (full, study)]
        assert plain[0] <= plain[1]
        assert np.isfinite(table[table["measure"] == "agreement"]["score"]).all()
        assert set(table["inputs_dataset"]) == {full.natural.dataset}
    # Labels of another dataset say nothing of what a model should make of an image.
    bounded = check_within_bounds(collect(study, store))
    assert (bounded > 0) == (study.natural.dataset == study.dataset)
    return study


@pytest.mark.slow
@pytest.mark.data
def test_cifar10_runs_for_real(cifar_root, tmp_path, store, execution, monkeypatch):
    monkeypatch.setenv("SAMEMIND_DATA", str(cifar_root))
    study = check_run("cifar10-laptop", tmp_path, store, execution)
    images = store.open(study.natural).arrays("inputs.safetensors")
    test = DATASETS["cifar10"].split("test")
    assert (images["images"] == test.read(images["indices"])).all()


@pytest.mark.slow
@pytest.mark.data
def test_cifar10_models_run_on_sat6(cifar_root, tmp_path, store, execution, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar-10-batches-py").symlink_to(cifar_root / "cifar-10-batches-py")
    write_sat6(tmp_path / "data" / "sat6")
    monkeypatch.setenv("SAMEMIND_DATA", str(tmp_path / "data"))
    check_run("cifar10-sat6-laptop", tmp_path, store, execution)


# imagenet100 and imagenet1k have the shape of these, and millions of files to look at.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["imagenet50", "imagenet1k-sat6"])
def test_the_imagenet_studies_run_on_folders_of_the_right_layout(
    name, tmp_path, store, execution, monkeypatch
):
    monkeypatch.setenv("SAMEMIND_DATA", str(tmp_path / "data"))
    write_imagenet(tmp_path / "data", DATASETS[read_study(name).dataset].splits)
    if name.endswith("sat6"):
        write_sat6(tmp_path / "data" / "sat6")
    check_run(f"{name}-laptop", tmp_path, store, execution)


# -- data of the right layout


def write_sat6(folder: Path) -> None:
    """The CSV files of the 81,000 test tiles, of 60 tiles again and again."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    tiles = [",".join(map(str, rng.integers(0, 10, 28 * 28 * 4))) + "\n" for _ in range(60)]
    one_hot = [",".join(map(str, row)) + "\n" for row in np.eye(6, dtype=int)]
    with (folder / "X_test_sat6.csv").open("w", encoding="ascii") as file:
        file.writelines(islice(cycle(tiles), 81_000))
    with (folder / "y_test_sat6.csv").open("w", encoding="ascii") as file:
        file.writelines(islice(cycle(one_hot), 81_000))


def write_imagenet(root: Path, splits) -> None:
    """Class folders with the published number of images in all: links to a few noisy ones."""
    wnids = (Path(__file__).parents[1] / "src/samemind/datasets/imagenet_classes.txt").read_text()
    names = [line.split(" ", 1)[0] for line in wnids.splitlines()]
    if splits["train"] < 1_000_000:
        listed = f"imagenet{splits['val'] // 50}.txt"
        path = Path(__file__).parents[1] / "src/samemind/datasets" / listed
        names = path.read_text().split()
    rng = np.random.default_rng(0)
    (root / "few").mkdir(parents=True)
    few = [root / "few" / f"{i}.jpeg" for i in range(40)]
    for path in few:
        Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(path)
    for split, count in splits.items():
        low, more = divmod(count, len(names))
        for size in {low, low + bool(more)}:
            (root / f"{split}-{size}").mkdir()
            for i, path in enumerate(islice(cycle(few), size)):
                (root / f"{split}-{size}" / f"{i}.JPEG").hardlink_to(path)
        (root / "imagenet" / split).mkdir(parents=True)
        for i, name in enumerate(names):
            (root / "imagenet" / split / name).symlink_to(root / f"{split}-{low + (i < more)}")
