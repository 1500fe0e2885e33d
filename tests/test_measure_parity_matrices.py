"""Measures over pairs of inputs against independent implementations: neighbours and distances."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import KernelCenterer

from samemind.errors import UndefinedScore
from samemind.measures import measure
from samemind.measures.rsa import average_ranks

with warnings.catch_warnings():  # rsatoolbox reads a deprecated attribute of NumPy at import
    warnings.simplefilter("ignore")
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

torch.set_num_threads(1)

Pair = tuple[np.ndarray, np.ndarray]
K = 7


@pytest.fixture(scope="module")
def pair() -> Pair:
    """A shared latent, noise, offsets, and unequal widths and scales."""
    generator = np.random.default_rng(5)
    latent = generator.normal(size=(120, 6))
    return tuple(
        scale * (latent @ generator.normal(size=(6, width)) + generator.normal(size=(120, width)))
        + 3 * generator.normal(size=width)
        for width, scale in ((15, 1.0), (11, 4.0))
    )


def is_close(name: str, pair: Pair, expected: float) -> None:
    found = measure(name)(*pair)
    assert found == pytest.approx(float(expected), rel=1e-8), name


# --- neighbours -----------------------------------------------------------------------------


def nearest(values: np.ndarray) -> np.ndarray:
    """The K nearest others, nearest first, by scikit-learn."""
    search = NearestNeighbors(n_neighbors=K, metric="cosine").fit(values - values.mean(0))
    return search.kneighbors(return_distance=False)


def cosines(values: np.ndarray) -> np.ndarray:
    return 1 - squareform(pdist(values - values.mean(0), "cosine"))


def test_shared_neighbours_and_their_ranks_agree_with_counting_by_hand(pair: Pair) -> None:
    shares, ranks, joint = [], [], []
    for mine, theirs in zip(*(nearest(values).tolist() for values in pair), strict=True):
        common = set(mine) & set(theirs)
        total = 0.0
        for one in common:
            first, second = mine.index(one) + 1, theirs.index(one) + 1
            total += 2 / (1 + abs(first - second)) / (first + second)
        rank = total / sum(1 / m for m in range(1, len(common) + 1)) if common else 0.0
        shares.append(len(common) / K)
        ranks.append(rank)
        joint.append(rank * len(common) / len(set(mine) | set(theirs)))
    is_close(f"mutual_knn@{K}", pair, np.mean(shares))
    is_close(f"rank_similarity@{K}", pair, np.mean(ranks))
    is_close(f"joint_rank_jaccard@{K}", pair, np.mean(joint))


def test_mutual_neighbours_and_jaccard_are_functions_of_each_other_per_input(pair: Pair) -> None:
    mutual, jaccard = measure(f"mutual_knn@{K}"), measure(f"knn_jaccard@{K}")
    shared = mutual.contributions(mutual.pair(*pair))
    index = jaccard.contributions(jaccard.pair(*pair))
    assert shared is not None
    assert index is not None
    torch.testing.assert_close(index, shared / (2 - shared), rtol=1e-12, atol=1e-15)


def test_second_order_cosine_agrees_with_its_formula_on_the_union(pair: Pair) -> None:
    a, b = (cosines(values) for values in pair)
    found = []
    for i, (mine, theirs) in enumerate(zip(*(nearest(values) for values in pair), strict=True)):
        union = np.union1d(mine, theirs)
        u, v = a[i, union], b[i, union]
        found.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    is_close(f"second_order_cosine@{K}", pair, np.mean(found))


def test_cknna_agrees_with_its_formula_on_whole_matrices(pair: Pair) -> None:
    masks, kernels = [], []
    for values in pair:
        mask = np.zeros((120, 120))
        np.put_along_axis(mask, nearest(values), 1, axis=1)
        masks.append(mask)
        kernel = cosines(values)
        kernels.append(kernel - kernel.mean(1, keepdims=True))
    (m, n), (k, ell) = masks, kernels
    expected = np.sum(m * n * k * ell) / np.sqrt(np.sum(m * k * k) * np.sum(n * ell * ell))
    is_close(f"cknna@{K}", pair, expected)


def test_the_ranks_of_neighbours_follow_a_shuffle_of_the_inputs(pair: Pair) -> None:
    order = torch.from_numpy(np.random.default_rng(0).permutation(120))
    for name in ("rank_similarity", "second_order_cosine", "cknna", "mutual_knn"):
        member = measure(f"{name}@{K}")
        shuffled = member.score(member.pair(*pair).permuted(order))
        again = member(pair[0], pair[1][order.numpy()])
        assert shuffled == pytest.approx(again, rel=1e-10), name


def test_duplicate_inputs_are_neighbours_and_a_copy_of_a_model_is_identical_to_it() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=(10, 4)), 3, axis=0)
    for name in ("mutual_knn", "rank_similarity", "second_order_cosine", "cknna"):
        assert measure(f"{name}@4")(values, 2 * values + 1) == pytest.approx(1, abs=1e-9), name


# --- kernels and distances ------------------------------------------------------------------


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    a, b = (KernelCenterer().fit_transform(kernel) for kernel in (first, second))
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("bandwidth", [1.0, 0.4])
def test_kernel_cka_agrees_with_scikit_learns_kernels(pair: Pair, bandwidth: float) -> None:
    scales = [bandwidth * np.median(pdist(values)) for values in pair]
    gaussian = (rbf_kernel(x, gamma=0.5 / s**2) for x, s in zip(pair, scales, strict=True))
    is_close(f"rbf_cka@{bandwidth}", pair, alignment(*gaussian))
    laplace = (np.exp(-squareform(pdist(x)) / s) for x, s in zip(pair, scales, strict=True))
    is_close(f"laplace_cka@{bandwidth}", pair, alignment(*laplace))


def test_the_laplace_kernel_is_of_the_euclidean_distance_and_not_the_city_block_one() -> None:
    # With one unit both distances are the same, and scikit-learn's kernel with them.
    first, second = (np.random.default_rng(s).normal(size=(40, 1)) for s in (1, 2))
    kernels = (laplacian_kernel(x, gamma=1 / np.median(pdist(x))) for x in (first, second))
    is_close("laplace_cka", (first, second), alignment(*kernels))


def test_distance_correlation_agrees_with_its_definitions(pair: Pair) -> None:
    a, b = (squareform(pdist(values)) for values in pair)
    squared = alignment(a, b)
    is_close("distance_correlation_squared", pair, squared)
    is_close("distance_correlation", pair, np.sqrt(squared))
    u = []
    for matrix in (a, b):  # U-centring, Székely and Rizzo (2014), definition 2
        n = len(matrix)
        rows = matrix.sum(0) / (n - 2)
        centred = matrix - rows - rows[:, None] + matrix.sum() / ((n - 1) * (n - 2))
        u.append(centred[~np.eye(n, dtype=bool)])
    expected = u[0] @ u[1] / np.linalg.norm(u[0]) / np.linalg.norm(u[1])
    is_close("debiased_distance_correlation", pair, expected)


@pytest.mark.slow
def test_distance_correlation_agrees_with_dcor(pair: Pair) -> None:
    import dcor

    is_close("distance_correlation", pair, dcor.distance_correlation(*pair))
    is_close("distance_correlation_squared", pair, dcor.distance_correlation_sqr(*pair))
    is_close("debiased_distance_correlation", pair, dcor.u_distance_correlation_sqr(*pair))


@pytest.mark.parametrize("kind", ["euclidean", "correlation", "cosine"])
def test_similarity_analysis_agrees_with_scipy(pair: Pair, kind: str) -> None:
    first, second = (pdist(values, kind) for values in pair)
    is_close(f"rsa_{kind}_pearson", pair, pearsonr(first, second).statistic)
    is_close(f"rsa_{kind}_spearman", pair, spearmanr(first, second).statistic)


@pytest.mark.parametrize(("ours", "theirs"), [("pearson", "corr"), ("spearman", "spearman")])
def test_similarity_analysis_agrees_with_rsatoolbox(pair: Pair, ours: str, theirs: str) -> None:
    first, second = (calc_rdm(Dataset(values), method="correlation") for values in pair)
    expected = float(compare(first, second, method=theirs)[0, 0])
    assert measure(f"rsa_correlation_{ours}")(*pair) == pytest.approx(expected, rel=1e-8)


def test_ties_share_their_ranks_as_in_scipy() -> None:
    values = np.random.default_rng(2).integers(0, 6, size=50).astype(float)
    np.testing.assert_array_equal(average_ranks(torch.from_numpy(values)).numpy(), rankdata(values))


def test_a_row_without_direction_has_no_cosine_or_correlation(pair: Pair) -> None:
    values = pair[0].copy()
    values[4] = 0
    for name in ("rsa_cosine_pearson", "rsa_correlation_spearman"):
        with pytest.raises(UndefinedScore, match="Input 4 has a representation that is"):
            measure(name)(values, pair[1])


def test_differences_of_matrices_agree_with_their_formulas(pair: Pair) -> None:
    a, b = (pdist(values) for values in pair)
    is_close("stress", pair, np.sqrt(np.mean((a - b) ** 2)))
    is_close("rescaled_stress", pair, np.sqrt(np.mean((a / np.median(a) - b / np.median(b)) ** 2)))
    is_close("rsm_norm_difference", pair, np.linalg.norm(squareform(a) - squareform(b)))
    k, ell = ((x - x.mean(0)) @ (x - x.mean(0)).T for x in pair)
    is_close("gram_norm_difference", pair, np.linalg.norm(k - ell))


@pytest.mark.parametrize("n", [120, 20])
def test_the_riemannian_distance_agrees_with_generalised_eigenvalues(pair: Pair, n: int) -> None:
    few = tuple(values[:n] for values in pair)
    grams = []
    for values in few:
        gram = (values - values.mean(0)) @ (values - values.mean(0)).T
        grams.append(gram * n / np.trace(gram) + 0.1 * np.eye(n))
    expected = np.linalg.norm(np.log(scipy.linalg.eigvalsh(grams[1], grams[0])))
    is_close("affine_invariant_riemannian_distance", few, expected)


def test_a_scale_of_zero_is_said(pair: Pair) -> None:
    mostly_dead = np.zeros((120, 3))
    mostly_dead[0, 0] = 1
    for name in ("rbf_cka", "laplace_cka", "rescaled_stress"):
        with pytest.raises(UndefinedScore, match="half of the distances"):
            measure(name)(mostly_dead, pair[1])
    for name in ("debiased_distance_correlation",):
        with pytest.raises(UndefinedScore, match="4 inputs or more"):
            measure(name)(pair[0][:3], pair[1][:3])


OVER_INPUTS = (
    "rbf_cka",
    "laplace_cka",
    "distance_correlation",
    "debiased_distance_correlation",
    "rsa_euclidean_pearson",
    "rsa_euclidean_spearman",
    "rescaled_stress",
    f"mutual_knn@{K}",
    f"rank_similarity@{K}",
    f"second_order_cosine@{K}",
    f"cknna@{K}",
)


@pytest.mark.parametrize("name", OVER_INPUTS)
def test_float32_with_a_large_offset_agrees_with_float64(name: str, pair: Pair) -> None:
    first = (pair[0] * 1e-3 + 10).astype(np.float32)
    second = (pair[1] * 1e3 - 1e4).astype(np.float32)
    exact = measure(name)(first.astype(np.float64), second.astype(np.float64))
    assert measure(name)(first, second) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", OVER_INPUTS[:7])
def test_matrices_kept_in_float32_change_less_than_a_millionth(
    name: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = measure(name)(*pair)
    monkeypatch.setattr("samemind.sides.distances.IN_FLOAT64", 8)
    assert measure(name)(*pair) == pytest.approx(exact, abs=1e-6)
