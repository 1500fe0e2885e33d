"""Is it still the same network? Verdicts, the layer at which networks part, hints, floors."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import samemind
from samemind.comparison.departures import matched
from samemind.comparison.fidelity import LEVELS
from samemind.comparison.rounding import precision
from samemind.errors import InvalidInput
from samemind.extraction.traces import OUTPUT, trace
from samemind.sides.nearness import first_neighbours
from samemind.statistics.fidelity import Difference, Kept, difference, level_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Prepared(nn.Module):
    """A network behind a preprocessing of its own."""

    def __init__(self, network: nn.Module, prepare) -> None:
        super().__init__()
        self.network, self.prepare = network, prepare

    def forward(self, images):
        return self.network(self.prepare(images))


def normalised(mean, std):
    a, b = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (mean, std))
    return lambda images: (images - a) / b


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip
    with torch.no_grad():  # running statistics of real passes, not 0 and 1
        for _ in range(30):
            made.train()(torch.rand(32, 3, 12, 12))
    return made.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(60, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def parted(network, changed, images) -> samemind.comparison.fidelity.Fidelity:  # pyright: ignore
    return samemind.fidelity(network, changed, images)


def test_a_copy_has_identical_bits_and_parts_nowhere(network, images) -> None:
    found = parted(network, copy.deepcopy(network), images)
    assert found.level == "identical bits"
    assert found.departure is None
    assert found.difference.largest == 0
    assert not found.layers["departs"].any()


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda n: n.to(memory_format=torch.channels_last), marks=pytest.mark.slow),
        pytest.param(lambda n: n.double(), marks=pytest.mark.slow),
        lambda n: n.bfloat16().float(),
        pytest.param(lambda n: n.half().float(), marks=pytest.mark.slow),
        pytest.param(lambda n: n.bfloat16(), marks=pytest.mark.slow),
        lambda n: nn.Sequential(n),  # wrapped: other names of all layers
    ],
)
def test_conversions_that_only_round_are_equal_up_to_rounding(network, images, convert) -> None:
    found = parted(network, convert(copy.deepcopy(network)), images)
    assert found.is_at_least("equal up to rounding"), str(found)
    assert found.departure is None


def _one_weight(n):
    n[3].weight.data[2, 3, 1, 1] += 0.05


def _epsilon(n):
    n[4].eps = 1e-3


def _activation(n):
    n[2] = nn.Identity()


def _statistics(n):
    n[4].running_mean += 0.05


def _swapped(n):
    n[1], n[4] = n[4], n[1]


def _four_bits(n):
    weight = n[3].weight.data
    scale = weight.abs().flatten(1).amax(1).reshape(-1, 1, 1, 1) / 7
    n[3].weight.data = (weight / scale).round() * scale


@pytest.mark.parametrize(
    ("break_it", "layer", "why"),
    [
        (_one_weight, "3", "differs in 1 of 1,296 numbers"),
        (_epsilon, "4", "its eps is 0.001 and was 1e-05"),
        (_activation, "2", "ReLU became Identity"),
        pytest.param(_statistics, "4", "its running_mean differs in 12", marks=pytest.mark.slow),
        pytest.param(_swapped, "1", "its running_var differs", marks=pytest.mark.slow),
        pytest.param(_four_bits, "3", "rounded to 4 bits", marks=pytest.mark.slow),
    ],
)
def test_a_fault_is_found_at_its_layer_with_its_reason(
    network, images, break_it, layer, why
) -> None:
    changed = copy.deepcopy(network)
    break_it(changed)
    found = parted(network, changed, images)
    assert found.level in ("the same answers", "changed")
    assert found.departure is not None
    assert (found.departure.layer, found.departure.found_by) == (layer, "name")
    assert why in found.departure.why
    assert f"They part at {layer}" in str(found)


def test_a_layer_that_is_gone_is_named_though_all_names_have_moved(network, images) -> None:
    layers = list(copy.deepcopy(network))
    found = parted(network, nn.Sequential(*layers[:2], *layers[3:]), images)
    assert found.departure is not None
    assert (found.departure.layer, found.departure.layer_b) == ("2", "")
    assert found.departure.found_by == "order"
    assert "no such ReLU" in found.departure.why


def test_a_layer_too_many_is_named(network, images) -> None:
    layers = list(copy.deepcopy(network))
    found = parted(network, nn.Sequential(*layers[:3], nn.Tanh(), *layers[3:]), images)
    assert found.departure is not None
    assert (found.departure.layer, found.departure.layer_b) == ("2", "3")
    assert "has a Tanh here" in found.departure.why


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        (lambda x: x, lambda x: x.flip(1), "BGR for RGB"),
        (
            normalised(MEAN, STD),
            normalised((0.5,) * 3, (0.5,) * 3),
            "normalises by 'inception', the other by 'imagenet'",
        ),
        (
            lambda x: nn.functional.interpolate(x, (8, 8), mode="bicubic"),
            lambda x: nn.functional.interpolate(x, (8, 8), mode="nearest"),
            "resizes by bicubic",
        ),
    ],
)
def test_another_preprocessing_is_named_and_no_layer_is_blamed(
    network, images, old, new, hint
) -> None:
    found = parted(Prepared(network, old), Prepared(copy.deepcopy(network), new), images)
    assert found.departure is not None
    assert found.departure.layer == "the inputs"
    assert hint in found.hint
    assert "nothing but rounding is left" in found.hint


def test_a_broken_layer_has_no_hint_of_preprocessing(network, images) -> None:
    changed = copy.deepcopy(network)
    _four_bits(changed)
    assert parted(network, changed, images).hint == ""


def test_networks_come_out_as_they_went_in(network, images) -> None:
    changed = copy.deepcopy(network).train()
    before = {k: v.clone() for k, v in changed.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    parted(network, changed, images)
    assert changed.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in changed.modules())
    assert all(torch.equal(before[k], v) for k, v in changed.state_dict().items())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_compare_has_a_section_and_a_part_that_agree_with_fidelity(network, images) -> None:
    changed = copy.deepcopy(network)
    _epsilon(changed)
    found = samemind.compare(
        {"old": network, "new": changed}, images, measures="agreement", permutations=0
    )
    alone = samemind.fidelity(network, changed, images)
    assert found.fidelity is not None
    assert found.fidelity_layers is not None
    row = found.fidelity.iloc[0]
    assert (row["level"], row["departs_at"]) == (alone.level, "4")
    assert row["verdict"] == alone.sentences[0]
    assert "Is new still the same network as old?" in repr(found)
    record = json.loads(found.to_json())
    assert record["fidelity"][0]["typical"] == pytest.approx(alone.difference.typical)
    assert len(record["fidelity_layers"]) == len(alone.layers)
    assert "1.3e-05" in found.latex("fidelity") or "e-0" in found.latex("fidelity")


def test_unrelated_networks_are_changed_without_being_looked_into(network, images) -> None:
    torch.manual_seed(3)
    other = nn.Sequential(nn.Flatten(), nn.Linear(432, 10))
    found = samemind.compare(
        {"old": network, "new": other}, images, measures="agreement", permutations=0
    )
    (one,) = found.fidelities
    assert one.level == "changed"
    assert one.departure is None
    assert "no layers were compared" in one.notes[0]


def test_outputs_of_other_shapes_are_refused_in_a_sentence(network, images) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(432, 7))
    with pytest.raises(InvalidInput, match="give 10 and 7 numbers"):
        samemind.fidelity(network, other, images)
    with pytest.raises(InvalidInput, match="Fidelity on inputs is of two networks"):
        samemind.fidelity(network, np.zeros((60, 10)), images)


# -- the pieces


def test_a_difference_that_is_no_number_is_beyond_every_floor() -> None:
    nan = difference(torch.tensor([1.0]), torch.tensor([torch.nan]))
    assert nan.is_beyond(Difference(1e9, 1e9, 1.0))
    infinite = difference(torch.tensor([torch.inf]), torch.tensor([torch.inf]))
    assert infinite.largest == 0


def test_levels_are_ordered_and_tolerance_counts_answers() -> None:
    kept = Kept(what="decision", n_inputs=100, changed=1)
    by = {"has_equal_bits": False, "is_within_rounding": False, "kept": kept}
    assert level_of(**by, tolerance=0.0) == "changed"
    assert level_of(**by, tolerance=0.01) == "the same answers"
    assert level_of(**(by | {"is_within_rounding": True}), tolerance=0.0) == LEVELS[1]
    assert level_of(**(by | {"has_equal_bits": True}), tolerance=0.0) == LEVELS[0]


def test_first_neighbours_are_those_of_a_search_written_out() -> None:
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    rows[7] = 0
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    cosines.fill_diagonal_(-2)
    expected = cosines.argmax(1)
    expected[7] = -1
    torch.testing.assert_close(first_neighbours(rows), expected)


def test_precision_is_that_of_the_values_whatever_type_they_have(network) -> None:
    assert precision(network).held == torch.float32
    assert precision(copy.deepcopy(network).bfloat16().float()).held == torch.bfloat16
    assert precision(copy.deepcopy(network).half().float()).held == torch.float16
    assert precision(copy.deepcopy(network).double()).held == torch.float32
    assert precision(copy.deepcopy(network).half()).computed == torch.float16


def test_calls_are_in_the_order_of_running_and_reused_layers_are_told_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.act(self.second(self.act(self.first(x))))

    torch.manual_seed(0)
    calls = trace(Twice(), torch.randn(3, 4))
    assert [c.name for c in calls] == ["first", "act", "second", "act#2", OUTPUT]
    assert matched(calls, calls).by == "name"
    assert torch.equal(calls[0].gives.relu(), calls[1].gives)  # pyright: ignore


def test_encoders_keep_first_neighbours_and_part_at_a_layer_too(images) -> None:
    torch.manual_seed(5)
    encoder = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Conv2d(8, 16, 3), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()  # fmt: skip
    changed = copy.deepcopy(encoder)
    changed[2].weight.data += 0.2 * torch.randn_like(changed[2].weight)
    found = samemind.fidelity(encoder, changed, images, representation="4")
    assert found.kept.what == "first neighbour"
    assert found.level == "changed"
    assert "first neighbours change" in found.sentences[0]
    assert found.departure is not None
    assert found.departure.layer == "2"
    rounded = copy.deepcopy(encoder).bfloat16().float()
    found = samemind.fidelity(encoder, rounded, images, representation="4")
    assert found.level == "equal up to rounding"
