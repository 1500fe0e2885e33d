"""Study files: what they expand to, what is wrong with a wrong one, and a study run for real."""

import filecmp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from samemind.artifacts import Store
from samemind.collecting import collect
from samemind.errors import InvalidInput, UnknownName
from samemind.executors import InProcess, LocalProcesses
from samemind.inversion import Inverted, load_inputs
from samemind.running import advance
from samemind.study import Study, read_study, shipped_studies
from samemind.verification import verify_scores

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
    from samemind.devices import Execution

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
    heads = results.probes.pivot_table("score", ["model_a", "model_b", "measure"], "heads")
    assert heads.notna().all().all()
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
