"""Functions of covariances against independent implementations, and their exact identities.

The oracles work on orthonormal bases from decompositions of the data themselves, where samemind
works on covariances.
"""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch
from sklearn.cross_decomposition import PLSSVD
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from samemind.errors import InvalidInput, UndefinedScore
from samemind.measures import MEASURES, measure

with warnings.catch_warnings():  # rsatoolbox reads a deprecated attribute of NumPy at import
    warnings.simplefilter("ignore")
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

torch.set_num_threads(1)

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A shared 12-dimensional latent, noise, offsets, and unequal widths and scales."""
    generator = np.random.default_rng(0)
    latent = generator.normal(size=(200, 12))
    return tuple(
        latent @ generator.normal(size=(12, width))
        + generator.normal(size=(200, width))
        + 3 * generator.normal(size=width)
        for width in (30, 24)
    )


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(0)


def unit(values: np.ndarray) -> np.ndarray:
    return centred(values) / np.linalg.norm(centred(values))


def basis(values: np.ndarray) -> np.ndarray:
    return scipy.linalg.orth(centred(values))


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Canonical correlations, as cosines of the angles between the column spaces."""
    return np.cos(scipy.linalg.subspace_angles(centred(first), centred(second)))


def rows_and_loss(pair: Pair) -> float:
    """The squared Procrustes distance, from SciPy's rotation and the rows themselves."""
    first, second = (unit(values) for values in pair)
    second = np.pad(second, ((0, 0), (0, first.shape[1] - second.shape[1])))
    rotation, _ = scipy.linalg.orthogonal_procrustes(first, second)
    return float(np.sum((first @ rotation - second) ** 2))


def is_close(name: str, pair: Pair, expected: float) -> None:
    found = measure(name)(*pair)
    assert found == pytest.approx(float(expected), rel=1e-8), name


def test_the_procrustes_family_agrees_with_scipy(pair: Pair) -> None:
    squared = rows_and_loss(pair)
    is_close("procrustes_distance_squared", pair, squared)
    is_close("procrustes_distance", pair, np.sqrt(squared))
    is_close("procrustes_similarity", pair, 1 - squared / 2)
    is_close("normalised_bures_similarity", pair, 1 - squared / 2)
    is_close("angular_procrustes_distance", pair, np.arccos(1 - squared / 2))
    first, second = pair
    padded = np.pad(second, ((0, 0), (0, 6)))
    is_close("procrustes_disparity", pair, scipy.spatial.procrustes(first, padded)[2])
    rotation, _ = scipy.linalg.orthogonal_procrustes(centred(first), centred(padded))
    left = np.linalg.norm(centred(first) @ rotation - centred(padded))
    is_close("procrustes_size_and_shape_distance", pair, left)


def test_the_normalised_bures_similarity_is_the_fidelity_of_the_gram_matrices(pair: Pair) -> None:
    grams = [unit(values) @ unit(values).T for values in pair]
    values, vectors = np.linalg.eigh(grams[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    fidelity = np.sqrt(np.linalg.eigvalsh(root @ grams[1] @ root).clip(0)).sum()
    # Roots of eigenvalues that are rounding: 200 of them, each the root of 1e-17.
    assert measure("normalised_bures_similarity")(*pair) == pytest.approx(fidelity, abs=1e-6)


def test_linear_cka_and_bures_similarity_agree_with_rsatoolbox(pair: Pair) -> None:
    first, second = (calc_rdm(Dataset(values), method="euclidean") for values in pair)
    for name, method in (
        ("linear_cka", "cosine_cov"),
        ("rv_coefficient", "cosine_cov"),
        ("normalised_bures_similarity", "bures"),
    ):
        expected = float(compare(first, second, method=method)[0, 0])
        assert measure(name)(*pair) == pytest.approx(expected, rel=1e-6), name


def test_the_relatives_of_linear_cka_agree_with_gram_matrices(pair: Pair) -> None:
    k, ell = (centred(values) @ centred(values).T for values in pair)
    cka = np.sum(k * ell) / np.sqrt(np.sum(k * k) * np.sum(ell * ell))
    is_close("rv_coefficient", pair, cka)
    is_close("angular_cka_distance", pair, np.arccos(cka))
    shared = np.trace(k) * np.trace(ell) * np.sum(k * ell) / np.sum(k * k) / np.sum(ell * ell)
    is_close("effective_shared_dimensions", pair, shared)
    off = ~np.eye(200, dtype=bool)
    cosine = k[off] @ ell[off] / np.linalg.norm(k[off]) / np.linalg.norm(ell[off])
    is_close("diagonal_removed_linear_cka", pair, cosine)


def test_shared_dimensions_of_a_model_with_itself_are_its_participation_ratio(pair: Pair) -> None:
    spectrum = np.linalg.svd(centred(pair[0]), compute_uv=False) ** 2
    ratio = spectrum.sum() ** 2 / np.sum(spectrum**2)
    found = measure("effective_shared_dimensions")(pair[0], pair[0])
    assert found == pytest.approx(ratio, rel=1e-10)


def test_canonical_correlations_agree_with_angles_between_subspaces(pair: Pair) -> None:
    rho = correlations(*pair)
    assert len(rho) == 24
    is_close("mean_cca", pair, rho.mean())
    is_close("mean_squared_cca", pair, np.mean(rho**2))
    is_close("angular_cca_distance", pair, np.arccos(rho.sum() / np.sqrt(30 * 24)))
    is_close("eigenspace_overlap", pair, np.sum(rho**2) / 30)


def test_svcca_is_cca_of_the_principal_components_with_the_stated_variance(pair: Pair) -> None:
    for share in (0.99, 0.8):
        kept = []
        for values in pair:
            left, sizes, _ = np.linalg.svd(centred(values), full_matrices=False)
            variance = np.cumsum(sizes**2) / np.sum(sizes**2)
            count = int(np.searchsorted(variance, share) + 1)
            kept.append(left[:, :count] * sizes[:count])
        is_close(f"svcca@{share}", pair, correlations(*kept).mean())
    assert measure("svcca@1.0")(*pair) == pytest.approx(measure("mean_cca")(*pair), rel=1e-9)
    with pytest.raises(InvalidInput, match=r"svcca@0\.99"):
        measure("svcca@99")(*pair)


@pytest.mark.parametrize("is_turned", [False, True])
def test_pwcca_agrees_with_its_formula_on_explicit_canonical_variables(
    pair: Pair, is_turned: bool
) -> None:
    first, second = pair[::-1] if is_turned else pair
    left, rho, _ = np.linalg.svd(basis(first).T @ basis(second), full_matrices=False)
    variables = basis(first) @ left
    weights = np.abs(variables.T @ centred(first)).sum(1)
    is_close("pwcca", (first, second), weights @ rho / weights.sum())


def test_linear_regression_agrees_with_scikit_learn(pair: Pair) -> None:
    for first, second in (pair, pair[::-1]):
        predicted = LinearRegression().fit(first, second).predict(first)
        expected = r2_score(second, predicted, multioutput="variance_weighted")
        is_close("linear_regression_r2", (first, second), expected)


def test_gulp_agrees_with_its_formula_and_ends_in_canonical_correlations(pair: Pair) -> None:
    first, second = (unit(values) for values in pair)
    a, b = (
        np.linalg.solve(values.T @ values + 0.01 * np.eye(values.shape[1]), values.T)
        for values in (first, second)
    )
    hats = first @ a, second @ b  # the ridge regressions of both, as maps of any target
    expected = np.sum((hats[0] - hats[1]) ** 2)
    is_close("gulp_distance_squared", pair, expected)
    is_close("gulp_distance", pair, np.sqrt(expected))
    limit = 30 + 24 - 2 * np.sum(correlations(*pair) ** 2)
    found = measure("gulp_distance_squared@1e-12")(*pair)
    assert found == pytest.approx(limit, rel=1e-7)


def test_partial_whitening_agrees_with_its_formula_and_its_two_ends(pair: Pair) -> None:
    for alpha in (0.5, 0.05):
        whitened = []
        for values in pair:
            inverse_root = np.linalg.inv(scipy.linalg.sqrtm(centred(values).T @ centred(values)))
            mix = alpha * np.eye(values.shape[1]) + (1 - alpha) * inverse_root
            whitened.append(unit(centred(values) @ mix))
        expected = np.arccos(np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False).sum())
        is_close(f"partial_whitening_distance@{alpha}", pair, expected)
    ends = {"1.0": "angular_procrustes_distance", "1e-12": "angular_cca_distance"}
    for alpha, name in ends.items():
        found = measure(f"partial_whitening_distance@{alpha}")(*pair)
        assert found == pytest.approx(measure(name)(*pair), rel=1e-8)
    with pytest.raises(InvalidInput, match="angular_cca_distance"):
        measure("partial_whitening_distance@2")(*pair)


def test_partial_least_squares_agrees_with_scikit_learn(pair: Pair) -> None:
    first, second = (centred(values) for values in pair)
    scores = PLSSVD(n_components=24, scale=False).fit(first, second).transform(first, second)
    expected = [np.corrcoef(*both)[0, 1] for both in zip(scores[0].T, scores[1].T, strict=True)]
    is_close("mean_pls_correlation", pair, np.mean(expected))


CCA_FAMILY = (
    "mean_cca",
    "mean_squared_cca",
    "angular_cca_distance",
    "eigenspace_overlap",
    "svcca@1.0",
    "pwcca",
    "linear_regression_r2",
    "mean_pls_correlation",
)


@pytest.mark.parametrize("name", CCA_FAMILY)
def test_too_few_inputs_for_whitening_are_said_and_not_scored_one(name: str, pair: Pair) -> None:
    first, second = (values[:25] for values in pair)
    with pytest.raises(UndefinedScore, match="every correlation is 1"):
        measure(name)(first, second)


@pytest.mark.parametrize("name", CCA_FAMILY)
def test_dead_and_repeated_units_change_nothing(name: str, pair: Pair) -> None:
    if name == "pwcca":
        pytest.skip("a repeated unit counts twice in the weights")
    first, second = pair
    more = np.hstack([first, np.full((200, 2), 0.3)])
    assert measure(name)(more, second) == pytest.approx(measure(name)(first, second), rel=1e-9)
    if name in ("mean_cca", "mean_squared_cca", "eigenspace_overlap", "linear_regression_r2"):
        more = np.hstack([first, first[:, :3]])
        assert measure(name)(more, second) == pytest.approx(measure(name)(first, second), rel=1e-9)


@pytest.mark.parametrize("family", ["canonical correlation", "regression", "alignment"])
def test_float32_with_a_large_offset_agrees_with_float64(family: str, pair: Pair) -> None:
    first = (pair[0] * 1e-3 + 10).astype(np.float32)
    second = (pair[1] * 1e3 - 1e4).astype(np.float32)
    members = [member for member in MEASURES.values() if member.family == family]
    assert members
    for member in members:
        labels = np.arange(len(first)) % 5 if member.needs_labels else None
        exact = member(first.astype(np.float64), second.astype(np.float64), labels=labels)
        found = member(first, second, labels=labels)
        assert found == pytest.approx(exact, abs=1e-6), member.name


def test_more_units_than_inputs_are_treated_as_their_rotation_into_fewer(pair: Pair) -> None:
    generator = np.random.default_rng(1)
    first = generator.normal(size=(20, 50))
    second = first[:, :40] + generator.normal(size=(20, 40))
    turned = tuple(np.linalg.qr(values.T, mode="r").T for values in (first, second))
    for name in (
        "gulp_distance",
        "partial_whitening_distance",
        "procrustes_size_and_shape_distance",
        "effective_shared_dimensions",
        "diagonal_removed_linear_cka",
    ):
        expected = measure(name)(*turned)
        assert measure(name)(first, second) == pytest.approx(expected, rel=1e-9), name
