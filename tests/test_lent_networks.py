"""Networks as people lend them: wrapped, compiled, scripted, with endings, in training mode.

What can be looked at is looked at under one name, whatever is around it; else it is refused in
words, with a way out that works.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.errors import InvalidInput

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(seed: int, *ending: nn.Module) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8),
        nn.ReLU(), nn.Linear(8, 5), *ending,
    ).eval()  # fmt: skip


def compared(a, b, images=IMAGES, **options):
    options = {"permutations": 0, "errors": False, "device": "cpu", **options}
    return samemind.compare({"A": a, "B": b}, images, **options)


def scores_of(found) -> dict[str, float]:
    return found.scores.set_index("measure")["score"].to_dict()


def part_compiled(seed: int) -> nn.Module:
    made = network(seed)
    made[0] = torch.compile(made[0], backend="eager")
    return made


def run_compiled(seed: int) -> nn.Module:
    """Compiled, and run once: what was compiled then does not call hooks that come later."""
    made = torch.compile(network(seed), backend="eager")
    with torch.no_grad():
        made(IMAGES)
    return made


WRAPPED = {
    "compiled": lambda seed: torch.compile(network(seed), backend="eager"),
    "compiled and run": run_compiled,
    "a part compiled": part_compiled,
    "DataParallel": lambda seed: nn.DataParallel(network(seed)),
    "average": lambda seed: torch.optim.swa_utils.AveragedModel(network(seed)),
    "traced by torch.fx": lambda seed: torch.fx.symbolic_trace(network(seed)),
    "compiled average": lambda seed: torch.compile(
        torch.optim.swa_utils.AveragedModel(network(seed)), backend="eager"
    ),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_layers_have_the_same_names_and_values_whatever_is_around_them(kind: str) -> None:
    plain = compared(network(0), network(1), layers=["0", 0.5, "4"])
    found = compared(WRAPPED[kind](0), network(1), layers=["0", 0.5, "4"])
    columns = ["layer_a", "layer_b"]
    assert found.layers[columns].values.tolist() == plain.layers[columns].values.tolist()
    np.testing.assert_allclose(found.layers["score"], plain.layers["score"], atol=1e-6)
    assert scores_of(found) == pytest.approx(scores_of(plain), abs=1e-6)
    assert list(found.readings["representation"]) == ["what 6 reads"] * 2


def test_the_long_name_of_a_wrapped_layer_is_taken_as_well() -> None:
    wrapped = torch.compile(network(0), backend="eager")
    outputs = samemind.extraction.layer_outputs(wrapped, [IMAGES], ["_orig_mod.4"])
    assert list(outputs) == ["4"]
    with pytest.raises(InvalidInput, match="has no layer '44'"):
        samemind.extraction.layer_outputs(wrapped, [IMAGES], ["44"])


@pytest.mark.parametrize("ending", [nn.Softmax(1), nn.LogSoftmax(1)], ids=["softmax", "log"])
def test_what_a_network_makes_of_its_logits_in_the_end_is_left_out(ending: nn.Module) -> None:
    found = compared(network(0, ending), network(1, ending), layers=["4"])
    plain = compared(network(0), network(1), layers=["4"])
    assert scores_of(found) == pytest.approx(scores_of(plain), abs=1e-12)
    assert found.layers["score"].item() == pytest.approx(plain.layers["score"].item())
    assert (
        sum("is left out: the logits are what its layer '6' gives" in n for n in found.notes) == 2
    )


def test_one_output_that_ends_in_a_sigmoid_is_a_binary_classifier() -> None:
    pair = [nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).eval() for _ in range(2)]
    ended = [nn.Sequential(*copy.deepcopy(one), nn.Sigmoid()).eval() for one in pair]
    with torch.no_grad():
        a, b = (one(IMAGES)[:, 0] > 0 for one in pair)
    assert scores_of(compared(*ended))["agreement"] == pytest.approx(
        (a == b).double().mean().item()
    )


def test_a_sigmoid_of_several_outputs_is_refused_and_each_compared_alone() -> None:
    pair = [network(seed, nn.Sigmoid()) for seed in range(2)]
    with pytest.raises(InvalidInput, match="labels of their own") as told:
        compared(*pair)
    assert "kind='probabilities'" in str(told.value)
    with torch.no_grad():
        said = [one(IMAGES) for one in pair]
    sides = [samemind.Side(logits=p[:, [0]], kind="probabilities") for p in said]
    truth = ((said[0][:, 0] > 0.5) == (said[1][:, 0] > 0.5)).double().mean().item()
    found = scores_of(samemind.compare(sides, permutations=0))
    assert found["agreement"] == pytest.approx(truth)


def test_training_mode_is_told_and_kept() -> None:
    lent = network(0).train()
    found = compared(lent, network(1))
    assert any(n.startswith("A was given in training mode") for n in found.notes)
    assert lent.training
    assert scores_of(found) == scores_of(compared(network(0), network(1)))


class TwoHeads(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.first, self.second = nn.Linear(192, 8), nn.Linear(8, 3), nn.Linear(8, 4)

    def forward(self, x):
        read = self.body(x.flatten(1))
        return self.first(read), self.second(read)


def test_of_several_outputs_the_first_is_taken_and_told_or_the_one_that_is_named() -> None:
    pair = [TwoHeads(seed).eval() for seed in range(2)]
    found = compared(*pair)
    assert sum("of which the first is taken for its logits" in n for n in found.notes) == 2
    assert list(found.models["classes"]) == [3, 3]
    named = compared(*pair, head="second")
    assert list(named.models["classes"]) == [4, 4]
    assert not any("the first is taken" in n for n in named.notes)
    with pytest.raises(InvalidInput, match="Name the linear layer before it"):
        compared(network(0, nn.Softmax(1)), network(1, nn.Softmax(1)), head="7")


REFUSED = {
    "a class": (lambda: nn.Linear, "is the class Linear"),
    "a function": (lambda: lambda x: x, "no torch.nn.Module"),
    "a state dict": (lambda: network(0).state_dict(), "load_state_dict"),
    "outputs by name": (lambda: {"logits": np.zeros((40, 5))}, r"samemind.Side\("),
    "nothing": (lambda: None, "is None"),
    "layers without weights": (
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5)),
        "batch of inputs once",
    ),
    "weights without values": (lambda: network(0).to("meta"), "meta device"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_network_is_named(kind: str) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(InvalidInput, match=words) as told:
        compared(make(), network(1))
    assert len(str(told.value)) < 400


def test_images_that_a_network_cannot_read_are_told_with_what_helps() -> None:
    pair = network(0), network(1)
    plain = scores_of(compared(*pair))
    last = IMAGES.permute(0, 2, 3, 1)
    with pytest.raises(InvalidInput, match=r"images.permute\(0, 3, 1, 2\)"):
        compared(*pair, last)
    assert scores_of(compared(*pair, last.permute(0, 3, 1, 2))) == plain
    grey = IMAGES[:, :1]
    with pytest.raises(InvalidInput, match=r"images.expand\(-1, 3, -1, -1\)"):
        compared(*pair, grey)
    assert compared(*pair, grey.expand(-1, 3, -1, -1)).n_inputs == 40
    with pytest.raises(InvalidInput, match="the first is image 3"):
        compared(*pair, torch.where(torch.arange(40)[:, None, None, None] == 3, np.nan, IMAGES))


def notes_on(images, *pair) -> str:
    return " ".join(compared(*(pair or (network(0), network(1))), images).notes)


def test_images_in_other_ranges_and_orders_of_axes_are_told() -> None:
    assert "go from" not in notes_on(IMAGES)
    assert "divided by 255" in notes_on((255 * IMAGES).to(torch.uint8))
    assert "Divide by 255 where" in notes_on(255 * IMAGES)
    assert "Divide by 255 where" in notes_on((255 * IMAGES).long())
    flat = [nn.Sequential(nn.Flatten(), nn.Linear(192, 3)) for _ in range(2)]
    assert "Where the channels come last" in notes_on(IMAGES.permute(0, 2, 3, 1), *flat)


def test_networks_with_a_normalisation_of_their_own_are_given_pixels_only() -> None:
    from samemind.classifier import Classifier

    pair = [Classifier(network(s), head="6", mean=[0.5] * 3, std=[0.5] * 3) for s in range(2)]
    plain = scores_of(compared(*pair))
    with pytest.raises(InvalidInput, match="Divide by 255"):
        compared(*pair, 255 * IMAGES)
    assert scores_of(compared(*pair, 255 * IMAGES / 255)) == pytest.approx(plain, abs=1e-6)
    with pytest.raises(InvalidInput, match="Undo the normalisation"):
        compared(*pair, (IMAGES - 0.5) / 0.5)


def test_a_normalisation_that_is_stated_takes_the_place_of_a_classifiers_own() -> None:
    from samemind.classifier import Classifier

    constants = {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]}
    own = [Classifier(network(s), head="6", mean=[0.5] * 3, std=[0.5] * 3) for s in range(2)]
    stated = [Classifier(network(s), head="6", **constants) for s in range(2)]
    found = compared(*own, **constants)
    assert list(found.readings["normalised_by"]) == ["--mean and --std"] * 2
    assert scores_of(found) == pytest.approx(scores_of(compared(*stated)), abs=1e-9)
    assert scores_of(found) != pytest.approx(scores_of(compared(*own)), abs=1e-9)


def test_more_inputs_than_there_are_is_told() -> None:
    found = compared(network(0), network(1), count=100)
    assert "100 inputs were asked for, and there are 40: all are used." in found.notes
    assert compared(network(0), network(1), count=40).notes == compared(*map(network, (0, 1))).notes


class DropsAlways(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = network(0)

    def forward(self, x):
        return self.network(nn.functional.dropout(x, 0.5, training=True))


def test_a_network_that_is_random_in_evaluation_mode_is_told() -> None:
    found = compared(DropsAlways().eval(), network(1))
    (note,) = (note for note in found.notes if "random in evaluation mode too" in note)
    assert note.startswith("A: ")


class Decides(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.network = network(seed)

    def forward(self, x):
        return self.network(x).argmax(1)


def test_networks_that_return_class_numbers_are_compared_as_the_message_says() -> None:
    pair = [Decides(seed).eval() for seed in range(2)]
    with pytest.raises(InvalidInput, match="kind='decisions'"):
        compared(*pair)
    said = [one(IMAGES) for one in pair]
    sides = [samemind.Side(logits=one, kind="decisions") for one in said]
    found = scores_of(samemind.compare(sides, permutations=0))
    assert found["agreement"] == (said[0] == said[1]).double().mean().item()


def test_layers_at_a_depth_that_there_is_not_are_refused() -> None:
    for depth in (2.0, -0.5, float("nan")):
        with pytest.raises(InvalidInput, match=r"between 0 .*and 1"):
            compared(network(0), network(1), layers=[depth])


def test_a_reference_that_is_given_twice_is_named_as_the_message_says() -> None:
    name = "torchvision:squeezenet1_1"
    with pytest.raises(InvalidInput, match="given twice") as told:
        samemind.compare([name, name], IMAGES)
    assert f"'before={name}'" in str(told.value)


def test_names_that_there_are_not_are_answered_in_few_words() -> None:
    looks = {
        "measure": [lambda: compared(network(0), network(1), measures=["ckaa"]),
                    lambda: samemind.measure("zzz")],
        "architecture": [lambda: ARCHITECTURES["resnet"]],
    }  # fmt: skip
    for family, asked in looks.items():
        for look in asked:
            with pytest.raises(samemind.errors.UnknownName) as told:
                look()
            assert len(str(told.value)) < 700
            assert f"samemind list {family}s" in str(told.value)
    with pytest.raises(samemind.errors.UnknownName, match=r"among them .*debiased_linear_cka"):
        samemind.measure("linear_ckaa")
