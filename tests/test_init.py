"""`samemind init`: the template agrees with the schema, and checkpoints are recognised."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest
import torch
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.recognising import norm_and_epsilon, recognise
from samemind.cli import app
from samemind.datasets.base import DATASETS
from samemind.errors import CheckpointError, InvalidInput
from samemind.execution import InProcess
from samemind.store.artifacts import Store
from samemind.study import Study, read_study
from samemind.study.collecting import collect
from samemind.study.running import advance
from samemind.study.template import study_text
from samemind.training import Schedule
from within_bounds import check_within_bounds

EXAMPLES = {"axis"}  # no default: a study without one is along ε
NOT_DEFAULTS = {("training", "policy"), ("inversion", "steps")}  # set, not commented out


def defaults_of_the_template() -> dict[str, dict]:
    """The template with every commented key switched on, section by section."""
    lines = []
    for line in study_text("my").splitlines():
        bare = line.removeprefix("# ")
        is_key = line.startswith("# ") and " = " in bare.partition("#")[0] and bare[0].islower()
        lines.append(bare if is_key or bare.startswith("[[") else line)
    return tomllib.loads("\n".join(line.replace(" = ...", " = '...'") for line in lines))


def test_every_key_of_the_schema_is_in_the_template_with_its_default() -> None:
    held = defaults_of_the_template()
    for name, field in Study.model_fields.items():
        if name in ("name", "title"):
            continue
        assert name in held, f"{name} is not in the template"
        if not isinstance(held[name], dict):
            continue
        model = next(iter(get_args(field.annotation)), field.annotation)
        defaults = vars(Schedule) if name == "training" else {}
        assert set(held[name]) == set(model.model_fields)
        for key, inner in model.model_fields.items():
            expected = inner.get_default(call_default_factory=True)
            expected = defaults.get(key) if expected is None else expected
            if (
                name in EXAMPLES
                or inner.is_required()
                or expected is None
                or (name, key) in NOT_DEFAULTS
            ):
                continue
            found = held[name][key]
            assert (tuple(found) if isinstance(found, list) else found) == expected, (name, key)


def test_init_writes_a_study_that_can_be_planned(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    runner = CliRunner()
    done = runner.invoke(app, ["init", str(path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert len(read_study(path).checkpoints) == 9
    planned = runner.invoke(app, ["plan", str(path), "--store", str(tmp_path / "store")])
    assert planned.exit_code == 0, planned.output
    with pytest.raises(InvalidInput, match="left as it is"):
        runner.invoke(app, ["init", str(path)], catch_exceptions=False)


def test_init_from_a_shipped_study_gives_the_same_recipes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    CliRunner().invoke(app, ["init", str(path), "--from", "digits"], catch_exceptions=False)
    assert read_study(path).checkpoints == read_study("digits").checkpoints


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18_l2_eps0.25", ("L2", 0.25)),
        ("wide_resnet50_2_linf_eps4.0", ("Linf", 4 / 255)),
        ("resnet50-eps0_5", (None, 0.5)),
        ("cifar_nat", (None, 0.0)),
        ("vgg16_bn", (None, None)),
        ("epsilon=3", (None, 3.0)),
    ],
)
def test_names_suggest_norm_and_radius(name: str, expected: tuple) -> None:
    assert norm_and_epsilon(name) == expected


def test_keys_confirm_or_refute_what_a_name_suggests(tmp_path: Path) -> None:
    weights = ARCHITECTURES["digits_vgg_bn"].build(10, 8).state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}},
               tmp_path / "digits_resnet_l2_eps0.5.pt")  # fmt: skip
    found = recognise(tmp_path / "digits_resnet_l2_eps0.5.pt")
    assert (found.architecture, found.classes, found.epsilon) == ("digits_vgg_bn", 10, 0.5)
    del weights["classifier.bias"]
    torch.save(weights, tmp_path / "broken.pt")
    broken = recognise(tmp_path / "broken.pt")
    assert broken.architecture is None
    assert "digits_vgg_bn is nearest" in broken.problem


def trained(name: str, *, random_seed: int, steps: int = 150) -> dict[str, torch.Tensor]:
    """The weights of a network that has learnt the digits, in a second."""
    digits = DATASETS["digits"]
    torch.manual_seed(random_seed)
    network = ARCHITECTURES[name].build(10, 8)
    split = digits.split("train")
    images = (torch.from_numpy(split.read(range(len(split)))) - digits.mean[0]) / digits.std[0]
    labels = torch.from_numpy(split.labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    for rows in torch.randint(len(labels), (steps, 64)):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimiser.step()
    return network.state_dict()


def init(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["init", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_init_from_checkpoints_writes_a_study_of_these_files_that_runs(
    tmp_path: Path, execution
) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for i, name in enumerate(("digits_vit_l2_eps0", "digits_resnet_l2_eps0", "digits_vit_late")):
        architecture = "_".join(name.split("_")[:2])
        weights = trained(architecture, random_seed=i)
        torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}},
                   folder / f"{name}.pt")  # fmt: skip
    torch.save({"a": torch.ones(3)}, folder / "zzz.pt")
    path = tmp_path / "studies" / "mine.toml"
    path.parent.mkdir()
    told = init(path, "--models", folder / "*.pt")
    assert "digits_vit_l2_eps0.pt: digits_vit, 10 classes, ε = 0 (L2)" in told
    assert "digits_vit_late.pt: ε is not in its name: 0, standard training, is a guess" in told
    assert "Left out:" in told
    text = path.read_text()
    assert text.count("\n[[imported]]") == 3
    study = read_study(path)
    assert (study.architectures, study.epsilons, study.dataset) == ((), (0,), "digits")
    # Two runs of one kind are told apart.
    assert [m.random_seed for m in study.imported if m.architecture == "digits_vit"] == [0, 1]
    small = {
        "steps = 100": "steps = 5",
        "# count = 1000  # so many at": "count = 60  # so many at",
        "# strong_count = 1000": "strong_count = 0",
    }
    for old, new in small.items():
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    store = Store(tmp_path / "store")
    done = advance(read_study(path), store, InProcess(), execution)
    assert (done.failed, done.blocked) == ((), 0)
    results = collect(read_study(path), store)
    assert (results.models["clean_accuracy"] > 0.8).all()
    assert len(results.scores) == 6 * 3 + 6 * 6  # six measures: 3 pairs, 6 ordered pairs
    assert results.scores["score"].notna().all()
    assert check_within_bounds(results) == 3


def test_a_file_that_was_changed_after_init_is_refused(tmp_path: Path, execution) -> None:
    for i in range(2):
        torch.manual_seed(i)
        torch.save(ARCHITECTURES["digits_vit"].build(10, 8).state_dict(), tmp_path / f"{i}_std.pt")
    path = tmp_path / "mine.toml"
    init(path, "--models", tmp_path / "*.pt")
    torch.save(ARCHITECTURES["digits_vit"].build(10, 8).state_dict(), tmp_path / "1_std.pt")
    with pytest.raises(CheckpointError, match="is not the file that the study was written for"):
        advance(read_study(path), Store(tmp_path / "store"), InProcess(), execution)


def test_files_of_another_norm_or_of_no_known_dataset_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("digits_vit_linf_eps8", "digits_vit_l2_eps1", "digits_resnet_l2_eps0.5"):
        architecture = "_".join(name.split("_")[:2])
        torch.save(ARCHITECTURES[architecture].build(10, 8).state_dict(), tmp_path / f"{name}.pt")
    told = init(tmp_path / "mine.toml", "--models", tmp_path / "*.pt")
    assert "its norm is Linf, the others' is L2" in told
    study = read_study(tmp_path / "mine.toml")
    assert (study.norm, study.epsilons) == ("L2", (0.5, 1))
    torch.save({"a": torch.ones(3)}, tmp_path / "alone.pth")
    with pytest.raises(InvalidInput, match="--architecture and --dataset"):
        init(tmp_path / "other.toml", "--models", tmp_path / "alone.pth")


def test_with_the_architecture_given_what_is_still_missing_is_said_and_nothing_else(
    tmp_path: Path,
) -> None:
    from their_networks import marabou_small

    torch.save(marabou_small().state_dict(), tmp_path / "theirs.pt")
    given = ["--models", tmp_path / "theirs.pt", "--architecture", "their_networks:marabou_small"]
    with pytest.raises(InvalidInput, match=r"theirs\.pt: its dataset is not known: --dataset"):
        init(tmp_path / "mine.toml", *given)
    told = init(tmp_path / "mine.toml", *given, "--dataset", "cifar10")
    assert "no architecture" not in told
    assert f"is written. `samemind plan {tmp_path / 'mine.toml'}` says" in told


@pytest.mark.data
def test_init_from_published_files_of_foreign_networks_writes_a_study(real_data: Path, tmp_path):
    path = tmp_path / "mine.toml"
    known = ("marabou_small", "marabou_medium")
    told = init(
        path, "--models", real_data / "models" / "cifar_marabou_*.pth", "--dataset", "cifar10",
        "--architecture", ",".join(f"python:their_networks:{n}" for n in known),
    )  # fmt: skip
    assert "mean and std are those of cifar10" in told
    medium, model = read_study(path).imported
    assert medium.architecture == "python:their_networks:marabou_medium"
    assert model.source == "cifar_marabou_small.pth"
    assert (path.parent / model.file).resolve() == (
        real_data / "models" / "cifar_marabou_small.pth"
    ).resolve()


def test_a_pattern_without_files_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in quotes"):
        CliRunner().invoke(
            app, ["init", str(tmp_path / "a.toml"), "--models", f"{tmp_path}/*.pt"],
            catch_exceptions=False,
        )  # fmt: skip
