"""What checkpoint files say of themselves: shown, kept, and compared with what is measured."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import Claims, import_checkpoint, stated_by
from samemind.checkpoints.metadata import contradictions, metadata_in, sentence
from samemind.checkpoints.reading import read_file
from samemind.cli import app
from samemind.figures.base import FIGURES
from samemind.reporting.page import page_of
from samemind.reporting.tables import accuracies, parameters, table_of_the_paper, tables_of
from samemind.study import study_path
from samemind.study.collecting import notes_on
from simulated_results import simulated

STATED = {
    "epoch": 89,
    "arch": "resnet18",
    "args": {"eps": 3.0, "lr": 0.1},
    "nat_prec1": torch.tensor(53.11),
    "adv_prec1": np.float64(49.7),
    "best_prec1": 12.0,
}
READ = {
    "epoch": 89.0,
    "architecture": "resnet18",
    "epsilon": 3.0,
    "clean_accuracy": pytest.approx(0.5311),
    "adversarial_accuracy": pytest.approx(0.497),
}


def test_facts_are_read_under_the_names_of_training_code():
    assert metadata_in(STATED) == READ
    assert metadata_in({"acc": 0.93}) == {"clean_accuracy": 0.93}
    assert metadata_in([1, 2]) == metadata_in({"w": torch.zeros(3)}) == {}


@pytest.mark.parametrize(
    "held",
    [
        {"epoch": "last"}, {"arch": 18}, {"acc": 1e9}, {"acc": -0.1}, {"acc": float("nan")},
        {"epoch": True}, {"acc": torch.zeros(5)}, {"arch": "x" * 1000}, {"arch": "a\nb"},
        {"epoch": 10**400}, {"args": {"eps": []}},
    ],
)  # fmt: skip
def test_what_is_no_such_fact_is_left_out(held):
    assert metadata_in(held) == {}


def test_a_contradiction_is_said_and_agreement_is_not():
    stated = {"epsilon": 3.0, "clean_accuracy": 0.60, "adversarial_accuracy": 0.13}
    near = {"clean_accuracy": 0.615, "adversarial_accuracy": 0.17, "n_test": 10_000}
    assert contradictions("m", stated, 3.0, near) == []
    assert contradictions("m", {"epsilon": 8.0}, 8 / 255, {}) == []
    far = {"clean_accuracy": 0.66, "adversarial_accuracy": 0.6, "n_test": 10_000}
    assert contradictions("m", stated, 1.0, far) == [
        "m: its file says ε = 3, the study ε = 1.",
        "m: its file says clean accuracy 60.00%, measured were 66.00%.",
        "m: its file says adversarial accuracy 13.00%, measured were 60.00%.",
    ]
    # On 50 images six points are less than three standard errors.
    assert contradictions("m", {"clean_accuracy": 0.6}, 3.0, far | {"n_test": 50}) == []


def test_an_import_shows_and_keeps_what_the_file_says(tmp_path, store):
    torch.manual_seed(0)
    state = ARCHITECTURES["digits_resnet"].build(10, 8).state_dict()
    path = tmp_path / "theirs.pt"
    torch.save({"state_dict": state} | STATED | {"adv_prec1": 49.7}, path)
    claims = Claims(dataset="digits", architecture="digits_resnet", epsilon=0.5)
    recipe = import_checkpoint(str(path), store, claims)
    assert stated_by(recipe, store) == READ
    options = ["--dataset", "digits", "--architecture", "digits_resnet", "--epsilon", "0.5"]
    done = CliRunner().invoke(app, ["import", str(path), *options, "--store", str(store.root)])
    assert done.exit_code == 0, done.output
    assert f"#   {sentence(stated_by(recipe, store))}" in done.output
    assert "epoch 89, architecture resnet18, ε = 3, clean accuracy 53.11%" in done.output
    assert "its file says ε = 3, the study ε = 0.5" in done.output


class Unknown:
    """What a training script pickles beside the weights."""


def stated_in(path, *, is_trusted=False):
    return read_file(path, is_trusted=is_trusted).metadata


def test_a_file_that_is_trusted_says_as_much_as_another(tmp_path):
    state = {"weight": torch.zeros(2, 2)}
    options = Namespace(eps=3.0, arch="resnet18", out=Path("/tmp"))
    torch.save(
        {"model": state, "args": options, "epoch": 89, "adv_prec1": np.float64(49.7),
         "nat_prec1": torch.tensor(53.11), "log": [0.1] * 5000, "state": Unknown()},
        tmp_path / "theirs.pt",
    )  # fmt: skip
    assert stated_in(tmp_path / "theirs.pt", is_trusted=True) == READ


def test_headers_of_safetensors_and_files_beside_shards_are_read(tmp_path):
    said = {"epoch": "89", "arch": "resnet18", "eps": "3", "acc": "53.11", "adv_acc": "49.7"}
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "one.safetensors", metadata=said)
    assert stated_in(tmp_path / "one.safetensors") == READ
    folder = tmp_path / "shards"
    folder.mkdir()
    names = {}
    for i in (1, 2):
        name = f"model-0000{i}-of-00002.safetensors"
        header = {"acc": "53.11", "adv_acc": "49.7"} if i == 2 else None
        save_file({f"weight{i}": torch.zeros(2, 2)}, folder / name, metadata=header)
        names[f"weight{i}"] = name
    index = {"metadata": {"epoch": 89, "total_size": 32}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "eps": 3.0}))
    for path in (folder, folder / "model.safetensors.index.json"):
        assert stated_in(path) == READ
    (folder / "config.json").write_text("{")  # what is beside the weights may be damaged
    assert stated_in(folder)["epoch"] == 89


@pytest.mark.parametrize(
    ("said", "read_as", "differs"),
    [
        ("resnet18", "cifar_resnet18", False),
        ("ResNet-18", "resnet18", False),
        ("WRN-28-10", "cifar_wide_resnet28_10", False),
        ("wide_resnet50_2", "cifar_wide_resnet50_2_imagenet_stem", False),
        ("resnet50", "my_networks.py::net", False),
        ("resnet50", "wide_resnet50_2", True),
        ("vgg16", "vgg16_bn", True),
    ],
)
def test_an_architecture_is_compared_by_what_it_is_not_how_it_is_spelt(said, read_as, differs):
    found = contradictions("m", {"architecture": said}, 0.0, {"architecture": read_as})
    assert found == [f"m: its file says architecture {said}, it was read as {read_as}."] * differs


@pytest.fixture(scope="module")
def imported():
    study = simulated(architectures=("residual", "dense"), epsilons=(0.0, 1.0))
    models = study.models.assign(
        is_imported=study.models["architecture"] == "dense",
        stated_clean_accuracy=np.where(study.models["architecture"] == "dense", 0.5, np.nan),
    )
    return replace(study, models=models, notes=notes_on(models))


def test_imported_models_are_marked_and_contradictions_are_in_tables_and_page(imported, tmp_path):
    assert len(imported.notes) == 2
    table = accuracies(imported, "digits")
    cells = dict(zip(table.frame["Architecture"], table.frame["Acc. (ε = 0)"], strict=True))
    assert cells["dense"].endswith("†")
    assert "†" not in cells["residual"]
    assert "† marks models that were imported" in table.caption
    for where in (table.caption, parameters(imported).caption):
        assert "dense-eps1-seed0: its file says clean accuracy 50.00%, measured were" in where
    stated = imported.models["stated_clean_accuracy"]
    pd.testing.assert_series_equal(
        parameters(imported).frame["File: clean"], stated, check_names=False
    )
    page = page_of(imported, tables_of(imported), [], [], tmp_path)
    assert "2 of 4 models were imported, not trained here" in page
    assert "dense-eps0-seed0: its file says clean accuracy 50.00%" in page


def test_imported_models_are_marked_in_figures(imported):
    note = "Imported, not trained here (†): dense-eps0-seed0, dense-eps1-seed0."
    for name in ("similarity_by_epsilon", "mechanisms", "accuracies"):
        drawing = FIGURES[name](imported)
        assert note in drawing.get_suptitle().replace("\n", " ")
    labels = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert labels == ["residual", "dense†"]
    of_all = replace(imported, models=imported.models.assign(is_imported=True))
    assert "All models were imported." in FIGURES["mechanisms"](of_all).get_suptitle()
    assert "†" not in FIGURES["accuracies"](of_all).legends[0].get_texts()[0].get_text()


def test_a_caption_says_the_papers_table_of_the_papers_own_studies_only():
    study = simulated(dataset="cifar10", architectures=("a", "b"), epsilons=(0.0, 1.0))
    assert table_of_the_paper(study, "cifar10") == "the like of Tables 1–4"
    for name in ("cifar10", "cifar10-sat6"):
        text = study_path(name).read_text(encoding="utf-8")
        own = replace(study, study_text=f"# study: {name}\n{text}\n# study: other\n")
        assert accuracies(own, "cifar10").paper == "Table 4"
    laptop = study_path("cifar10-laptop").read_text(encoding="utf-8")
    assert accuracies(replace(study, study_text=laptop), "cifar10").paper.startswith("the like")
