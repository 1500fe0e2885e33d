"""`samemind init`: the template agrees with the schema, and checkpoints are recognised."""

import tomllib
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.cli import app
from samemind.errors import InvalidInput
from samemind.initialising import study_text
from samemind.recognising import norm_and_epsilon, recognise
from samemind.study import Study, read_study
from samemind.training import Schedule

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
        model = field.annotation
        defaults = vars(Schedule) if name == "training" else {}
        assert set(held[name]) == set(model.model_fields)
        for key, inner in model.model_fields.items():
            expected = inner.get_default(call_default_factory=True)
            expected = defaults.get(key) if expected is None else expected
            if inner.is_required() or expected is None or (name, key) in NOT_DEFAULTS:
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


def test_init_from_checkpoints_takes_their_grid(tmp_path: Path) -> None:
    for name, epsilon in (("digits_vit", "0"), ("digits_resnet", "0.5"), ("digits_vit", "0.5")):
        torch.save(ARCHITECTURES[name].build(10, 8).state_dict(),
                   tmp_path / f"{name}_l2_eps{epsilon}.pt")  # fmt: skip
    path = tmp_path / "mine.toml"
    done = CliRunner().invoke(
        app, ["init", str(path), "--models", f"{tmp_path}/*.pt"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    study = read_study(path)
    assert study.architectures == ("digits_resnet", "digits_vit")
    assert study.epsilons == (0, 0.5)
    assert "digits_vit_l2_eps0.pt: digits_vit, 10 classes, ε = 0 (L2)" in path.read_text()


def test_a_pattern_without_files_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in quotes"):
        CliRunner().invoke(
            app, ["init", str(tmp_path / "a.toml"), "--models", f"{tmp_path}/*.pt"],
            catch_exceptions=False,
        )  # fmt: skip
