"""Published checkpoints by name: found where they lie, and else said where to have them."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import Claims, build_imported, import_checkpoint, section_of
from samemind.checkpoints.layouts import named
from samemind.checkpoints.published import PUBLISHED
from samemind.cli import app
from samemind.errors import CheckpointError, UnknownName
from samemind.store.artifacts import Store, checksum
from samemind.training import load_checkpoint

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Wrapped once more by their authors' code (the class DummyModel), unlike the residual networks.
WRAPPED = {"densenet", "mnasnet", "mobilenet", "resnext50_32x4d", "shufflenet", "vgg16_bn"}


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch) -> Path:
    """Folders of this test alone in the place of the user's caches."""
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SAMEMIND_CHECKPOINTS", str(tmp_path / "checkpoints"))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def written(path: Path, name: str, random_seed: int = 0) -> torch.nn.Module:
    """A network with random weights, in a file laid out as the authors' code writes it."""
    record = ARCHITECTURES[PUBLISHED[name].architecture]
    torch.manual_seed(random_seed)
    network = record.build(1000, 224).eval()
    inner = "model.model." if name.partition("_l2_")[0] in WRAPPED else "model."
    constants = (torch.tensor(v).reshape(3, 1, 1) for v in (MEAN, STD))
    state = dict(zip(("normalizer.new_mean", "normalizer.new_std"), constants, strict=True))
    weights = network.state_dict()
    state |= {f"{inner}{k}": v for k, v in weights.items()}
    state |= {f"attacker.normalize.{k}": state[f"normalizer.{k}"] for k in ("new_mean", "new_std")}
    state |= {f"attacker.{inner}{k}": v for k, v in weights.items()}
    held = {
        "model": {f"module.{k}": v for k, v in state.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "momentum": 0.9}]},
        "schedule": {"step_size": 30, "gamma": 0.1},
        "epoch": 90,
        "amp": None,
        "nat_prec1": torch.tensor(53.12),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(held, path)
    return network


def test_the_series_is_complete_and_each_name_says_what_its_record_says():
    l2 = [r for r in PUBLISHED.values() if r.norm == "L2"]
    assert len(l2) == 4 * 10 + 6 * 2
    assert len(PUBLISHED) - len(l2) == 3 * 5
    for name, record in PUBLISHED.items():
        what = named(name)
        assert (what.architecture, what.norm, what.epsilon) == (
            record.architecture,
            record.norm,
            record.epsilon,
        )
        assert record.address.endswith(f"robust-imagenet-models/resolve/main/{name}.ckpt")


# The table of the paper's models, which are these; it differs by 0.02 from their authors' own.
TABLE_1 = {
    "resnet18": (69.80, 67.42, 65.48, 62.31, 53.11),
    "resnet50": (75.80, 74.13, 73.17, 70.42, 62.83),
    "wide_resnet50_2": (76.98, 76.22, 75.11, 73.42, 66.90),
    "wide_resnet50_4": (77.91, 77.10, 76.52, 75.51, 69.67),
}


@pytest.mark.parametrize("network", TABLE_1)
def test_the_accuracies_are_those_of_the_papers_table(network):
    for epsilon, accuracy in zip(("0", "0.25", "0.5", "1", "3"), TABLE_1[network], strict=True):
        found = PUBLISHED[f"{network}_l2_eps{epsilon}"].clean_accuracy
        assert found == pytest.approx(accuracy, abs=0.02001)


def test_a_file_that_is_not_here_is_answered_with_what_to_fetch_and_where_to_put_it(caches, store):
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint("resnet18_l2_eps3", store, Claims())
    said = str(caught.value)
    address = "https://huggingface.co/madrylab/robust-imagenet-models/resolve/main"
    assert f"Download {address}/resnet18_l2_eps3.ckpt" in said
    assert f"to {caches / 'checkpoints' / 'resnet18_l2_eps3.ckpt'}" in said
    assert "hash is unknown: that of your file is recorded on the first import" in said


@pytest.mark.parametrize("name", ["resnet18_l2_eps2", "resnet81_l2_eps3", "gone/vgg_l2_eps3.ckpt"])
def test_a_name_that_is_nearly_one_of_the_series_is_answered_with_a_suggestion(name, store):
    with pytest.raises(UnknownName, match=r"no published checkpoint is called .* Did you mean"):
        import_checkpoint(name, store, Claims())


@pytest.mark.parametrize(
    "name",
    [
        "resnet18_l2_eps0.25",
        "shufflenet_l2_eps3",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "densenet_l2_eps3",
                "mnasnet_l2_eps0",
                "mobilenet_l2_eps3",
                "resnet50_linf_eps4.0",
                "resnext50_32x4d_l2_eps3",
                "vgg16_bn_l2_eps0",
                "wide_resnet50_2_l2_eps1",
            )
        ),
    ],
)
def test_a_file_in_the_usual_folder_is_imported_by_its_name_alone(caches, store, name):
    path = caches / "checkpoints" / f"{name}.ckpt"
    network = written(path, name)
    recipe = import_checkpoint(name, store, Claims())
    record = PUBLISHED[name]
    assert (recipe.source, recipe.sha256) == (path.name, checksum(path))
    assert (recipe.dataset, recipe.architecture) == ("imagenet1k", record.architecture)
    assert recipe.epsilon == record.epsilon
    assert recipe.epsilon == 0 or recipe.ball.norm == record.norm
    assert (recipe.mean, recipe.std) == (MEAN, STD)
    images = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        found = load_checkpoint(recipe, store)(images).logits
        assert torch.equal(found, network((images - mean) / std))
    steps = store.open(recipe).json("import.json")["steps"]
    assert "dropped the second copy (attacker.*)" in steps
    assert steps.count("took off 'model.'") == (2 if name.partition("_l2_")[0] in WRAPPED else 1)


def test_a_file_in_the_cache_of_hugging_face_is_found_and_a_path_goes_before(caches, store):
    snapshot = caches / "cache/huggingface/hub/models--madrylab--robust-imagenet-models/snapshots"
    cached = snapshot / "0123abcd" / "resnet18_l2_eps1.ckpt"
    written(cached, "resnet18_l2_eps1")
    recipe = import_checkpoint("resnet18_l2_eps1.ckpt", store, Claims())
    assert recipe.sha256 == checksum(cached)
    given = caches / "mine" / "resnet18_l2_eps1.ckpt"
    written(given, "resnet18_l2_eps1", random_seed=1)
    other = import_checkpoint(str(given), store, Claims())
    assert other.sha256 == checksum(given) != recipe.sha256


def test_a_study_that_names_it_imports_it_where_the_file_is_the_same(caches, tmp_path, execution):
    path = caches / "checkpoints" / "resnet18_l2_eps3.ckpt"
    written(path, "resnet18_l2_eps3")
    recipe = import_checkpoint("resnet18_l2_eps3", Store(tmp_path / "one"), Claims())
    assert tomllib.loads(section_of(recipe))["imported"][0]["sha256"] == checksum(path)
    elsewhere = Store(tmp_path / "two")
    build_imported(recipe, elsewhere, execution)
    assert elsewhere.has(recipe)
    written(path, "resnet18_l2_eps3", random_seed=1)
    with pytest.raises(CheckpointError, match="now has the SHA-256"):
        build_imported(recipe, Store(tmp_path / "three"), execution)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"Download https://huggingface\.co/madrylab"):
        build_imported(recipe, Store(tmp_path / "three"), execution)


def test_load_model_and_the_command_take_the_name(caches):
    network = written(caches / "checkpoints" / "resnet18_l2_eps0.ckpt", "resnet18_l2_eps0")
    classifier = samemind.load_model("resnet18_l2_eps0", architecture="resnet18")
    assert classifier.mean.flatten().tolist() == pytest.approx(MEAN)
    assert torch.equal(classifier.network.fc.weight, network.fc.weight)
    arguments = ["import", "resnet18_l2_eps0", "--store", str(caches / "store")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "published as 69.79 % accurate on imagenet1k" in done.output
    assert "recorded here for the first time" in done.output
    listed = CliRunner().invoke(app, ["list", "checkpoints", "--json"], catch_exceptions=False)
    here = {r["name"]: r["here"] for r in json.loads(listed.output)}
    assert [name for name, place in here.items() if place] == ["resnet18_l2_eps0"]
