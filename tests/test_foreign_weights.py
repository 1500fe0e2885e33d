"""Weights that are no plain network: named, refused, and the way out works; heads by name."""

from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import Claims, import_checkpoint, read_checkpoint, section_of
from samemind.checkpoints.reading import read_file
from samemind.cli import app
from samemind.errors import CheckpointError, SamemindError
from samemind.networks.opening import load_model
from samemind.store.artifacts import Store
from samemind.training import load_checkpoint

NAME = "digits_resnet"


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return ARCHITECTURES[NAME].build(10, 8).eval()


def averages() -> dict:
    """As torch_ema's `ExponentialMovingAverage.state_dict()` has them."""
    shadows = [p.detach().clone() for p in network().parameters()]
    return {"decay": 0.99, "num_updates": 5, "shadow_params": shadows, "collected_params": None}


def adapter() -> dict[str, torch.Tensor]:
    return {
        "base_model.model.fc.lora_A.weight": torch.randn(2, 8),
        "base_model.model.fc.lora_B.weight": torch.randn(4, 2),
    }


def optimiser() -> dict:
    made = network()
    found = torch.optim.Adam(made.parameters())
    sum(p.sum() for p in made.parameters()).backward()
    found.step()
    return found.state_dict()


def in_a_circle() -> dict:
    first: dict = {}
    first["other"] = {"first": first}
    return {"epoch": 3, "held": first}


def shared_by_many() -> dict:
    held: dict = {"epoch": 3}
    for _ in range(60):
        held = {"left": held, "right": held}
    return held


REFUSED = {
    "averages without names": (averages, "tensors without names .*shadow_params.*copy_to"),
    "averages in a file of training": (
        lambda: {"epoch": 3, "ema": averages()},
        "tensors without names .*ema.shadow_params",
    ),
    "adapters": (adapter, "adapters .*merge_and_unload"),
    "a network with adapters": (
        lambda: {"model": {"fc.base_layer.weight": torch.zeros(4, 8), **adapter()}},
        "adapters",
    ),
    "flat parameters": (
        lambda: {"_fsdp_wrapped_module._flat_param": torch.zeros(500)},
        "FSDP.*full_state_dict=True",
    ),
    "flat parameters of layers": (
        lambda: {"model": {f"layers.{i}._flat_param": torch.zeros(50) for i in range(3)}},
        "FSDP",
    ),
    "quantised": (
        lambda: {"fc.weight": torch.zeros(4, 8), "fc.weight.absmax": torch.zeros(4)},
        "quantised",
    ),
    "quantised in groups": (
        lambda: {"fc.qweight": torch.zeros(4, 8), "fc.qzeros": torch.zeros(4, 2)},
        "quantised",
    ),
    "an optimiser": (optimiser, "state of an optimiser and no network"),
    "an optimiser in a file of training": (
        lambda: {"epoch": 3, "optimizer": optimiser()},
        "state of an optimiser",
    ),
    "nothing": (lambda: {"epoch": 3}, "holds no weights"),
    "mappings in a circle": (in_a_circle, "holds no weights"),
    "mappings that many share": (shared_by_many, "holds no weights"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_plain_network_is_named(kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    torch.save(make(), tmp_path / "held.pt")
    with pytest.raises(CheckpointError, match=words) as told:
        read_file(tmp_path / "held.pt")
    assert len(str(told.value)) < 700
    assert ".." not in str(told.value).replace("(...)", "")


def test_averages_without_names_beside_a_network_are_told(tmp_path: Path) -> None:
    torch.save({"model": network().state_dict(), "ema": averages()}, tmp_path / "held.pt")
    chosen = read_file(tmp_path / "held.pt").choose()
    (step,) = chosen.steps
    assert step.startswith("not read: 'ema.shadow_params', ")


def test_the_network_is_taken_where_adapters_lie_beside_it(tmp_path: Path) -> None:
    torch.save({"model": network().state_dict(), "lora": adapter()}, tmp_path / "held.pt")
    assert read_file(tmp_path / "held.pt").choose().name == "model"


# -- heads by name

HEADS = """
from torch import nn
class Two(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.body = nn.Linear(64, 16)
        self.first = nn.Linear(16, num_classes)
        self.second = nn.Linear(16, num_classes)
    def forward(self, x):
        read = self.body(x.flatten(1)).relu()
        return self.first(read), self.second(read)
"""


@pytest.fixture
def two_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "twoheads", raising=False)
    (tmp_path / "twoheads.py").write_text(HEADS)
    from twoheads import Two  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    torch.save(Two().state_dict(), "two.pt")
    return tmp_path


CLAIMS = Claims(dataset="digits", architecture="python:twoheads:Two", epsilon=0.0)


@pytest.mark.parametrize("head", ["first", "second"])
def test_a_head_is_imported_by_its_name(head: str, two_heads: Path) -> None:
    from dataclasses import replace

    store = Store(two_heads / "store")
    recipe = import_checkpoint("two.pt", store, replace(CLAIMS, head=head))
    assert f'head = "{head}"' in section_of(recipe)
    assert head in recipe.model
    classifier = load_checkpoint(recipe, store)
    images = torch.rand(5, 1, 8, 8)
    weights = torch.load("two.pt", weights_only=True)
    with torch.no_grad():
        out = classifier(images)
        read = (classifier.normalised(images).flatten(1) @ weights["body.weight"].T).add(
            weights["body.bias"]
        )
        torch.testing.assert_close(out.representation, read.relu())
        truth = read.relu() @ weights[f"{head}.weight"].T + weights[f"{head}.bias"]
    torch.testing.assert_close(out.logits, truth)
    loaded = load_model("two.pt", architecture=CLAIMS.architecture, normalise="none", head=head)
    with torch.no_grad():
        again = loaded(classifier.normalised(images)).logits
    torch.testing.assert_close(again, truth)


def test_the_command_imports_a_head_for_a_study(two_heads: Path) -> None:
    asked = "two.pt --dataset digits --architecture python:twoheads:Two --epsilon 0 --store s"
    result = CliRunner().invoke(app, ["import", *asked.split(), "--head", "second"])
    assert result.exit_code == 0, result.output
    assert 'head = "second"' in result.stdout
    wrong = CliRunner().invoke(app, ["import", *asked.split(), "--head", "third"])
    assert isinstance(wrong.exception, SamemindError)
    assert "has no layer 'third'" in str(wrong.exception)


def test_without_a_name_the_first_head_is_taken_and_told(two_heads: Path) -> None:
    recipe, loaded = read_checkpoint("two.pt", CLAIMS)
    assert recipe.head == ""
    assert "head =" not in section_of(recipe)
    assert any("of which the first is taken for its logits" in step for step in loaded.steps)
