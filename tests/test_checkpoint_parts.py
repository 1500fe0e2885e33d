"""Files with several networks, strange prefixes and strays: what is taken is right, and is told."""

import json
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.fitting import load
from samemind.checkpoints.importing import Claims, import_checkpoint, read_checkpoint
from samemind.checkpoints.reading import read_weights
from samemind.cli import app
from samemind.errors import CheckpointError, InvalidInput
from samemind.networks.opening import Loading, open_model
from samemind.store.leases import owner
from samemind.study import read_study

NAME = "digits_resnet"
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def network_of(random_seed: int, name: str = NAME) -> nn.Module:
    torch.manual_seed(random_seed)
    network = ARCHITECTURES[name].build(10, 8).eval()
    for buffer in network.buffers():
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    return network


def state_of(random_seed: int, prefix: str = "", name: str = NAME) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}{k}": v.contiguous()
        for k, v in network_of(random_seed, name).state_dict().items()
    }


def nested(state: dict) -> dict:
    """The same weights as mappings in mappings, the way JAX libraries write them."""
    found: dict = {}
    for key, value in state.items():
        inner = found
        *path, last = key.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value.numpy()
    return found


def is_network(loaded, random_seed: int) -> bool:
    """Whether a network computes what the one of a random seed does."""
    network = getattr(loaded, "network", loaded)
    with torch.no_grad():
        return torch.equal(network.eval()(IMAGES), network_of(random_seed)(IMAGES))


A, B = 1, 2
OPTIMISER = {"state": {0: {"exp_avg": torch.ones(4, 4)}}, "param_groups": [{"lr": 0.1}]}
PLACES = {
    "last and best, one of them": {"best": state_of(A), "epoch": 3},
    "model_state": {"model_state": state_of(A), "optimizer": OPTIMISER},
    "state": {"state": state_of(A), "loss": torch.tensor(0.1)},
    "a nested checkpoint": {"checkpoint": {"model": state_of(A), "opt": OPTIMISER}},
    "a name that nobody thought of": {"zaphod": {"beeblebrox": state_of(A)}},
    "images beside it": {"weights": state_of(A), "images": torch.ones(5, 1, 8, 8)},
    "mappings in mappings, of arrays": {"params": nested(state_of(A))},
    "NumPy arrays by name": {k: v.numpy() for k, v in state_of(A).items()},
    "beside its average": {"state_dict": state_of(A), "state_dict_ema": state_of(B)},
    "beside its average, first": {"model_ema": state_of(B), "model": state_of(A)},
    "beside its average, of another name": {"ema": {"module": state_of(B)}, "raw": state_of(A)},
    "of a loss with weights": {"net": state_of(A), "criterion": {"proxies": torch.ones(9, 9)}},
}


@pytest.mark.parametrize("place", PLACES)
def test_weights_are_found_wherever_in_a_file_they_are(place, tmp_path):
    torch.save(PLACES[place], tmp_path / "a.pt")
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME]), A)
    model = open_model(str(tmp_path / "a.pt"), Loading(normalise="none"))
    assert is_network(model.classifier.network, A)


PREFIXES = {
    "of FSDP": "_fsdp_wrapped_module.",
    "of DeepSpeed": "_forward_module.",
    "of a detector": "backbone.",
    "of contrastive learning": "encoder.",
    "of three wrappers": "module.model._orig_mod.",
    "that nobody thought of": "zaphod.beeblebrox.",
}
STRAYS = {
    "none": {},
    "a count": {"n_averaged": torch.tensor(7)},
    "a loss": {"criterion.weight": torch.ones(10)},
    "metrics": {"train_acc.total": torch.tensor(3), "val_metrics.confusion": torch.ones(10, 10)},
    "a scale": {"logit_scale": torch.tensor(2.5)},
}


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_common_prefix_is_taken_off_and_what_is_left_out_is_told(prefix, stray, tmp_path):
    torch.save(state_of(A, PREFIXES[prefix]) | STRAYS[stray], tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt", ARCHITECTURES[NAME])
    assert is_network(loaded, A)
    told = " ".join(loaded.steps)
    assert all(key in told for key in STRAYS[stray])


def test_wrappers_inside_of_a_name_are_taken_out(tmp_path):
    state = {k.replace("layer1.", "layer1._orig_mod."): v for k, v in state_of(A).items()}
    state = {k.replace("stem.", "stem.module."): v for k, v in state.items()}
    assert state.keys() != state_of(A).keys()
    torch.save(state, tmp_path / "a.pt")
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME]), A)


def test_counts_beside_plain_names_are_left_out_and_other_weights_are_not(tmp_path):
    torch.save(state_of(A) | {"n_averaged": torch.tensor(7)}, tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt", ARCHITECTURES[NAME])
    assert is_network(loaded, A)
    assert any("left out n_averaged" in step for step in loaded.steps)
    torch.save(state_of(A) | {"extra.weight": torch.ones(3, 3)}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"unexpected: extra\.weight"):
        load(tmp_path / "b.pt", ARCHITECTURES[NAME])


# -- which of several


def several(path: Path) -> Path:
    torch.save({"student": state_of(A), "teacher": state_of(B), "epoch": 1}, path)
    return path


def test_which_of_several_networks_is_asked_and_every_way_to_say_it_works(tmp_path):
    path = several(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"2 networks: 'student', 'teacher'\. Say which one"):
        load(path, ARCHITECTURES[NAME])
    for part in ("teacher", 1, "1"):
        assert is_network(load(path, ARCHITECTURES[NAME], part=part), B)
        assert is_network(samemind.load_model(str(path), part=part, normalise="none").network, B)
    model = open_model(f"{path}::teacher", Loading(normalise="none"))
    assert (model.name, is_network(model.classifier.network, B)) == ("a::teacher", True)
    assert is_network(samemind.load_model(f"{path}::0", normalise="none").network, A)
    with pytest.raises(
        CheckpointError, match=r"no part tutor\. Did you mean .* 'student', 'teacher'\. Name"
    ):
        read_weights(path, part="tutor")


def test_the_average_is_had_by_name_and_what_was_taken_is_told(tmp_path):
    held = {"state_dict": state_of(A), "state_dict_ema": state_of(B)}
    torch.save(held, tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt", ARCHITECTURES[NAME])
    assert loaded.steps == ("took 'state_dict'; also there, with --part: state_dict_ema",)
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME], part="state_dict_ema"), B)
    model = open_model(str(tmp_path / "a.pt"), Loading(normalise="none"))
    assert "also there, with --part: state_dict_ema" in model.note


def test_networks_under_prefixes_of_one_state_dict_are_told_apart(tmp_path):
    two = state_of(A, "student.") | state_of(B, "teacher.") | {"center": torch.ones(1, 10)}
    torch.save({"state_dict": two}, tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match="2 networks of this kind: student, teacher"):
        load(tmp_path / "two.pt", ARCHITECTURES[NAME])
    assert is_network(load(tmp_path / "two.pt", ARCHITECTURES[NAME], part="teacher"), B)
    average = state_of(A, "model.") | state_of(B, "model_ema.")
    torch.save({"state_dict": average}, tmp_path / "ema.pt")
    loaded = load(tmp_path / "ema.pt", ARCHITECTURES[NAME])
    assert is_network(loaded, A)
    assert "left out model_ema.*" in loaded.steps
    assert is_network(load(tmp_path / "ema.pt", ARCHITECTURES[NAME], part="model_ema"), B)


def test_layers_outside_of_the_part_that_fits_are_not_dropped_in_silence(tmp_path):
    held = state_of(A, "net.") | {"projector.weight": torch.ones(10, 10)}
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"outside of it: projector\.weight.*--part net"):
        load(tmp_path / "a.pt", ARCHITECTURES[NAME])
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME], part="net"), A)


def test_of_several_different_networks_the_only_one_that_fits_is_taken(tmp_path):
    held = {"generator": {"up.weight": torch.ones(4, 4)}, "classifier": state_of(A)}
    torch.save(held, tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt", ARCHITECTURES[NAME])
    assert is_network(loaded, A)
    assert "took 'classifier', the only one that fits; also there" in loaded.steps[0]
    parts = defaultdict(dict)
    for key, value in state_of(A).items():
        first, _, rest = key.partition(".")
        parts[first][rest] = value
    torch.save(dict(parts), tmp_path / "parts.pt")
    assert is_network(load(tmp_path / "parts.pt", ARCHITECTURES[NAME]), A)


def test_import_and_init_take_parts_by_name(tmp_path, store):
    path = several(tmp_path / "digits.pt")
    claims = Claims(dataset="digits", epsilon=0)
    one = import_checkpoint(f"{path}::teacher", store, claims)
    assert one.sha256.endswith(":teacher")
    assert is_network(read_checkpoint(f"{path}::teacher", claims)[1], B)
    done = CliRunner().invoke(
        app, ["init", str(tmp_path / "a.toml"), "--models", f"{path}::student"]
    )
    assert done.exit_code == 0, done.output
    [model] = read_study(tmp_path / "a.toml").imported
    assert model.sha256.endswith(":student")


# -- kinds of files


class Gift:
    """What no file of plain tensors holds."""


@pytest.mark.slow
def test_trust_and_part_work_without_an_architecture_everywhere(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": state_of(A), "b": state_of(B), "gift": Gift()}, "two.pt")
    with pytest.raises(CheckpointError, match=r"--trust \(in Python, trust=True\)"):
        samemind.load_model("two.pt")
    model = samemind.load_model("two.pt", trust=True, part="b", normalise="none")
    assert is_network(model.network, B)
    claims = Claims(dataset="digits", epsilon=0, is_trusted=True, part="b")
    assert is_network(read_checkpoint("two.pt", claims)[1], B)
    run = CliRunner().invoke
    done = run(app, ["init", "a.toml", "--models", "two.pt", "--trust", "--part", "b"])
    assert done.exit_code == 0, done.output
    # A run reads no file that can run code: the study says what to do before.
    text = Path("a.toml").read_text()
    command = next(line for line in text.splitlines() if line.startswith("# Before a run: "))
    assert "file = " not in text.split('[[imported]]\nsource = "two.pt"')[1].split("[training]")[0]
    words = command.removeprefix("# Before a run: samemind ").split()
    done = run(app, [*words, "--store", str(store.root)])
    assert done.exit_code == 0, done.output
    [recipe] = [c for c in read_study(tmp_path / "a.toml").checkpoints if c.source == "two.pt"]
    assert store.has(recipe)


@pytest.mark.slow
def test_a_class_that_cannot_take_back_what_it_wrote_does_not_stop_a_trusted_file(
    tmp_path, monkeypatch
):
    """cox.utils.Parameters, as the robustness library keeps it beside the weights."""
    (tmp_path / "cox").mkdir()
    (tmp_path / "cox" / "__init__.py").write_text("")
    (tmp_path / "cox" / "utils.py").write_text(
        "class Parameters:\n"
        "    def __init__(self, params):\n"
        "        super().__setattr__('params', params)\n"
        "    def __getattr__(self, x):\n"
        "        if x in vars(self):\n            return vars(self)[x]\n"
        "        k = x.lower()\n"
        "        return self.params[k] if k in self.params else None\n"
        "    def __setattr__(self, x, v):\n"
        "        if x == 'params':\n            super().__setattr__(x, b)\n            return\n"
        "        self.params[x.lower()] = v\n"
        "    def __getstate__(self):\n        return self.params\n"
        "    def __setstate__(self, x):\n        self.params = x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from cox.utils import Parameters  # pyright: ignore[reportMissingImports]

    torch.save({"model": state_of(A), "args": Parameters({"eps": 0.5})}, tmp_path / "a.pt")
    # The other process finds the class where it is installed.
    run = subprocess.run

    def with_cox(command, **options):
        code = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"  # fmt: skip # noqa: E501
        return run([sys.executable, "-c", code, *command[2:]], **options)

    monkeypatch.setattr(subprocess, "run", with_cox)
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME], is_trusted=True), A)


def test_numpy_numbers_arrays_and_default_dictionaries_need_no_trust(tmp_path):
    history = defaultdict(list)
    history["loss"] += [np.float32(0.5), np.int64(3), np.bool_(True)]
    held = {"model": state_of(A), "history": history, "best": np.float64(0.9)}
    held |= {"confusion": np.ones((10, 10)), "names": np.array(["a", "b"])}
    torch.save(held, tmp_path / "a.pt")
    assert is_network(load(tmp_path / "a.pt", ARCHITECTURES[NAME]), A)


@pytest.mark.slow
def test_a_plain_pickle_is_read_when_it_is_trusted(tmp_path):
    with (tmp_path / "a.pkl").open("wb") as file:
        pickle.dump({"w": {k: v.numpy() for k, v in state_of(A).items()}}, file)
    with pytest.raises(CheckpointError, match=r"Python pickle that torch\.save did not .* --trust"):
        load(tmp_path / "a.pkl", ARCHITECTURES[NAME])
    assert is_network(load(tmp_path / "a.pkl", ARCHITECTURES[NAME], is_trusted=True), A)


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(state_of(A), path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as held:
        member = max(held.infolist(), key=lambda m: m.file_size)
    at = content.index(bytes(held_bytes(path, member.filename)[:64])) + 5
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged: its part '.*/data/\d+' does not have the"):
        read_weights(path)
    # Files may be written without checksums; then there is nothing to compare.
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state_of(A), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert is_network(load(path, ARCHITECTURES[NAME]), A)


def held_bytes(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as held:
        return held.read(name)


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "weights", "a.safetensors"])
def test_files_are_known_by_what_is_in_them(name, tmp_path):
    save_file(state_of(A), tmp_path / name)
    assert is_network(load(tmp_path / name, ARCHITECTURES[NAME]), A)
    torch.save(state_of(B), tmp_path / name)
    assert is_network(load(tmp_path / name, ARCHITECTURES[NAME]), B)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_sharded_folders_and_their_indexes_are_read(ending, tmp_path, store):
    stem = "model" if ending == "safetensors" else "pytorch_model"
    state, folder = state_of(A), tmp_path / "digits"
    folder.mkdir()
    where = {}
    for i, keys in enumerate((list(state)[::2], list(state)[1::2]), start=1):
        name = f"{stem}-0000{i}-of-00002.{ending}"
        part = {k: state[k] for k in keys}
        (save_file if ending == "safetensors" else torch.save)(part, folder / name)
        where |= dict.fromkeys(keys, name)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    for path in (folder, index):
        model = open_model(str(path), Loading(dataset="digits"))
        assert (model.name, is_network(model.classifier.network, A)) == ("digits", True)
    recipe = import_checkpoint(str(folder), store, Claims(dataset="digits", epsilon=0))
    assert (recipe.source, store.has(recipe)) == ("digits", True)
    with pytest.raises(CheckpointError, match="one of 2 shards"):
        read_weights(folder / name)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"index of 2 shards, and {name} is not beside it"):
        read_weights(folder)
    index.write_text(json.dumps({"weight_map": {"w": "../secret.bin"}}))
    with pytest.raises(CheckpointError, match=r"names a file in another folder, \.\./secret\.bin"):
        read_weights(index)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("key", ["running_var", "weight"])
def test_weights_and_statistics_that_are_not_finite_are_refused(key, value, tmp_path):
    state = state_of(A)
    name = next(k for k in state if k.endswith(key))
    state[name][0] = value
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=rf"not finite, in {name}\. Take a checkpoint from"):
        load(tmp_path / "a.pt", ARCHITECTURES[NAME])


def test_import_recognises_by_keys_and_asks_for_all_that_is_missing_at_once(tmp_path, store):
    torch.save(state_of(A), tmp_path / "best.pt")
    recipe = import_checkpoint(
        str(tmp_path / "best.pt"), store, Claims(dataset="digits", epsilon=0)
    )
    assert recipe.architecture == NAME
    torch.save({"w": torch.ones(3, 3)}, tmp_path / "other.pt")
    with pytest.raises(InvalidInput) as caught:
        import_checkpoint(str(tmp_path / "other.pt"), store, Claims())
    assert all(f"--{o} " in str(caught.value) for o in ("dataset", "architecture", "epsilon"))


def test_what_a_killed_reading_left_is_removed_by_the_next_and_what_is_read_now_stays(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", "from samemind.store.leases import owner; print(owner())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    left, held = (tmp_path / f"samemind-trusted-x-{who}" for who in (ended.stdout.strip(), owner()))
    others = tmp_path / "samemind-trusted-by-hand"
    for folder in (left, held, others):
        (folder / "inner").mkdir(parents=True)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"w.weight": np.ones((2, 2))}))
    found = read_weights(path, is_trusted=True)
    assert found["w.weight"].tolist() == [[1, 1], [1, 1]]
    assert set(tmp_path.iterdir()) == {held, others, path}
