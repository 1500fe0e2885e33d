"""One pair of models by public packages, as their documentation shows it; and in float64.

SciPy's `orthogonal_procrustes` and `jensenshannon`, scikit-learn's `NearestNeighbors`, NumPy.
The inputs stay float32, as a model gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import process_time

import numpy as np
from scipy.linalg import orthogonal_procrustes, svdvals
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, rel_entr, softmax
from sklearn.neighbors import NearestNeighbors


@dataclass
class PublicWay:
    """Scores and CPU seconds by measure; `repeated_seconds` went into neighbours found before."""

    scores: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    repeated_seconds: float = 0.0


def centred(matrix: np.ndarray) -> np.ndarray:
    """Centred columns."""
    return matrix - matrix.mean(0)


def linear_cka(R: np.ndarray, S: np.ndarray) -> float:
    """The feature form, as in Kornblith et al.'s and most packages' code."""
    R, S = centred(R), centred(S)
    cross = np.linalg.norm(R.T @ S) ** 2
    return float(cross / (np.linalg.norm(R.T @ R) * np.linalg.norm(S.T @ S)))


def debiased_linear_cka(R: np.ndarray, S: np.ndarray) -> float:
    """U-centred Gram matrices, as in Nguyen et al.'s code and the paper's."""

    def u_centred(matrix: np.ndarray) -> np.ndarray:
        gram = matrix @ matrix.T
        n = len(gram)
        np.fill_diagonal(gram, 0)
        means = gram.sum(0) / (n - 2)
        means -= means.sum() / (2 * (n - 1))
        gram -= means[:, None]
        gram -= means[None, :]
        np.fill_diagonal(gram, 0)
        return gram.ravel()

    K, L = u_centred(centred(R)), u_centred(centred(S))
    return float(K @ L / np.sqrt((K @ K) * (L @ L)))


def procrustes_similarity(R: np.ndarray, S: np.ndarray) -> float:
    """Both padded to one width, as `orthogonal_procrustes` wants them."""
    R, S = centred(R), centred(S)
    R, S = R / np.linalg.norm(R), S / np.linalg.norm(S)
    width = max(R.shape[1], S.shape[1])
    R, S = (np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in (R, S))
    return float(orthogonal_procrustes(R, S)[1])


def neighbours(matrix: np.ndarray, k: int) -> np.ndarray:
    """The k nearest others by cosine; the first of k + 1 is the row itself."""
    found = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute", n_jobs=1)
    return found.fit(centred(matrix)).kneighbors(centred(matrix), return_distance=False)[:, 1:]


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """The mean over rows of the Jaccard index of two lists."""
    values = []
    for a, b in zip(first, second, strict=True):
        a, b = set(a.tolist()), set(b.tolist())
        values.append(len(a & b) / len(a | b))
    return float(np.mean(values))


def jeffreys(p: np.ndarray, q: np.ndarray) -> float:
    """Half of both Kullback-Leibler divergences."""
    return float((rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)).mean() / 2)


def public_scores(
    R: np.ndarray, z: np.ndarray, S: np.ndarray, y: np.ndarray, *, ks: Sequence[int]
) -> PublicWay:
    """All measures of the cell on one pair, each timed on its own."""
    way = PublicWay()

    def run(name, work):
        start = process_time()
        way.scores[name] = work()
        way.seconds[name] = process_time() - start

    run("agreement", lambda: float((z.argmax(1) == y.argmax(1)).mean()))
    run(
        "jensen_shannon_similarity",
        lambda: float(
            1 - (jensenshannon(softmax(z, 1), softmax(y, 1), axis=1) ** 2).mean() / np.log(2)
        ),
    )
    run("jeffreys_divergence", lambda: jeffreys(softmax(z, 1), softmax(y, 1)))
    run("linear_cka", lambda: linear_cka(R, S))
    run("debiased_linear_cka", lambda: debiased_linear_cka(R, S))
    run("procrustes_similarity", lambda: procrustes_similarity(R, S))
    for k in ks:
        start = process_time()
        first, second = neighbours(R, k), neighbours(S, k)
        found = process_time() - start
        run(f"knn_jaccard@{k}", lambda f=first, s=second: jaccard(f, s))
        way.seconds[f"knn_jaccard@{k}"] += found
        way.repeated_seconds += found if k != max(ks) else 0.0
    return way


def exact_scores(
    R: np.ndarray, z: np.ndarray, S: np.ndarray, y: np.ndarray, *, ks: Sequence[int]
) -> dict[str, float]:
    """The same in float64, independently of samemind: the reference for the errors of both."""
    R, z, S, y = (array.astype(np.float64) for array in (R, z, S, y))
    log_p, log_q = log_softmax(z, 1), log_softmax(y, 1)
    p, q = np.exp(log_p), np.exp(log_q)
    mean = (p + q) / 2
    jsd = (rel_entr(p, mean).sum(1) + rel_entr(q, mean).sum(1)).mean() / 2
    unit = [centred(matrix) / np.linalg.norm(centred(matrix)) for matrix in (R, S)]
    scores = {
        "agreement": float((z.argmax(1) == y.argmax(1)).mean()),
        "jensen_shannon_similarity": float(1 - jsd / np.log(2)),
        "jeffreys_divergence": float(((p - q) * (log_p - log_q)).sum(1).mean() / 2),
        "linear_cka": linear_cka(R, S),
        "debiased_linear_cka": debiased_linear_cka(R, S),
        "procrustes_similarity": float(svdvals(unit[0].T @ unit[1]).sum()),
    }
    sets = [exact_neighbours(matrix, max(ks)) for matrix in (R, S)]
    for k in ks:
        scores[f"knn_jaccard@{k}"] = jaccard(sets[0][:, :k], sets[1][:, :k])
    return scores


def exact_neighbours(matrix: np.ndarray, k: int) -> np.ndarray:
    """The k nearest others by cosine in float64, nearest first, the row left out by index."""
    directions = centred(matrix)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = np.empty((len(matrix), k), dtype=np.int64)
    for start in range(0, len(matrix), 1000):
        cosines = directions[start : start + 1000] @ directions.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -np.inf
        nearest = np.argpartition(-cosines, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosines, nearest, 1), axis=1)
        found[start : start + 1000] = np.take_along_axis(nearest, order, 1)
    return found
