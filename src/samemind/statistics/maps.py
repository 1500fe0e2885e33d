"""Orders and maps of models, and how measures agree with each other."""

from __future__ import annotations

from samemind.lazy import np


def cluster_order(similarities: np.ndarray) -> list[int]:
    """The order of models in which alike ones stand together; (n, n) in, n places out.

    Average linkage on 1 − similarity with the best order of the leaves; missing pairs count as
    the least similar one.
    """
    n = len(similarities)
    if n < 3:
        return list(range(n))
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    distances = _condensed(_complete(similarities))
    return [
        int(i) for i in leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances))
    ]


def classical_map(similarities: np.ndarray) -> tuple[np.ndarray, float]:
    """Positions (n, 2) whose distances come near 1 − similarity, and the share they keep.

    Classical multidimensional scaling: no starting point and no chance in it. The share is that
    of the two largest among the positive eigenvalues. Signs are fixed, so that equal scores give
    equal maps.
    """
    filled = _complete(similarities)
    distances = 1 - filled
    np.fill_diagonal(distances, 0)
    centring = np.eye(len(filled)) - 1 / len(filled)
    values, vectors = np.linalg.eigh(-0.5 * centring @ np.maximum(distances, 0) ** 2 @ centring)
    order = np.argsort(values)[::-1][:2]
    kept = np.maximum(values[order], 0)
    positions = vectors[:, order] * np.sqrt(kept)
    for axis in range(positions.shape[1]):
        if positions[np.abs(positions[:, axis]).argmax(), axis] < 0:
            positions[:, axis] *= -1
    if positions.shape[1] < 2:
        positions = np.pad(positions, ((0, 0), (0, 2 - positions.shape[1])))
    total = np.maximum(values, 0).sum()
    return positions, float(kept.sum() / total) if total > 0 else 1.0


def rank_correlations(table: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of every two columns, (columns, columns).

    For each two columns, the rows that both have; NaN with fewer than three, or a constant column.
    """
    from scipy.stats import rankdata

    n = table.shape[1]
    found = np.full((n, n), np.nan)
    for a in range(n):
        for b in range(a, n):
            both = np.isfinite(table[:, a]) & np.isfinite(table[:, b])
            if both.sum() < 3:
                continue
            x, y = rankdata(table[both, a]), rankdata(table[both, b])
            if np.ptp(x) > 0 and np.ptp(y) > 0:
                found[a, b] = found[b, a] = np.corrcoef(x, y)[0, 1]
    return found


def _complete(similarities: np.ndarray) -> np.ndarray:
    matrix = np.array(similarities, dtype=float)
    missing = ~np.isfinite(matrix)
    np.fill_diagonal(missing, False)
    if missing.any():
        matrix[missing] = np.nanmin(matrix) if np.isfinite(matrix).any() else 0.0
    np.fill_diagonal(matrix, 1.0)
    return (matrix + matrix.T) / 2


def _condensed(matrix: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(matrix), 1)
    return np.maximum(1 - matrix[i, j], 0)
