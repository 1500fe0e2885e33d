"""Study files: what they expand to, what is wrong with a wrong one, and a study run for real."""

import filecmp
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import samemind
from samemind.arrays import as_pixels
from samemind.comparison.pairs import labels_apply
from samemind.comparison.verification import verify_scores
from samemind.errors import InvalidInput, UnknownName
from samemind.execution import InProcess, LocalProcesses
from samemind.extraction.activations import Activations, load_activations
from samemind.figures.base import FIGURES
from samemind.inversion import Inverted, load_inputs
from samemind.measures.choosing import usual_measures
from samemind.measures.mechanism import stir
from samemind.measures.of_sets import SET_MEASURES
from samemind.reporting.embedded import embedded
from samemind.reporting.report import write_data
from samemind.reporting.tables import tables_of
from samemind.store.artifacts import Store
from samemind.study import Study, read_study, shipped_studies
from samemind.study.collecting import collect
from samemind.study.running import advance
from samemind.study.sections import Evaluation
from samemind.training import load_checkpoint
from within_bounds import check_within_bounds

SMALL = Path(__file__).parent / "data" / "small-digits.toml"


def written(tmp_path: Path, **changes: str) -> Path:
    """The small study with some of its lines changed, as a file."""
    text = SMALL.read_text()
    for old, new in changes.items():
        text = text.replace(old, new) if old in text else f"{new}\n{text}"
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_every_study_that_ships_can_be_read_and_expands_to_distinct_recipes():
    for name in shipped_studies():
        study = read_study(name)
        names = [recipe.name for stage in study.stages for recipe in stage.recipes]
        assert len(names) == len(set(names)) > 0


def test_a_model_is_weak_below_a_fifth_of_the_way_from_chance_unless_said():
    assert Evaluation().weak_below_of(10) == pytest.approx(0.28)
    assert Evaluation().weak_below_of(1000) == pytest.approx(0.2, abs=1e-3)
    assert Evaluation(weak_below=0.5).weak_below_of(10) == 0.5
    assert Evaluation(weak_below=0).weak_below_of(10) == 0


def test_the_digits_study_has_the_grid_it_promises():
    study = read_study("digits")
    assert len(study.checkpoints) == 28
    assert [c.epsilon for c in study.checkpoints[::7]] == [0, 0.25, 0.5, 1]
    # Per ε: seven models on the natural inputs, and on the inverted images of each of the
    # seven; and on the training images, for the probes.
    sizes = {stage.name: len(stage.recipes) for stage in study.stages}
    assert sizes == {
        "training": 28,
        "evaluation": 28,
        "inputs": 2,
        "seeds": 1,
        "inversion": 28,
        "extraction": 4 * 7 * (1 + 7) + 28,
        "probing": 28,
        "comparison": 4 * 3,
    }
    # Standard models are attacked at 0.25, robust ones at their own radius.
    assert [e.ball.epsilon for e in study.evaluations[::7]] == [0.25, 0.25, 0.5, 1]


def test_a_study_built_in_python_is_the_one_read_from_its_file():
    read = read_study(SMALL)
    built = Study(**read.model_dump())
    assert built.stages == read.stages


def test_an_excluded_model_is_in_no_stage(tmp_path: Path):
    path = written(tmp_path, exclude='exclude = [{architecture = "digits_vit", epsilons = [0.5]}]')
    models = [c.model for c in read_study(path).checkpoints]
    assert "digits_vit-eps0-seed0" in models
    assert "digits_vit-eps0.5-seed0" not in models


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"digits_vit"', '"digits_vitt"', "Did you mean 'digits_vit'"),
        ('dataset = "digits"', 'dataset = "digit"', "dataset: No dataset is called 'digit'"),
        ("[0, 0.5]", "[0, -0.5]", r"epsilons.1: .* greater than or equal to 0 \(found: -0.5\)"),
        ("[0, 0.5]", "[0.5, 0.5]", "epsilons: Each value may be listed once"),
        ("[0, 0.5]", "[]", "epsilons: .* at least 1 item"),
        ("epochs = 4", "epoch = 4", "training.epoch: there is no such key. Did you mean 'epochs'"),
        ("epochs = 4", "epochs = 0", "training.epochs"),
        ("epochs = 4", "", "training.epochs: this key is needed and is missing"),
        ("[inversion]", "[inversions]", "inversions: there is no such key"),
        ("epsilons = [0, 0.5]", "epsilons = [0, 0.5", "is not valid TOML: .* line"),
        ("permutations = 5", 'measures = ["liner_cka"]', "Did you mean 'linear_cka'"),
        ("permutations = 5", "permutations = nan", "permutations"),
        ("text", 'text = "x"', "text: there is no such key"),
    ],
)
def test_a_wrong_study_file_is_told_what_is_wrong(tmp_path: Path, old: str, new: str, words: str):
    with pytest.raises(InvalidInput, match=words):
        read_study(written(tmp_path, **{old: new}))


def test_an_unknown_study_gets_a_suggestion():
    with pytest.raises(UnknownName, match=r"No study is called 'digitz'\. Did you mean 'digits'"):
        read_study("digitz")
    with pytest.raises(InvalidInput, match=r"There is no study file nowhere/mine\.toml"):
        read_study("nowhere/mine.toml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Store:
    """The small study, run in this process."""
    from samemind.execution.devices import Execution

    store = Store(tmp_path_factory.mktemp("finished"))
    done = advance(read_study(SMALL), store, InProcess(), Execution(device="cpu"))
    assert not done.failed
    return store


def test_a_second_run_builds_nothing(finished: Store, execution):
    done = advance(read_study(SMALL), finished, InProcess(), execution)
    assert (done.built, done.blocked, done.failed) == (0, 0, ())


def test_scores_have_a_row_for_every_pair_inputs_and_measure(finished: Store):
    study = read_study(SMALL)
    scores = collect(study, finished).scores
    n_measures = len(study.comparison.measures)
    counts = scores.groupby(["epsilon", "inputs"]).size()
    for epsilon in study.epsilons:
        assert counts[epsilon, "natural"] == 3 * n_measures
        assert counts[epsilon, "inverted"] == 6 * n_measures
    assert (scores["inverted_by"].isna() == (scores["inputs"] == "natural")).all()
    inverted = scores[scores["inputs"] == "inverted"]
    assert (inverted["inverted_by"] == inverted["model_a"]).all()
    assert scores["score"].notna().all()
    assert scores["floor"].notna().all()
    assert (scores["n_inputs"] == 100).all()
    key = ["epsilon", "model_a", "model_b", "inputs", "inverted_by", "measure"]
    assert not scores.duplicated(key).any()


def test_inversion_brings_the_representation_nearer_and_the_curve_falls(finished: Store):
    study = read_study(SMALL)
    for recipe in study.inverted:
        held = load_inputs(recipe, finished)
        assert held["curve"][-1] < held["curve"][0]
        # Stored in half precision: the loss of what is stored is that of what was found.
        np.testing.assert_allclose(
            held["stored_relative_loss"], held["relative_loss"], rtol=0.05, atol=0.01
        )
        assert held["images"].min() >= 0
        assert held["images"].max() <= 1


def test_no_pair_lies_beyond_the_bounds_of_its_own_accuracies(finished: Store):
    assert check_within_bounds(collect(read_study(SMALL), finished)) == 2 * 3


@pytest.mark.slow
def test_bounds_are_those_of_the_images_compared_and_not_of_the_evaluated_ones(store, execution):
    study = read_study(SMALL.with_name("train-digits.toml"))
    assert not advance(study, store, InProcess(), execution).failed
    results = collect(study, store)
    assert check_within_bounds(results) == 2
    labels = load_inputs(study.natural, store)["labels"]
    for row in results.scores.itertuples():
        for side in "ab":
            (checkpoint,) = (
                c for c in study.checkpoints if c.model == getattr(row, f"model_{side}")
            )
            logits = load_activations(
                Activations(checkpoint=checkpoint, inputs=study.natural), store
            )["logits"]
            on_these = (logits.argmax(1) == labels).mean()
            assert getattr(row, f"accuracy_{side}") == pytest.approx(on_these)
    evaluated = results.models.set_index("model")["clean_accuracy"]
    told = results.scores.set_index("model_a")["accuracy_a"]
    assert (told != evaluated[told.index]).any()


def test_accuracies_are_told_of_natural_inputs_of_the_models_own_classes_only(finished: Store):
    scores = collect(read_study(SMALL), finished).scores
    is_natural = scores["inputs"] == "natural"
    assert (scores["accuracy_a"].notna() == is_natural).all()
    assert not labels_apply("cifar10", read_study("cifar10-sat6").natural)
    assert labels_apply("cifar10", read_study("cifar10").natural)
    assert not labels_apply("imagenet100", read_study("imagenet1k").natural)


def test_all_models_share_targets_and_seeds_of_another_class(finished: Store):
    study = read_study(SMALL)
    assert len({(i.targets, i.seeds) for i in study.inverted}) == 1
    targets = load_inputs(study.natural, finished)["labels"]
    seeds = load_inputs(study.seeds, finished)["labels"]
    assert (targets != seeds).all()


def test_the_report_has_what_drives_scores_and_subgroups_and_probes(finished: Store):
    study = read_study(SMALL)
    results = collect(study, finished)
    assert results.contributions is not None
    table = results.contributions.table
    # Three inputs that add most and three that add least, to each measure that is a mean.
    key = ["epsilon", "model_a", "model_b", "inputs", "measure"]
    sizes = table.groupby(key).size()
    assert set(sizes) == {6}
    assert len(sizes) == 2 * (3 + 6) * table["measure"].nunique()
    agreement = table[table["measure"] == "agreement"]
    same = agreement["prediction_a"] == agreement["prediction_b"]
    assert (agreement["contribution"] == same).all()
    for row in table.itertuples():
        owner = row.inverted_by if isinstance(row.inverted_by, str) else None
        assert (row.inputs, owner, row.input) in results.contributions.images
        assert row.input not in row.neighbours_a
    assert results.subgroups is not None
    groups = results.subgroups.groupby([*key, "group"])["n_inputs"].first().unstack()
    assert (groups["agree"] + groups["disagree"] == 100).all()
    assert results.probes is not None
    probes = results.probes
    is_own = probes["model_a"] == probes["model_b"]
    heads = probes[~is_own].pivot_table("score", ["model_a", "model_b", "measure"], "heads")
    assert set(heads) == {"original", "probe", "normalised probe"}
    assert heads.notna().all().all()
    own = probes[is_own].pivot_table("score", ["model_a", "measure"], "heads")
    assert set(own) == {"same representation", "own head"}
    assert own.notna().all().all()
    assert probes[["standard_error", "floor"]].notna().all().all()
    assert own.xs("agreement", level="measure")["same representation"].mean() > (
        heads.xs("agreement", level="measure")["probe"].mean()
    )
    # With their own heads the models agree as they do in the scores.
    scores = results.scores.query("inputs == 'natural' and measure == 'agreement'")
    original = results.probes.query("heads == 'original' and measure == 'agreement'")
    np.testing.assert_array_equal(scores["score"], original["score"])


def test_a_share_of_the_scores_computed_again_in_float64_is_the_same(finished: Store):
    for scores in read_study(SMALL).scores:
        found = verify_scores(scores, finished, share=1.0)
        assert found.n_pairs == found.of_pairs == (6 if scores.inputs == "inverted" else 3)
        assert found.largest_difference < 1e-6


def same_files(first: Path, second: Path) -> bool:
    """Whether two stores hold the same artifacts, byte for byte but for when and where."""
    names = [
        sorted(
            str(f.relative_to(root))
            for f in root.rglob("*")
            if f.is_file() and f.name != "made.json" and "scratch" not in f.parts
        )
        for root in (first, second)
    ]
    if names[0] != names[1]:
        return False
    return all(filecmp.cmp(first / n, second / n, shallow=False) for n in names[0])


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes_as_one_process(finished: Store, tmp_path, execution):
    executor = LocalProcesses(2)
    try:
        other = Store(tmp_path / "other")
        assert not advance(read_study(SMALL), other, executor, execution).failed
    finally:
        executor.close()
    assert same_files(finished.root, other.root)


def test_damaged_artifacts_are_set_aside_and_rebuilt_as_they_were(finished: Store, execution):
    study = read_study(SMALL)
    wanted = collect(study, finished).scores
    victim = finished.path(study.inverted[0]) / "inputs.safetensors"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    gone = [s for s in study.scores if s.inputs == "inverted" and s.epsilon == 0]
    # What rests on the victim is gone, so that it has to be opened and its damage is found.
    for recipe in (*gone, *(a for s in gone for a in s.activations)):
        for file in finished.path(recipe).iterdir():
            file.unlink()
        finished.path(recipe).rmdir()
    done = advance(study, finished, InProcess(), execution)
    assert not done.failed
    assert done.built == 1 + 1 + 9  # the inverted images, the scores and what they read
    pd.testing.assert_frame_equal(collect(study, finished).scores, wanted)
    assert [p for p in (finished.root / "damaged").iterdir() if "inverted" in p.name]


def test_a_recipe_names_its_upstream_in_full():
    study = read_study(SMALL)
    inverted = study.inverted[0]
    assert isinstance(inverted, Inverted)
    assert inverted.content["checkpoint"]["schedule"]["epochs"] == 4


# -- layers


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("3", 'comparison.layers: Layers are "all", or a list of names'),
        ("[0.5, 2]", "A depth lies between 0 .* which 2 does not"),
        ('["head", "head"]', "Each layer may be listed once"),
        ('{digits_vitt = ["head"]}', "Did you mean 'digits_vit'"),
        ('"all"\nlayer_measure = "agreement"', "compares predictions"),
        ('"all"\nlayer_measure = "liner_cka"', "Did you mean 'linear_cka'"),
    ],
)
def test_layers_that_a_study_cannot_ask_for_are_explained(tmp_path: Path, layers: str, words: str):
    with pytest.raises(InvalidInput, match=words):
        read_study(written(tmp_path, **{"permutations = 5": f"layers = {layers}"}))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ('["sten"]', r"No architecture of the study has a layer 'sten'\. Did you mean 'stem'"),
        ('["classifier"]', "digits_resnet has none of the layers classifier"),
        ('{digits_vit = ["norm"], digits_resnet = ["norm"]}', "resnet has no layer 'norm'"),
    ],
)
def test_a_layer_that_there_is_not_is_told_before_anything_is_trained(
    tmp_path: Path, layers: str, words: str, store: Store, execution
):
    study = read_study(written(tmp_path, **{"permutations = 5": f"layers = {layers}"}))
    with pytest.raises(InvalidInput, match=words):
        advance(study, store, InProcess(), execution)
    assert not list(store.paths())


def copied(finished: Store, tmp_path: Path) -> Store:
    """The finished small study in a store of its own, which a test may add to."""
    shutil.copytree(finished.root, tmp_path / "copy")
    return Store(tmp_path / "copy")


def test_a_study_without_layers_has_the_recipes_it_had_and_layers_only_add_to_them(tmp_path: Path):
    plain, layered = (
        read_study(written(tmp_path, **{"permutations = 5": f"permutations = 5\n{more}"}))
        for more in ("", 'layers = "all"')
    )
    names = [{r.name for s in study.stages for r in s.recipes} for study in (plain, layered)]
    assert names[0] < names[1]
    # Three models and one comparison at either ε, and nothing else, is new.
    new = sorted(name.partition("/")[0] for name in names[1] - names[0])
    assert new == ["layers"] * 6 + ["scores"] * 2
    # The identity that artifacts have since version 3 of the recipe.
    assert plain.scores[0].name == "scores/digits-eps0-natural-a43c585cb8255fa2"


def test_layers_of_a_study_are_those_of_its_models(finished: Store, tmp_path: Path, execution):
    lines = 'layers = ["stem", "fc", 0.0, 1.0]\nlayer_inputs = ["natural", "inverted"]'
    study = read_study(written(tmp_path, **{"permutations = 5": f"permutations = 5\n{lines}"}))
    store = copied(finished, tmp_path)
    assert not advance(study, store, InProcess(), execution).failed
    results = collect(study, store)
    # By hand: the average over space of what two networks give at `stem`, at ε = 0.5.
    first, second = (c for c in study.checkpoints if c.epsilon == 0.5 and "vgg" not in c.model)
    images = torch.from_numpy(load_inputs(study.natural, store)["images"])
    rows = []
    for checkpoint in (first, second):
        classifier = load_checkpoint(checkpoint, store)
        with torch.no_grad():
            pixels = as_pixels(images) - classifier.mean
            stem = classifier.network.eval().stem(pixels / classifier.std)
        rows.append(stem.mean((2, 3) if stem.ndim == 4 else 1))
    scores = results.scores.query("epsilon == 0.5 and inputs == 'natural'")
    pair = scores[(scores["model_a"] == first.model) & (scores["model_b"] == second.model)]
    of_stem = pair[pair["layer"] == "stem"].set_index("measure")
    assert set(of_stem.index) == {m for m in study.comparison.measures if reads_units(m)}
    for name in of_stem.index:
        expected = samemind.measure(name)(*rows)
        assert of_stem.loc[name, "score"] == pytest.approx(expected, abs=1e-5)
    assert of_stem["floor"].notna().all()
    # `fc` is in one architecture only, so no pair has it; depths every pair has.
    assert set(scores["layer"]) == {"penultimate", "logits", "stem", "depth 0", "depth 1"}
    layers = results.layers.query("epsilon == 0.5 and inputs == 'natural'")
    here = layers[(layers["model_a"] == first.model) & (layers["model_b"] == second.model)]
    cka = here.set_index(["layer_a", "layer_b"]).loc[("stem", "stem"), "score"]
    assert cka == pytest.approx(of_stem.loc["debiased_linear_cka", "score"], abs=1e-6)
    assert set(layers["measure"]) == {"debiased_linear_cka"}
    assert {"natural", "inverted"} == set(results.layers["inputs"])
    assert list(dict.fromkeys(here["layer_a"]))[:2] == ["stem", "fc"]  # as asked, not as sorted
    drawn = FIGURES["layer_map"](results)
    assert len([axis for axis in drawn.axes if axis.get_title(loc="left")]) == 6
    table = next(table for table in tables_of(results) if table.name == "layers")
    assert set(table.frame["layer"]) == {"stem", "depth 0", "depth 1"}
    # The page counts rows of the file, in which inner layers come last.
    write_data(tmp_path, results)
    kept = pd.read_parquet(tmp_path / "scores.parquet")
    n_main = len(embedded(results)["scores"]["score"])
    assert kept["layer"][:n_main].isin(["penultimate", "logits"]).all()
    assert not kept["layer"][n_main:].isin(["penultimate", "logits"]).any()
    assert n_main < len(kept) == len(results.scores)


def reads_units(name: str) -> bool:
    return samemind.measure(name).reads == "representation"


def test_architectures_are_compared_place_by_place_where_each_has_its_own_list(
    finished: Store, tmp_path: Path, execution
):
    lines = (
        'layers = {digits_resnet = ["stem", "blocks"], digits_vgg_bn = ["features.2", "hidden"]}'
    )
    study = read_study(written(tmp_path, **{"permutations = 5": lines}))
    store = copied(finished, tmp_path)
    assert not advance(study, store, InProcess(), execution).failed
    scores = collect(study, store).scores
    inner = scores[~scores["layer"].isin(["penultimate", "logits"])]
    assert set(inner["layer"]) == {"stem / features.2", "blocks / hidden"}
    assert set(inner["architecture_a"]) | set(inner["architecture_b"]) == {
        "digits_resnet", "digits_vgg_bn",
    }  # fmt: skip


# -- mechanisms and sets


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ('["ambiguity", "stir"]', "At least one measure of pairs is needed"),
        ('["agreement", "ambiguty"]', "Did you mean 'ambiguity'"),
        ('["agreement", "stir@liner_cka"]', "Did you mean 'linear_cka'"),
    ],
)
def test_measures_of_any_kind_that_there_are_not_get_a_suggestion(tmp_path, measures, words):
    with pytest.raises(InvalidInput, match=words):
        read_study(written(tmp_path, **{"permutations = 5": f"measures = {measures}"}))


def test_mechanisms_need_inverted_images(tmp_path: Path):
    changes = {"permutations = 5": 'measures = ["agreement", "stir"]', "steps = 10": "steps = 0"}
    with pytest.raises(InvalidInput, match="'stir' compares models on inverted images"):
        read_study(written(tmp_path, **changes))


def test_mechanisms_and_sets_of_a_study_are_those_of_its_models(
    finished: Store, tmp_path: Path, execution
):
    more = '"stir", "stir@knn_jaccard@5", "ambiguity", "discrepancy", "fleiss_kappa"'
    usual = ", ".join(f'"{name}"' for name in usual_measures())
    lines = f"permutations = 5\nmeasures = [{usual}, {more}]"
    study = read_study(written(tmp_path, **{"permutations = 5": lines}))
    plain = read_study(SMALL)
    assert study.scores == plain.scores  # what was there is not built again
    store = copied(finished, tmp_path)
    done = advance(study, store, InProcess(), execution)
    assert (done.built, done.failed) == (4, ())
    results = collect(study, store)

    first, second, third = (c for c in study.checkpoints if c.epsilon == 0.5)
    inverted = next(i for i in study.inverted if i.checkpoint == first)
    on = {
        (c.model, kind): load_activations(Activations(checkpoint=c, inputs=inputs), store)
        for c in (first, second, third)
        for kind, inputs in (("targets", study.natural), ("inverted", inverted))
    }
    seen = [on[second.model, kind]["representation"] for kind in ("targets", "inverted")]
    rows = results.scores[
        (results.scores["model_a"] == first.model) & (results.scores["model_b"] == second.model)
    ].set_index("measure")
    assert rows.loc["stir", "score"] == pytest.approx(stir(*seen).score)
    fives = stir(*seen, measure="knn_jaccard@5").score
    assert rows.loc["stir@knn_jaccard@5", "score"] == pytest.approx(fives)
    assert rows.loc["stir", "inverted_by"] == first.model
    assert rows.loc["stir", ["floor", "standard_error"]].notna().all()
    stirs = results.scores[results.scores["measure"] == "stir"]
    assert len(stirs) == 2 * 6
    assert set(stirs["inputs"]) == {"inverted"}

    sets = results.sets[results.sets["epsilon"] == 0.5]
    assert set(sets["measure"]) == {"ambiguity", "discrepancy", "fleiss_kappa"}
    assert sets["inverted_by"].nunique() == 3
    for kind, here in (
        ("targets", sets[sets["inputs"] == "natural"]),
        ("inverted", sets[sets["inverted_by"] == first.model]),
    ):
        logits = [on[c.model, kind]["logits"] for c in (first, second, third)]
        for name in ("ambiguity", "discrepancy", "fleiss_kappa"):
            found = here.set_index("measure").loc[name]
            assert found["score"] == pytest.approx(SET_MEASURES[name](logits))
            assert (found["n_models"], found["n_inputs"]) == (3, 100)
    table = next(table for table in tables_of(results) if table.name == "sets")
    assert len(table.frame) == 3 * 2 * 2
    drawn = FIGURES["sets_of_models"](results)
    assert len([axis for axis in drawn.axes if axis.lines]) == 3
    write_data(tmp_path, results)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sets.parquet"), results.sets)
