"""`samemind compare`, as a user types it: models, images, activations, labels and the report."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from scipy.io import savemat
from typer.testing import CliRunner

from samemind.architectures.base import ARCHITECTURES
from samemind.classifier import outputs
from samemind.cli import app
from samemind.comparison.mechanisms import score_mechanisms
from samemind.comparison.sets import score_sets
from samemind.datasets.base import DATASETS
from samemind.errors import CheckpointError, InvalidInput, UnknownName
from samemind.execution.devices import Execution
from samemind.inputs.arrays import read_activations
from samemind.inputs.images import fitted, open_images
from samemind.measures import Side, measure
from samemind.networks.opening import Loading, Model, open_model, open_models
from samemind.own_models import Asked, compare_models
from samemind.reporting import write_report


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def two_arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((60, 7))
    return first, first @ rng.standard_normal((7, 5)) + 0.3 * rng.standard_normal((60, 5))


@pytest.fixture
def weights(tmp_path: Path) -> list[Path]:
    """Two files of the same architecture with other random weights."""
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = ARCHITECTURES["digits_vgg_bn"].build(10, 8)
        paths.append(tmp_path / f"model{seed}.pt")
        torch.save({"state_dict": network.state_dict()}, paths[-1])
    return paths


# -- activations


def test_activations_of_any_file_kind_give_the_same_arrays(tmp_path: Path, two_arrays) -> None:
    a, b = two_arrays
    np.save(tmp_path / "npy.npy", a)
    np.savez(tmp_path / "npz.npz", features=a, logits=b)
    save_file({"representation": a, "logits": b}, tmp_path / "st.safetensors")
    savemat(tmp_path / "mat.mat", {"x": a, "logits": b})
    with h5py.File(tmp_path / "h5.h5", "w") as held:
        held["layer4/features"], held["logits"] = a, b
    with h5py.File(tmp_path / "mat73.mat", "w") as held:
        held["x"] = a.T
    names = ("npy.npy", "npz.npz", "st.safetensors", "mat.mat", "h5.h5", "mat73.mat")
    found = read_activations([str(tmp_path / name) for name in names])
    for name in names:
        np.testing.assert_array_equal(found[name.split(".")[0]]["representation"], a)
    for name in ("npz", "st", "mat", "h5"):
        np.testing.assert_array_equal(found[name]["logits"], b)


def test_two_npy_files_are_compared_without_any_model(tmp_path: Path, two_arrays) -> None:
    for name, array in zip("ab", two_arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    found = json.loads(run("--activations", tmp_path / "a.npy", tmp_path / "b.npy", "--json"))
    scores = {row["measure"]: row["score"] for row in found["scores"]}
    assert scores["linear_cka"] == pytest.approx(measure("linear_cka")(*two_arrays), abs=1e-12)
    assert "agreement" not in scores
    assert any("agreement" in note for note in found["notes"])


def test_activations_with_logits_and_labels_answer_whether_to_swap(tmp_path: Path) -> None:
    labels = np.arange(200) % 4
    for name, n_wrong in (("old", 10), ("new", 30)):
        logits = np.eye(4)[labels]
        logits[:n_wrong] = np.roll(logits[:n_wrong], 1, axis=1)
        np.savez(tmp_path / f"{name}.npz", logits=logits)
    np.savetxt(tmp_path / "labels.txt", labels, fmt="%d")
    told = run(
        "--activations", tmp_path / "old.npz", tmp_path / "new.npz",
        "--labels", tmp_path / "labels.txt", "--measures", "agreement",
    )  # fmt: skip
    assert "20 inputs turn from right to wrong: 10.00 %" in told
    # Inputs 0 to 9 are wrong before and after: the first that turns is number 10, of class 2.
    assert "    #10 is 2: 2 → 3\n    #11 is 3: 3 → 0\n" in told
    assert "and 15 more" in told
    assert "No: with 95 % confidence more than 1 %" in told
    assert "accuracy 0.9500 → 0.8500" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.npy"], "two models or more"),
        (["a.npy", "missing.npy"], "There is no file"),
        (["a.npy", "short.npy"], "60 in a, 9 in short"),
        (["a.npy", "many.npz"], "Say which"),
        (["a.npy", "many.npz::nme"], "Did you mean"),
        (["a.npy", "x=a.npy", "--measures", "linear_ckaa"], "Did you mean 'linear_cka'"),
        (["a.npy", "x=a.npy", "--measures", "agreement"], "only representations were given"),
        (["a.npy", "x=a.npy", "--measures", "ambiguty"], "Did you mean 'ambiguity'"),
        (["a.npy", "x=a.npy", "--measures", "ambiguity"], "only representations were given"),
        (["a.npy", "x=a.npy", "--measures", "stir"], "arrays make none"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch, two_arrays, arguments, words
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = two_arrays
    np.save("a.npy", a)
    np.save("short.npy", b[:9])
    np.savez("many.npz", name=a, other=b)
    with pytest.raises((InvalidInput, UnknownName), match=words):
        run("--activations", *arguments)


def test_all_models_are_measured_together_and_what_is_undefined_says_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logits = {name: rng.standard_normal((50, 4)) for name in ("a", "b", "c")}
    for name, array in logits.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.save(tmp_path / f"same_{name}.npy", np.eye(4)[np.zeros(50, int)])
    files = [tmp_path / f"{name}.npy" for name in logits]
    measures = ["ambiguity", "discrepancy", "fleiss_kappa"]
    common = ("--activations", "--logits", "--permutations", 0, "--measures")
    found = json.loads(run(*files, *common, ",".join(["agreement", *measures]), "--json"))
    expected = list(
        score_sets({name: Side(logits=array) for name, array in logits.items()}, measures)
    )
    assert [{key: row[key] for key in expected[0]} for row in found["sets"]] == expected
    assert {row["measure"] for row in found["scores"]} == {"agreement"}
    told = run(*files, *common, "ambiguity")
    line = told.split("All models together:")[1].splitlines()[2].split()
    assert line == ["the", "inputs", "3", "50", f"{expected[0]['score']:.4f}"]

    same = [tmp_path / f"same_{name}.npy" for name in logits]
    (row,) = json.loads(run(*same, *common, "fleiss_kappa", "--json"))["sets"]
    assert row["score"] is None
    assert "one class" in row["reason"]
    assert "Undefined: fleiss_kappa of all models on the inputs: All" in run(
        *same, *common, "fleiss_kappa"
    )


# -- models and images


def test_checkpoint_files_are_compared_on_a_dataset_with_accuracies(weights) -> None:
    found = json.loads(
        run(
            *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 80,
            "--json", "--permutations", 2,
        )
    )  # fmt: skip
    assert [m["name"] for m in found["models"]] == ["model0", "model1"]
    assert all(0 <= m["accuracy"] <= 0.5 for m in found["models"])
    (replacement,) = found["replacements"]
    assert replacement["n_inputs"] == 80
    agreement = next(r["score"] for r in found["scores"] if r["measure"] == "agreement")
    assert agreement == pytest.approx(1 - replacement["churn"] / 80)


def test_a_file_model_computes_what_its_network_computes(weights) -> None:
    model = open_model(str(weights[1]), Loading(architecture="digits_vgg_bn", dataset="digits"))
    digits = DATASETS["digits"]
    images = torch.from_numpy(digits.split("test").read(range(5)))
    network = ARCHITECTURES["digits_vgg_bn"].build(10, 8).eval()
    network.load_state_dict(torch.load(weights[1])["state_dict"])
    with torch.no_grad():
        expected = network((images - digits.mean[0]) / digits.std[0])
        torch.testing.assert_close(model.classifier(images).logits, expected)


def test_the_architecture_of_a_file_is_recognised_by_its_keys(weights) -> None:
    model = open_model(str(weights[0]), Loading(dataset="digits"))
    assert model.architecture == "digits_vgg_bn"
    assert "recognised" in model.note


def test_weights_that_do_not_fit_are_refused_whole(weights) -> None:
    with pytest.raises(CheckpointError, match="does not fit 'digits_resnet'"):
        open_model(str(weights[0]), Loading(architecture="digits_resnet", dataset="digits"))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Loading()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="more than tensors"):
        open_model(str(tmp_path / "evil.pt"), Loading(architecture="digits_resnet"))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("ckpt/none.pt", "there is no such file"),
        ("timm:test_resnt", "Did you mean 'test_resnet'"),
        ("torchvision:resnet81", "Did you mean 'resnet18'"),
        ("samemind.nowhere:net", "cannot be imported"),
        ("timm:test_resnet", "--random-weights"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_to_do(reference: str, words: str) -> None:
    with pytest.raises((InvalidInput, UnknownName, CheckpointError), match=words):
        open_model(reference)


def test_a_function_gives_a_model(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\n"
        "def small():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))\n"
        "def grey():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    told = run("mynets:grey", "other=mynets:grey", "--image-size", 8, "--inputs", "digits",
               "--count", 40)  # fmt: skip
    assert "grey – other" in told


def class_folders(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("n01440764", "n01443537"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_a_folder_of_imagenet_classes_gives_labels_to_timm_models(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pictures")
    found = json.loads(
        run(
            "timm:test_resnet", "timm:test_vit", "--random-weights", "--inputs", folder,
            "--permutations", 2, "--json", "--measures", "linear_cka,agreement",
        )
    )  # fmt: skip
    assert found["inputs"] == {
        "name": "pictures", "count": 12, "classes": ["n01440764", "n01443537"],
    }  # fmt: skip
    assert all(m["accuracy"] is not None for m in found["models"])
    images = open_images(str(folder))
    labels, _ = images.labels_for(1000)
    assert labels is not None
    assert list(labels) == [0] * 6 + [1] * 6
    assert images.labels_for(10)[0] is None


def test_inputs_that_flip_are_listed_by_their_files_and_classes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pictures")
    out = tmp_path / "report"
    code = (
        "import torch\nfrom torch import nn\n\n\nclass Says(nn.Module):\n"
        "    def __init__(self, bias):\n        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Conv2d(3, 2, 8, stride=8), nn.Flatten())\n"
        "        self.fc = nn.Linear(32, 2)\n        nn.init.zeros_(self.fc.weight)\n"
        "        self.fc.weight.data[0, 0] = 1e-6\n"
        "        self.fc.bias.data = torch.tensor(bias)\n\n"
        "    def forward(self, x):\n        return self.fc(self.body(x))\n\n\n"
        "def first():\n    return Says([1.0, 0.0])\n\n\n"
        "def second():\n    return Says([0.0, 1.0])\n"
    )
    (tmp_path / "flipping.py").write_text(code)
    sys.path.insert(0, str(tmp_path))
    try:
        arguments = ["flipping:first", "flipping:second", "--image-size", 32, "--inputs", folder]
        arguments += ["--measures", "agreement", "--permutations", 0]
        told = run(*arguments, "--out", out)
        found = json.loads(run(*arguments, "--json"))
    finally:
        sys.path.remove(str(tmp_path))
    # One model gives every picture the first class, the other the second: all of them flip.
    assert "n01440764/0.png is n01440764: n01440764 → n01443537" in told
    assert "n01443537/0.png is n01443537: n01440764 → n01443537" in told
    assert told.count("and 1 more") == 2
    by_name = {row["name"]: row for row in found["flips"]}
    assert len(by_name) == 12
    assert by_name["n01440764/5.png"]["direction"] == "right to wrong"
    assert by_name["n01443537/5.png"]["direction"] == "wrong to right"
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "6 from right to wrong, second in the place of first" in page
    assert page.count('<li><img alt="" loading="lazy" src="data:image/png;base64,') == 12
    table = pd.read_csv(out / "tables" / "flips.csv")
    assert list(table["name"]) == list(by_name)
    classes = pd.read_csv(out / "tables" / "flips-by-class.csv").set_index("class")
    assert classes.loc["n01440764", ["right to wrong", "wrong to right"]].tolist() == [6, 0]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pictures")
    (folder / "n01440764" / "3.png").write_bytes(b"not a picture")
    with pytest.raises(OSError, match=r"3\.png cannot be read"):
        open_images(str(folder)).read(range(6), size=32, crop=1.0, channels=3)


def test_a_picture_is_cropped_in_the_middle_and_resized_by_its_shorter_side(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    images = open_images(str(tmp_path))
    assert images.labels is None
    whole = images.read([0], size=20, crop=1.0, channels=3)
    assert whole.shape == (1, 3, 20, 20)
    assert float(whole.min()) == 1.0
    assert images.read([0], size=10, crop=0.5, channels=1).shape == (1, 1, 10, 10)


def test_normalised_tensors_are_refused_as_images(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((4, 3, 8, 8)))
    with pytest.raises(InvalidInput, match="Undo the normalisation"):
        open_images(str(tmp_path / "x.npy"))


def test_out_writes_a_report(tmp_path: Path, weights) -> None:
    out = tmp_path / "report"
    run(
        *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 60,
        "--permutations", 2, "--measures", "agreement,linear_cka", "--out", out,
    )  # fmt: skip
    assert (out / "index.html").is_file()
    assert (out / "scores.parquet").is_file()


# -- beyond the penultimate layer on natural images


def test_layers_probes_and_inversion_are_added_to_a_comparison(tmp_path: Path, weights) -> None:
    told = run(
        *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 80,
        "--measures", "agreement,linear_cka", "--permutations", 2, "--json",
        "--invert", 6, "--invert-steps", 3, "--probe", "--layers", "features.0,classifier",
    )  # fmt: skip
    found = json.loads(told)
    inverted = [r for r in found["scores"] if r["inputs"] == "inverted"]
    assert {(r["model_a"], r["inverted_by"]) for r in inverted} == {
        ("model0", "model0"), ("model1", "model1"),
    }  # fmt: skip
    assert all(r["n_inputs"] == 6 for r in inverted)
    assert {(r["layer_a"], r["layer_b"]) for r in found["layers"]} == {
        (a, b) for a in ("features.0", "classifier") for b in ("features.0", "classifier")
    }
    own = {r["heads"] for r in found["probes"] if r["model_a"] == r["model_b"]}
    assert own == {"same representation", "own head"}
    of_pairs = {r["heads"] for r in found["probes"] if r["model_a"] != r["model_b"]}
    assert of_pairs == {"original", "probe"}


def test_mechanisms_and_sets_are_scored_on_inverted_images(weights, tmp_path: Path) -> None:
    of_mechanisms, of_sets = ["stir", "stir@agreement"], ["ambiguity", "fleiss_kappa"]
    measures = ["linear_cka", *of_mechanisms, *of_sets]
    loading = Loading(architecture="digits_vgg_bn", dataset="digits")
    models = open_models([str(path) for path in weights], loading)
    # The second sees them larger, as a model of another size does.
    models[1] = replace(models[1], image_size=12)
    images = open_images("digits", count=40)
    asked = Asked(measures=measures, permutations=3, invert=6, invert_steps=3)
    found = compare_models(models, images, asked, execution=Execution(device="cpu"))

    shown = {
        kind: {
            owner.name: torch.from_numpy(
                np.stack([getattr(g, kind) for g in found.gallery if g.model == owner.name])
            )
            for owner in models
        }
        for kind in ("target", "inverted")
    }

    def side(model: Model, pixels: torch.Tensor) -> Side:
        seen = fitted(pixels, model.image_size, model.channels)
        said = outputs(model.classifier, seen, batch_size=64, device=torch.device("cpu"))
        return Side(logits=said.logits, representation=said.representation)

    columns = ["model_a", "model_b", "measure", "score", "floor", "inputs", "inverted_by"]
    rows = found.scores[found.scores["measure"].isin(of_mechanisms)][columns]
    sets = found.sets
    assert sets is not None
    assert list(sets["inputs"]) == ["natural"] * 2 + ["inverted"] * 4
    for owner, other in (models, models[::-1]):
        before, after = (side(other, shown[kind][owner.name]) for kind in ("target", "inverted"))
        assert rows[rows["inverted_by"] == owner.name].to_dict("records") == [
            {key: row[key] for key in columns[:4]}
            | {"floor": pytest.approx(row["floor"]), "score": pytest.approx(row["score"])}
            | {"inputs": "inverted", "inverted_by": owner.name}
            for row in score_mechanisms(
                {other.name: before},
                {other.name: after},
                [(owner.name, other.name)],
                of_mechanisms,
                permutations=3,
            )
        ]
        together = {m.name: side(m, shown["inverted"][owner.name]) for m in models}
        assert list(sets[sets["inverted_by"] == owner.name]["score"]) == pytest.approx(
            [row["score"] for row in score_sets(together, of_sets)]
        )

    # Those of pairs are what they are without the others.
    assert len(found.scores[found.scores["measure"] == "linear_cka"]) == 1 + 2
    page = write_report(found, tmp_path / "report")
    assert len(pd.read_parquet(page.parent / "sets.parquet")) == 6
    assert "Sets of models" in page.read_text(encoding="utf-8")


def test_the_command_scores_mechanisms_where_it_inverts_and_else_says_how(
    weights, tmp_path: Path
) -> None:
    common = (
        *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 20,
        "--permutations", 0, "--measures",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"'stir' cannot be computed here.* Add --invert N"):
        run(*common, "agreement,stir")
    with pytest.raises(UnknownName, match="Did you mean 'stir'"):
        run(*common, "stirr", "--invert", 4)
    told = run(*common, "stir,ambiguity", "--invert", 4, "--invert-steps", 2, "--out",
               tmp_path / "report")  # fmt: skip
    mechanisms, sets = told.split("on the first one's inverted images of them:")[1].split(
        "All models together:"
    )
    assert [line.split()[0] for line in mechanisms.strip().splitlines()[1:]] == [
        "model0", "stir", "model1", "stir",
    ]  # fmt: skip
    assert "inverted images of model1" in sets
    assert (tmp_path / "report/tables/sets.csv").is_file()


def test_a_model_of_other_classes_has_mechanisms_but_is_in_no_set(weights, tmp_path: Path) -> None:
    seven = tmp_path / "seven.pt"
    torch.save(ARCHITECTURES["digits_vgg_bn"].build(7, 8).state_dict(), seven)
    common = (
        weights[0], seven, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 20,
        "--permutations", 0, "--invert", 4, "--invert-steps", 1, "--json", "--measures",
    )  # fmt: skip
    found = json.loads(run(*common, "stir@agreement"))
    assert [row["model_b"] for row in found["scores"]] == ["seven", "model0"]
    with pytest.raises(InvalidInput, match=r"'ambiguity'.* different numbers of classes"):
        run(*common, "ambiguity")


def test_more_steps_bring_inverted_images_nearer(weights) -> None:
    def loss(steps: int) -> float:
        told = run(
            *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 20,
            "--measures", "agreement", "--permutations", 0, "--json",
            "--invert", 8, "--invert-steps", steps,
        )  # fmt: skip
        note = next(n for n in json.loads(told)["notes"] if n.startswith("Inverted for model0"))
        return float(note.split("median ")[1].split(" ")[0])

    assert loss(40) < 0.7 * loss(1)


def test_probes_recover_what_random_heads_lose(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    base = np.eye(3)[labels] * 3 + 0.3 * rng.standard_normal((300, 3))
    for name in "ab":
        mixed = base @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        np.savez(tmp_path / f"{name}.npz", representation=mixed, logits=rng.random((300, 3)))
    np.savetxt(tmp_path / "labels.txt", labels, fmt="%d")
    found = json.loads(
        run(
            "--activations", tmp_path / "a.npz", tmp_path / "b.npz", "--probe", "--json",
            "--labels", tmp_path / "labels.txt", "--measures", "agreement",
        )
    )  # fmt: skip
    scores = {(r["heads"], r["measure"]): r["score"] for r in found["probes"]}
    assert all(r["standard_error"] is not None for r in found["probes"])
    assert scores["probe", "agreement"] > 0.95
    assert scores["original", "agreement"] < 0.6


def test_heads_are_retrained_on_inputs_of_their_own(weights) -> None:
    told = run(
        *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 50,
        "--measures", "agreement", "--permutations", 0, "--json",
        "--probe-inputs", "digits:train",
    )  # fmt: skip
    found = json.loads(told)
    n_train = DATASETS["digits"].splits["train"]
    (note,) = [n for n in found["notes"] if "retrained" in n]
    assert f"on {n_train:,} inputs of digits:train and compared on all 50 inputs" in note
    # All inputs are compared on, so the original heads agree as they do in the scores.
    original = {r["measure"]: r["score"] for r in found["probes"] if r["heads"] == "original"}
    agreement = next(r["score"] for r in found["scores"] if r["measure"] == "agreement")
    assert original["agreement"] == agreement
    # Untrained networks separate digits well enough for a head to beat chance by far.
    accuracies = [
        float(part.split()[-1]) for part in note.split("accuracies: ")[1][:-1].split(", ")
    ]
    assert min(accuracies) > 0.5
    with pytest.raises(InvalidInput, match="leave --inputs, --invert, --layers and --probe-inputs"):
        run("--activations", "a.npy", "b.npy", "--probe-inputs", "digits")


def test_a_layer_that_no_model_has_is_answered_with_a_suggestion(weights) -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'classifier'"):
        run(
            *weights, "--architecture", "digits_vgg_bn", "--inputs", "digits", "--count", 20,
            "--permutations", 0, "--layers", "clasifier",
        )  # fmt: skip


def test_files_of_two_architectures_are_compared_with_one_for_each(tmp_path: Path, weights) -> None:
    torch.save(ARCHITECTURES["digits_vit"].build(10, 8).state_dict(), tmp_path / "vit.pt")
    common = ["--inputs", "digits", "--count", 20, "--permutations", 0, "--json"]
    told = run(weights[0], tmp_path / "vit.pt", "--architecture", "digits_vgg_bn, digits_vit",
               *common)  # fmt: skip
    assert [m["architecture"] for m in json.loads(told)["models"]] == [
        "digits_vgg_bn", "digits_vit",
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="2 architectures were given for 1 models"):
        run(weights[0], "--architecture", "digits_vgg_bn,digits_vit", *common)
