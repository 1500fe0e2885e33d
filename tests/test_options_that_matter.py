"""An option that changes nothing is refused, as whoever gave it expects that it does."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import samemind
from samemind.cli import app
from samemind.commands.compare_options import PANELS, Options
from samemind.errors import InvalidInput, SamemindError

MODELS = """
from torch import nn
def fixed(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def open_(num_classes=10): return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
LENT = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
def ready(mean=0.5, std=0.5):
    import torch
    from samemind.classifier import Classifier
    torch.manual_seed(0)
    return Classifier(fixed(), head="1", mean=[mean], std=[std])
def stated(): return ready(0.1, 0.2)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "somemodels", raising=False)
    (tmp_path / "somemodels.py").write_text(MODELS)
    np.save("a.npy", np.random.default_rng(0).standard_normal((30, 4)))
    np.save("b.npy", np.random.default_rng(1).standard_normal((30, 4)))
    return tmp_path


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert isinstance(result.exception, SamemindError), result.output
    return str(result.exception)


ON_DIGITS = ("--inputs", "digits", "--count", "20")


@pytest.mark.parametrize(
    "option",
    [
        ("--count", "5"), ("--classes", "10"), ("--architecture", "digits_resnet"), ("--trust",),
        ("--part", "ema"), ("--normalise", "none"), ("--mean", "0"), ("--std", "1"),
        ("--head", "fc"), ("--image-size", "8"), ("--random-weights",), ("--download",),
        ("--invert-steps", "5"), ("--pooling", "flatten"), ("--layer-measure", "linear_cka"),
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_options_of_networks_are_refused_with_activations(option: tuple[str, ...], here) -> None:
    assert f"{option[0]} is of networks" in said("--activations", "a.npy", "b.npy", *option)


def test_every_option_of_rows_is_taken_with_activations(here) -> None:
    def found(*options: str, exits: int = 0) -> dict[str, Any]:
        given = ["compare", "a.npy", "b.npy", "c.npy", "--permutations", "0", "--json", *options]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == exits, result.output
        return json.loads(result.stdout)

    rows = np.random.default_rng(2).standard_normal((30, 4))
    np.save("c.npy", rows)
    assert found()["differences"] is None
    assert found("--differences", "--measures", "linear_cka")["differences"]
    rows[3] = np.nan
    np.save("c.npy", rows)
    assert found("--drop-missing")["inputs"]["count"] == 29
    np.save("labels.npy", np.arange(30) % 4)
    classed = ("--logits", "--labels", "labels.npy", "--fail-on", "no", "--drop-missing")
    for name, numbers in (("a", np.eye(4)), ("b", np.roll(np.eye(4), 1, 0)), ("c", np.eye(4))):
        np.save(f"{name}.npy", numbers[np.arange(30) % 4])
    assert found(*classed, exits=1)["replacements"][0]["answer"] == "no"
    for name in "abc":
        lines = [f"{i + (name == 'c')},{i},{i * i % 7}" for i in range(30)]
        Path(f"{name}.csv").write_text("\n".join(["id,x,y", *lines]))
    named = [f"{name}={name}.csv" for name in "abc"]
    result = CliRunner().invoke(app, ["compare", *named, "--join", "inner", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["inputs"]["count"] == 29


@pytest.mark.parametrize(
    "option",
    [
        ("--tokens", "last"), ("--no-special-tokens",), ("--max-length", "8"),
        ("--text-column", "text"), ("--id-column", "id"), ("--label-column", "label"),
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_options_of_texts_are_refused_with_pictures(option: tuple[str, ...], here) -> None:
    name = option[0].replace("--no-", "--")
    found = said("somemodels:fixed", "b=somemodels:fixed", *ON_DIGITS, *option)
    assert f"{name} is of texts" in found


@pytest.mark.parametrize(
    "option",
    [
        ("--normalise", "none"), ("--head", "fc"), ("--image-size", "8"), ("--crop", "0.9"),
        ("--precision", "float64"), ("--representation", "fc"), ("--random-weights",),
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_options_of_pictures_are_refused_with_texts(option: tuple[str, ...], here) -> None:
    Path("texts.txt").write_text("one\ntwo\n")
    found = said("hf:first", "hf:second", "--inputs", "texts.txt", *option)
    assert f"{option[0]} is of networks that look at pictures" in found


def test_panels_name_options_that_there_are() -> None:
    named = [name for names in PANELS.values() for name in names]
    assert set(named) <= {field.name for field in fields(Options)}
    assert len(named) == len(set(named))


@pytest.mark.parametrize("option", ["--logits", "--probabilities"])
def test_what_arrays_hold_is_not_said_of_networks(option: str, here) -> None:
    found = said("somemodels:fixed", "b=somemodels:fixed", *ON_DIGITS, option)
    assert "add --activations" in found


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--architecture", "digits_resnet"), "--architecture was given"),
        (("--trust",), "--trust was given"),
        (("--part", "ema"), "--part was given"),
        (("--random-weights",), "--random-weights was given"),
        (("--classes", "7"), "takes no num_classes and its network tells 10 apart"),
    ],
)
def test_options_that_no_model_takes_are_refused(option, words, here) -> None:
    assert words in said("somemodels:fixed", "b=somemodels:fixed", *ON_DIGITS, *option)


def test_a_number_of_classes_reaches_a_function_that_takes_it(here) -> None:
    models = ["somemodels:open_", "b=somemodels:open_"]
    found = samemind.compare(models, "digits", count=20, classes=7, permutations=0)
    assert list(found.models["classes"]) == [7, 7]
    same = samemind.compare(["somemodels:fixed", *models[1:]], "digits", count=20, classes=10)
    assert list(same.models["classes"]) == [10, 10]


def test_a_number_of_classes_is_not_ignored_by_the_function_of_a_file(here) -> None:
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).state_dict(), "w.pt")
    options = ("--architecture", "somemodels:fixed", "--normalise", "none", *ON_DIGITS)
    assert "takes no num_classes" in said("w.pt", "b=w.pt", "--classes", "7", *options)


def test_a_normalisation_is_not_ignored_by_a_function_that_makes_classifiers(here) -> None:
    numbers = {"mean": [0.1], "std": [0.2]}
    models = ["somemodels:ready", "somemodels:stated"]
    found = samemind.compare(models, "digits", count=20, permutations=0, **numbers)
    assert found.readings["mean"].tolist() == ["0.1", "0.1"]
    # They differ in nothing but their own normalisations.
    assert found.scores.set_index("measure")["score"]["linear_cka"] == pytest.approx(1, abs=1e-9)
    options = ("--classes", "7", *ON_DIGITS)
    assert "takes no num_classes" in said("somemodels:ready", "b=somemodels:ready", *options)


def test_a_network_that_a_module_holds_comes_out_in_the_mode_it_went_in(here) -> None:
    import somemodels  # pyright: ignore[reportMissingImports]

    assert somemodels.LENT.training
    models = ["somemodels:LENT", "somemodels:fixed"]
    found = samemind.compare(models, "digits", count=20, permutations=0)
    assert somemodels.LENT.training
    assert all(module.training for module in somemodels.LENT.modules())
    assert any(note.startswith("LENT was given in training mode") for note in found.notes)


PYTHON = {
    "count of arrays": ({"count": 5}, "count=5"),
    "classes of arrays": ({"classes": 5}, "--classes was given"),
    "a misspelt option": ({"permutatoins": 5}, "no option"),
}


@pytest.mark.parametrize("kind", PYTHON)
def test_options_of_networks_are_refused_for_arrays_in_python(kind: str) -> None:
    options, words = PYTHON[kind]
    arrays = [np.random.default_rng(i).standard_normal((30, 4)) for i in range(2)]
    with pytest.raises(InvalidInput, match=words):
        samemind.compare(arrays, **options)


@pytest.mark.parametrize(
    "option",
    [{"tokens": "last"}, {"special_tokens": False}, {"max_length": 5}, {"text_column": "body"}],
    ids=str,
)
def test_options_of_texts_are_refused_where_none_are_read(option) -> None:
    pair = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(3)]
    images, arrays = torch.rand(9, 1, 8, 8), [torch.rand(9, 4) for _ in range(3)]
    for run in (
        lambda: samemind.compare(pair[:2], images, **option),
        lambda: samemind.compare(arrays[:2], **option),
        lambda: samemind.trajectory(arrays, steps=[0, 1, 2], **option),
        lambda: samemind.fidelity(*pair[:2], images, **option),
    ):
        with pytest.raises(InvalidInput, match=f"'{next(iter(option))}'.*Leave it out"):
            run()


@pytest.mark.parametrize("option", [{"measures": "linear_cka"}, {"join": "inner"}], ids=str)
def test_options_of_comparing_are_refused_where_two_networks_are_held_together(option) -> None:
    pair = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2)]
    with pytest.raises(InvalidInput, match="Models have no option"):
        samemind.fidelity(*pair, torch.rand(9, 1, 8, 8), **option)


@pytest.mark.parametrize("option", [{"classes": 3}, {"part": "ema"}, {"trust": True}])
def test_options_of_references_are_refused_for_networks_of_ones_own(option) -> None:
    pair = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2)]
    with pytest.raises(InvalidInput, match="was given, but"):
        samemind.compare(pair, torch.rand(9, 1, 8, 8), **option)
    with pytest.raises(InvalidInput, match="batch size"):
        samemind.compare(pair, torch.rand(9, 1, 8, 8), batch_size=0)


ONE = {
    "a network": nn.Linear(3, 3),
    "an array": np.zeros((3, 4)),
    "a word": "model.pt",
    "a side": samemind.Side(representation=np.eye(3)),
    "a number": 3,
}


@pytest.mark.parametrize("kind", ONE)
def test_models_that_are_neither_listed_nor_named_are_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match="list"):
        samemind.compare(ONE[kind])


def test_what_is_wrong_with_one_of_several_arrays_is_told_with_its_name(here) -> None:
    good, bad = np.load("a.npy"), np.load("b.npy")
    bad[2, 1] = np.nan
    np.save("bad.npy", bad)
    with pytest.raises(InvalidInput, match=r"not finite.*1 of B\): rows 2"):
        samemind.compare({"A": good, "B": bad})
    assert "(1 of bad): rows 2" in said("--activations", "a.npy", "bad.npy")
    with pytest.raises(InvalidInput, match=r"row 2, column 1"):
        samemind.compare({"A": good, "B": np.where(np.isnan(bad), np.inf, bad)})
    with pytest.raises(InvalidInput, match=r"\(30,\) was found.*values\.reshape\(-1, 1\)"):
        samemind.measure("linear_cka")(good[:, 0], good[:, 1])
    column = good[:, 0].reshape(-1, 1)
    assert samemind.measure("linear_cka")(column, column) == pytest.approx(1)


LOADERS = {
    "a loader": lambda held: torch.utils.data.DataLoader(held, batch_size=5),
    "a data set": lambda held: held,
    "batches one by one": lambda held: iter(held.tensors[0].split(5)),
    "a list of batches": lambda held: list(held.tensors[0].split(5)),
    "a list of images": lambda held: list(held.tensors[0]),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_batches_are_put_together_in_their_order(kind: str) -> None:
    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    held = torch.utils.data.TensorDataset(images, labels)
    pair = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2)]
    given = LOADERS[kind](held)
    found, plain = (
        samemind.compare(pair, inputs, permutations=0, measures="linear_cka", device="cpu")
        for inputs in (given, images)
    )
    assert found.scores["score"][0] == plain.scores["score"][0]
