"""Everything that runs on a GPU, on a device that refuses what a GPU would refuse."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from far_device import FAR, far_device
from measure_examples import generator
from samemind.architectures.base import ARCHITECTURES
from samemind.building import BUILDERS
from samemind.classifier import new_classifier, outputs
from samemind.comparison.pairs import prepare
from samemind.datasets.base import DATASETS
from samemind.execution.devices import Execution
from samemind.extraction import layer_outputs
from samemind.measures import MEASURES, Pair, Side
from samemind.store.artifacts import Store
from samemind.study import Study, read_study
from test_measure_cell import MEASURES_OF_A_CELL, cell, pairs_of, scores_of

torch.set_num_threads(1)


@dataclass(frozen=True, kw_only=True)
class OnFarDevice(Execution):
    def start(self) -> torch.device:
        return FAR


def pair_on(device: torch.device | str) -> Pair:
    g = generator(3)
    n = 60
    shared = torch.randn(n, 6, generator=g, dtype=torch.float64)
    labels = torch.randint(0, 5, (n,), generator=g)
    sides = []
    for width in (12, 9):
        noise = torch.randn(n, width, generator=g, dtype=torch.float64)
        held = shared @ torch.randn(6, width, generator=g, dtype=torch.float64) + noise / 2
        sides.append(
            Side(
                representation=held.to(device),
                logits=2 * held[:, :5].to(device),
                labels=labels,
            )
        )
    return Pair(*sides)


@pytest.mark.parametrize("name", list(MEASURES))
def test_a_measure_has_the_values_of_the_cpu(name: str) -> None:
    chosen = MEASURES[name]
    near = pair_on("cpu")
    with far_device():
        far = pair_on(FAR)
        assert chosen.score(far) == pytest.approx(chosen.score(near), abs=1e-9)
        assert chosen.standard_error(far) == pytest.approx(chosen.standard_error(near), abs=1e-9)
        floors = [chosen.floor(pair, permutations=3, random_seed=1) for pair in (near, far)]
        assert (floors[0] is None) == (floors[1] is None)
        if floors[0] is not None and floors[1] is not None:
            assert floors[1].mean == pytest.approx(floors[0].mean, abs=1e-9)
        by_input = [chosen.contributions(pair) for pair in (near, far)]
        if by_input[0] is not None and by_input[1] is not None:
            assert torch.allclose(by_input[0], by_input[1].cpu(), atol=1e-9)


def test_the_host_waits_for_nothing_between_the_pairs_of_a_cell() -> None:
    chosen = [MEASURES[name] for name in MEASURES_OF_A_CELL]
    with far_device() as device:
        sides = cell(200, (40, 300, 20), FAR.type)
        scores_of(sides, MEASURES_OF_A_CELL)  # makes what each model needs once
        device.waits.clear()
        for a, b in pairs_of(sides):
            for member in chosen:
                member.raw(Pair(sides[a], sides[b]))
        assert device.waits == []


def test_what_a_model_needs_once_costs_a_few_waits() -> None:
    with far_device() as device:
        side = next(iter(cell(200, (40,), FAR.type).values()))
        device.waits.clear()
        prepare(side, [MEASURES[name] for name in MEASURES_OF_A_CELL])
        # A number of neighbours that depends on the data is read once per block and k.
        assert len(device.waits) <= 30


@pytest.mark.slow
def test_a_study_on_a_far_device_makes_what_it_makes_on_the_cpu(tmp_path: Path) -> None:
    small = read_study(Path(__file__).parent / "data" / "small-digits.toml").model_dump()
    # Attention is another kernel on every device; what a transformer says is compared below.
    small["architectures"] = ["digits_resnet", "digits_vgg_bn"]
    small["training"]["epochs"], small["inversion"]["steps"] = 1, 3
    small["training"]["batch_size"] = small["probes"]["batch_size"] = 512
    small["probes"]["epochs"] = 1
    near, far = Store(tmp_path / "near"), Store(tmp_path / "far")
    for recipe in (recipe for stage in Study(**small).stages for recipe in stage.recipes):
        build = BUILDERS[type(recipe)]
        build(recipe, near, Execution(device="cpu"))
        with far_device():
            build(recipe, far, OnFarDevice())
        made = [store.open(recipe) for store in (near, far)]
        checksums = [artifact.json("checksums.json") for artifact in made]
        for name in checksums[0]:
            if name.endswith(".parquet"):  # eigenvalues come from another library
                one, other = (artifact.table(name) for artifact in made)
                pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=0, atol=1e-9)
            else:
                assert checksums[0][name] == checksums[1][name], f"{recipe.name}/{name}"


def test_a_transformer_says_on_a_far_device_what_it_says_on_the_cpu() -> None:
    digits = DATASETS["digits"]
    classifier = new_classifier(ARCHITECTURES["digits_vit"], digits, random_seed=0)
    images = torch.from_numpy(digits.split("test").read(range(20)))
    near = outputs(classifier, images, batch_size=8, device=torch.device("cpu"))
    with far_device():
        far = outputs(classifier.to(FAR), images, batch_size=8, device=FAR)
    assert torch.allclose(near.logits, far.logits, atol=1e-5)
    assert torch.allclose(near.representation, far.representation, atol=1e-5)


def test_layers_come_back_from_a_far_device() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten())
    images = torch.rand(4, 1, 8, 8, generator=generator(0))
    near = layer_outputs(network, [images])
    with far_device():
        far = layer_outputs(network.to(FAR), [images.to(FAR)])
    assert all(torch.equal(near[name], far[name]) for name in near)
