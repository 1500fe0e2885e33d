"""Checkpoints from elsewhere in the store and in studies, and what is said of unfit ones."""

import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import (
    Claims,
    build_imported,
    command_of,
    import_checkpoint,
    section_of,
)
from samemind.cli import app
from samemind.datasets.base import DATASETS
from samemind.errors import CheckpointError, InvalidInput
from samemind.execution.devices import Execution
from samemind.store.artifacts import Store, checksum
from samemind.study import Study, read_study
from samemind.training import Imported, load_checkpoint

DIGITS = Claims(dataset="digits", architecture="digits_resnet", epsilon=0.5)


def saved(path: Path, random_seed: int = 0, *, wrapped: bool = True) -> Path:
    """A digits network in a file, as the robustness library would write it."""
    torch.manual_seed(random_seed)
    state = ARCHITECTURES["digits_resnet"].build(10, 8).state_dict()
    if wrapped:
        inner = {f"module.model.{k}": v for k, v in state.items()}
        copy = {f"module.attacker.model.{k}": v for k, v in state.items()}
        constants = {
            "module.normalizer.new_mean": torch.tensor([0.25]),
            "module.normalizer.new_std": torch.tensor([0.5]),
        }
        state = {"model": inner | copy | constants, "epoch": 3}
    torch.save(state, path)
    return path


def test_an_imported_checkpoint_is_kept_whole_with_its_hash_and_normalisation(tmp_path, store):
    path = saved(tmp_path / "theirs.pt")
    recipe = import_checkpoint(str(path), store, DIGITS)
    assert (recipe.source, recipe.sha256) == ("theirs.pt", checksum(path))
    assert (recipe.mean, recipe.std, recipe.epsilon) == ((0.25,), (0.5,), 0.5)
    assert recipe.model == f"digits_resnet-eps0.5-{checksum(path)[:8]}"
    classifier = load_checkpoint(recipe, store)
    torch.manual_seed(0)
    network = ARCHITECTURES["digits_resnet"].build(10, 8).eval()
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(classifier(images).logits, network((images - 0.25) / 0.5))
    steps = store.open(recipe).json("import.json")["steps"]
    assert "dropped the second copy (attacker.*)" in steps


def test_importing_the_same_file_again_changes_nothing(tmp_path, store):
    path = saved(tmp_path / "theirs.pt")
    first = import_checkpoint(str(path), store, DIGITS)
    made = (store.path(first) / "made.json").read_text()
    again = import_checkpoint(str(path), store, DIGITS)
    assert again == first
    assert (store.path(first) / "made.json").read_text() == made


def test_what_the_file_does_not_hold_is_the_datasets_or_what_is_claimed(tmp_path, store):
    path = str(saved(tmp_path / "plain.pt", wrapped=False))
    recipe = import_checkpoint(path, store, DIGITS)
    assert (recipe.mean, recipe.std) == (DATASETS["digits"].mean, DATASETS["digits"].std)
    claims = Claims(
        dataset="digits", architecture="digits_resnet", epsilon=0, mean=(0.1,), std=(0.2,)
    )
    recipe = import_checkpoint(path, store, claims)
    assert (recipe.mean, recipe.std, recipe.ball) == ((0.1,), (0.2,), None)


def test_a_published_name_says_architecture_norm_and_radius(tmp_path, store):
    path = tmp_path / "digits_resnet_l2_eps0.25.pt"
    recipe = import_checkpoint(str(saved(path)), store, Claims(dataset="digits"))
    assert (recipe.architecture, recipe.ball.norm, recipe.epsilon) == ("digits_resnet", "L2", 0.25)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (Claims(epsilon=0), r"does not say what its network was trained on\. Add --dataset NAME"),
        (
            Claims(),
            r"was trained on; how robust it was trained to be\. Add --dataset .*; --epsilon",
        ),
        (Claims(dataset="digits", architecture="digits_resnet"), "does not say how robust it was"),
        (
            Claims(dataset="digits", architecture="digits_resnet", epsilon=8, norm="Linf"),
            "write 8/255",
        ),
        (
            Claims(dataset="cifar10", architecture="digits_resnet", epsilon=0),
            r"reads images of 1 channel\(s\), but these have 3",
        ),
        (
            Claims(dataset="digits", epsilon=0, mean=(0.1, 0.2), std=(0.5,)),
            r"The normalisation has 2 mean\(s\) and 1 deviation",
        ),
        (
            Claims(dataset="digits", epsilon=0, mean=(0.1,)),
            r"only --mean was given\. State --std as well",
        ),
    ],
)
def test_what_a_comparison_depends_on_must_be_known(tmp_path, store, claims, words):
    path = saved(tmp_path / "theirs.pt")
    with pytest.raises(InvalidInput, match=words):
        import_checkpoint(str(path), store, claims)
    assert not list(store.root.glob("checkpoints/*"))


def test_a_classifier_of_other_classes_is_refused(tmp_path, store):
    torch.save(ARCHITECTURES["digits_resnet"].build(7, 8).state_dict(), tmp_path / "seven.pt")
    with pytest.raises(CheckpointError, match="tells 7 classes apart, but 'digits' has 10"):
        import_checkpoint(str(tmp_path / "seven.pt"), store, DIGITS)


# -- in studies


def study_of(recipes, **more) -> Study:
    sections = tomllib.loads("\n".join(section_of(r) for r in recipes))
    return Study(
        name="mine", dataset="digits", epsilons=(0.5,), inversion={"steps": 2}, **sections, **more
    )


def test_the_printed_section_names_the_same_checkpoint_in_a_study(tmp_path, store):
    recipe = import_checkpoint(str(saved(tmp_path / "theirs.pt")), store, DIGITS)
    assert study_of([recipe]).checkpoints == (recipe,)


def test_whole_numbers_as_constants_make_the_same_recipe_as_in_a_study(tmp_path, store):
    claims = Claims(
        dataset="digits", architecture="digits_resnet", epsilon=0.5, mean=(0,), std=(1,)
    )
    recipe = import_checkpoint(str(saved(tmp_path / "a.pt", wrapped=False)), store, claims)
    [read] = study_of([recipe]).checkpoints
    assert read.name == recipe.name
    assert store.has(read)


def test_the_command_that_a_study_prints_imports_the_very_checkpoint_it_asks_for(
    tmp_path, store, monkeypatch
):
    architecture = ARCHITECTURES["digits_resnet"]
    states = [architecture.build(10, 8).state_dict() for _ in range(2)]
    torch.save({"state_dict": states}, tmp_path / "two runs.pt")
    claims = Claims(
        dataset="digits", architecture="digits_resnet", epsilon=8 / 255, norm="Linf", mean=(0.1,),
        std=(0.3,), random_seed=4, part=1,
    )  # fmt: skip
    recipe = import_checkpoint(str(tmp_path / "two runs.pt"), store, claims)
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(command_of(recipe))
    again = Store(tmp_path / "again")
    done = CliRunner().invoke(app, [*arguments, "--store", str(again.root)])
    assert done.exit_code == 0, done.output
    assert again.has(recipe)


def test_imported_checkpoints_are_compared_by_a_study(tmp_path, store, execution):
    from samemind.execution import InProcess
    from samemind.study.running import advance

    recipes = [
        import_checkpoint(str(saved(tmp_path / f"{i}.pt", random_seed=i)), store, DIGITS)
        for i in (1, 2)
    ]
    study = study_of(
        recipes,
        inputs={"count": 20},
        evaluation={"strong_count": 0},
        comparison={"measures": ["agreement", "linear_cka"], "permutations": 0},
    )
    result = advance(study, store, InProcess(), execution)
    assert result.failed == ()
    tables = [store.open(s).table("scores.parquet") for s in study.scores]
    names = {name for t in tables for name in (*t["model_a"], *t["model_b"])}
    assert names == {r.model for r in recipes}
    scores = np.concatenate([t["score"] for t in tables])
    assert np.isfinite(scores).all()


def test_a_study_without_its_imported_file_says_how_to_import_it(store, execution):
    recipe = Imported(
        source="theirs.pt",
        sha256="ab" * 32,
        dataset="digits",
        architecture="digits_resnet",
        ball=None,
        mean=(0.3,),
        std=(0.4,),
    )
    with pytest.raises(CheckpointError, match=r"samemind import theirs\.pt --dataset digits --ar"):
        build_imported(recipe, store, execution)


def test_a_study_needs_models_and_knows_their_radii(tmp_path):
    (tmp_path / "none.toml").write_text('dataset = "digits"\nepsilons = [0]\n')
    with pytest.raises(InvalidInput, match=r"at least one of `architectures`, or an \[\[imported"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "untrained.toml").write_text(
        'dataset = "digits"\nepsilons = [0]\narchitectures = ["digits_vit"]\n'
    )
    with pytest.raises(InvalidInput, match=r"The section \[training\] is needed"):
        read_study(tmp_path / "untrained.toml")
    (tmp_path / "radius.toml").write_text(
        'dataset = "digits"\nepsilons = [0]\n[[imported]]\nsource = "a.pt"\nsha256 = "00"\n'
        'architecture = "digits_vit"\nepsilon = 0.5\nmean = [0.3]\nstd = [0.3]\n'
    )
    with pytest.raises(InvalidInput, match=r"a\.pt has ε = 0\.5, which is not among the epsilons"):
        read_study(tmp_path / "radius.toml")


# -- from Python and the command line


def test_load_model_reads_the_normalisation_that_a_file_holds(tmp_path):
    path = saved(tmp_path / "theirs.pt")
    classifier = samemind.load_model(str(path), architecture="digits_resnet")
    assert classifier.mean.flatten().tolist() == [0.25]


def test_the_command_imports_and_prints_lines_for_a_study_file(tmp_path):
    paths = [str(saved(tmp_path / f"{i}_l2.pt", i)) for i in (1, 2)]
    options = ["--dataset", "digits", "--architecture", "digits_resnet", "--epsilon", "0.5"]
    store = str(tmp_path / "store")
    done = CliRunner().invoke(app, ["import", *paths, *options, "--store", store])
    assert done.exit_code == 0, done.output
    sections = tomllib.loads(done.output)["imported"]
    assert [s["source"] for s in sections] == ["1_l2.pt", "2_l2.pt"]
    assert [s["sha256"] for s in sections] == [checksum(Path(p)) for p in paths]


def test_the_command_checks_a_data_set(tmp_path):
    done = CliRunner().invoke(app, ["data", "check", "digits"])
    assert done.exit_code == 0, done.output
    assert "The data set 'digits' is whole: train 1,257, test 540 images." in done.output
    done = CliRunner().invoke(app, ["data", "check", "imagenet50", "--root", str(tmp_path)])
    assert done.exit_code == 1
    assert "must be fetched by hand" in done.output


# -- real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "function", "constants", "claimed"),
    [
        # As their authors publish them; constants and accuracies from the data's own description.
        ("resnet20-12fca82f.th", "resnet20", "imagenet", 91.73),
        ("resnet32-d509ac18.th", "resnet32", "imagenet", 92.63),
    ],
)
def test_a_real_checkpoint_has_the_accuracy_that_its_authors_claim(
    real_data, cifar_root, store, execution, monkeypatch, file, function, constants, claimed
):
    from samemind.study import Study

    monkeypatch.setenv("SAMEMIND_DATA", str(cifar_root))
    source = DATASETS["imagenet1k"] if constants == "imagenet" else DATASETS["cifar10"]
    claims = Claims(
        dataset="cifar10",
        architecture=f"python:their_networks:{function}",
        epsilon=0,
        mean=source.mean,
        std=source.std,
    )
    recipe = import_checkpoint(str(real_data / "models" / file), store, claims)
    sections = tomllib.loads(section_of(recipe))
    study = Study(name="one", dataset="cifar10", epsilons=(0,), **sections)
    assert study.checkpoints == (recipe,)
    classifier = load_checkpoint(recipe, store)
    split = DATASETS["cifar10"].split("test")
    from samemind.training import accuracy

    found = accuracy(
        classifier,
        torch.from_numpy(split.images),
        torch.from_numpy(split.labels),
        device=torch.device("cpu"),
    )
    # To two decimals of a per cent: one image is 0.01.
    assert round(100 * found, 2) == pytest.approx(claimed, abs=0.011)


@pytest.mark.data
def test_a_real_file_of_two_networks_asks_which_one(real_data):
    from samemind.checkpoints.reading import read_weights

    path = real_data / "models/kw_l2_cifar_small_36px.pth"
    with pytest.raises(CheckpointError, match="holds 2 networks"):
        read_weights(path)
    assert "0.weight" in read_weights(path, part=0)


@pytest.mark.data
def test_a_real_file_that_fits_nothing_registered_is_told_what_to_do(real_data):
    from samemind.checkpoints.fitting import load

    path = real_data / "models/resnet20-12fca82f.th"
    with pytest.raises(CheckpointError, match="python:MODULE:FUNCTION"):
        load(path, ARCHITECTURES["cifar_resnet18"])


@pytest.mark.data
def test_a_small_cifar10_study_runs_for_real(
    real_data, cifar_root, store, execution, monkeypatch, tmp_path
):
    """Two published networks and two trained here for one epoch, natural and inverted."""
    from samemind.execution import InProcess
    from samemind.study.running import advance

    monkeypatch.setenv("SAMEMIND_DATA", str(cifar_root))
    sections = []
    for size in ("small", "medium"):
        claims = Claims(
            dataset="cifar10",
            architecture=f"python:their_networks:marabou_{size}",
            epsilon=0,
            mean=(0, 0, 0),  # trained on pixels as they are
            std=(1, 1, 1),
        )
        source = str(real_data / "models" / f"cifar_marabou_{size}.pth")
        sections.append(section_of(import_checkpoint(source, store, claims)))
    path = tmp_path / "small-cifar10.toml"
    text = (Path(__file__).parent / "data" / "small-cifar10.toml").read_text()
    path.write_text(text + "\n" + "\n\n".join(sections))
    study = read_study(path)
    result = advance(study, store, InProcess(), execution)
    assert [str(o.error) for o in result.failed] == []
    accuracies = {
        e.checkpoint.model: store.open(e).json("evaluation.json")["clean_accuracy"]
        for e in study.evaluations
    }
    # The accuracies that the data's own description gives for the two, on all 10,000 images.
    claimed = {"marabou_small": 0.6314, "marabou_medium": 0.7021}
    for name, found in accuracies.items():
        architecture = name.rpartition(":")[2].partition("-")[0]
        if architecture in claimed:
            assert found == pytest.approx(claimed.pop(architecture), abs=1.1e-4)
        else:
            # Chance is 0.1; one epoch of a small network is far above it.
            assert 0.3 < found < 0.8
    assert not claimed
    natural, inverted = (store.open(s).table("scores.parquet") for s in study.scores)
    for table in (natural, inverted):
        agreement = table[table["measure"] == "agreement"]["score"]
        # Networks that are right on half of the images or more agree far more often than by
        # chance, and do not agree on everything.
        assert agreement.between(0.2, 0.99).all()
    assert len(natural[natural["measure"] == "agreement"]) == 6
    # An inverted image is what its own model takes for the target.
    assert set(inverted["inverted_by"]) == set(accuracies)


# -- published weights


def test_published_weights_of_torchvision_are_taken_from_its_own_cache(
    tmp_path, store, monkeypatch
):
    record = ARCHITECTURES["torchvision:mobilenet_v3_small"]
    torch.manual_seed(0)
    network = record.build(1000, 224).eval()
    cache = tmp_path / "hub/checkpoints"
    cache.mkdir(parents=True)
    torch.save(network.state_dict(), cache / "mobilenet_v3_small-047dcff4.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    claims = Claims(dataset="imagenet1k", epsilon=0)
    recipe = import_checkpoint("torchvision:mobilenet_v3_small", store, claims)
    assert recipe.source == recipe.architecture == "torchvision:mobilenet_v3_small"
    assert (recipe.mean, recipe.std) == (DATASETS["imagenet1k"].mean, DATASETS["imagenet1k"].std)
    images = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    with torch.no_grad():
        logits = load_checkpoint(recipe, store)(images).logits
        assert torch.equal(logits, network((images - mean) / std))
    # A study that names published weights fetches them by itself.
    shutil.rmtree(store.root)
    build_imported(recipe, store, Execution(device="cpu"))
    assert store.has(recipe)


def test_published_weights_that_cannot_be_had_are_explained(store, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    claims = Claims(dataset="imagenet1k", epsilon=0)
    with pytest.raises(CheckpointError, match=r"The published weights of timm:resnet18\.a1_in1k c"):
        import_checkpoint("timm:resnet18.a1_in1k", store, claims)


TIMM = "test_resnet.r160_in1k"  # timm's own small model for tests


def timm_network():
    import timm

    torch.manual_seed(0)
    return timm.create_model(TIMM, pretrained=False, num_classes=1000).eval()


def test_published_weights_of_timm_are_taken_from_the_cache_of_hugging_face(
    tmp_path, store, monkeypatch
):
    from huggingface_hub import constants
    from safetensors.torch import save_file

    network = timm_network()
    cached = tmp_path / f"models--timm--{TIMM}"
    (cached / "snapshots" / "0").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0")
    save_file(network.state_dict(), cached / "snapshots" / "0" / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    recipe = import_checkpoint(f"timm:{TIMM}", store, Claims(dataset="imagenet1k", epsilon=0))
    held = store.open(recipe).arrays("weights.safetensors")
    assert (held["fc.weight"] == network.fc.weight.detach().numpy()).all()
    assert len(recipe.sha256) == 64


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_state_dict_saved_from_timm_is_read_with_its_architecture_named(tmp_path, store, suffix):
    from safetensors.torch import save_file

    network, path = timm_network(), tmp_path / f"finetuned{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    claims = Claims(dataset="imagenet1k", architecture=f"timm:{TIMM}", epsilon=0)
    recipe = import_checkpoint(str(path), store, claims)
    assert (recipe.architecture, recipe.sha256) == (f"timm:{TIMM}", checksum(path))
    images = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
    with torch.no_grad():
        logits = load_checkpoint(recipe, store)(images).logits
        assert torch.equal(logits, network((images - mean) / std))
