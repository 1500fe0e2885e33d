"""What people bring as files, at the doors of the command and of a study.

As in `test_what_people_bring`: each row is right to 1e-9 by its own formula, or refused in words.
Weights are small whole numbers and inputs multiples of 1/16, so that float32 rounds nothing and
the formula may be applied to what the networks must give.
"""

import json
import pickle
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from scipy.io import savemat
from torch import nn
from typer.testing import CliRunner

from samemind.checkpoints.importing import Claims, import_checkpoint
from samemind.cli import app
from samemind.comparison.pairs import Scores, build_scores
from samemind.datasets.base import DATASETS
from samemind.errors import SamemindError
from samemind.execution.devices import Execution
from samemind.extraction.activations import Activations, build_activations
from samemind.inversion import Natural, build_natural
from samemind.store.artifacts import Store

RNG = np.random.default_rng(0)
A = RNG.integers(-8, 9, (40, 6)) / 4.0
B = A[:, :4] + RNG.integers(-8, 9, (40, 4)) / 8.0
MODULE = """
import torch
from torch import nn
def network(seed=0, pixels=64):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 6), nn.Linear(6, 10)).eval()
    for weight in made.parameters():
        weight.data = torch.randint(-3, 4, weight.shape, generator=generator).float()
    return made
def a(): return network(0)
def b(): return network(1)
def b_compiled(): return torch.compile(b(), backend="eager")
def b_parallel(): return nn.DataParallel(b())
def b_softmax(): return nn.Sequential(*b(), nn.Softmax(1)).eval()
def b_training(): return b().train()
def b_double(): return b().double()
def b_half(): return b().bfloat16()
class InTuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = b()
    def forward(self, x): return self.inner(x), None
class InDict(InTuple):
    def forward(self, x): return {"hidden": x.flatten(1), "logits": self.inner(x)}
B = b()
def scripted(): return torch.jit.script(b())
def exported(): return torch.export.export(b(), (torch.rand(2, 1, 8, 8),)).module()
def sigmoids(): return nn.Sequential(*b(), nn.Sigmoid()).eval()
def nan():
    made = b()
    made[2].weight.data[:] = float("nan")
    return made
def maps(): return nn.Conv2d(1, 10, 1)
def number(): return 3
def headless(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
def fails(): return nn.Sequential(nn.Flatten(), nn.Linear(63, 10))
"""


def cka(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (m - m.mean(0) for m in (a, b))
    squares = [np.linalg.norm(x.T @ y) for x, y in ((a, b), (a, a), (b, b))]
    return float(squares[0] ** 2 / (squares[1] * squares[2]))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "brought", raising=False)
    (tmp_path / "brought.py").write_text(MODULE)
    return tmp_path


def command(*arguments: object) -> Any:
    options = ("--measures", "linear_cka", "--permutations", 0, "--no-errors", "--json")
    asked = ["compare", *map(str, (*arguments, *options))]
    result = CliRunner().invoke(app, asked)
    if isinstance(result.exception, SamemindError):
        raise result.exception
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def score(found: Any) -> float:
    (row,) = found["scores"]
    return row["score"]


# -- files of arrays


def in_safetensors(name: str, m: np.ndarray) -> str:
    save_file({"features": m}, f"{name}.safetensors")
    return f"{name}.safetensors"


def in_npy(change: Callable[[np.ndarray], Any]) -> Callable[[str, np.ndarray], str]:
    def write(name: str, m: np.ndarray) -> str:
        np.save(f"{name}.npy", change(m), allow_pickle=True)
        return f"{name}.npy"

    return write


def in_npz(**change: Callable[[np.ndarray], Any]) -> Callable[[str, np.ndarray], str]:
    def write(name: str, m: np.ndarray) -> str:
        np.savez(f"{name}.npz", **{key: make(m) for key, make in change.items()})
        return f"{name}.npz"

    return write


def in_h5(key: str, change: Callable[[np.ndarray], Any] = np.asarray, **how: Any) -> Any:
    def write(name: str, m: np.ndarray) -> str:
        with h5py.File(f"{name}.h5", "w") as held:
            held.create_dataset(key, data=change(m), **how)
        return f"{name}.h5"

    return write


def in_mat(name: str, m: np.ndarray) -> str:
    savemat(f"{name}.mat", {"x": m})
    return f"{name}.mat"


def in_new_mat(name: str, m: np.ndarray) -> str:
    with h5py.File(f"{name}.mat", "w") as held:
        held["x"] = m.T
    return f"{name}.mat"


def in_half_safetensors(name: str, m: np.ndarray) -> str:
    save_tensors({"features": torch.tensor(m).bfloat16()}, f"{name}.safetensors")
    return f"{name}.safetensors"


def in_csv(name: str, m: np.ndarray) -> str:
    np.savetxt(f"{name}.csv", m, delimiter=",")
    return f"{name}.csv"


def as_tensor_file(name: str, m: np.ndarray) -> str:
    torch.save(torch.tensor(m), f"{name}.pt")
    return f"{name}.pt"


def named(name: str, m: np.ndarray) -> str:
    np.save(f"a file of {name}, ü.npy", m)
    return f"{name}=a file of {name}, ü.npy"


def one_of_several(name: str, m: np.ndarray) -> str:
    np.savez(f"{name}.npz", first=np.zeros((40, 2)), second=m)
    return f"{name}.npz::second"


same = np.asarray
ARRAYS: dict[str, Callable[[str, np.ndarray], str]] = {
    "npy": in_npy(same),
    "npy, Fortran order": in_npy(np.asfortranarray),
    "npy, big endian": in_npy(lambda m: m.astype(">f8")),
    "npy, float32": in_npy(lambda m: m.astype(np.float32)),
    "npy, float16": in_npy(lambda m: m.astype(np.float16)),
    "npy, long double": in_npy(lambda m: m.astype(np.longdouble)),
    "npy, integers": in_npy(lambda m: (8 * m).astype(np.int16)),
    "npy, four axes": in_npy(lambda m: m.reshape(40, -1, 2, 1)),
    "npy, named": named,
    "npz, features": in_npz(features=same),
    "npz, beside labels": in_npz(embeddings=same, labels=lambda m: np.zeros(len(m), int)),
    "npz, no telling name": in_npz(arr_0=same),
    "npz, one of several": one_of_several,
    "a table of text": in_csv,
    "a file of torch": as_tensor_file,
    "safetensors": in_safetensors,
    "safetensors, bfloat16": in_half_safetensors,
    "HDF5": in_h5("features"),
    "HDF5, in groups": in_h5("layer4/pool/activations"),
    "HDF5, chunks": in_h5("x", chunks=(7, 2), compression="gzip"),
    "MATLAB 5": in_mat,
    "MATLAB 7.3": in_new_mat,
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_files_of_arrays_are_read_by_the_command(kind: str, here) -> None:
    files = [ARRAYS[kind](name, m) for name, m in (("a", A), ("b", B))]
    assert score(command("--activations", *files)) == pytest.approx(cka(A, B), abs=1e-9)


def as_bytes(ending: str, content: bytes) -> Callable[[str, np.ndarray], str]:
    def write(name: str, _: np.ndarray) -> str:
        Path(f"{name}{ending}").write_bytes(content)
        return f"{name}{ending}"

    return write


def cut(name: str, m: np.ndarray) -> str:
    np.save(f"{name}.npy", m)
    whole = Path(f"{name}.npy").read_bytes()
    Path(f"{name}.npy").write_bytes(whole[: len(whole) // 2])
    return f"{name}.npy"


REFUSED_ARRAYS: dict[str, tuple[Callable[[str, np.ndarray], str], str]] = {
    "objects": (in_npy(lambda m: m.astype(object)), "pickle|object"),
    "words": (in_npy(lambda m: m.astype(str)), "no numbers"),
    "dates": (in_npy(lambda m: m.astype("M8[s]")), "no numbers"),
    "records": (in_npy(lambda _: np.zeros(40, [("x", "f8")])), "row per input|no numbers"),
    "complex": (in_npy(lambda m: m + 1j), "complex"),
    "NaN": (in_npy(lambda m: np.where(m > 1, np.nan, m)), "a: The representation has|of a, "),
    "infinite": (in_npy(lambda m: np.where(m > 1, np.inf, m)), "not finite"),
    "one axis": (in_npy(lambda m: m[:, 0]), r"\(40,\)"),
    "one number": (in_npy(lambda _: np.float64(3)), r"\(\)"),
    "no rows": (in_npy(lambda m: m[:0]), r"\(0, "),
    "several": (in_npz(u=same, v=same), "Say which"),
    "empty": (as_bytes(".npy", b""), "cannot be read"),
    "damaged": (cut, "cannot be read"),
    "a text": (as_bytes(".npy", b"1,2,3\n"), "cannot be read"),
    "a pickle": (as_bytes(".pkl", pickle.dumps([1, 2])), "no kind that arrays"),
    "not there": (lambda name, _: f"{name}.npy", "no file"),
    "an array that it lacks": (
        lambda name, m: in_npz(features=same)(name, m) + "::feature",
        "Did you mean 'features'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED_ARRAYS)
def test_files_that_are_no_arrays_are_refused_by_the_command(kind: str, here) -> None:
    write, words = REFUSED_ARRAYS[kind]
    files = [write(name, m) for name, m in (("a", A), ("b", B))]
    with pytest.raises(SamemindError, match=words) as told:
        command("--activations", *files)
    assert_sentences(str(told.value))


def assert_sentences(text: str) -> None:
    assert len(text) < 1000
    assert ".." not in text.replace("...", "").replace("../", "")
    assert text.rstrip().endswith((".", "?"))


# -- predictions

Z = RNG.standard_normal((2, 40, 5))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def jsd(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    return float(np.mean((p * np.log(p / m) + q * np.log(q / m)).sum(1) / 2))


PREDICTIONS: dict[str, tuple[str, np.ndarray, list[str], str, float]] = {
    "logits": ("npy", Z, ["--logits"], "jensen_shannon_divergence", jsd(*softmax(Z))),
    "probabilities": (
        "npy", softmax(Z), ["--probabilities"], "jensen_shannon_divergence", jsd(*softmax(Z)),
    ),
    "probabilities given as logits": (
        "npy", softmax(Z), ["--logits"], "jensen_shannon_divergence", jsd(*softmax(Z)),
    ),
    "probabilities by name": (
        "probs", softmax(Z), [], "jensen_shannon_divergence", jsd(*softmax(Z)),
    ),
    "logits by name": ("logits", Z, [], "agreement", np.mean(Z[0].argmax(1) == Z[1].argmax(1))),
    "one logit": (
        "npy", Z[:, :, :1], ["--logits"], "agreement",
        np.mean((Z[0, :, 0] > 0) == (Z[1, :, 0] > 0)),
    ),
    "one probability": (
        "npy", softmax(Z)[:, :, :1] ** 0.5, ["--probabilities"], "agreement",
        np.mean((softmax(Z)[0, :, 0] > 0.25) == (softmax(Z)[1, :, 0] > 0.25)),
    ),
    "class numbers": (
        "npy", Z.argmax(2), ["--logits"], "agreement",
        np.mean(Z[0].argmax(1) == Z[1].argmax(1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_predictions_are_what_they_are_at_the_command(kind: str, here) -> None:
    how, values, options, measure, truth = PREDICTIONS[kind]
    for name, held in zip("ab", values, strict=True):
        np.save(f"{name}.npy", held) if how == "npy" else np.savez(f"{name}.npz", **{how: held})
    ending = "npy" if how == "npy" else "npz"
    asked = ["compare", "--activations", f"a.{ending}", f"b.{ending}", *options, "--json"]
    result = CliRunner().invoke(app, [*asked, "--measures", measure, "--permutations", "0"])
    assert result.exit_code == 0, result.exception
    assert score(json.loads(result.stdout)) == pytest.approx(float(truth), abs=1e-9)


REFUSED_PREDICTIONS = {
    "rows that do not add to 1": (Z, ["--probabilities"], "adds up to 1"),
    "both at once": (softmax(Z), ["--probabilities", "--logits"], "one of the two"),
    "a regression": (Z[:, :, 0], ["--logits"], "regression output"),
    "several labels": (1 / (1 + np.exp(-Z)), ["--probabilities"], "several labels per input"),
}


@pytest.mark.parametrize("kind", REFUSED_PREDICTIONS)
def test_predictions_that_are_none_are_refused_by_the_command(kind: str, here) -> None:
    values, options, words = REFUSED_PREDICTIONS[kind]
    for name, held in zip("ab", values, strict=True):
        np.save(f"{name}.npy", held)
    result = CliRunner().invoke(app, ["compare", "--activations", "a.npy", "b.npy", *options])
    assert isinstance(result.exception, SamemindError), result.output
    assert_sentences(str(result.exception))
    assert words in str(result.exception)


# -- networks and their inputs

PIXELS = RNG.integers(0, 17, (30, 1, 8, 8)) / 16.0
LEVELS = RNG.choice([0, 255], (30, 1, 8, 8)).astype(np.uint8)


def read_by(seed: int, pixels: np.ndarray) -> np.ndarray:
    """What the network of a seed has before its head, (N, 6)."""
    import brought  # pyright: ignore[reportMissingImports]

    layer = brought.network(seed)[1]
    weight, bias = (v.detach().double().numpy() for v in (layer.weight, layer.bias))
    return pixels.reshape(len(pixels), -1) @ weight.T + bias


NETWORKS = [
    "b", "b_compiled", "b_parallel", "b_softmax", "b_training", "b_double", "b_half", "InTuple",
    "InDict", "B", "scripted", "exported",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_of_functions_are_compared_by_the_command(kind: str, here) -> None:
    np.save("images.npy", PIXELS.astype(np.float32))
    found = command("brought:a", f"brought:{kind}", "--inputs", "images.npy")
    within = 1e-9
    if kind == "b_half":  # whole numbers up to 256 and sixteenths are exact in it, sums are not
        within = 1e-2
    truth = cka(read_by(0, PIXELS), read_by(1, PIXELS))
    assert score(found) == pytest.approx(truth, abs=within)


REFUSED_NETWORKS = {
    "sigmoids": "labels of their own",
    "nan": "not finite",
    "maps": r"\(N, C\)",
    "number": "returned int",
    "headless": "no single linear layer",
    "fails": "could not read images",
    "missing": "has no 'missing'",
}


@pytest.mark.parametrize("kind", REFUSED_NETWORKS)
def test_what_cannot_be_looked_at_is_refused_by_the_command(kind: str, here) -> None:
    np.save("images.npy", PIXELS.astype(np.float32))
    with pytest.raises(SamemindError, match=REFUSED_NETWORKS[kind]) as told:
        command("brought:a", f"brought:{kind}", "--inputs", "images.npy")
    assert_sentences(str(told.value))


def folder_of(pixels: np.ndarray, ending: str = "png", mode: str = "L") -> str:
    Path("pictures").mkdir()
    for i, one in enumerate(pixels):
        Image.fromarray(one[0]).convert(mode).save(f"pictures/{i:03}.{ending}")
    return "pictures"


def saved_images(**held: np.ndarray) -> str:
    np.savez("images.npz", **held)
    return "images.npz"


def in_other_file(ending: str, pixels: np.ndarray) -> str:
    if ending == "safetensors":
        save_file({"images": pixels}, "images.safetensors")
    else:
        with h5py.File("images.h5", "w") as held:
            held["images"] = pixels
    return f"images.{ending}"


def npy_images(pixels: np.ndarray) -> str:
    np.save("images.npy", pixels)
    return "images.npy"


INPUTS: dict[str, tuple[Callable[[], str], np.ndarray]] = {
    "float32": (lambda: npy_images(PIXELS.astype(np.float32)), PIXELS),
    "float64": (lambda: npy_images(PIXELS), PIXELS),
    "float16": (lambda: npy_images(PIXELS.astype(np.float16)), PIXELS),
    "uint8": (lambda: npy_images(LEVELS), LEVELS / 255),
    "channels last": (lambda: npy_images(np.moveaxis(PIXELS, 1, -1)), PIXELS),
    "three axes": (lambda: npy_images(PIXELS[:, 0].astype(np.float32)), PIXELS),
    "with labels": (
        lambda: saved_images(images=PIXELS, labels=np.zeros(30, int)), PIXELS,
    ),
    "safetensors": (lambda: in_other_file("safetensors", PIXELS), PIXELS),
    "HDF5": (lambda: in_other_file("h5", PIXELS), PIXELS),
    "pictures": (lambda: folder_of(LEVELS), LEVELS / 255),
    "pictures in colour": (lambda: folder_of(LEVELS, mode="RGB"), LEVELS / 255),
    "pictures of another kind": (lambda: folder_of(LEVELS, "bmp"), LEVELS / 255),
    "pictures of one bit": (lambda: folder_of(LEVELS, mode="1"), LEVELS / 255),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_of_every_kind_are_read_by_the_command(kind: str, here) -> None:
    write, pixels = INPUTS[kind]
    found = command("brought:a", "brought:b", "--inputs", write(), "--image-size", 8)
    truth = cka(read_by(0, pixels), read_by(1, pixels))
    assert score(found) == pytest.approx(truth, abs=1e-9)
    if kind == "channels last":
        assert any("their last axis was taken for the channels" in n for n in found["notes"])


REFUSED_INPUTS: dict[str, tuple[Callable[[], str], str]] = {
    "0 to 255": (lambda: npy_images(LEVELS.astype(np.float32)), "Divide by 255"),
    "0 to 255 in integers": (lambda: npy_images(LEVELS.astype(np.int64)), "Divide by 255"),
    "normalised": (lambda: npy_images(PIXELS - 0.5), "Undo the normalisation"),
    "NaN": (lambda: npy_images(np.where(PIXELS > 0.9, np.nan, PIXELS)), "not finite"),
    "two channels": (lambda: npy_images(np.repeat(PIXELS, 2, 1)), "channel"),
    "one axis": (lambda: npy_images(PIXELS[:, 0, 0, 0]), r"\(30,\)"),
    "words": (lambda: npy_images(PIXELS.astype(str)), "are numbers"),
    "no images": (lambda: npy_images(PIXELS[:0]), "there are none"),
    "an empty folder": (lambda: str(Path("empty").mkdir() or "empty"), "holds no images"),
    "too few labels": (lambda: saved_images(images=PIXELS, labels=np.zeros(3)), "3 labels for 30"),
    "no such thing": (lambda: "digitz", "Did you mean 'digits'"),
}


@pytest.mark.parametrize("kind", REFUSED_INPUTS)
def test_inputs_that_are_no_images_are_refused_by_the_command(kind: str, here) -> None:
    write, words = REFUSED_INPUTS[kind]
    with pytest.raises(SamemindError, match=words) as told:
        command("brought:a", "brought:b", "--inputs", write(), "--image-size", 8)
    assert_sentences(str(told.value))


# -- checkpoint files, at the door of a study


def weights(seed: int = 1) -> dict[str, torch.Tensor]:
    import brought  # pyright: ignore[reportMissingImports]

    return brought.network(seed).state_dict()


def under(prefix: str, held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in held.items()}


def sharded() -> Path:
    folder, held = Path("shards"), weights()
    folder.mkdir()
    names = list(held)
    for i, part in enumerate((names[:2], names[2:])):
        save_tensors({n: held[n].contiguous() for n in part}, folder / f"m-{i}.safetensors")
    where = {n: f"m-{int(n in names[2:])}.safetensors" for n in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


def defaults(held: dict[str, torch.Tensor]) -> defaultdict:
    found: defaultdict = defaultdict(list)
    found.update(held)
    return found


CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "state dict": weights,
    "state_dict in a file of training": lambda: {
        "epoch": 3, "state_dict": weights(), "optimizer": {"state": {}, "param_groups": []},
    },
    "DataParallel": lambda: under("module.", weights()),
    "compiled": lambda: under("_orig_mod.", weights()),
    "compiled in DataParallel": lambda: under("module._orig_mod.", weights()),
    "Lightning": lambda: {"state_dict": under("model.", weights()), "loops": {"epoch": 3}},
    "FSDP, whole": lambda: under("_fsdp_wrapped_module.", weights()),
    "DeepSpeed": lambda: {"module": weights()},
    "an average beside it": lambda: {"model": weights(), "model_ema": weights(5)},
    "averages without names beside it": lambda: {
        "model": weights(), "ema": {"shadow_params": list(weights(5).values())},
    },
    "averaged, with a count": lambda: {
        "n_averaged": torch.tensor(3), **under("module.", weights()),
    },
    "best and last": lambda: {"best": weights(), "last": {"1.weight": torch.zeros(2, 2)}},
    "student and loss": lambda: {**under("student.", weights()), "criterion.w": torch.ones(3)},
    "NumPy arrays": lambda: {k: v.numpy() for k, v in weights().items()},
    "an ordered dictionary": lambda: OrderedDict(weights()),
    "a default dictionary": lambda: defaults(weights()),
    "float64": lambda: {k: v.double() for k, v in weights().items()},
    "float16": lambda: {k: v.half() for k, v in weights().items()},
    "bfloat16": lambda: {k: v.bfloat16() for k, v in weights().items()},
    "parameters that need gradients": lambda: {
        k: nn.Parameter(v) for k, v in weights().items()
    },
    "slices of larger tensors": lambda: {
        k: torch.cat([v, v])[: len(v)] for k, v in weights().items()
    },
    "shards": sharded,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Natural, np.ndarray]:
    """A store with an input set in it, and its pixels."""
    store = Store(tmp_path_factory.mktemp("study") / "store")
    record = DATASETS["digits"]
    inputs = Natural(
        dataset="digits", split="test", count=None, random_seed=0,
        preprocessing=record.preprocessing, fingerprint=record.fingerprints.get("test", ""),
    )  # fmt: skip
    build_natural(inputs, store, Execution(device="cpu"))
    pixels = record.split("test").read(range(len(record.split("test"))))
    return store, inputs, np.asarray(pixels, np.float64)


def claims(function: str) -> Claims:
    return Claims(
        dataset="digits", architecture=f"python:brought:{function}", epsilon=0.0, mean=(0.0,),
        std=(1.0,),
    )  # fmt: skip


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints_are_compared_by_a_study(kind: str, here, digits) -> None:
    store, inputs, pixels = digits
    torch.save(weights(0), "first.pt")
    made = CHECKPOINTS[kind]()
    source = made if isinstance(made, Path) else Path("second.pt")
    if source is not made:
        torch.save(made, source)
    recipes = [
        import_checkpoint(str(file), store, claims(name))
        for file, name in (("first.pt", "a"), (source, "b"))
    ]
    execution = Execution(device="cpu")
    seen = tuple(Activations(checkpoint=recipe, inputs=inputs) for recipe in recipes)
    for recipe in seen:
        if not store.has(recipe):
            build_activations(recipe, store, execution)
    scores = Scores(
        dataset="digits", epsilon=0.0, activations=seen, measures=("linear_cka",),
        permutations=0, random_seed=0, errors=False, driving_inputs=0, subgroups=False,
    )  # fmt: skip
    build_scores(scores, store, execution)
    (found,) = store.open(scores).table("scores.parquet")["score"]
    truth = cka(read_by(0, pixels), read_by(1, pixels))
    assert found == pytest.approx(truth, abs=1e-9)


REFUSED_CHECKPOINTS: dict[str, tuple[Callable[[], Any], str]] = {
    "another network": (lambda: {"1.weight": torch.zeros(6, 63)}, "does not fit"),
    "half of it": (lambda: dict(list(weights().items())[:2]), "missing"),
    "more than it": (
        lambda: weights() | {"9.weight": torch.zeros(4, 4)}, "unexpected|outside",
    ),
    "weights that are not finite": (
        lambda: weights() | {"1.bias": torch.full((6,), np.inf)}, "not finite",
    ),
    "adapters": (
        lambda: {"1.lora_A.weight": torch.zeros(2, 64), "1.lora_B.weight": torch.zeros(6, 2)},
        "merge_and_unload",
    ),
    "flat parameters": (lambda: {"_flat_param": torch.zeros(460)}, "FSDP"),
    "averages without names": (
        lambda: {"shadow_params": list(weights().values())}, "without names",
    ),
    "an optimiser": (
        lambda: {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}, "optimiser",
    ),
    "two alike": (lambda: {"student": weights(), "teacher": weights(2)}, "holds 2 networks"),
    "a list": (lambda: list(weights().values()), "no tensors by name"),
    "one tensor": (lambda: torch.zeros(3), "no tensors by name"),
    "a whole network": (lambda: nn.Linear(3, 3), "--trust"),
    "sparse weights": (
        lambda: {k: v.to_sparse() if v.ndim == 2 else v for k, v in weights().items()},
        "sparse",
    ),
    "without values": (lambda: {k: v.to("meta") for k, v in weights().items()}, "numbers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED_CHECKPOINTS)
def test_files_that_are_not_the_network_are_refused_by_a_study(kind: str, here, digits) -> None:
    make, words = REFUSED_CHECKPOINTS[kind]
    torch.save(make(), "second.pt")
    with pytest.raises(SamemindError, match=words) as told:
        import_checkpoint("second.pt", digits[0], claims("b"))
    assert_sentences(str(told.value))


def test_the_table_has_its_rows() -> None:
    import test_what_people_bring as arrays

    rows = len(arrays.DOORS) * (len(arrays.HELD) + len(arrays.REFUSED)) + len(arrays.LABELS)
    rows += sum(
        len(table)
        for table in (
            ARRAYS, REFUSED_ARRAYS, PREDICTIONS, REFUSED_PREDICTIONS, NETWORKS, REFUSED_NETWORKS,
            INPUTS, REFUSED_INPUTS, CHECKPOINTS, REFUSED_CHECKPOINTS,
        )
    )  # fmt: skip
    assert rows >= 220
