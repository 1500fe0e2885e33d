"""Adversarial examples as inputs that every model sees, and the transfer of attacks."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, LinfBall, ball_of, value_and_gradient
from samemind.classifier import new_classifier
from samemind.cli import app
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput, UndefinedScore
from samemind.execution import InProcess
from samemind.figures.evidence import verdicts
from samemind.inversion import adversarial_examples, load_inputs
from samemind.measures.attack_transfer import attack_transfer
from samemind.reporting.pairs_table import latex_of
from samemind.reporting.report import write_report
from samemind.sides.side import Side
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.collecting import collect
from samemind.study.running import advance

N = 24
CPU = torch.device("cpu")
STUDY = """
dataset = "digits"
architectures = ["digits_resnet", "digits_vgg_bn"]
epsilons = [0, 1]
[training]
epochs = 1
batch_size = 128
learning_rate = 0.1
[evaluation]
strong_count = 0
[inputs]
count = 60
[inversion]
steps = 0
[adversarial]
epsilon = 1.5
[comparison]
measures = ["agreement", "debiased_linear_cka"]
permutations = 2
"""


@pytest.fixture(scope="module")
def digits():
    split = DATASETS["digits"].split("test")
    return torch.from_numpy(split.read(range(N))), torch.from_numpy(
        split.labels[:N].astype("int64")
    )


@pytest.fixture(scope="module")
def classifier():
    return new_classifier(ARCHITECTURES["digits_resnet"], DATASETS["digits"], random_seed=0)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
@pytest.mark.parametrize("random_start", [False, True])
def test_examples_lie_in_their_ball_and_raise_the_loss(norm, random_start, digits, classifier):
    images, labels = digits
    attack = Attack(steps=5, relative_step=0.4, random_start=random_start, restarts=2)
    ball = ball_of(norm, 0.5 if norm == "L2" else 0.1)
    found = adversarial_examples(
        classifier, images, labels, ball=ball, attack=attack, random_seed=3, device=CPU
    )
    pixels = samemind.arrays.as_pixels(images)
    moved = (found - pixels).flatten(1)
    lengths = moved.abs().amax(1) if isinstance(ball, LinfBall) else moved.norm(dim=1)
    assert float(lengths.max()) <= ball.epsilon * (1 + 1e-5)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1

    def loss(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(
            classifier.eval()(x).logits, labels, reduction="none"
        )

    with torch.no_grad():
        assert (loss(found) > loss(pixels)).all()
    again = adversarial_examples(
        classifier,
        images,
        labels,
        ball=ball,
        attack=attack,
        random_seed=3,
        batch_size=5,
        device=CPU,
    )
    assert torch.allclose(again, found, atol=1e-4)


def test_examples_are_those_of_a_plain_loop(digits, classifier):
    images, _ = digits
    classifier.eval()
    ball = ball_of("L2", 0.7)
    found = adversarial_examples(
        classifier, images, ball=ball, attack=Attack(steps=4, relative_step=0.3, keep_best=False),
        device=CPU,
    )  # fmt: skip
    start = x = samemind.arrays.as_pixels(images)
    decided = classifier(x).logits.argmax(1)  # without labels: away from what it decides
    for _ in range(4):
        _, gradient = value_and_gradient(
            lambda now: torch.nn.functional.cross_entropy(
                classifier(now).logits, decided, reduction="none"
            ),
            x,
        )
        step = gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
        offset = x + 0.3 * 0.7 * step - start
        length = offset.flatten(1).norm(dim=1)[:, None, None, None]
        x = (start + offset * (0.7 / length).clamp(max=1)).clamp(0, 1)
    assert torch.allclose(found, x, atol=1e-5)


def side(decisions, labels):
    logits = torch.nn.functional.one_hot(torch.as_tensor(decisions), 10).double()
    return Side(logits=logits, labels=np.asarray(labels), kind="logits")


def test_transfer_is_its_formula_and_has_its_floor_where_models_are_unrelated():
    draws = np.random.default_rng(0)
    labels = draws.integers(10, size=4000)
    before, after = [], []
    for _ in range(2):
        before.append(np.where(draws.random(4000) < 0.9, labels, (labels + 1) % 10))
        after.append(np.where(draws.random(4000) < 0.4, before[-1], (labels + 2) % 10))
    sides = [(side(b, labels), side(a, labels)) for b, a in zip(before, after, strict=True)]
    found = attack_transfer(*sides)
    right = (before[0] == labels) & (before[1] == labels)
    fools = [right & (a != labels) for a in after]
    assert found.score == (fools[0] & fools[1]).sum() / fools[0].sum()
    assert found.floor == fools[1].sum() / right.sum()
    assert found.n_inputs == fools[0].sum()
    assert abs(found.score - found.floor) < 4 * found.standard_error
    assert found.lower < found.score < found.upper
    own = attack_transfer(sides[0], sides[0])
    assert (own.score, own.ceiling) == (1.0, 1.0)


def test_transfer_never_lies_above_its_ceiling():
    draws = np.random.default_rng(1)
    for _ in range(200):
        labels = draws.integers(10, size=30)
        sides = [tuple(side(draws.integers(10, size=30) * (draws.random(30) < 0.5)
                            + labels * 0, labels) for _ in "ba") for _ in "ab"]  # fmt: skip
        try:
            found = attack_transfer(*sides)
        except UndefinedScore:
            continue
        assert 0 <= found.score <= found.ceiling <= 1


def test_what_cannot_be_fooled_has_no_transfer():
    labels = np.arange(10)
    steady = side(labels, labels)
    with pytest.raises(UndefinedScore, match="None of the 10 images"):
        attack_transfer((steady, steady), (steady, steady))
    with pytest.raises(InvalidInput, match="row by row"):
        attack_transfer((steady, side(labels[:5], labels[:5])), (steady, steady))


@pytest.fixture(scope="module")
def attacked_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "attacked.toml").write_text(STUDY)
    study, store = read_study(folder / "attacked.toml"), Store(folder / "store")
    done = advance(study, store, InProcess(), samemind.execution.devices.Execution(device="cpu"))
    assert [str(o.error) for o in done.failed] == []
    return study, store, collect(study, store)


def test_a_study_compares_models_on_the_adversarial_examples_of_each(attacked_study):
    study, store, results = attacked_study
    rows = results.scores[results.scores["inputs"] == "adversarial"]
    assert set(rows["measure"]) == {"agreement", "debiased_linear_cka", "attack_transfer"}
    assert len(rows) == 2 * 2 * 3  # two ε, two ordered pairs
    assert (rows["inverted_by"] == rows["model_a"]).all()
    assert rows["accuracy_a"].notna()[rows["measure"] == "agreement"].all()
    transfers = rows[rows["measure"] == "attack_transfer"]
    made = {recipe.checkpoint.model: recipe for recipe in study.attacked}
    for row in transfers.to_dict("records"):
        images = load_inputs(made[row["model_a"]], store)
        natural = load_inputs(study.natural, store)
        assert (images["labels"] == natural["labels"]).all()
        moved = images["images"] - np.asarray(samemind.arrays.as_pixels(natural["images"]))
        assert np.linalg.norm(moved.reshape(60, -1), axis=1).max() <= 1.5 * (1 + 1e-5)
        assert row["reason"] is None or np.isnan(row["score"])


def test_the_verdict_has_a_sentence_on_attacks(attacked_study):
    *_, results = attacked_study
    stated = {verdict.aspect for _, verdict in verdicts(results)}
    assert stated >= {
        "Predictions under attack", "Representations under attack", "Attack transfers",
    }  # fmt: skip


def test_the_table_for_papers_has_the_transfers(attacked_study):
    *_, results = attacked_study
    table = latex_of(results)
    assert "Attack transfer" in table
    assert "adversarial inputs" in table


@pytest.mark.slow
def test_the_report_shows_adversarial_inputs(attacked_study, tmp_path):
    *_, results = attacked_study
    page = write_report(results, tmp_path / "report")
    assert "adversarial" in page.read_text(encoding="utf-8")
    assert (page.parent / "figures" / "similarity_by_epsilon-agreement.png").is_file()


def test_a_study_without_the_section_is_what_it_was(tmp_path):
    plain = STUDY.replace("[adversarial]\nepsilon = 1.5\n", "")
    for name, text in (("with", STUDY), ("without", plain)):
        (tmp_path / f"{name}.toml").write_text(text)
    attacked, without = (read_study(tmp_path / f"{n}.toml") for n in ("with", "without"))
    names = [{r.name for s in study.stages for r in s.recipes} for study in (attacked, without)]
    assert names[1] < names[0]
    assert [stage.name for stage in without.stages] == [
        "training", "evaluation", "inputs", "seeds", "inversion", "extraction", "probing",
        "comparison",
    ]  # fmt: skip


def test_transfer_is_asked_for_where_there_are_attacks(tmp_path):
    asked = STUDY.replace('["agreement",', '["agreement", "attack_transfer",')
    (tmp_path / "s.toml").write_text(asked.replace("epsilon = 1.5", "epsilon = 0"))
    with pytest.raises(InvalidInput, match=r"give \[adversarial\] epsilon"):
        read_study(tmp_path / "s.toml")
    pair = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)) for _ in range(2)]
    with pytest.raises(InvalidInput, match="a study makes"):
        samemind.compare(pair, torch.rand(9, 1, 8, 8), measures="attack_transfer", invert=4)
    with pytest.raises(InvalidInput, match="Write 'attack_transfer'"):
        samemind.compare(pair, torch.rand(9, 1, 8, 8), measures="attack_transfer@agreement")


def test_plan_counts_the_attacks(tmp_path):
    (tmp_path / "s.toml").write_text(STUDY)
    told = CliRunner().invoke(
        app, ["plan", str(tmp_path / "s.toml"), "--store", str(tmp_path / "x")]
    )
    assert told.exit_code == 0, told.output
    assert "attack" in told.output
