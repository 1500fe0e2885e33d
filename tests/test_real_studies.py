"""The paper's studies, cut down, on real pictures: figures by their commands, and verdicts."""

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samemind.cli import app
from samemind.execution import InProcess
from samemind.figures.evidence import verdicts
from samemind.reporting.together import together
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.collecting import collect
from samemind.study.running import advance
from within_bounds import check_within_bounds

STUDY = """
dataset = "cifar10"
architectures = [
  "cifar_small_resnet", "cifar_small_wide_resnet",
  "cifar_small_densenet", "cifar_small_vgg_bn",
]
epsilons = [0, 1]
[training]
count = 64
epochs = 1
batch_size = 32
learning_rate = 0.05
chance_epochs = 0
[evaluation]
count = 50
strong_count = 0
[inputs]
{inputs}
count = 40
[inversion]
steps = 3
[comparison]
permutations = 2
driving_inputs = 0
subgroups = false
measures = [
  "agreement", "jensen_shannon_similarity", "debiased_linear_cka", "procrustes_similarity",
  "knn_jaccard@3", "knn_jaccard@6",
]
"""
PER_CLASS = 6
FIGURES_OF_THE_PAPER = {
    "predictions_natural": ["cifar10"],
    "gallery": ["cifar10"],
    "predictions_inverted": ["cifar10"],
    "mechanisms": ["cifar10"],
    "out_of_distribution": ["cifar10", "cifar10-sat6"],
    "neighbourhood_size": ["cifar10"],
}


@pytest.fixture(scope="module")
def tiles(real_data, tmp_path_factory) -> Path:
    """Real satellite tiles in class folders, a few of each class."""
    folder = tmp_path_factory.mktemp("tiles")
    counts: dict[str, int] = {}
    with tarfile.open(real_data / "eurosat/eurosat-rgb-2000a.tar.xz") as archive:
        for member in archive:
            kind = Path(member.name).parent.name
            if member.isfile() and counts.get(kind, 0) < PER_CLASS:
                counts[kind] = counts.get(kind, 0) + 1
                archive.extract(member, folder, filter="data")
    return folder / "EuroSAT_RGB"


@pytest.mark.slow
@pytest.mark.data
def test_the_papers_figures_and_verdicts_on_real_pictures(
    cifar_root, tiles, tmp_path, execution, monkeypatch
):
    monkeypatch.setenv("SAMEMIND_DATA", str(cifar_root))
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "runs/store")
    away = f'dataset = "folder:{tiles}@32"\nsplit = "all"'
    found = []
    for name, inputs in (("cifar10", 'split = "test"'), ("cifar10-sat6", away)):
        (tmp_path / f"{name}.toml").write_text(STUDY.format(inputs=inputs), encoding="utf-8")
        study = read_study(tmp_path / f"{name}.toml")
        result = advance(study, store, InProcess(), execution)
        assert [str(outcome.error) for outcome in result.failed] == []
        found.append(collect(study, store))
    own, foreign = found
    # Six pairs at each of two ε, none beyond what its own accuracies allow; on tiles no labels.
    assert check_within_bounds(own) == 12
    assert check_within_bounds(foreign) == 0
    sentences = {verdict.aspect: verdict.sentence for _, verdict in verdicts(together(found))}
    assert len(sentences) == 6
    for aspect, sentence in sentences.items():
        is_away = aspect.endswith("on EuroSAT_RGB")
        assert ("Beside inputs of cifar10 itself, " in sentence) is is_away
        assert "no verdict" not in sentence
    for figure, names in FIGURES_OF_THE_PAPER.items():
        files = [f"{name}.toml" for name in names]
        done = CliRunner().invoke(app, ["figure", figure, *files])
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
        drawn = tmp_path / "runs" / "+".join(names) / f"{figure}.pdf"
        assert drawn.stat().st_size > 1000
