"""The studies that ship: the paper's grids, and what they share."""

import pytest

from samemind.architectures.base import ARCHITECTURES
from samemind.costing import cost_of
from samemind.datasets.base import DATASETS
from samemind.figures.style import neighbours_of
from samemind.study import read_study, shipped_studies

# Tables 1 to 4 of the paper: models in all, radii, and the number of targets.
GRIDS = {
    "cifar10": (28, (0, 0.25, 0.5, 1), None),
    "cifar10-sat6": (28, (0, 0.25, 0.5, 1), 10_000),
    "imagenet1k": (37, (0, 0.25, 0.5, 1, 3), 10_000),
    "imagenet1k-sat6": (37, (0, 0.25, 0.5, 1, 3), 10_000),
    "imagenet100": (20, (0, 0.25, 0.5, 1, 3), 10_000),
    "imagenet50": (20, (0, 0.25, 0.5, 1, 3), 10_000),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_study_has_the_grid_of_the_paper(name):
    models, epsilons, count = GRIDS[name]
    study = read_study(name)
    assert len(study.checkpoints) == models
    assert study.epsilons == epsilons
    assert study.natural.count == count
    assert count is None or count <= DATASETS[study.natural.dataset].splits[study.natural.split]
    assert all(i.descent.steps == 1000 for i in study.inverted)


@pytest.mark.parametrize("name", GRIDS)
def test_the_splits_and_image_sizes_of_a_study_fit_its_data(name):
    study = read_study(name)
    models, inputs = DATASETS[study.dataset], DATASETS[study.natural.dataset]
    assert study.natural.split in inputs.splits
    assert study.evaluation.split in models.splits
    assert (inputs.image_size, inputs.channels) == (models.image_size, models.channels)


def test_imagenet_lacks_the_three_models_that_the_paper_lacks():
    study = read_study("imagenet1k")
    there = {(c.architecture, c.epsilon) for c in study.checkpoints}
    grid = {(a, e) for a in study.architectures for e in study.epsilons}
    assert grid - there == {
        ("resnext50_32x4d", 0.25),
        ("densenet161", 0.25),
        ("densenet161", 0.5),
    }


@pytest.mark.parametrize("name", ["cifar10", "imagenet1k"])
def test_the_study_out_of_distribution_has_the_same_models_so_none_is_trained_twice(name):
    assert read_study(name).checkpoints == read_study(f"{name}-sat6").checkpoints


def test_models_are_trained_as_the_appendix_says():
    schedules = {
        (study, c.architecture, c.epsilon): c.schedule
        for study in GRIDS
        for c in read_study(study).checkpoints
    }
    for (study, architecture, _), schedule in schedules.items():
        assert (schedule.momentum, schedule.policy, schedule.step_epochs) == (0.9, "step", 30)
        assert schedule.weight_decay == (5e-4 if study.startswith("cifar10") else 1e-4)
        if study != "imagenet50":
            batch_size = 256 if architecture == "tiny_vit_5m" else 512
            assert (schedule.epochs, schedule.batch_size) == (90, batch_size)
            assert schedule.learning_rate == 0.1
    # The exceptions of appendix A.3: (epochs, batch size, learning rate).
    expected = {
        ("resnet50", 0): (60, 128, 0.1),
        ("resnet50", 3): (60, 64, 0.1),
        ("densenet161", 0): (60, 64, 0.1),
        ("densenet161", 1): (60, 32, 0.1),
        ("vgg16_bn", 0): (60, 128, 0.1),
        ("vgg16_bn", 0.25): (60, 256, 0.05),
        ("vgg16_bn", 0.5): (90, 64, 0.1),
        ("vgg16_bn", 1): (90, 64, 0.1),
        ("vgg16_bn", 3): (60, 256, 0.05),
    }
    for (architecture, epsilon), wanted in expected.items():
        schedule = schedules["imagenet50", architecture, epsilon]
        assert (schedule.epochs, schedule.batch_size, schedule.learning_rate) == wanted


def test_robust_models_are_trained_with_the_attack_of_the_paper():
    for checkpoint in read_study("cifar10").checkpoints:
        if checkpoint.epsilon == 0:
            assert checkpoint.attack is None
        else:
            assert checkpoint.ball.norm == "L2"
            assert checkpoint.attack.steps == 3
            assert checkpoint.attack.relative_step == pytest.approx(2 / 3)
            assert not checkpoint.attack.random_start


def test_the_networks_built_for_imagenet_are_normalised_as_the_authors_ran_them():
    for name in ("cifar10", "cifar10-sat6"):
        by = {c.architecture: c.schedule.normalisation for c in read_study(name).checkpoints}
        assert {a for a, n in by.items() if n == "imagenet"} == {
            a for a in by if a.endswith("_imagenet_stem")
        }
        assert {n for a, n in by.items() if not a.endswith("_imagenet_stem")} == {"dataset"}


@pytest.mark.parametrize("name", shipped_studies())
def test_every_study_has_the_neighbourhood_sizes_of_figure_7_that_its_inputs_allow(name):
    study = read_study(name)
    sizes = [neighbours_of(m) for m in study.comparison.measures if m.startswith("knn_jaccard")]
    n = study.natural.count or DATASETS[study.natural.dataset].splits[study.natural.split]
    assert len(sizes) > 1
    assert set(sizes) >= {k for k in (10, 100, 500) if k < n / 2}
    assert max(sizes) < n


# -- at the size of a laptop


@pytest.mark.parametrize("name", GRIDS)
def test_the_laptop_size_has_the_shape_of_the_study_and_none_of_its_artifacts(name):
    full, small = read_study(name), read_study(f"{name}-laptop")
    same = ("dataset", "epsilons", "norm", "attack", "random_seeds")
    assert [getattr(small, k) for k in same] == [getattr(full, k) for k in same]
    plain = {m for m in full.comparison.measures if "@" not in m}
    assert {m for m in small.comparison.measures if "@" not in m} == plain
    same = full.comparison.model_copy(update={"measures": small.comparison.measures})
    assert small.comparison == same
    assert (small.natural.dataset, small.natural.split) == (
        full.natural.dataset,
        full.natural.split,
    )
    assert (small.evaluation.split, small.inversion.step_size, small.inversion.momentum) == (
        full.evaluation.split,
        full.inversion.step_size,
        full.inversion.momentum,
    )
    assert [s.name for s in small.stages] == [s.name for s in full.stages]
    assert {r.name for s in small.stages for r in s.recipes}.isdisjoint(
        r.name for s in full.stages for r in s.recipes
    )


@pytest.mark.parametrize("name", GRIDS)
def test_the_laptop_size_is_small(name):
    small = read_study(f"{name}-laptop")
    passes = sum(cost_of([r for s in small.stages for r in s.recipes]).passes.values())
    full = read_study(name)
    of_full = sum(cost_of([r for s in full.stages for r in s.recipes]).passes.values())
    assert passes < of_full / 50
    for checkpoint in small.checkpoints:
        assert max(ARCHITECTURES[checkpoint.architecture].parameters.values()) < 300_000


@pytest.mark.parametrize("name", ["cifar10", "imagenet1k"])
def test_the_laptop_size_out_of_distribution_trains_nothing_twice(name):
    own = read_study(f"{name}-laptop").checkpoints
    assert own == read_study(f"{name}-sat6-laptop").checkpoints
