"""The small networks: what their records declare is what is built."""

import subprocess
import sys

import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.errors import InvalidInput, UnknownName

DIGITS = [name for name in ARCHITECTURES if name.startswith("digits_")]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def representation_and_logits(network, head, images):
    """What the last linear layer reads, and what the network returns."""
    held = []
    hook = network.get_submodule(head).register_forward_pre_hook(lambda _, x: held.append(x[0]))
    network.eval()
    with torch.no_grad():
        logits = network(images)
    hook.remove()
    assert len(held) == 1, "the head must be called exactly once"
    return held[0], logits


def test_every_family_of_the_paper_has_a_small_relative():
    families = {ARCHITECTURES[name].family for name in DIGITS}
    assert families == {
        "residual",
        "wide residual",
        "aggregated residual",
        "densely connected",
        "VGG",
        "vision transformer",
    }
    assert len(DIGITS) == 7


@pytest.mark.parametrize("name", DIGITS)
def test_a_small_network_has_the_declared_number_of_parameters(name):
    record = ARCHITECTURES[name]
    network = record.build(10, 8)
    assert sum(p.numel() for p in network.parameters()) == record.parameters[10]


@pytest.mark.parametrize("name", DIGITS)
def test_the_head_of_a_small_network_reads_the_representation(name):
    record = ARCHITECTURES[name]
    network = record.build(7, 8)
    images = torch.rand(5, 1, 8, 8)
    representation, logits = representation_and_logits(network, record.head, images)
    assert representation.shape == (5, record.representation_size)
    assert logits.shape == (5, 7)
    assert torch.equal(network.get_submodule(record.head)(representation), logits)


@pytest.mark.parametrize("name", DIGITS)
def test_gradients_of_a_small_network_reach_every_pixel(name):
    network = ARCHITECTURES[name].build(10, 8).eval()
    images = torch.rand(4, 1, 8, 8, requires_grad=True)
    network(images).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum(0) > 0).all()


@pytest.mark.parametrize("name", DIGITS)
def test_the_same_random_seed_builds_the_same_small_network(name):
    record = ARCHITECTURES[name]
    weights = []
    for random_seed in (3, 3, 4):
        torch.manual_seed(random_seed)
        network = record.build(10, 8)
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_unknown_architecture_is_answered_with_a_suggestion():
    with pytest.raises(UnknownName, match="Did you mean 'digits_resnet'"):
        ARCHITECTURES["digit_resnet"]


def test_an_architecture_refuses_images_that_it_cannot_read():
    record = ARCHITECTURES["digits_resnet"]
    record.check_images(1, 8)
    with pytest.raises(InvalidInput, match="reads images of 1 channel"):
        record.check_images(3, 8)


def test_declarations_are_read_without_torch_or_scikit_learn():
    program = (
        "import sys\n"
        "from samemind.architectures.base import ARCHITECTURES\n"
        "from samemind.datasets.base import DATASETS\n"
        "assert len(list(ARCHITECTURES.values())) >= 7 and 'digits' in DATASETS\n"
        "heavy = {'torch', 'torchvision', 'timm', 'sklearn', 'scipy', 'pandas', 'PIL'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
