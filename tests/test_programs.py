"""Programs of TorchScript and torch.export: the networks that they are, layer for layer."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import samemind
from samemind.errors import CheckpointError, InvalidInput
from samemind.extraction.traces import trace
from samemind.networks.programs import NO_LAYERS, as_network

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LAYERS = ["stem", "relu", "block.0", "fc"]
FAST = {"permutations": 0, "errors": False, "device": "cpu"}


class Net(nn.Module):
    """With a layer that runs twice, operations in place, a block and functions between layers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Linear(6, 8), nn.GELU())
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(8, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.relu(2 * x.mean((2, 3)))
        return self.fc(self.drop(self.block(x)))


def network(seed: int = 0) -> Net:
    return Net(seed).eval()


def exported(made: nn.Module, images: torch.Tensor = IMAGES, least: int = 1):
    batch = torch.export.Dim("batch", min=least)
    return torch.export.export(made, (images,), dynamic_shapes=({0: batch},))


MADE = {
    "scripted": torch.jit.script,
    "traced": lambda made: torch.jit.trace(made, IMAGES[:2]),
    "exported": exported,
    "module of exported": lambda made: exported(made).module(),
    "exported for so many inputs": lambda made: torch.export.export(made, (IMAGES,)),
}


FEW, SLOW = ("scripted", "exported for so many inputs"), [pytest.mark.slow]


def saved(kind: str, made: nn.Module, folder: Path) -> str:
    program = MADE[kind](made)
    file = folder / ("net.pt2" if "exported" in kind else "net.pt")
    (torch.export if "exported" in kind else torch.jit).save(program, str(file))
    return str(file)


def scores_of(found) -> dict[str, float]:
    return found.scores.set_index("measure")["score"].to_dict()


@pytest.mark.parametrize("kind", MADE)
def test_every_layer_of_a_program_gives_the_bits_that_the_network_gives(kind: str) -> None:
    plain, program = trace(network(), IMAGES), MADE[kind](network())
    with torch.no_grad():
        assert torch.equal(as_network("net", program)(IMAGES), network()(IMAGES))
    calls = trace(as_network("net", program), IMAGES)
    assert [(c.name, c.kind) for c in calls] == [(c.name, c.kind) for c in plain]
    assert [c.name for c in calls[:4]] == ["stem", "norm", "relu", "relu#2"]
    for found, expected in zip(calls[:-1], plain[:-1], strict=True):
        assert torch.equal(found.reads, expected.reads), found.name
        assert torch.equal(found.gives, expected.gives), found.name


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in FEW else SLOW) for k in MADE])
def test_a_program_is_compared_as_its_network_is(kind: str) -> None:
    program = MADE[kind](network())
    pair = {"A": program, "B": network(1)}
    found = samemind.compare(pair, IMAGES, layers=LAYERS, **FAST)
    plain = samemind.compare({"A": network(), "B": network(1)}, IMAGES, layers=LAYERS, **FAST)
    assert scores_of(found) == scores_of(plain)
    assert found.layers.equals(plain.layers)
    assert list(found.readings["representation"]) == ["what fc reads"] * 2
    assert found.models["parameters"].nunique() == 1
    assert samemind.fidelity(network(), program, IMAGES).level == "identical bits"


@pytest.mark.parametrize("kind", ["scripted", "traced", "exported"])
def test_a_fault_in_a_program_is_found_where_it_is(kind: str) -> None:
    changed = network()
    with torch.no_grad():
        changed.block[0].weight[0, 0] += 0.5
    found = samemind.fidelity(network(), MADE[kind](changed), IMAGES)
    assert found.departure is not None
    assert (found.departure.layer, found.departure.found_by) == ("block.0", "name")
    assert "its weight differs in 1 of 48 numbers" in found.departure.why


@pytest.mark.parametrize("kind", ["scripted", "traced", "exported"])
def test_a_file_of_a_program_is_read_where_it_is_trusted(kind: str, tmp_path: Path) -> None:
    file = saved(kind, network(), tmp_path)
    with pytest.raises(CheckpointError, match="would run code that it brings") as told:
        samemind.load_model(file)
    assert "--trust" in str(told.value)
    classifier = samemind.load_model(file, trust=True)
    with torch.no_grad():
        assert torch.equal(classifier(IMAGES).logits, network()(IMAGES))
    named = samemind.compare(
        {"A": file, "B": network()}, IMAGES, trust=True, representation={"A": "block.0"}, **FAST
    )
    assert named.readings["representation"][0] == "what block.0 returns"
    Path(file).write_bytes(Path(file).read_bytes()[:-200])
    with pytest.raises(CheckpointError):
        samemind.load_model(file, trust=True)


class Counts(nn.Module):
    """Changes an attribute of its own as it runs, which cannot be put into one graph."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.body, self.runs = network(seed), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return self.body(x)


def test_of_a_program_that_cannot_be_taken_apart_the_output_is_read() -> None:
    programs = [torch.jit.script(Counts(seed).eval()) for seed in (0, 1)]
    with pytest.raises(InvalidInput, match="name the layer to read") as told:
        samemind.compare(programs, IMAGES, **FAST)
    assert "'output'" in str(told.value)
    found = samemind.compare(programs, IMAGES, representation="output", **FAST)
    assert any(NO_LAYERS in note for note in found.notes)
    with torch.no_grad():
        said = [network(seed)(IMAGES) for seed in (0, 1)]
    assert scores_of(found)["linear_cka"] == pytest.approx(samemind.measure("linear_cka")(*said))
    assert all(program.runs == 0 for program in programs)  # copies of them ran


class Turned(nn.Module):
    """Gives (tokens, N, units) within: five tokens, as many as the inputs it is exported for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.turn, self.mix = nn.Linear(6, 4), nn.Identity(), nn.Linear(4, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = self.mix(self.embed(x).transpose(0, 1))
        return self.fc(turned.mean(0))


def test_inputs_of_any_number_go_through_a_program_for_so_many() -> None:
    inputs = torch.rand(12, 5, 6, generator=torch.Generator().manual_seed(1))
    made = Turned().eval()
    one = as_network("net", torch.export.export(made, (inputs[:5],)))
    with torch.no_grad():
        torch.testing.assert_close(one(inputs), made(inputs))
        torch.testing.assert_close(one(inputs[:3]), made(inputs[:3]))
    calls = {c.name: c for c in trace(one, inputs)}
    torch.testing.assert_close(calls["embed"].gives, made.embed(inputs).detach())
    # As long as it is, its first axis is not that of the inputs.
    assert "mix" not in calls
    at_least = as_network("net", exported(made, inputs, least=4))
    with torch.no_grad():
        torch.testing.assert_close(at_least(inputs[:2]), made(inputs[:2]))


def test_inputs_of_another_shape_are_refused_by_name() -> None:
    program = exported(network())
    with pytest.raises(InvalidInput, match=r"was exported for inputs \(N, 3, 8, 8\), but"):
        samemind.compare([program, network()], torch.rand(6, 3, 9, 9), **FAST)


@pytest.mark.parametrize("kind", ["traced", "exported"])
def test_a_program_of_a_network_in_training_mode_is_told(kind: str) -> None:
    lent = network().train()
    program = (
        torch.jit.trace(lent, IMAGES, check_trace=False) if kind == "traced" else exported(lent)
    )
    found = samemind.compare([program, network()], IMAGES, **FAST)
    assert any("acts as in training" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["scripted", "exported"])
def test_programs_come_out_as_they_went_in(kind: str) -> None:
    program = MADE[kind](network())
    module = program if kind == "scripted" else program.module()
    before = copy.deepcopy(dict(module.state_dict()))
    hooks = [list(m._forward_hooks) for m in module.modules()]
    if kind == "scripted":
        module.train()
    found = samemind.compare([module, network()], IMAGES, precision="float64", **FAST)
    assert found.readings["precision"].tolist() == ["float64"] * 2
    assert module.training or kind == "exported"
    assert any("given in training mode" in note for note in found.notes) == (kind == "scripted")
    for name, value in module.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    assert [list(m._forward_hooks) for m in module.modules()] == hooks
