"""Every architecture: parameters as declared, and the representation is what the head reads."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from samemind.architectures.base import ARCHITECTURES
from samemind.architectures.heads import find_head
from samemind.classifier import Classifier, check_head
from samemind.errors import InvalidInput, UnknownName

TORCHVISION_OR_TIMM = [name for name in ARCHITECTURES if not name.startswith("digits_")]

# Of the paper's Tables 1 to 4, with the counts of ResNeXt-50 and DenseNet-161 put right (the
# tables print each other's); found by building the authors' networks.
COUNTS = {
    "resnet18": {1000: 11_689_512, 100: 11_227_812, 50: 11_202_162},
    "resnet50": {1000: 25_557_032, 100: 23_712_932, 50: 23_610_482},
    "wide_resnet50_2": {1000: 68_883_240, 100: 67_039_140, 50: 66_936_690},
    "wide_resnet50_4": {1000: 223_439_144, 100: 221_595_044, 50: 221_492_594},
    "resnext50_32x4d": {1000: 25_028_904, 100: 23_184_804, 50: 23_082_354},
    "densenet161": {1000: 28_681_000, 100: 26_692_900, 50: 26_582_450},
    "vgg16_bn": {1000: 138_365_992, 100: 134_678_692, 50: 134_473_842},
    "tiny_vit_5m": {1000: 5_392_764, 100: 5_103_864, 50: 5_087_814},
    "cifar_resnet18": {10: 11_173_962},
    "cifar_resnet50": {10: 23_520_842},
    "cifar_wide_resnet50_2_imagenet_stem": {10: 66_854_730},
    "cifar_wide_resnet50_4_imagenet_stem": {10: 221_410_634},
    "cifar_resnext50_32x4d_imagenet_stem": {10: 23_000_394},
    "cifar_densenet161": {10: 26_482_378},
    "cifar_vgg16_bn": {10: 14_728_266},
    # With the stem for small images: 3 × 64 × (49 - 9) weights less.
    "cifar_wide_resnet50_2": {10: 66_854_730 - 7_680},
    "cifar_wide_resnet50_4": {10: 221_410_634 - 7_680},
    "cifar_resnext50_32x4d": {10: 23_000_394 - 7_680},
    # As RobustBench gives them, in millions: 36.5, 46.2, 266.8 and 11.2.
    "cifar_wide_resnet28_10": {10: 36_479_194},
    "cifar_wide_resnet34_10": {10: 46_160_474},
    "cifar_wide_resnet70_16": {10: 266_796_506},
    "cifar_preact_resnet18": {10: 11_172_170},
    # The small relatives. By hand for the residual one: 464 in the stem, 4,672 + 14,528 + 57,728
    # in its blocks, 65 a class; a stem of 7 × 7 has 3 × 16 × (49 - 9) weights more.
    "cifar_small_resnet": {10: 464 + 4_672 + 14_528 + 57_728 + 650},
    "small_resnet": {c: 464 + 1_920 + 4_672 + 14_528 + 57_728 + 65 * c for c in (1000, 100, 50)},
    "cifar_small_wide_resnet": {10: 78_362},
    "small_wide_resnet": {1000: 207_992, 100: 91_892, 50: 85_442},
    "cifar_small_densenet": {10: 42_186},
    "small_densenet": {1000: 110_376, 100: 51_876, 50: 48_626},
    "cifar_small_vgg_bn": {10: 94_874},
    # A quarter of its channels by hand: 116 in the stem, 304 + 944 + 3,680, and 17 a class.
    "cifar_small_resnet_quarter": {10: 116 + 304 + 944 + 3_680 + 170},
    "cifar_small_resnet_half": {10: 19_954},
    "cifar_small_resnet_double": {10: 308_650},
    "cifar_small_wide_resnet_quarter": {10: 5_486},
    "cifar_small_wide_resnet_half": {10: 20_370},
    "cifar_small_wide_resnet_double": {10: 307_242},
    "cifar_small_densenet_quarter": {10: 3_162},
    "cifar_small_densenet_half": {10: 11_242},
    "cifar_small_densenet_double": {10: 163_210},
    "cifar_small_vgg_bn_quarter": {10: 6_350},
    "cifar_small_vgg_bn_half": {10: 24_274},
    "cifar_small_vgg_bn_double": {10: 375_082},
    "small_vgg_bn": {1000: 265_464, 100: 149_364, 50: 142_914},
}

# The others take seconds to draw the weights of; what is proved of all of them without values (the
# logits are the very tensor that the head returned) is proved of these with values too.
LIGHT = {"resnet18", "tiny_vit_5m", "cifar_resnet18", "cifar_vgg16_bn"} | {
    name for name in COUNTS if "small_" in name
}
NETWORKS = [
    pytest.param(name, marks=[pytest.mark.slow] if name not in LIGHT else [])
    for name in TORCHVISION_OR_TIMM
]


def without_values(record, classes):
    """The network on torch's meta device: shapes only, so that 200 million weights cost nothing."""
    with torch.device("meta"):
        return record.build(classes, record.image_size).eval()


def test_the_table_of_counts_covers_every_architecture_and_every_declared_count():
    assert set(COUNTS) == set(TORCHVISION_OR_TIMM)
    for name, counts in COUNTS.items():
        assert dict(ARCHITECTURES[name].parameters) == counts


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_operations_of_a_forward_pass_are_as_declared(name: str):
    record = ARCHITECTURES[name]
    with torch.device("meta"):
        network = record.build(max(record.parameters), record.image_size).eval()
        images = torch.empty(1, record.channels, record.image_size, record.image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    assert counter.get_total_flops() == record.operations


@pytest.mark.parametrize(
    ("name", "classes"), [(name, c) for name, counts in COUNTS.items() for c in counts]
)
def test_a_network_has_the_number_of_parameters_of_the_table(name, classes):
    network = without_values(ARCHITECTURES[name], classes)
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name][classes]


@pytest.mark.parametrize("name", TORCHVISION_OR_TIMM)
def test_the_logits_are_the_very_tensor_that_the_head_makes_of_the_representation(name):
    record = ARCHITECTURES[name]
    network = without_values(record, 10)
    calls = []
    head = network.get_submodule(record.head)
    head.register_forward_hook(lambda _, read, out: calls.append((read[0], out)))
    logits = network(torch.empty(2, 3, record.image_size, record.image_size, device="meta"))
    [(representation, output)] = calls
    assert output is logits
    assert logits.shape == (2, 10)
    assert representation.shape == (2, record.representation_size)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_gives_exactly_the_logits_and_gradients_reach_the_pixels(name):
    record = ARCHITECTURES[name]
    torch.manual_seed(0)
    network = record.build(10, record.image_size).eval()
    head = network.get_submodule(record.head)
    assert isinstance(head, nn.Linear)
    read = []
    head.register_forward_pre_hook(lambda _, x: read.append(x[0]))
    images = torch.rand(1, 3, record.image_size, record.image_size, requires_grad=True)
    logits = network(images)
    with torch.no_grad():
        assert torch.equal(head(read[0]), logits)
    gradient = torch.autograd.grad(logits.square().sum(), images)[0]
    # Strided 1 x 1 convolutions and pools may skip a border, but most pixels count.
    assert (gradient.abs().sum(1) > 0).float().mean() > 0.9


@pytest.mark.parametrize("name", ["cifar_resnet18", "cifar_resnext50_32x4d", "cifar_densenet161"])
def test_the_stem_for_small_images_keeps_their_size(name):
    network = without_values(ARCHITECTURES[name], 10)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert first.kernel_size == (3, 3)
    assert first.stride == (1, 1)
    sizes = []
    pool = next(m for m in network.modules() if isinstance(m, nn.AdaptiveAvgPool2d | nn.Linear))
    pool.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape))
    network(torch.empty(1, 3, 32, 32, device="meta"))
    # Three halvings leave 4 x 4 cells; DenseNet pools by function, so its linear layer is seen.
    assert sizes[0][2:] in ((4, 4), ())


def test_the_study_kept_the_imagenet_stem_which_leaves_one_cell():
    network = without_values(ARCHITECTURES["cifar_resnext50_32x4d_imagenet_stem"], 10)
    sizes = []
    network.avgpool.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape))
    network(torch.empty(1, 3, 32, 32, device="meta"))
    assert sizes == [(1, 2048, 1, 1)]


@pytest.mark.parametrize(
    ("name", "head", "size", "parameters"),
    [
        ("torchvision:resnet18", "fc", 512, {1000: 11_689_512}),
        ("torchvision:mobilenet_v3_small", "classifier.3", 1024, {1000: 2_542_856}),
        ("torchvision:vit_b_32", "heads.head", 768, {1000: 88_224_232}),
        ("torchvision:googlenet", "fc", 1024, {1000: 6_624_904}),
        ("timm:resnet18", "fc", 512, {1000: 11_689_512}),
        ("timm:vgg16_bn", "head.fc", 4096, {1000: 138_365_992}),
        ("timm:mobilenetv3_large_100", "classifier", 1280, {1000: 5_483_032}),
        ("timm:vit_tiny_patch16_224", "head", 192, {1000: 5_717_416}),
        ("timm:tiny_vit_5m_224.in1k", "head.fc", 320, {1000: 5_392_764}),
    ],
)
def test_the_head_of_a_model_from_outside_is_found(name, head, size, parameters):
    record = ARCHITECTURES[name]
    assert (record.name, record.head, record.representation_size) == (name, head, size)
    assert dict(record.parameters) == parameters


def test_a_transformer_from_outside_is_built_for_the_size_of_the_images():
    record = ARCHITECTURES["timm:vit_tiny_patch16_224"]
    network = record.build(5, 64).eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:deit_tiny_distilled_patch16_224", "no single linear layer whose output is its logi"),
        ("timm:levit_128", "no single linear layer whose output is its logits"),
        ("torchvision:squeezenet1_1", r"linear layers: none"),
    ],
)
def test_a_model_without_a_single_linear_head_is_refused(name, words):
    with pytest.raises(InvalidInput, match=f"'{name}' cannot be compared: .*{words}"):
        ARCHITECTURES[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnt18", "timm has no model 'resnt18'. Did you mean 'resnet18'"),
        ("timm:resnet18.tvin1k", "no weights tagged 'tvin1k'. Did you mean 'resnet18.tv_in1k'"),
        ("torchvision:resnt18", "torchvision has no classifier 'resnt18'. Did you mean 'resnet"),
        ("tim:resnet18", "No architecture is called 'tim:resnet18'"),
    ],
)
def test_an_unknown_model_from_outside_is_answered_with_a_suggestion(name, words):
    with pytest.raises(UnknownName) as caught:
        ARCHITECTURES[name]
    assert words in str(caught.value)


def test_looking_up_a_model_from_outside_shifts_no_random_numbers():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with pytest.raises(InvalidInput):
        ARCHITECTURES["torchvision:squeezenet1_0"]
    assert torch.equal(torch.rand(1), expected)


class Scaled(nn.Module):
    """Changes what its linear layer gives, so that layer is no head."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return 2 * self.fc(x.flatten(1))


def test_logits_that_are_changed_after_the_linear_layer_have_no_head():
    with pytest.raises(InvalidInput, match=r"Scaled has no single linear layer .*\(linear.*: fc\)"):
        find_head(Scaled(), torch.ones(3, 1, 2, 2))


def test_logits_that_are_zero_throughout_prove_nothing():
    network = Scaled()
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    with pytest.raises(InvalidInput, match="no single linear layer"):
        find_head(network, torch.ones(3, 1, 2, 2))


def test_a_network_that_returns_no_matrix_is_no_classifier():
    with pytest.raises(InvalidInput, match=r"logits of shape \(N, C\), but Conv2d returned \(2, 3"):
        find_head(nn.Conv2d(1, 3, 1), torch.ones(2, 1, 4, 4))


def test_a_network_of_nan_is_told_so_and_which_weights_are_not_finite():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        network[3].weight[0, 0] = torch.nan
    images = torch.rand(2, 1, 2, 2)
    said = r"turns images into NaN: its weights are not finite in 3\.weight\. Take a checkpoint"
    with pytest.raises(InvalidInput, match=said):
        find_head(network, images)
    with pytest.raises(InvalidInput, match=said):
        check_head(Classifier(network, head="3", mean=(0.5,), std=(0.5,)), images)
    broken = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), Logarithm())
    with pytest.raises(InvalidInput, match="its weights are finite, so it overflows on the way"):
        find_head(broken, images)


class Logarithm(nn.Module):
    """A network's own end that has no value below zero."""

    def forward(self, logits):
        return torch.log(-logits.abs() - 1)
