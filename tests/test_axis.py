"""Studies along another axis than ε, and that those along ε are what they were."""

import copy
import hashlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.axis import EPSILON, Axis
from samemind.classifier import new_classifier
from samemind.cli import app
from samemind.costing import cost_of
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.execution import InProcess
from samemind.figures.base import FIGURES
from samemind.figures.evidence import verdicts
from samemind.inversion import load_inputs
from samemind.measures import measure
from samemind.randomness import seed_of, torch_generator
from samemind.reporting.page import page_of
from samemind.reporting.pairs_table import write_pairs
from samemind.reporting.report import write_data
from samemind.reporting.tables import tables_of
from samemind.reporting.together import together
from samemind.store.artifacts import Store
from samemind.study import Study, read_study
from samemind.study.along import place_in
from samemind.study.collecting import collect
from samemind.study.running import advance
from samemind.training import build_checkpoint, load_checkpoint, train
from samemind.training.builds import _training_images
from simulated_results import simulated

STEP = Axis("step", "training step", "step")
LABEL = 'axis = {of = "label", name = "step", text = "training step"}\n'


def study(lines: str, tmp_path: Path) -> Study:
    path = tmp_path / "mine.toml"
    path.write_text(lines)
    return read_study(path)


def trained_study(axis: str, tmp_path: Path, *, training: str = "", more: str = "") -> Study:
    lines = f"""
dataset = "cifar10"
architectures = ["cifar_small_resnet", "cifar_small_vgg_bn"]
epsilons = [0]
{more}
[axis]
{axis}
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
{training}
"""
    return study(lines, tmp_path)


# -- along ε nothing changes

# Hashes of the names of all recipes of a study, from before studies could declare an axis.
BEFORE = {
    "cifar10-laptop": "8ccf08bab0b2e35c",
    "cifar10-sat6": "24f43154cea934c2",
    "digits": "e51f7420c1f08002",
    "imagenet50": "33936f3a4d9fbb7b",
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_study_along_epsilon_has_the_artifacts_it_had(name: str):
    found = read_study(name)
    names = "\n".join(recipe.name for stage in found.stages for recipe in stage.recipes)
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == BEFORE[name]
    assert found.along == EPSILON
    assert all("at" not in recipe.content for recipe in found.scores)


def test_results_along_epsilon_are_written_as_they_were(tmp_path: Path):
    results = simulated(measures=["linear_cka"], epsilons=(0, 1))
    assert EPSILON.named(results.models) is results.models
    write_data(tmp_path, results)
    assert "epsilon" in pd.read_parquet(tmp_path / "scores.parquet")
    assert EPSILON.told("rises with robustness over ε") == "rises with robustness over ε"


# -- what is trained


def test_noise_is_an_axis_of_which_each_value_is_a_cell(tmp_path: Path):
    found = trained_study('of = "noise"\nvalues = [0.5, 0]', tmp_path)
    plain = study(found.text.replace('[axis]\nof = "noise"\nvalues = [0.5, 0]', ""), tmp_path)
    assert [level.value for level in found.levels] == [0, 0.5]
    assert [c.schedule.noise for c in found.checkpoints] == [0, 0, 0.5, 0.5]
    # Without noise it is the very checkpoint that a study along ε has.
    assert found.checkpoints[:2] == plain.checkpoints
    names = [cell.label for cell in found.scores]
    assert names == [f"cifar10-noise{v}-{kind}" for v in ("0", "0.5")
                     for kind in ("natural", "inverted")]  # fmt: skip
    assert found.scores[0].identity != plain.scores[0].identity
    assert {c.checkpoint for c in found.scores[3].activations} == set(found.checkpoints[2:])


def test_widths_of_one_network_are_one_family(tmp_path: Path):
    found = trained_study('of = "width"\nvalues = [0.5, 1]', tmp_path)
    assert [c.architecture for c in found.checkpoints] == [
        "cifar_small_resnet_half", "cifar_small_vgg_bn_half",
        "cifar_small_resnet", "cifar_small_vgg_bn",
    ]  # fmt: skip
    assert set(found.families.values()) == {"cifar_small_resnet", "cifar_small_vgg_bn"}
    assert found.places["cifar_small_resnet_half-eps0-seed0"] == 0.5


def test_training_stops_at_each_accuracy_of_the_axis(tmp_path: Path):
    axis = 'of = "stop_at_accuracy"\nvalues = [0.3, 0.6]'
    found = trained_study(axis, tmp_path, training="stop_count = 50")
    assert [c.schedule.stop_at_accuracy for c in found.checkpoints[::2]] == [0.3, 0.6]
    assert found.checkpoints[0].schedule.stop_count == 50


def test_a_model_may_be_left_out_at_one_place(tmp_path: Path):
    found = trained_study(
        'of = "share"\nvalues = [0.5, 1]', tmp_path,
        more='exclude = [{architecture = "cifar_small_vgg_bn", at = [0.5]}]',
    )  # fmt: skip
    assert [(c.architecture, c.schedule.share) for c in found.checkpoints] == [
        ("cifar_small_resnet", 0.5), ("cifar_small_resnet", 1), ("cifar_small_vgg_bn", 1),
    ]  # fmt: skip


def test_a_share_of_the_training_images_is_among_those_of_a_larger_share(tmp_path: Path):
    lines = """
dataset = "digits"
architectures = ["digits_resnet"]
random_seeds = [0, 1]
epsilons = [0]
axis = {of = "share", values = [0.1, 0.25, 1]}
[training]
epochs = 1
batch_size = 8
learning_rate = 0.1
"""
    whole = DATASETS["digits"].split("train")
    images = {}
    for recipe in study(lines, tmp_path).checkpoints:
        split, held_out = _training_images(recipe, DATASETS["digits"])
        assert held_out is None
        assert len(split) == round(recipe.schedule.share * len(whole))
        rows = split.read(np.arange(len(split))).reshape(len(split), -1)
        images[recipe.random_seed, recipe.schedule.share] = {row.tobytes() for row in rows}
    for seed in (0, 1):
        assert images[seed, 0.1] < images[seed, 0.25] < images[seed, 1]
    assert images[0, 0.25] != images[1, 0.25]


STEPS = """
dataset = "digits"
architectures = ["digits_resnet", "digits_vgg_bn"]
epsilons = [0]
axis = {of = "step", values = [4, 8, 10]}
[training]
epochs = 2
batch_size = 32
learning_rate = 0.1
policy = "one_cycle"
count = 200
keep_every = 2
[inversion]
steps = 0
"""


def test_checkpoints_kept_on_the_way_are_those_of_trainings_that_end_there(tmp_path, execution):
    found = study(STEPS, tmp_path)
    on_the_way, alone = Store(tmp_path / "store"), Store(tmp_path / "alone")
    first, middle, last = found.checkpoints[::2]
    assert [c.schedule.steps for c in (first, middle, last)] == [4, 8, 10]
    assert middle.model == "digits_resnet-eps0-step8-seed0"
    build_checkpoint(last, on_the_way, execution)
    assert on_the_way.has(first)
    assert on_the_way.has(middle)
    build_checkpoint(middle, alone, execution)
    files = [
        {f.name: f.read_bytes() for f in store.path(middle).iterdir() if f.name != "made.json"}
        for store in (on_the_way, alone)
    ]
    assert files[0] == files[1]
    # And those of the plain loop, at learning rates of the whole training.
    states: dict[int, dict] = {}
    plain = replace(last, schedule=replace(last.schedule, steps=None, keep_every=None))
    split, _ = _training_images(plain, DATASETS["digits"])
    classifier = new_classifier(
        ARCHITECTURES[plain.architecture], DATASETS["digits"], random_seed=seed_of(0, "init")
    )
    train(
        classifier, torch.from_numpy(split.read(range(200))), torch.from_numpy(split.labels),
        schedule=plain.schedule, ball=None, attack=None, random_seed=0, device=torch.device("cpu"),
        after_step=lambda done, _, current: states.update({done: copy.deepcopy(current())}),
    )  # fmt: skip
    for recipe in (first, middle, last):
        held = load_checkpoint(recipe, on_the_way).state_dict()
        expected = states[recipe.schedule.steps]["classifier"]
        assert all(torch.equal(expected[name], values) for name, values in held.items())


def test_a_study_along_steps_trains_each_network_once(tmp_path, execution):
    found, store = study(STEPS, tmp_path), Store(tmp_path / "store")
    stages = {stage.name: stage.recipes for stage in found.stages}
    assert [c.schedule.steps for c in stages["training"]] == [10, 10]
    assert [c.schedule.steps for c in stages["keeping"]] == [4, 4, 8, 8]
    assert set(stages["training"] + stages["keeping"]) == set(found.checkpoints)
    # A training of ten steps is all that it costs.
    cost = cost_of(found.checkpoints)
    assert cost.passes == cost_of(stages["training"]).passes
    assert cost.bytes == 3 * cost_of(stages["training"]).bytes
    for recipe in stages["training"]:
        build_checkpoint(recipe, store, execution)
    assert all(store.has(recipe) for recipe in stages["keeping"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("keep_every = 2", "", r'of = "step" needs \[training\] keep_every'),
        ("[4, 8, 10]", "[3, 8]", "are multiples of keep_every = 2, and 3 is not"),
        ("[4, 8, 10]", "[4, 16]", "digits_resnet has 14 steps; give it more epochs"),
        ("keep_every = 2", "keep_every = 2\nstop_at_accuracy = 0.5", "ends a training before"),
        ("keep_every = 2", "keep_every = 2\nfallback_learning_rates = [0.01]", "would be of sev"),
        ('axis = {of = "step", values = [4, 8, 10]}', "", 'keep_every needs .axis. of = "step"'),
    ],
)
def test_steps_that_no_training_has_are_told(tmp_path, old, new, words):
    with pytest.raises(InvalidInput, match=words):
        study(STEPS.replace(old, new), tmp_path)


@pytest.mark.parametrize(
    ("axis", "more", "words"),
    [
        ('of = "noise"', "", r'of = "noise" needs the values to train at'),
        ('of = "noise"\nvalues = [-1, 0]', "", "values of noise are 0 or more, and -1 is not"),
        ('of = "share"\nvalues = [0.5, 2]', "", "above 0 and at most 1, and 2 is not"),
        ('of = "width"\nvalues = [3]', "", "asked for with 3 times its channels"),
        (
            'of = "noise"\nvalue = [0]',
            "",
            "axis.value: there is no such key. Did you mean 'values'",
        ),
        ('of = "depth"', "", r"axis.of: Input should be 'label'.* \(found: 'depth'\)"),
        ('of = "label"\nname = "step"', "", "`architectures` are trained"),
        ('of = "noise"\nvalues = [0]\nname = "score"', "", "have a column 'score' already"),
        ('of = "noise"\nvalues = [0]\nname = "No 1"', "", "small letters"),
        ('of = "noise"\nvalues = [0, 0]', "", "listed once"),
        ('of = "noise"\nvalues = [0]', "noise = 0.5", r"\[training\] noise and \[axis\]"),
        ('of = "share"\nvalues = [1]', "count = 10", "exclude one another"),
    ],
)
def test_an_axis_that_cannot_be_is_told_why(tmp_path: Path, axis: str, more: str, words: str):
    with pytest.raises(InvalidInput, match=words):
        trained_study(axis, tmp_path, training=more)


def test_a_study_along_another_axis_has_one_epsilon(tmp_path: Path):
    text = trained_study('of = "noise"\nvalues = [0]', tmp_path).text
    with pytest.raises(InvalidInput, match="along 'noise' has models of one ε, but epsilons list"):
        study(text.replace("epsilons = [0]", "epsilons = [0, 1]"), tmp_path)


# -- checkpoints that exist


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("run-1/step0100.pt", (100, "run-1/step*.pt")),
        ("step2/a_Step-1e3.pt", (1000, "step2/a_Step-*.pt")),
        ("footstep5.pt", None),
        ("step/5.pt", None),
        ("net_step=0.25.safetensors", (0.25, "net_step=*.safetensors")),
    ],
)
def test_the_place_is_the_number_after_the_word(path: str, expected):
    assert place_in(Path(path), "step") == expected


def networks(folder: Path, steps: tuple[int, ...]) -> dict[str, torch.nn.Module]:
    """Four small networks at some steps of a training on digits, saved as files."""
    data = DATASETS["digits"]
    split = data.split("train")
    images = (torch.from_numpy(split.read(range(400))) - data.mean[0]) / data.std[0]
    labels = torch.from_numpy(split.labels[:400])
    found = {}
    for name in ("digits_resnet", "digits_vgg_bn"):
        for seed in (0, 1):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                network = ARCHITECTURES[name].build(10, 8)
            optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
            order = torch.randint(400, (max(steps), 64), generator=torch_generator(seed, "order"))
            for step, rows in enumerate([*order, None]):
                if step in steps:
                    path = folder / f"{name}-{'ab'[seed]}" / f"step{step:04d}.pt"
                    path.parent.mkdir(exist_ok=True)
                    torch.save(network.state_dict(), path)
                    found[f"{path.parent.name}/{path.name}"] = _copy(name, network)
                if rows is not None:
                    optimiser.zero_grad()
                    loss = torch.nn.functional.cross_entropy(network(images[rows]), labels[rows])
                    loss.backward()
                    optimiser.step()
    return found


def _copy(name: str, network: torch.nn.Module) -> torch.nn.Module:
    held = ARCHITECTURES[name].build(10, 8)
    held.load_state_dict(network.state_dict())
    return held.eval()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> tuple[Path, dict[str, torch.nn.Module]]:
    folder = tmp_path_factory.mktemp("steps")
    return folder, networks(folder, (1, 12))


def written(folder: Path, *more: str) -> str:
    path = folder / "mine.toml"
    path.unlink(missing_ok=True)
    arguments = ["init", str(path), "--models", str(folder / "*" / "*.pt"), *more]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return path.read_text()


def test_init_writes_checkpoints_with_their_places(checkpoints):
    folder, _ = checkpoints
    text = written(folder, "--axis", "step")
    found = read_study(folder / "mine.toml")
    held = tomllib.loads(text)["imported"]
    assert {(m["file"], m["at"], m.get("random_seed", 0)) for m in held} == {
        (f"{name}-{run}/step{step:04d}.pt", step, "ab".index(run))
        for name in ("digits_resnet", "digits_vgg_bn") for run in "ab" for step in (1, 12)
    }  # fmt: skip
    assert [(level.value, len(level.checkpoints)) for level in found.levels] == [(1, 4), (12, 4)]
    assert (found.along, found.epsilons) == (Axis("step", "step", "step"), (0,))


def test_a_run_keeps_its_seed_where_a_checkpoint_is_missing(checkpoints):
    folder, _ = checkpoints
    first = folder / "digits_resnet-a" / "step0001.pt"
    aside = first.rename(folder / "aside")
    try:
        held = tomllib.loads(written(folder, "--axis", "step"))["imported"]
    finally:
        aside.rename(first)
    runs = {m["file"].partition("/")[0]: set() for m in held}
    for model in held:
        runs[model["file"].partition("/")[0]].add(model.get("random_seed", 0))
    assert all(len(seeds) == 1 for seeds in runs.values())
    assert runs["digits_resnet-a"] != runs["digits_resnet-b"]


def test_checkpoints_without_a_place_are_left_out_and_told(checkpoints):
    folder, _ = checkpoints
    path = folder / "none.toml"
    arguments = ["init", str(path), "--models", str(folder / "*" / "*.pt"), "--axis", "width"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert "no number follows 'width' in its path" in str(done.exception or done.output)


def test_imported_checkpoints_are_compared_within_each_step(checkpoints, tmp_path, execution):
    folder, held = checkpoints
    text = written(folder, "--axis", "step")
    text = text.replace('name = "step"}', 'name = "step", text = "training step"}')
    text = text.replace("steps = 100 ", "steps = 0 ").replace(
        "# strong_count = 1000", "strong_count = 0"
    )
    text = text.replace("# count = 1000  # so many at random", "count = 40  # so many at random")
    text = text.replace("# subgroups = true", "subgroups = false")
    text = text.replace("# count = 1000  # so many images at", "count = 50  # so many images at")
    text = text.replace("# permutations = 20", "permutations = 3")
    text = text.replace("# driving_inputs = 3", "driving_inputs = 0")
    text = text.replace("[comparison]", '[comparison]\nmeasures = ["agreement", "linear_cka"]')
    (folder / "mine.toml").write_text(text)
    found, store = read_study(folder / "mine.toml"), Store(tmp_path / "store")
    assert not found.inverted
    assert not advance(found, store, InProcess(), execution).failed
    results = collect(found, store)
    assert results.axis == STEP
    assert sorted(results.scores["epsilon"].unique()) == [1, 12]
    assert set(results.models["trained_epsilon"]) == {0}
    # A score worked out from the networks themselves.
    images = torch.from_numpy(load_inputs(found.natural, store)["images"]).float()
    data = DATASETS["digits"]
    sides = []
    for name in ("digits_resnet", "digits_vgg_bn"):
        network, kept = held[f"{name}-b/step0012.pt"], []
        head = network.get_submodule(ARCHITECTURES[name].head)
        with torch.no_grad(), _reading(head, kept):
            network((images - data.mean[0]) / data.std[0])
        sides.append(kept[0].double())
    rows = results.scores
    row = rows[(rows["epsilon"] == 12) & (rows["measure"] == "linear_cka")
               & (rows["random_seed_a"] == 1) & (rows["random_seed_b"] == 1)]  # fmt: skip
    assert len(row) == 1
    expected = measure("linear_cka")(*(samemind.Side(representation=s) for s in sides))
    assert row["score"].iloc[0] == pytest.approx(expected, abs=1e-5)
    # Four models of two architectures at two steps: enough for a verdict on the step.
    words = " ".join(v.sentence for _, v in verdicts(results) if v.aspect == "Representations")
    assert "with the training step" in words or "along" in words, words
    assert "ε" not in words


class _reading:
    """Keeps what a layer reads while the block runs."""

    def __init__(self, layer: torch.nn.Module, kept: list) -> None:
        self.handle = layer.register_forward_pre_hook(lambda _, given: kept.append(given[0]))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


IMPORTED = """
[[imported]]
source = "{name}.pt"
sha256 = "{sha}"
architecture = "digits_vit"
epsilon = 0
mean = [0.3]
std = [0.4]
{more}
"""


@pytest.mark.parametrize(
    ("head", "more", "words"),
    [
        ("", "at = 3", "has at = 3, a place along an axis that the study does not declare"),
        (LABEL, "", "a.pt lacks its place along 'step'; add at"),
        ('axis = {of = "label"}\n', "at = 3", "needs a name"),
        (LABEL.replace("}", ", values = [1]}"), "at = 3", "at = 3, which is not among the values"),
    ],
)
def test_imported_models_and_the_axis_agree_or_it_is_said(tmp_path, head, more, words):
    lines = f'dataset = "digits"\nepsilons = [0]\n{head}'
    with pytest.raises(InvalidInput, match=words):
        study(lines + IMPORTED.format(name="a", sha="aa", more=more), tmp_path)


def test_one_file_has_one_place(tmp_path):
    lines = f'dataset = "digits"\nepsilons = [0]\n{LABEL}'
    twice = [IMPORTED.format(name="a", sha="aa", more=f"at = {at}") for at in (1, 2)]
    with pytest.raises(InvalidInput, match="stands at 1 and at 2; one file has one place"):
        study(lines + "".join(twice), tmp_path)


def test_sizes_of_one_kind_are_counted_as_a_family(tmp_path):
    lines = f'dataset = "digits"\nepsilons = [0]\n{LABEL}'
    models = [
        IMPORTED.format(name=f"n{i}", sha=f"{i}{i}", more=f'at = {i}\nfamily = "vit"')
        for i in (1, 2)
    ]
    found = study(lines + "".join(models), tmp_path)
    assert set(found.families.values()) == {"vit"}
    plain = study((lines + "".join(models)).replace('family = "vit"', ""), tmp_path)
    assert found.stages == plain.stages


# -- what is said and written


@pytest.fixture(scope="module")
def along_steps():
    """A simulated study over steps in which similarity rises."""
    results = simulated(
        epsilons=(0, 100, 1000), measures=["agreement", "linear_cka"], absent=[("vit", 100)]
    )
    models = results.models.assign(trained_epsilon=0.0)
    return replace(results, axis=STEP, models=models)


def test_verdicts_speak_of_the_axis(along_steps):
    sentences = [v.sentence for _, v in verdicts(along_steps)]
    assert any("converge with the training step" in s for s in sentences)
    assert any("that every training step has" in s for s in sentences)
    assert not any("ε" in s or "robustness" in s for s in sentences)
    one = replace(
        along_steps.only(epsilon=0.0),
        models=along_steps.models[along_steps.models["epsilon"] == 0],
    )
    assert any("a second training step to compare with" in v.sentence for _, v in verdicts(one))


def test_tables_and_files_have_columns_under_the_name_of_the_axis(along_steps, tmp_path):
    tables = {table.name: table for table in tables_of(along_steps)}
    assert "step" in tables["scores-summary"].frame
    assert "epsilon" not in tables["scores-summary"].frame
    assert {"from training step", "to training step"} <= set(tables["trends"].frame)
    assert tables["trends"].title == "Trends over training step"
    assert tables["models"].frame["training step"].tolist()[:3] == [0, 100, 1000]
    assert set(tables["models"].frame["ε"]) == {0}
    assert "Acc. (step = 100)" in tables["accuracies-digits"].frame
    write_pairs(along_steps, tmp_path)
    assert "step" in pd.read_csv(tmp_path / "pairs.csv")
    text = (tmp_path / "pairs.tex").read_text()
    assert "step = 100" in text
    assert "varepsilon" not in text
    write_data(tmp_path, along_steps)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert set(scores["step"]) == {0, 100, 1000}
    assert "epsilon" not in scores  # simulated rows do not say it
    assert set(pd.read_parquet(tmp_path / "models.parquet")["epsilon"]) == {0}


def test_figures_are_in_words_of_the_axis(along_steps):
    from matplotlib.text import Text

    for name in ("similarity_by_epsilon", "trends", "accuracies"):
        drawing = FIGURES[name](along_steps)
        words = " ".join(text.get_text() for text in drawing.findobj(Text))
        assert "step" in words
        assert "ε" not in words
        assert "ε" not in FIGURES[name].caption(along_steps)


def test_the_page_is_in_words_of_the_axis(along_steps, tmp_path):
    page = page_of(along_steps, tables_of(along_steps), [], [], tmp_path)
    body, _, data = page.partition('<script type="application/json"')
    assert "at step = 0, 100, 1000" in body
    assert "The set of models changes with training step" in body
    told = body[: body.index('<section id="models"')] + body[body.index('<section id="tables"') :]
    assert "ε" not in told
    content = json.loads(data.partition(">")[2].partition("</script>")[0])
    assert content["axis"] == {"text": "training step", "symbol": "step"}


def test_studies_along_two_axes_are_not_drawn_as_one(along_steps):
    other = simulated(name="robust", measures=["linear_cka"])
    with pytest.raises(InvalidInput, match="'simulated' along training step and 'robust' along ε"):
        together([along_steps, other])
