"""By what images are normalised: one constant per name, stated in any way, told where assumed."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.importing import Claims, read_checkpoint
from samemind.cli import app
from samemind.datasets.base import DATASETS, NORMALISATIONS, normalisation
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.inputs.images import given_images
from samemind.networks.normalising import Normalised, better_normalisation
from samemind.networks.opening import Loading, Model, open_model
from samemind.training import Schedule, Trained

IMAGENET_255 = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NAME = "cifar_small_resnet"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    path = tmp_path_factory.mktemp("bare") / "bare.pt"
    torch.manual_seed(0)
    torch.save(ARCHITECTURES[NAME].build(10, 32).state_dict(), path)
    return str(path)


def constants(classifier) -> list[list[float]]:
    return [[round(v, 5) for v in t.flatten().tolist()] for t in (classifier.mean, classifier.std)]


def test_a_name_means_the_same_numbers_wherever_it_is_said(bare):
    for name in set(DATASETS) & set(NORMALISATIONS):
        record = DATASETS[name]
        assert (record.mean, record.std) == NORMALISATIONS[name] == normalisation(name, 3)
    model = open_model(bare, Loading(dataset="cifar10"))
    recipe, _ = read_checkpoint(bare, Claims(dataset="cifar10", epsilon=0.0))
    assert constants(model.classifier) == [list(recipe.mean), list(recipe.std)]
    assert recipe.std == (0.2023, 0.1994, 0.2010)
    assert len(set(NORMALISATIONS.values())) == len(NORMALISATIONS)


def test_what_was_trained_under_a_name_of_other_numbers_is_another_recipe():
    def recipe(name: str) -> Trained:
        schedule = Schedule(epochs=1, batch_size=8, learning_rate=0.1, normalisation=name)
        return Trained(
            dataset="cifar10", architecture=NAME, ball=None, attack=None, schedule=schedule,
            random_seed=0,
        )  # fmt: skip

    assert {n: recipe(n).content["version"] for n in ("dataset", "imagenet", "cifar10")} == {
        "dataset": 1, "imagenet": 1, "cifar10": 2
    }  # fmt: skip


def test_numbers_are_stated_in_either_range_everywhere(bare):
    wanted = [list(v) for v in NORMALISATIONS["imagenet"]]
    for mean, std in (NORMALISATIONS["imagenet"], IMAGENET_255):
        assert constants(samemind.load_model(bare, mean=mean, std=std)) == wanted
        recipe, loaded = read_checkpoint(
            bare, Claims(dataset="cifar10", epsilon=0, mean=mean, std=std)
        )
        assert [list(recipe.mean), list(recipe.std)] == wanted
        assert any("0 … 255" in s for s in loaded.steps) == (mean is IMAGENET_255[0])
    for options in ({"mean": (0.5,)}, {"mean": (0.5,), "std": (0.5,), "normalise": "imagenet"}):
        with pytest.raises(InvalidInput, match=r"only --mean was given|both say how images are"):
            samemind.load_model(bare, **options)


def test_a_normaliser_in_a_file_is_recognised_in_0_to_255_and_under_any_prefix(tmp_path):
    torch.manual_seed(0)
    state = {f"net.{k}": v for k, v in ARCHITECTURES[NAME].build(10, 32).state_dict().items()}
    state["prep.pixel_mean"], state["prep.pixel_std"] = map(torch.tensor, IMAGENET_255)
    torch.save(state, tmp_path / "a.pt")
    model = open_model(str(tmp_path / "a.pt"), Loading(dataset="cifar10"))
    assert constants(model.classifier) == [list(v) for v in NORMALISATIONS["imagenet"]]
    assert "given for pixels in 0 … 255" in model.note
    assert "taken to be normalised" not in model.note


def test_the_assumption_is_told_and_stands_in_the_result(bare):
    images = np.random.default_rng(0).random((6, 3, 32, 32), dtype=np.float32)
    found = samemind.compare([f"a={bare}", f"b={bare}"], images, normalise="none,cifar10-pixels",
                             measures=["linear_cka"], permutations=0)  # fmt: skip
    assert list(found.readings["normalised_by"]) == [
        "--normalise none", "--normalise cifar10-pixels"
    ]  # fmt: skip
    assert found.readings["std"].tolist() == ["1, 1, 1", "0.247, 0.2435, 0.2616"]
    model = open_model(bare, Loading(dataset="cifar10"))
    assert "taken to be normalised by the constants of 'cifar10' (mean 0.4914" in model.note
    assert "std 0.2023, 0.1994, 0.201), which nobody stated" in model.note


class Brightness(nn.Module):
    """Right on images that are normalised by (0.5, 0.5), and on few others."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 4)
        with torch.no_grad():
            # The nearest of four levels of the mean normalised brightness.
            levels = torch.tensor([-0.75, -0.25, 0.25, 0.75])
            self.head.weight.copy_(2 * levels[:, None])
            self.head.bias.copy_(-(levels**2))

    def forward(self, images):
        return self.head(images.mean((1, 2, 3))[:, None])


@pytest.mark.parametrize("used", ["none", "inception"])
def test_a_clearly_better_normalisation_is_named(used):
    labels = np.arange(400) % 4
    levels = (labels / 4 + 0.125).astype(np.float32)
    images = np.tile(levels[:, None, None, None], (1, 3, 8, 8))
    normalised = Normalised(*normalisation(used, 3), used, is_assumed=True)
    from samemind.networks.model import classifier_of

    model = Model(
        name="m", reference="m", architecture="m", normalised=normalised,
        classifier=classifier_of(Brightness(), Loading(), normalised, shape=(3, 8, 8)),
    )  # fmt: skip
    note = better_normalisation(model, given_images(images, labels), Execution(device="cpu"))
    if used == "inception":
        assert note == ""
    else:
        assert "m is right on 100.0 % of 400 inputs when they are normalised by 'inception'" in note
        assert "on 25.0 % as here" in note or "on 50.0 % as here" in note


def test_a_network_without_a_convolution_is_read_at_the_size_of_its_first_layer(
    tmp_path, monkeypatch
):
    (tmp_path / "flatmodels.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def a():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))\n"
        "def b():\n    torch.manual_seed(1)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for more in ([], ["--image-size", "8"]):
        done = CliRunner().invoke(
            app, ["compare", "flatmodels:a", "flatmodels:b", "--inputs", "digits", "--count", "60",
                  "--permutations", "0", "--measures", "linear_cka", "--json", *more],
            catch_exceptions=False,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert 0 < found["scores"][0]["score"] < 1
        assert any("pixels in [0, 1] as they are, which nobody stated" in n for n in found["notes"])


# -- heads


class TwoHeads(nn.Module):
    """A network that answers two questions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU())
        self.animal, self.colour = nn.Linear(16, 5), nn.Linear(16, 3)

    def forward(self, images):
        read = self.body(images)
        animal = self.animal(read)
        return {"mixed": animal + 1, "animal": animal, "colour": self.colour(read)}


def test_one_of_several_heads_is_taken_by_name():
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(TwoHeads().eval())
    images = torch.rand(30, 3, 8, 8)
    for head, classes in (("animal", 5), ("colour", 3)):
        found = samemind.compare(
            networks, images, head=head, measures=["agreement"], permutations=0
        )
        says = [getattr(n, head)(n.body(images)).argmax(1) for n in networks]
        assert found.scores["score"][0] == pytest.approx(float((says[0] == says[1]).float().mean()))
        assert found.models["classes"].tolist() == [classes, classes]
    with pytest.raises(InvalidInput, match=r"no layer 'color'\. Did you mean 'colour'"):
        samemind.compare(networks, images, head="color")


class Pointwise(nn.Module):
    """A 1 × 1 convolution on a pooled map: a linear head, as in BiT."""

    def __init__(self, *, pools_first: bool) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)
        self.pool, self.pools_first = nn.AdaptiveAvgPool2d(1), pools_first

    def forward(self, images):
        read = self.body(images).relu()
        read = self.fc(self.pool(read)) if self.pools_first else self.pool(self.fc(read))
        return read.flatten(1)


def test_a_pointwise_convolution_behind_the_pooling_is_a_head_and_before_it_is_none():
    torch.manual_seed(0)
    a, b = Pointwise(pools_first=True).eval(), Pointwise(pools_first=True).eval()
    images = torch.rand(20, 3, 8, 8)
    found = samemind.compare([a, b], images, measures=["linear_cka"], permutations=0)
    with torch.no_grad():
        read = [n.body(images).relu().mean((2, 3)).double() for n in (a, b)]
    x, y = (r - r.mean(0) for r in read)
    cka = (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert found.scores["score"][0] == pytest.approx(float(cka), abs=1e-6)
    with pytest.raises(InvalidInput, match="no single linear layer"):
        samemind.compare([Pointwise(pools_first=False), b], images)
