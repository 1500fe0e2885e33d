"""Other people's checkpoint files: each layout is read whole, and nothing in them is executed."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import dill
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import samemind.checkpoints
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.fitting import fit, load
from samemind.checkpoints.importing import Claims, import_checkpoint
from samemind.checkpoints.layouts import layouts, named
from samemind.checkpoints.parts import chosen, parts_in
from samemind.checkpoints.reading import read_weights
from samemind.errors import CheckpointError, InvalidInput, UnknownName
from samemind.study import read_study
from their_networks import CifarDenseNet, resnet20

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network_of(name: str, classes: int = 10):
    """A network with weights and batch statistics that differ from the initial ones."""
    torch.manual_seed(0)
    network = ARCHITECTURES[name].build(classes, 32).eval()
    for buffer in network.buffers():
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    return network


def logits(network):
    with torch.no_grad():
        return network.eval()(IMAGES)


@pytest.fixture(scope="module")
def resnet18():
    return network_of("cifar_resnet18")


def robustness_file(state: dict, *, extra_level: str = "", **more) -> dict:
    """A file as the robustness library writes it: a normaliser, and every weight twice."""
    constants = {"new_mean": torch.tensor(MEAN)[:, None, None], "new_std": torch.tensor(STD)}
    content = {f"module.normalizer.{k}": v for k, v in constants.items()}
    content |= {f"module.model.{extra_level}{k}": v for k, v in state.items()}
    content |= {f"module.attacker.normalize.{k}": v for k, v in constants.items()}
    content |= {f"module.attacker.model.{extra_level}{k}": v for k, v in state.items()}
    return {"model": content, "epoch": 90, "optimizer": {"state": {}, "param_groups": []}} | more


def kuangliu(state: dict) -> dict:
    """The names that the robustness library's CIFAR ResNets have for the same weights."""
    return {
        k.replace("fc.", "linear.").replace("downsample", "shortcut"): v for k, v in state.items()
    }


LAYOUTS = {
    "a plain state dict": lambda s: s,
    "a state dict by DataParallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "a state dict of a compiled network": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "a training file": lambda s: {"state_dict": s, "epoch": 3, "best_acc": 0.9},
    "a training file in a list": lambda s: {"state_dict": [s]},
    "the robustness library": lambda s: robustness_file(kuangliu(s)),
    "the older robustness library": lambda s: {"state_dict": robustness_file(kuangliu(s))["model"]},
    "Salman et al. with the extra level": lambda s: robustness_file(s, extra_level="model."),
    "a NumPy number beside the weights": lambda s: robustness_file(s, nat_prec1=np.float64(0.9)),
    "behind a normaliser in a Sequential": lambda s: (
        {"0.mean": torch.tensor(MEAN), "0.std": torch.tensor(STD)}
        | {f"1.{k}": v for k, v in s.items()}
    ),
    "RobustBench with mu and sigma": lambda s: (
        {"mu": torch.tensor(MEAN).reshape(1, 3, 1, 1), "sigma": torch.tensor(STD)} | kuangliu(s)
    ),
    "before batches were counted": lambda s: {
        k: v for k, v in s.items() if not k.endswith("num_batches_tracked")
    },
}
WITH_NORMALISER = [n for n in LAYOUTS if any(w in n for w in ("robust", "Salm", "norm", "Robust"))]
WITH_NORMALISER += ["a NumPy number beside the weights"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_the_same_logits_as_the_network_that_was_saved(name, resnet18, tmp_path):
    path = tmp_path / "theirs.pt"
    torch.save(LAYOUTS[name](resnet18.state_dict()), path)
    loaded = load(path, ARCHITECTURES["cifar_resnet18"])
    assert torch.equal(logits(loaded.network), logits(resnet18))
    assert loaded.classes == 10
    expected = (MEAN, STD) if name in WITH_NORMALISER else (None, None)
    assert (loaded.mean, loaded.std) == expected


def test_safetensors_are_read(resnet18, tmp_path):
    save_file(resnet18.state_dict(), tmp_path / "theirs.safetensors")
    loaded = load(tmp_path / "theirs.safetensors", ARCHITECTURES["cifar_resnet18"])
    assert torch.equal(logits(loaded.network), logits(resnet18))


def test_the_old_format_without_zip_is_read(resnet18, tmp_path):
    path = tmp_path / "old.pt"
    torch.save(robustness_file(resnet18.state_dict()), path, _use_new_zipfile_serialization=False)
    assert torch.equal(
        logits(load(path, ARCHITECTURES["cifar_resnet18"]).network), logits(resnet18)
    )


@pytest.mark.slow
def test_the_dense_network_of_the_robustness_library_is_the_same_function():
    torch.manual_seed(1)
    theirs = CifarDenseNet().eval()
    for buffer in theirs.buffers():
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    loaded = fit(theirs.state_dict(), ARCHITECTURES["cifar_densenet161"], source="theirs")
    assert any("reordered" in step for step in loaded.steps)
    # The sums over channels are taken in another order: 160 layers of float32 rounding.
    torch.testing.assert_close(logits(loaded.network), logits(theirs), rtol=1e-3, atol=1e-4)
    assert logits(theirs).std() > 1e-2


@pytest.mark.slow
def test_old_names_of_torchvisions_dense_networks_are_known():
    network = network_of("cifar_densenet161")
    old = {
        k.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.") if "denselayer" in k else k: v
        for k, v in network.state_dict().items()
    }
    loaded = fit(old, ARCHITECTURES["cifar_densenet161"], source="old")
    assert torch.equal(logits(loaded.network), logits(network))


def test_a_network_whose_own_part_is_called_like_a_wrapper_keeps_that_name():
    found = [list(layout.weights) for layout in layouts({"model.fc.weight": torch.ones(2, 2)})]
    assert found == [["model.fc.weight"], ["fc.weight"], ["weight"]]


def test_the_number_of_classes_is_that_of_the_file(tmp_path):
    torch.save(network_of("cifar_vgg16_bn", classes=7).state_dict(), tmp_path / "seven.pt")
    loaded = load(tmp_path / "seven.pt", ARCHITECTURES["cifar_vgg16_bn"])
    assert loaded.classes == 7
    assert logits(loaded.network).shape == (4, 7)


# -- what does not fit


def test_a_file_of_another_architecture_names_keys_and_the_one_that_fits(resnet18, tmp_path):
    path = tmp_path / "theirs.pt"
    torch.save(resnet18.state_dict(), path)
    with pytest.raises(CheckpointError) as caught:
        load(path, ARCHITECTURES["cifar_vgg16_bn"])
    message = str(caught.value)
    assert message.startswith(f"{path} does not fit 'cifar_vgg16_bn' with ")
    assert "missing: features.0.weight, features.0.bias, features.1.weight and " in message
    assert "unexpected: conv1.weight, bn1.weight, bn1.bias and " in message
    assert message.endswith("It fits 'cifar_resnet18': use --architecture cifar_resnet18.")


def test_shapes_that_differ_are_shown(resnet18):
    with pytest.raises(CheckpointError) as caught:
        fit(resnet18.state_dict(), ARCHITECTURES["resnet18"], source="theirs")
    assert "of another shape: conv1.weight (64, 3, 3, 3), not (64, 3, 7, 7)" in str(caught.value)
    assert "It fits 'cifar_resnet18'" in str(caught.value)


def test_the_nearest_architecture_is_named_where_none_fits(resnet18):
    state = {k: v for k, v in resnet18.state_dict().items() if k != "bn1.weight"}
    with pytest.raises(
        CheckpointError, match=r"missing: bn1\.weight\. No|missing: bn1\.weight\. T"
    ):
        fit(state, ARCHITECTURES["cifar_resnet18"], source="theirs")
    with pytest.raises(
        CheckpointError, match=r"nearest architecture is 'cifar_resnet18', which sh"
    ):
        fit(state, ARCHITECTURES["cifar_vgg16_bn"], source="theirs")


def test_a_network_that_does_not_fit_is_not_half_loaded(resnet18, monkeypatch):
    """Whatever was loaded into is never handed out: loading happens only when all of it fits."""
    loads = []
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *a, **_: loads.append(a))
    state = {k: v for k, v in resnet18.state_dict().items() if k != "fc.bias"}
    with pytest.raises(CheckpointError, match=r"missing: fc\.bias"):
        fit(state, ARCHITECTURES["cifar_resnet18"], source="theirs")
    assert loads == []


# -- what may not be read


class Gift:
    """When unpickled without care, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_file_that_would_run_code_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "gift.pt", tmp_path / "trace"
    torch.save({"state_dict": {"w": torch.ones(1)}, "gift": Gift(trace)}, path)
    with pytest.raises(
        CheckpointError, match=r"holds more than tensors: it asks for posix\.system"
    ):
        read_weights(path)
    assert not trace.exists()
    with pytest.raises(CheckpointError, match=r"If you trust its source, --trust \(in Python"):
        read_weights(path)


def test_a_trusted_file_is_read_in_another_process_and_only_tensors_come_back(
    tmp_path, monkeypatch
):
    path = tmp_path / "gift.pt"
    content = {"state_dict": {"w": torch.arange(3.0)}, "gift": Gift(tmp_path / "trace"), "lr": 0.1}
    torch.save(content, path)
    # The plain pickle module is not used in this process, even for a trusted file.
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    found = read_weights(path, is_trusted=True)
    assert list(found) == ["w"]
    assert torch.equal(found["w"], torch.arange(3.0))
    assert type(found["w"]) is torch.Tensor
    assert (tmp_path / "trace").exists()  # it did run: that is what trusting means


def save_with_class_that_goes_away(monkeypatch, content_of, path):
    """Saves what holds objects of a class that no reader of the file has."""
    module = ModuleType("their_library")

    class Settings(dict):
        """What a training library keeps beside the weights."""

    class Network(nn.Linear):
        """A class of theirs."""

    for kind in (Settings, Network):
        kind.__module__, kind.__qualname__ = "their_library", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "their_library", module)
    torch.save(content_of(module), path)
    monkeypatch.delitem(sys.modules, "their_library")


@pytest.mark.slow
def test_a_trusted_file_of_an_absent_library_gives_its_tensors(tmp_path, monkeypatch):
    path = tmp_path / "theirs.pt"
    weight = torch.rand(2, 3)
    state = {"module.model.w": weight, "module.attacker.model.w": weight}
    save_with_class_that_goes_away(
        monkeypatch, lambda lib: {"model": state, "args": lib.Settings(a=1)}, path
    )
    with pytest.raises(CheckpointError, match=r"it asks for their_library\.Settings"):
        read_weights(path)
    found = read_weights(path, is_trusted=True)
    assert torch.equal(found["module.model.w"], weight)


@pytest.mark.slow
def test_a_trusted_file_of_a_whole_network_gives_its_state(tmp_path, monkeypatch):
    path = tmp_path / "whole.pt"
    torch.manual_seed(0)
    save_with_class_that_goes_away(
        monkeypatch, lambda lib: nn.Sequential(nn.BatchNorm1d(3), lib.Network(3, 2)), path
    )
    found = read_weights(path, is_trusted=True)
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "0.weight": (3,),
        "0.bias": (3,),
        "0.running_mean": (3,),
        "0.running_var": (3,),
        "0.num_batches_tracked": (),
        "1.weight": (2, 3),
        "1.bias": (2,),
    }


def dilled(path, trace):
    """A file as the robustness library writes it: with dill, and an object of the script's class.

    The class goes into the file by value, as those of a script that is run do.
    """

    class Parameters:
        """What a training script keeps of its command line."""

        def __init__(self):
            self.adv_train, self.eps, self.schedule = 1, "0.5", lambda epoch: 0.1**epoch

    torch.manual_seed(0)
    weights = ARCHITECTURES["digits_resnet"].build(10, 8).state_dict()
    state = {f"module.model.{k}": v for k, v in weights.items()}
    state |= {f"module.attacker.{k.removeprefix('module.')}": v for k, v in state.items()}
    state["module.normalizer.new_mean"] = torch.tensor([0.25]).reshape(1, 1, 1)
    state["module.normalizer.new_std"] = torch.tensor([0.5]).reshape(1, 1, 1)
    held = {"model": state, "epoch": 150, "nat_prec1": torch.tensor(95.25), "args": Parameters()}
    held |= {"gift": Gift(trace)} if trace else {}
    torch.save(held, path, pickle_module=dill)
    return weights


def test_a_file_written_with_dill_is_refused_and_nothing_of_it_runs(tmp_path, store):
    path, trace = tmp_path / "checkpoint.pt.best", tmp_path / "trace"
    dilled(path, trace)
    claims = Claims(dataset="digits", architecture="digits_resnet", epsilon=0.5)
    with pytest.raises(CheckpointError, match=r"holds more than tensors: it asks for .*--trust"):
        import_checkpoint(str(path), store, claims)
    assert not trace.exists()
    assert not list(store.root.glob("checkpoints/*"))


def test_a_trusted_file_written_with_dill_gives_its_tensors_from_another_process(
    tmp_path, store, monkeypatch
):
    path, trace = tmp_path / "checkpoint.pt.best", tmp_path / "trace"
    weights = dilled(path, trace)
    # What dill would run, it runs elsewhere.
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(dill, name, None)
        monkeypatch.setattr(pickle, name, None)
    claims = Claims(dataset="digits", architecture="digits_resnet", epsilon=0.5, is_trusted=True)
    recipe = import_checkpoint(str(path), store, claims)
    assert trace.exists()
    assert (recipe.mean, recipe.std) == ((0.25,), (0.5,))
    held = store.open(recipe).arrays("weights.safetensors")
    assert held.keys() == weights.keys()
    assert all((held[k].reshape(v.shape) == v.numpy()).all() for k, v in weights.items())


def test_a_trusted_file_written_with_dill_is_read_where_dill_is_not_installed(tmp_path):
    path, out = tmp_path / "checkpoint.pt.best", tmp_path / "out.safetensors"
    weights = dilled(path, None)
    without = (
        "import runpy, sys; sys.modules['dill'] = sys.modules['dill._dill'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script = Path(samemind.checkpoints.__file__).with_name("_trusted.py")
    command = [sys.executable, "-I", "-c", without, str(script), str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = load_file(out)
    # Every weight twice, as the library writes them, its normaliser, and the accuracy.
    assert len(held) == 2 * len(weights) + 2 + 1


def test_damaged_and_foreign_files_are_named(tmp_path, resnet18):
    with pytest.raises(CheckpointError, match=f"There is no checkpoint file {tmp_path}/gone.pt"):
        read_weights(tmp_path / "gone.pt")
    whole = tmp_path / "whole.pt"
    torch.save(resnet18.state_dict(), whole)
    for name, content in {
        "cut.pt": whole.read_bytes()[:1000],
        "text.pt": b"<html>404 Not Found</html>",
        "empty.pt": b"",
        "cut.safetensors": b"\x08\0\0\0\0\0\0\0{}",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{tmp_path}/{name} "):
            read_weights(tmp_path / name)


def test_a_file_of_another_kind_is_told_by_its_beginning_and_never_to_be_trusted(tmp_path):
    np.save(tmp_path / "array.npy", np.ones((3, 4)))
    for name, content, words in (
        ("array.npy", None, r"it is a file of NumPy arrays"),
        ("page.pt", b"<!DOCTYPE html>\n<html>", "it is a web page"),
        ("notes.pt", b"hello\n", "begins with 'hello'"),
        ("pointer.pt", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ("empty.pt", b"", "it is empty"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=words) as caught:
            read_weights(tmp_path / name)
        assert "trust" not in str(caught.value)
    with pytest.raises(
        CheckpointError, match=r"it is a folder\. Name one of its files: empty\.pt, no"
    ):
        read_weights(tmp_path)


@pytest.mark.slow
def test_a_trusted_file_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "cut.pt"
    torch.save({"gift": Gift(tmp_path / "trace")}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=f"{path} could not be read in a separate process ei"):
        read_weights(path, is_trusted=True)


def test_a_file_without_weights_or_with_several_networks_is_explained(tmp_path):
    torch.save({"epoch": 3, "names": ["a"]}, tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(tmp_path / "none.pt")
    torch.save({"state_dict": [{"w": torch.zeros(1)}, {"w": torch.ones(1)}]}, tmp_path / "two.pt")
    with pytest.raises(
        CheckpointError, match=r"holds 2 networks: 'state_dict\.0', .* Say which one with --part"
    ):
        read_weights(tmp_path / "two.pt")
    assert read_weights(tmp_path / "two.pt", part=1)["w"].item() == 1
    with pytest.raises(CheckpointError, match="has no part 2"):
        read_weights(tmp_path / "two.pt", part=2)


def test_a_file_holds_its_weights_under_one_of_the_usual_names():
    w, other = {"w": torch.ones(1)}, {"w": torch.zeros(1)}
    for held in (
        {"epoch": 1, "net": w},
        {"model": {"state_dict": w}, "optimizer": other},
        {"model": 3, "w": w["w"]},
    ):
        assert chosen(parts_in(held), None, "theirs").weights == w
    assert parts_in("text") == []


# -- names of files


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("resnet18_l2_eps3", ("resnet18", "L2", 3.0)),
        ("wide_resnet50_2_l2_eps0.25", ("wide_resnet50_2", "L2", 0.25)),
        ("resnext50_32x4d_l2_eps0", ("resnext50_32x4d", "L2", 0.0)),
        ("densenet_l2_eps3", ("densenet161", "L2", 3.0)),
        ("resnet50_linf_eps4.0", ("resnet50", "Linf", 4 / 255)),
    ],
)
def test_the_names_of_the_published_series_say_what_they_are(stem, expected):
    found = named(stem)
    assert (found.architecture, found.norm, found.epsilon) == expected
    assert found.architecture in ARCHITECTURES


@pytest.mark.parametrize("stem", ["model_best", "resnet18", "resnet18_l2_eps", "eps3"])
def test_other_names_say_nothing(stem):
    assert named(stem) is None


# -- RobustBench


def test_a_state_dict_of_robustbench_is_read_with_its_normalisation(tmp_path):
    network = network_of("cifar_preact_resnet18")
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    state["module.mu"], state["module.sigma"] = (
        torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD)
    )
    torch.save({"state_dict": state}, tmp_path / "Rice2020Overfitting.pt")
    loaded = load(tmp_path / "Rice2020Overfitting.pt", ARCHITECTURES["cifar_preact_resnet18"])
    assert (loaded.mean, loaded.std) == (MEAN, STD)
    assert torch.equal(logits(loaded.network), logits(network))
    with pytest.raises(CheckpointError, match="It fits 'cifar_preact_resnet18'"):
        load(tmp_path / "Rice2020Overfitting.pt", ARCHITECTURES["cifar_resnet18"])


@pytest.mark.slow
def test_a_wide_resnet_of_trades_is_read_without_its_unused_block():
    network = network_of("cifar_wide_resnet28_10")
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    unused = {k.replace("block1", "sub_block1"): v for k, v in state.items() if ".block1." in k}
    found = fit(state | unused, ARCHITECTURES["cifar_wide_resnet28_10"], source="trades.pt")
    assert "dropped the unused sub_block1" in found.steps
    assert torch.equal(logits(found.network), logits(network))


# -- networks of one's own


def test_a_function_of_ones_own_is_an_architecture():
    record = ARCHITECTURES["python:their_networks:resnet20"]
    assert (record.head, record.representation_size, record.channels) == ("linear", 64, 3)
    assert dict(record.parameters) == {10: sum(p.numel() for p in resnet20().parameters())}
    assert record.build(4, 32)(IMAGES).shape == (4, 4)


def test_both_ways_to_write_a_function_are_one_architecture_wherever_it_is_named(tmp_path, store):
    short, long = "their_networks:resnet20", "python:their_networks:resnet20"
    assert ARCHITECTURES[short] is ARCHITECTURES[long]
    study = (
        'dataset = "cifar10"\nepsilons = [0, 0.5]\narchitectures = ["{0}"]\n[[exclude]]\n'
        'architecture = "{0}"\nepsilons = [0]\n[training]\nepochs = 1\nbatch_size = 8\n'
        "learning_rate = 0.1\n"
    )
    names = set()
    for way in (short, long):
        (tmp_path / "study.toml").write_text(study.format(way))
        [checkpoint] = read_study(tmp_path / "study.toml").checkpoints
        names.add(checkpoint.name)
    assert len(names) == 1
    torch.manual_seed(0)
    torch.save(resnet20().state_dict(), tmp_path / "weights.pt")
    claims = [Claims(dataset="cifar10", architecture=way, epsilon=0) for way in (short, long)]
    one, other = (import_checkpoint(str(tmp_path / "weights.pt"), store, c) for c in claims)
    assert one == other
    assert one.architecture == long
    for way in (short, long):
        classifier = samemind.load_model(way)
        assert isinstance(classifier.network, type(resnet20()))


def test_an_architecture_that_is_left_out_must_exist(tmp_path):
    (tmp_path / "study.toml").write_text(
        'dataset = "digits"\nepsilons = [0]\narchitectures = ["digits_vit"]\n[[exclude]]\n'
        'architecture = "digits_vti"\n[training]\nepochs = 1\nbatch_size = 8\n'
        "learning_rate = 0.1\n"
    )
    with pytest.raises(InvalidInput, match="Did you mean 'digits_vit'"):
        read_study(tmp_path / "study.toml")


def test_a_library_that_is_mistyped_is_suggested():
    with pytest.raises(UnknownName, match=r"there is no module 'tim'\. Did you mean 'timm'"):
        ARCHITECTURES["tim:resnet18"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:f", "cannot be imported: No module named 'no_such_module'"),
        ("their_networks:resnt32", "has no 'resnt32'. Did you mean 'resnet32'"),
        ("their_networks:number", "returned int, but an architecture is a function"),
        (
            "their_networks:headless",
            "cannot be compared: Sequential ends in a softmax, so it returns no logits",
        ),
    ],
)
def test_what_is_wrong_with_a_function_of_ones_own_is_said(name, words):
    with pytest.raises(InvalidInput) as caught:
        ARCHITECTURES[f"python:{name}"]
    assert words in str(caught.value)
