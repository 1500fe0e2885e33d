"""Every command of the table of the whole paper, run on the studies that it names, cut down."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from samemind.cli import app
from samemind.execution import InProcess
from samemind.figures.base import FIGURES
from samemind.store.artifacts import Store
from samemind.study import read_study, shipped_studies
from samemind.study.running import advance

TABLE = Path(__file__).parents[1] / "docs" / "paper-table.md"
COMMANDS = sorted(set(re.findall(r"`samemind ([^`]+)`", TABLE.read_text(encoding="utf-8"))))
STUDIES = {"imagenet1k": 6, "imagenet100": 4, "imagenet50": 3, "cifar10": 3}  # and classes
CUT_DOWN = """
dataset = "folder:{data}/{name}@32"
architectures = ["cifar_small_resnet", "cifar_small_vgg_bn"]
epsilons = [0, 1]
[training]
epochs = 1
batch_size = 16
learning_rate = 0.05
chance_epochs = 0
[evaluation]
split = "val"
strong_count = 0
[inputs]
split = "val"
{inputs}
[inversion]
steps = 2
[comparison]
permutations = 2
measures = [
  "agreement", "jensen_shannon_similarity", "debiased_linear_cka", "procrustes_similarity",
  "knn_jaccard@3", "knn_jaccard@6",
]
"""


def test_every_command_names_what_there_is():
    known = {*shipped_studies(), "STUDY"}
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        what, *words = command.split()
        if what == "figure":
            assert words.pop(0) in FIGURES
        if what == "list":
            assert words == ["measures"]
        else:
            assert set(words) <= known, command


def write_pictures(folder: Path, classes: int) -> None:
    """Class folders of pictures that differ in their mean colour."""
    draws = np.random.default_rng(classes)
    for split in ("train", "val"):
        for number in range(classes):
            (folder / split / f"class{number}").mkdir(parents=True)
            for i in range(12 // classes * 2):
                noise = draws.integers(0, 100, (32, 32, 3)) + 25 * number
                path = folder / split / f"class{number}" / f"{i}.png"
                Image.fromarray(noise.astype(np.uint8)).save(path)


@pytest.mark.slow
def test_every_command_runs_on_cut_down_studies(tmp_path, monkeypatch, execution):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    write_pictures(data / "tiles", 3)
    for name, classes in STUDIES.items():
        write_pictures(data / name, classes)
        tiles = f'dataset = "folder:{data}/tiles@32"'
        for study, inputs in ((name, ""), (f"{name}-sat6", tiles)):
            text = CUT_DOWN.format(data=data, name=name, inputs=inputs)
            (tmp_path / f"{study}.toml").write_text(text, encoding="utf-8")

    def samemind(*words: str) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{words}\n{done.output}\n{done.exception!r}"
        return done.output

    for name in (*STUDIES, "imagenet1k-sat6", "cifar10-sat6"):
        # As `samemind run` does, without a report of each.
        study = read_study(tmp_path / f"{name}.toml")
        result = advance(study, Store(tmp_path / "runs/store"), InProcess(), execution)
        assert [str(outcome.error) for outcome in result.failed] == []
    for command in (c for c in COMMANDS if c != "run STUDY"):
        words = shlex.split(command.replace("STUDY", "cifar10"))
        what, names = words[0], words[2:] if words[0] == "figure" else words[1:]
        if what == "list":
            continue
        studies = [f"{name}.toml" for name in names]
        if what == "figure":
            samemind(what, words[1], *studies)
            drawn = tmp_path / "runs" / "+".join(names) / words[1]
            assert drawn.with_suffix(".pdf").stat().st_size > 1000
            assert drawn.with_suffix(".png").stat().st_size > 1000
        else:
            samemind(what, *studies)
    report = tmp_path / "runs" / "cifar10" / "report" / "tables"
    assert any(path.name.startswith("accuracies-") for path in report.glob("*.csv"))
