"""What two models share within classes, split by a reference: what was planted is found."""

import numpy as np
import pytest
import torch

from measure_examples import generator, labels, related_with_classes
from samemind.comparison.reference_parts import split_by_reference
from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, Pair, Side, measure
from samemind.sides.parts import classes_of, within_classes
from samemind.sides.reference import by_reference, leading_directions

torch.set_num_threads(1)

WITHIN = [name for name in MEASURES if name.endswith("_within_classes")]


def planted(
    share: float, r_beside: float, *, n: int = 4000, seed: int = 0
) -> tuple[Pair, torch.Tensor]:
    """Two models of 10 units: `share` of the variance within classes is linear in 16 pixels.

    Of the rest, `r_beside` is shared, so that its linear CKA in the population is r². The class
    means of models and pixels are large and shared.
    """
    g = generator(31, seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    correct = torch.randint(8, (n,), generator=g)
    pixels, shared = normal(n, 16), normal(n, 10)
    sides = []
    for _ in range(2):
        # Ten directions of the pixels that are orthogonal: a part of variance one in each unit.
        filters = torch.linalg.qr(normal(16, 10)).Q
        rest = r_beside**0.5 * shared + (1 - r_beside) ** 0.5 * normal(n, 10)
        within = share**0.5 * pixels @ filters + (1 - share) ** 0.5 * rest
        sides.append(Side(representation=within + (4 * normal(8, 10))[correct], labels=correct))
    return Pair(*sides), pixels + (3 * normal(8, 16))[correct]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("r_beside", [0.0, 0.7, 1.0])
def test_the_share_along_pixels_and_what_is_shared_beside_them_are_found(share, r_beside):
    pair, pixels = planted(share, r_beside)
    table = split_by_reference(pair, pixels, components=16, permutations=0).set_index("part")
    for column in ("share_a", "share_b"):
        assert table.loc["along", column] == pytest.approx(share, abs=0.02)
        assert table.loc["beside", column] == pytest.approx(1 - share, abs=0.02)
    assert table.loc["beside", "score"] == pytest.approx(r_beside**2, abs=0.02)


def test_the_score_along_pixels_is_that_of_the_filters():
    pair, pixels = planted(0.5, 0.0)
    table = split_by_reference(pair, pixels, components=16, permutations=0).set_index("part")
    classes = classes_of(pair)
    # By hand: least squares on the residuals of all pixels, then linear CKA of what is fitted.
    x = pixels.numpy().copy()
    fitted = []
    for side in within_classes(pair).a, within_classes(pair).b:
        for one in range(8):
            x[classes.codes == one] -= x[classes.codes == one].mean(0)
        weights, *_ = np.linalg.lstsq(x, side.representation.numpy(), rcond=None)
        fitted.append(x @ weights)
    expected = measure("linear_cka")(*fitted)
    # The diagonal that debiasing leaves out is a part in a few hundred here.
    assert table.loc["along", "score"] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", WITHIN)
def test_the_two_parts_make_up_what_lies_within_classes(name):
    pair, pixels = planted(0.5, 0.6, n=400)
    directions = leading_directions(pixels, classes_of(pair), 7)
    assert directions.shape == (400, 7)
    along, beside = by_reference(pair, directions)
    for whole, one, other in zip(
        (within_classes(pair).a, within_classes(pair).b),
        (along.a, along.b),
        (beside.a, beside.b),
        strict=True,
    ):
        both = one.representation + other.representation
        torch.testing.assert_close(both, whole.representation)
        products = one.representation.T @ other.representation
        assert products.abs().max() < 1e-9
    found = split_by_reference(pair, pixels, measure=name, components=7, permutations=3)
    assert found["reason"].isna().all()
    assert (found["components"] == 7).all()


@pytest.mark.parametrize("name", WITHIN)
def test_models_that_have_nothing_in_common_but_classes_are_at_the_floors(name):
    found = []
    for seed in range(6):
        first, pixels = planted(0.0, 0.0, n=200, seed=seed)
        table = split_by_reference(first, pixels, measure=name, components=10)
        found.append(table["score"] - table["floor"])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / 6**0.5
    # Five degrees of freedom: beyond 6 lies one in a thousand.
    assert (np.abs(mean) < 6 * error).all()
    # Along ten directions, ten units of noise look alike: why that part has a floor of its own.
    assert table["floor"][0] > table["floor"][1] + 0.1


def test_the_standard_error_beside_a_reference_is_that_of_leaving_groups_out():
    pair, pixels = planted(0.5, 0.7, n=1000)
    table = split_by_reference(pair, pixels, components=16, permutations=0).set_index("part")
    assert np.isnan(table.loc["along", "standard_error"])
    scores = []
    for group in range(40):
        kept = torch.tensor([i for i in range(1000) if i % 40 != group])
        some = split_by_reference(
            pair.restricted(kept), pixels[kept], components=16, permutations=0
        )
        scores.append(some["score"][1])
    by_groups = (39 / 40 * np.sum((scores - np.mean(scores)) ** 2)) ** 0.5
    # A deviation from 40 groups is off by 11 %.
    assert table.loc["beside", "standard_error"] == pytest.approx(by_groups, rel=0.35)


def test_a_model_that_is_linear_in_the_reference_has_nothing_beside_it():
    _, pixels = planted(0.5, 0.0, n=300)
    weights = torch.randn(16, 9, generator=generator(4), dtype=torch.float64)
    correct = labels(300, 8)
    pair = Pair(*(Side(representation=pixels @ weights[:, :n], labels=correct) for n in (9, 5)))
    table = split_by_reference(pair, pixels, components=16).set_index("part")
    assert table.loc["along", "share_a"] == pytest.approx(1)
    assert np.isnan(table.loc["beside", "score"])
    assert "same for all inputs of a class" in table.loc["beside", "reason"]


def test_images_are_a_reference_and_more_pixels_than_inputs_have_the_same_directions():
    g = generator(5)
    images = torch.randn(60, 3, 8, 8, generator=g, dtype=torch.float64)
    pair = Pair(
        *(Side(representation=x, labels=labels(60, 5)) for x in related_with_classes(60, (5, 4)))
    )
    classes = classes_of(pair)
    wide = leading_directions(images, classes, 4)
    # The same values with more rows than columns: turned into as many columns as there are rows.
    turned = torch.linalg.qr(images.flatten(1).T, mode="r").R.T
    narrow = leading_directions(turned, classes, 4)
    torch.testing.assert_close(wide @ wide.T, narrow @ narrow.T)
    assert classes.sums(wide).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"measure": "linear_cka"}, InvalidInput, "'linear_cka' is not of.*mutual_knn_within"),
        ({"components": 11}, UndefinedScore, "allow between 1 and 10 components.*11 were"),
        ({"components": 0}, UndefinedScore, "between 1 and 10"),
        ({"reference": torch.ones(59, 3)}, InvalidInput, "59 rows for 60 inputs"),
        ({"reference": torch.ones(60, 3)}, UndefinedScore, "same for all inputs of a class"),
    ],
)
def test_what_cannot_be_split_says_why(more, error, words):
    arrays = related_with_classes(60, (5, 4))
    pair = Pair(*(Side(representation=x, labels=labels(60, 6)) for x in arrays))
    given = {"reference": torch.randn(60, 20, generator=generator(6)), "components": 5} | more
    with pytest.raises(error, match=words):
        split_by_reference(pair, given.pop("reference"), **given)
