"""On a GPU: measures, attacks, training, inversion and a study, against the CPU."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball
from samemind.building import BUILDERS, build
from samemind.classifier import new_classifier, outputs
from samemind.comparison.mechanisms import MechanismScores
from samemind.comparison.pairs import SCORES_FILE, Scores
from samemind.comparison.sets import SetScores
from samemind.datasets.base import DATASETS
from samemind.execution import InProcess, replaying
from samemind.execution.devices import Execution
from samemind.execution.replaying import Replayed
from samemind.inversion import Descent, Until, invert
from samemind.measures import MEASURES
from samemind.store.artifacts import Store
from samemind.study import Study, read_study
from samemind.study.running import advance
from samemind.training import Schedule, accuracy, train
from test_far_device import pair_on

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda")


def digits_images(count: int, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    held = DATASETS["digits"].split(split)
    return torch.from_numpy(held.read(range(count))), torch.from_numpy(held.labels[:count])


def digits_network(name: str = "digits_resnet", random_seed: int = 0):
    return new_classifier(ARCHITECTURES[name], DATASETS["digits"], random_seed=random_seed)


@pytest.fixture
def same_kernels():
    """The same kernels every time, in float32 proper: what bits are compared under."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


@pytest.mark.parametrize("name", list(MEASURES))
def test_a_measure_has_the_values_of_the_cpu(name: str):
    chosen = MEASURES[name]
    near, far = pair_on("cpu"), pair_on(GPU)
    assert chosen.score(far) == pytest.approx(chosen.score(near), abs=1e-8)
    assert chosen.standard_error(far) == pytest.approx(chosen.standard_error(near), abs=1e-8)
    floors = [chosen.floor(pair, permutations=3, random_seed=1) for pair in (near, far)]
    assert (floors[0] is None) == (floors[1] is None)
    if floors[0] is not None and floors[1] is not None:
        assert floors[1].mean == pytest.approx(floors[0].mean, abs=1e-8)
    by_input = [chosen.contributions(pair) for pair in (near, far)]
    if by_input[0] is not None and by_input[1] is not None:
        torch.testing.assert_close(by_input[1].cpu(), by_input[0], atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    "name", ["cifar_resnet18", "cifar_vgg16_bn", "cifar_resnext50_32x4d_imagenet_stem"]
)
def test_extraction_has_the_activations_of_the_cpu(name: str):
    classifier = new_classifier(ARCHITECTURES[name], DATASETS["cifar10"], random_seed=0)
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    near = outputs(classifier, images, batch_size=8, device=torch.device("cpu"))
    far = outputs(classifier.to(GPU), images, batch_size=8, device=GPU)
    for held, found in zip(near, far, strict=True):
        assert float((held - found).norm() / held.norm()) < 1e-5


def test_a_transformer_has_the_activations_of_the_cpu():
    images, _ = digits_images(64)
    near = outputs(digits_network("digits_vit"), images, batch_size=16, device=torch.device("cpu"))
    far = outputs(digits_network("digits_vit").to(GPU), images, batch_size=16, device=GPU)
    assert float((near.logits - far.logits).norm() / near.logits.norm()) < 1e-5


def trained_on(device: torch.device, *, steps: int, ball=None, **schedule):
    images, labels = digits_images(64 * steps)
    classifier = digits_network()
    train(
        classifier,
        images.to(device),
        labels,
        schedule=Schedule(epochs=1, batch_size=64, learning_rate=0.05, **schedule),
        ball=ball,
        attack=Attack() if ball else None,
        random_seed=0,
        device=device,
    )
    return {name: held.cpu() for name, held in classifier.state_dict().items()}


@pytest.mark.parametrize("ball", [None, L2Ball(0.5)])
def test_training_makes_the_steps_of_the_cpu(ball, same_kernels):
    near, far = (trained_on(d, steps=3, ball=ball) for d in (torch.device("cpu"), GPU))
    for name, held in near.items():
        torch.testing.assert_close(far[name], held, atol=2e-4, rtol=1e-3)


def test_robust_training_learns_with_recorded_attacks_and_half_precision():
    images, labels = digits_images(1200)
    classifier = digits_network()
    ball, attack = L2Ball(0.25), Attack()
    train(
        classifier,
        images.to(GPU),
        labels,
        schedule=Schedule(
            epochs=6, batch_size=64, learning_rate=0.1, policy="one_cycle", precision="bfloat16"
        ),
        ball=ball,
        attack=attack,
        random_seed=0,
        device=GPU,
    )
    test = digits_images(300, "test")
    assert accuracy(classifier, *test, device=GPU) > 0.9
    under = accuracy(classifier, *test, ball=ball, attack=attack, batch_size=64, device=GPU)
    assert 0.6 < under < 1


def inverted(descent: Descent, batch_size: int | None = None):
    classifier = digits_network().to(GPU).eval()
    images, _ = digits_images(96)
    images = images.to(GPU)
    return invert(classifier, images[:48], images[48:], descent=descent, batch_size=batch_size)


def test_what_is_replayed_has_the_bits_of_what_is_launched(same_kernels, monkeypatch):
    found = {}
    for how, calls in (("replayed", 3), ("launched", 10**9)):
        monkeypatch.setattr(replaying, "CALLS_BEFORE", calls)
        found[how] = (
            inverted(Descent(steps=30)),
            inverted(
                Descent(steps=60, until=Until(relative_loss=1e-3, patience=5, halvings=1)), 16
            ),
            trained_on(GPU, steps=12, ball=L2Ball(0.5)),
        )
    for one, other in zip(found["replayed"][:2], found["launched"][:2], strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.relative_loss, other.relative_loss)
    for name, held in found["launched"][2].items():
        assert torch.equal(found["replayed"][2][name], held), name


def test_a_replay_sees_what_changed_in_place_and_gives_memory_of_its_own():
    weight = torch.ones(4, device=GPU)
    double = Replayed(lambda x: (weight * x,))
    for _ in range(6):
        kept = double(torch.ones(4, device=GPU))
    assert double._recorded is not None
    weight.mul_(3)
    (again,) = double(torch.full((4,), 2.0, device=GPU))
    assert again.tolist() == [6.0] * 4
    assert kept[0].tolist() == [1.0] * 4
    (other,) = double(torch.ones(1, device=GPU))  # of another shape
    assert other.tolist() == [3.0] * 4


def test_what_cannot_be_recorded_runs_as_it_is():
    halved = Replayed(lambda x: (x / float(x.max()),))  # reads a value: not to be recorded
    for scale in range(1, 9):
        (found,) = halved(torch.full((3,), float(scale), device=GPU))
        assert found.tolist() == [1.0] * 3
    assert halved._is_given_up
    assert torch.ones(3, device=GPU).sum().item() == 3  # the device is as before


def test_inversion_goes_on_with_fewer_images_where_memory_runs_out():
    classifier = new_classifier(
        ARCHITECTURES["cifar_resnet18"], DATASETS["cifar10"], random_seed=0
    ).to(GPU)
    images = torch.rand(2, 1536, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(GPU)
    free = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / free)
    try:
        with pytest.warns(RuntimeWarning, match="does not suffice: inverting"):
            found = invert(classifier, *images, descent=Descent(steps=5))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found.images.shape == images[0].shape
    assert torch.isfinite(found.relative_loss).all()


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory) -> tuple[Study, Store]:
    held = read_study(Path(__file__).parent / "data" / "small-digits.toml").model_dump()
    held["training"]["epochs"] = 2
    study = Study(**held)
    store = Store(tmp_path_factory.mktemp("gpu") / "cpu")
    done = advance(study, store, InProcess(), Execution(device="cpu"))
    assert not done.failed
    return study, store


def test_scores_made_on_a_gpu_are_those_of_the_cpu(on_cpu, tmp_path: Path):
    study, near = on_cpu
    for stage in study.stages:
        for recipe in stage.recipes:
            if not isinstance(recipe, (Scores, MechanismScores, SetScores)):
                continue
            far = Store(tmp_path / recipe.name)
            shutil.copytree(near.root, far.root)
            made = near.open(recipe)
            shutil.rmtree(far.root / recipe.kind)
            BUILDERS[type(recipe)](recipe, far, Execution(device="cuda"))
            for name in made.json("checksums.json"):
                if not name.endswith(".parquet"):
                    continue
                one, other = (store.open(recipe).table(name) for store in (near, far))
                pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=0, atol=1e-5)


def test_a_study_on_a_gpu_scores_everything(on_cpu, tmp_path: Path):
    study, _ = on_cpu
    store = Store(tmp_path)
    done = advance(study, store, InProcess(), Execution(device="cuda"))
    assert [str(o.error) for o in done.failed] == []
    tables = [
        store.open(recipe).table(SCORES_FILE)
        for stage in study.stages
        for recipe in stage.recipes
        if isinstance(recipe, Scores)
    ]
    scores = pd.concat(tables)
    assert len(scores)
    assert scores["reason"].isna().all()
    assert advance(study, store, InProcess(), Execution(device="cuda")).built == 0


def test_a_model_trained_on_a_gpu_says_the_same_on_the_cpu(on_cpu, tmp_path: Path):
    study, _ = on_cpu
    store = Store(tmp_path)
    recipe = study.checkpoints[0]
    build(recipe, root=store.root, execution=Execution(device="cuda"))
    from samemind.training import load_checkpoint

    classifier = load_checkpoint(recipe, store)
    images, _ = digits_images(50)
    near = outputs(classifier, images, batch_size=50, device=torch.device("cpu"))
    far = outputs(classifier.to(GPU), images, batch_size=50, device=GPU)
    assert torch.equal(near.logits.argmax(1), far.logits.argmax(1))
