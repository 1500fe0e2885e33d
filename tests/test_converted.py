"""Networks in ONNX files and in folders of Hugging Face: equal to what their own library gives."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import samemind
from samemind.errors import CheckpointError, InvalidInput

pytest.importorskip("onnxruntime")
transformers = pytest.importorskip("transformers")

IMAGES = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
FAST = {"permutations": 0, "errors": False, "device": "cpu"}


def network(seed: int, *ending: nn.Module) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 5), *ending,
    ).eval()  # fmt: skip


def exported(path: Path, made: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            made, (IMAGES[:2],), str(path), dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )  # fmt: skip
    return path


def score(found) -> dict[str, float]:
    return found.scores.set_index("measure")["score"].to_dict()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("onnx") / "net.onnx", network(0))


def test_a_converted_network_gives_what_the_original_gives(file: Path) -> None:
    found = samemind.compare({"A": network(0), "B": f"onnx:{file}"}, IMAGES, **FAST)
    assert score(found)["linear_cka"] == pytest.approx(1, abs=1e-5)
    assert score(found)["agreement"] == 1
    assert "last linear layer reads" in found.readings["representation"][1]
    from samemind.networks.opening import open_model

    with torch.no_grad():
        said = open_model(f"onnx:{file}").classifier(IMAGES)
        torch.testing.assert_close(said.logits, network(0)(IMAGES), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            said.representation, network(0)[:7](IMAGES), atol=1e-5, rtol=1e-5
        )


def test_inner_outputs_are_layers(file: Path) -> None:
    found = samemind.compare({"A": network(0), "B": f"onnx:{file}"}, IMAGES, layers="all", **FAST)
    maps = found.layers.pivot(index="layer_a", columns="layer_b", values="score")
    relu = next(name for name in maps.columns if name.endswith("Relu_output_0"))
    assert maps.loc["2", relu] == pytest.approx(1, abs=1e-4)
    named = samemind.compare(
        {"A": network(0), "B": f"onnx:{file}"}, IMAGES, representation={"A": "2", "B": relu}, **FAST
    )
    assert score(named)["linear_cka"] == pytest.approx(1, abs=1e-5)
    with pytest.raises(InvalidInput, match="has no layer 'nothing'"):
        samemind.compare(
            {"A": network(0), "B": f"onnx:{file}"}, IMAGES, representation={"B": "nothing"}, **FAST
        )


def test_files_that_are_no_network_or_end_otherwise_are_said(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing of the kind")
    pair = {"A": network(0), "B": f"onnx:{tmp_path / 'no.onnx'}"}
    with pytest.raises(CheckpointError, match="cannot be read as ONNX"):
        samemind.compare(pair, IMAGES, **FAST)
    with pytest.raises(InvalidInput, match="There is no file"):
        samemind.compare({"A": network(0), "B": "onnx:nowhere.onnx"}, IMAGES, **FAST)
    ended = exported(tmp_path / "ended.onnx", network(0, nn.Softmax(1)))
    with pytest.raises(InvalidInput, match="does not end in one linear layer"):
        samemind.compare({"A": network(0), "B": f"onnx:{ended}"}, IMAGES, **FAST)


SMALL = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32,
    "image_size": 16, "patch_size": 4,
}  # fmt: skip


def folder(path: Path, kind: str, **more) -> Path:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SMALL, **more)
    getattr(transformers, kind)(config).eval().save_pretrained(path)
    transformers.ViTImageProcessor(
        size={"height": 16, "width": 16}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.2, 0.3]
    ).save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", ["ViTModel", "ViTForImageClassification"])
def test_a_folder_of_hugging_face_is_read_as_its_library_reads_it(kind: str, tmp_path) -> None:
    where = folder(tmp_path / "vit", kind, num_labels=5)
    pair = {"A": network(0), "B": f"hf:{where}"}
    found = samemind.compare(pair, IMAGES, **FAST)
    assert found.readings["mean"][1] == "0.4, 0.5, 0.6"
    assert found.readings["image_size"][1] == 16
    own = getattr(transformers, kind).from_pretrained(where).eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.4, 0.5, 0.6], [0.2, 0.2, 0.3]))
    with torch.no_grad():
        if kind == "ViTModel":
            read = own((IMAGES - mean) / std).pooler_output
            assert "agreement" not in score(found)
        else:
            read = own.vit((IMAGES - mean) / std).last_hidden_state[:, 0]
            assert score(found)["agreement"] is not None
        expected = samemind.measure("linear_cka")(network(0)[:7](IMAGES), read)
    assert score(found)["linear_cka"] == pytest.approx(expected, abs=1e-6)


def test_models_of_hugging_face_that_are_not_there_are_said(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for given, words in (
        (f"hf:{tmp_path / 'empty'}", "holds no model of Hugging Face's"),
        ("hf:nobody/nothing-of-this-name", "no model of this name is on this machine"),
        ("hf:./no/such/folder", "There is no folder ./no/such/folder"),
    ):
        with pytest.raises(InvalidInput, match=words):
            samemind.compare({"A": network(0), "B": given}, IMAGES, **FAST)
    where = folder(tmp_path / "vit", "ViTModel")
    weights = where / "model.safetensors"
    whole, held = weights.read_bytes(), load_file(weights)
    del held[next(name for name in held if name.endswith("output.dense.weight"))]
    save_file(held, weights, {"format": "pt"})
    with pytest.raises(CheckpointError, match="would be random numbers"):
        samemind.compare({"A": network(0), "B": f"hf:{where}"}, IMAGES, **FAST)
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        samemind.compare({"A": network(0), "B": f"hf:{where}"}, IMAGES, **FAST)


@pytest.mark.parametrize("option", [{"precision": "float16"}, {"head": "7"}])
def test_what_a_graph_does_not_take_is_refused(option, file: Path) -> None:
    pair = {"A": f"onnx:{file}", "B": f"onnx:{file}"}
    with pytest.raises(
        InvalidInput, match=f"--{next(iter(option))} was given, but it is of models"
    ):
        samemind.compare(pair, IMAGES, **option, **FAST)
    # Beside a network that takes it, it is that one's.
    beside = {"A": f"onnx:{file}", "B": network(0)}
    assert samemind.compare(beside, IMAGES, **option, **FAST).n_inputs == len(IMAGES)


def test_float64_networks_stay_so_beside_converted_ones(file: Path) -> None:
    wide = network(0).double()
    found = samemind.compare({"A": wide, "B": f"onnx:{file}"}, IMAGES.double(), **FAST)
    assert found.readings["precision"].tolist() == ["float64", ""]
    assert np.isclose(score(found)["linear_cka"], 1, atol=1e-5)


class Blocks(nn.Module):
    """Convolutions with normalisations, functions between layers and a sum around them."""

    def __init__(self, *, has_relu: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.has_relu = has_relu
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 5)
        for norm in (self.norm1, self.norm2):
            norm.running_mean = torch.randn(8, generator=generator) / 4
            norm.running_var = 0.5 + torch.rand(8, generator=generator)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(x))
        x = (y.relu() if self.has_relu else y) + x
        return self.fc2(self.fc1(x.mean((2, 3))).relu())


def faulty(fault: str) -> Blocks:
    made = Blocks(has_relu=fault != "no activation")
    with torch.no_grad():
        if fault == "epsilon":
            made.norm2.eps = 0.5
        elif fault in ("conv1", "conv2", "fc1", "fc2"):
            weight = getattr(made, fault).weight
            weight += 0.1 * weight.abs().max()
    return made


FOUND_AT = {
    "conv1": ("conv1", "", "norm1 are one operation"),
    "conv2": ("conv2", "norm1", "norm2 are one operation"),
    "epsilon": ("conv2", "norm1", "norm2 are one operation"),
    "no activation": ("fc1", "norm2", "it reads something else already"),
    "fc1": ("fc1", "norm2", ""),
    "fc2": ("fc2", "fc1", ""),
}


FEW = ("conv2", "no activation")


@pytest.mark.parametrize(
    "fault", [f if f in FEW else pytest.param(f, marks=pytest.mark.slow) for f in FOUND_AT]
)
def test_a_fault_in_an_onnx_export_is_found_where_it_is(fault: str, tmp_path: Path) -> None:
    file = exported(tmp_path / "net.onnx", faulty(fault))
    found = samemind.fidelity(Blocks(), f"onnx:{file}", IMAGES)
    assert not found.is_at_least("equal up to rounding")
    where = found.departure
    assert where is not None
    assert (where.layer, where.after, where.found_by) == (*FOUND_AT[fault][:2], "outputs")
    assert FOUND_AT[fault][2] in where.why
    # From the side of the file, the operation that belongs to it.
    turned = samemind.fidelity(f"onnx:{file}", Blocks(), IMAGES).departure
    assert turned is not None
    assert turned.layer_b == where.layer
    assert turned.layer == (where.layer_b or turned.layer)


def test_a_clean_onnx_export_parts_nowhere(tmp_path: Path) -> None:
    file = f"onnx:{exported(tmp_path / 'net.onnx', Blocks())}"
    found = samemind.fidelity(Blocks(), file, IMAGES)
    assert (found.level, found.departure) == ("equal up to rounding", None)
    pairs = found.layers.set_index("layer_a")["layer_b"]
    assert pairs["norm2"] == "conv2_Conv_output_0"
    assert not found.layers["departs"].any()
    assert samemind.fidelity(file, Blocks(), IMAGES).departure is None
    assert samemind.fidelity(file, file, IMAGES).level == "identical bits"
