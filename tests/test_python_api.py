"""The public names: what they take and how soon they are there."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import samemind
from samemind.errors import InvalidInput
from samemind.measures import MEASURES
from samemind.measures.aliases import ALIASES
from samemind.measures.mechanism import MECHANISM_MEASURES
from samemind.measures.of_sets import SET_MEASURES


def test_importing_samemind_brings_neither_torch_nor_plotting() -> None:
    code = (
        "import sys, samemind; "
        "assert not {'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_every_public_name_is_there() -> None:
    assert all(getattr(samemind, name) is not None for name in samemind.__all__)
    assert dir(samemind) == sorted(samemind.__all__)


def test_members_are_listed_by_pattern() -> None:
    assert "debiased_linear_cka" in samemind.list_measures("*CKA*")
    assert samemind.list_measures("stir") == ["stir"]  # of every kind
    assert len(samemind.list_measures()) > 80
    assert "resnet18" in samemind.list_architectures("resnet*")
    assert samemind.list_datasets("digit*") == ["digits"]
    assert "heat_maps" in samemind.list_figures("heat*")


def test_short_names_lead_to_canonical_ones_and_say_so() -> None:
    assert all(name in samemind.list_measures() for name in ALIASES.values())
    assert not set(ALIASES) & set(samemind.list_measures())
    with pytest.warns(UserWarning, match="'CKA' is read as 'linear_cka'"):
        assert samemind.measure("CKA").name == "linear_cka"
    with pytest.warns(UserWarning, match="'knn_jaccard'"):
        assert samemind.measure("jaccard@3").settings["k"] == 3
    with pytest.raises(samemind.SamemindError, match="usually meant is 'linear_cka'"):
        MEASURES["cka"]  # a study names what it means
    rng = np.random.default_rng(0)
    found = samemind.compare(list(rng.random((2, 30, 4))), measures="procrustes")
    assert set(found.scores["measure"]) == {"procrustes_similarity"}
    assert any("'procrustes' is read as 'procrustes_similarity'" in note for note in found.notes)


def test_the_table_reads_from_left_to_right_and_pictures_take_a_line() -> None:
    rng = np.random.default_rng(0)
    found = samemind.compare(list(rng.random((3, 30, 4))))
    columns = list(found.scores)
    assert columns[:5] == ["model_a", "model_b", "measure", "score", "standard_error"]
    assert "reason" not in found._repr_html_()
    assert found.heat_map("linear_cka").axes
    assert found.heat_map().axes
    assert found.boxes().axes
    assert found.model_map("linear_cka").axes
    with pytest.raises(samemind.SamemindError, match="has no score of agreement"):
        found.heat_map("agreement")


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_arrays_are_compared_without_models_whatever_they_are(convert) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 3, 2))
    b = rng.standard_normal((40, 5))
    table = samemind.compare({"a": convert(a), "b": convert(b)}, permutations=3).scores
    cka = table.set_index("measure").loc["linear_cka"]
    assert cka["score"] == pytest.approx(samemind.measure("linear_cka")(a.reshape(40, 6), b))
    assert (cka["model_a"], cka["model_b"], cka["n_inputs"]) == ("a", "b", 40)
    assert "agreement" not in set(table["measure"])


def test_sides_with_logits_bring_the_measures_of_predictions() -> None:
    rng = np.random.default_rng(0)
    sides = [
        samemind.Side(representation=rng.standard_normal((30, 4)), logits=rng.random((30, 3)))
        for _ in range(3)
    ]
    table = samemind.compare(sides, measures=["agreement", "linear_cka"], permutations=0).scores
    assert len(table) == 6
    assert table["floor"].isna().all()


def test_a_network_without_images_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs images"):
        samemind.compare([torch.nn.Linear(2, 2)] * 2)


@pytest.mark.parametrize(
    ("name", "words"),
    [("stir", "needs inverted images"), ("ambiguty", "Did you mean 'ambiguity'")],
)
def test_measures_that_arrays_do_not_allow_are_refused_with_why(name, words) -> None:
    rng = np.random.default_rng(0)
    sides = [samemind.Side(logits=rng.random((30, 3))) for _ in range(2)]
    with pytest.raises(samemind.SamemindError, match=words):
        samemind.compare(sides, measures=["agreement", name])


def test_measures_of_sets_have_a_table_of_their_own() -> None:
    rng = np.random.default_rng(0)
    sides = [samemind.Side(logits=rng.random((30, 3))) for _ in range(3)]
    found = samemind.compare(sides, measures=["agreement", "ambiguity"])
    assert found.sets is not None
    expected = SET_MEASURES["ambiguity"].score(sides)
    assert list(found.sets["score"]) == [pytest.approx(expected)]
    assert set(found.scores["measure"]) == {"agreement"}


def test_a_comparison_shows_as_text_and_html_and_as_json_and_latex() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    sides = {
        name: samemind.Side(
            representation=rng.standard_normal((60, 4)), logits=rng.random((60, 3)), labels=labels
        )
        for name in ("a<b>", "b")
    }
    found = samemind.compare(sides, permutations=3)
    assert "Can b take the place of a<b>?" in repr(found)
    assert "a&lt;b&gt;" in found._repr_html_()
    record = json.loads(found.to_json())
    assert record["schema"] == 1
    assert len(record["scores"]) == len(found.scores)
    assert len(record["flips"]) == len(found.flips)
    assert found.latex().startswith("% needs")
    assert found.figure("similarity_by_epsilon").axes
    with pytest.raises(samemind.SamemindError, match=r"There are: .*scores-summary"):
        found.latex("score-summary")
    with pytest.raises(InvalidInput, match="no option 'permutation'"):
        samemind.compare(sides, permutation=3)


@pytest.mark.slow
def test_a_comparison_writes_its_report(tmp_path) -> None:
    rng = np.random.default_rng(0)
    found = samemind.compare([rng.standard_normal((30, 4)) for _ in range(2)], permutations=3)
    assert found.report(tmp_path / "report").read_text(encoding="utf-8").startswith("<!doctype")


def test_references_and_datasets_work_from_python_as_on_the_command_line() -> None:
    found = samemind.compare(
        ["small=timm:resnet10t", "timm:test_vit"],
        "digits",
        count=6,
        has_random_weights=True,
        image_size=32,
        measures=["linear_cka"],
        layers=["fc", 0.5],
        permutations=0,
        progress=False,
    )
    assert list(found.models["model"]) == ["small", "test_vit"]
    assert set(found.readings["model"]) == {"small", "test_vit"}
    assert found.layers is not None
    assert "fc" in set(found.layers["layer_a"])


def test_labels_of_another_number_than_the_inputs_are_refused_for_named_inputs_too() -> None:
    with pytest.raises(InvalidInput, match="labels has 3 labels for 540 images"):
        samemind.compare(
            ["timm:resnet10t", "timm:test_vit"], "digits", labels=[0, 1, 2], has_random_weights=True
        )


def test_the_list_of_measures_says_which_end_means_alike() -> None:
    from typer.testing import CliRunner

    from samemind.cli import app

    told = CliRunner().invoke(app, ["list", "measures", "--long"], env={"COLUMNS": "200"}).stdout
    line = {row.split()[0]: row for row in told.splitlines() if row.strip()}
    assert " large " in line["linear_cka"]
    assert " small " in line["procrustes_distance"]
    kinds = {row["name"]: row["kind"] for row in json.loads(listed("measures"))}
    assert (kinds["linear_cka"], kinds["ambiguity"], kinds["stir"]) == ("pair", "set", "mechanism")
    # Pairs, sets and mechanisms share no name, so that a study can ask for any by its name.
    assert len(kinds) == len(MEASURES) + len(SET_MEASURES) + len(MECHANISM_MEASURES)


def listed(*words: str) -> str:
    from typer.testing import CliRunner

    from samemind.cli import app

    return CliRunner().invoke(app, ["list", *words, "--json"]).stdout


def test_the_layers_of_an_architecture_can_be_listed() -> None:
    layers = {row["name"]: row["type"] for row in json.loads(listed("layers", "digits_vgg_bn"))}
    assert layers["features.0.0"] == "Conv2d"
    assert layers["classifier"] == "Linear"
