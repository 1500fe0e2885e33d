"""The pictures of measures.md: two pairs of representations on which two measures disagree."""

from pathlib import Path

import numpy as np

import samemind

BLUE, ORANGE = "#0072B2", "#D55E00"


def alike_to_cka() -> tuple[np.ndarray, np.ndarray]:
    """Two groups far apart, and within them everything rearranged: (200, 2) twice."""
    rng = np.random.default_rng(0)
    group = np.repeat([-10.0, 10.0], 100)
    first, second = (np.stack([group, rng.standard_normal(200)], axis=1) for _ in range(2))
    return first, second


def alike_to_neighbours() -> tuple[np.ndarray, np.ndarray]:
    """Twenty tight clusters of eleven, the same within, at other places: (220, 2) twice."""
    rng = np.random.default_rng(4)
    angles = 2 * np.pi * np.arange(20) / 20
    inner = 0.03 * rng.standard_normal((20, 11))
    both = []
    for order in (np.arange(20), rng.permutation(20)):
        angle = (angles[order][:, None] + inner).ravel()
        both.append(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return both[0], both[1]


def scores(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    names = ("linear_cka", "procrustes_similarity", "knn_jaccard")
    return {name: samemind.measure(name)(first, second) for name in names}


def draw(pair: tuple[np.ndarray, np.ndarray], path: Path) -> None:
    """Both representations side by side; one input and its ten neighbours in colour."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = scores(*pair)
    chosen = 20
    figure, axes = pyplot.subplots(1, 2, figsize=(6.4, 3.0), layout="constrained")
    unit = pair[0] - pair[0].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit[chosen]))[1:11]
    for axis, points, title in zip(axes, pair, ("model A", "model B"), strict=True):
        axis.scatter(*points.T, s=8, color="#BBBBBB")
        axis.scatter(*points[near].T, s=16, color=BLUE, label="its 10 neighbours in A")
        axis.scatter(*points[chosen], s=40, color=ORANGE, marker="D", label="one input")
        axis.set_title(title, loc="left", fontsize=9)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, loc="best")
    figure.suptitle(
        ", ".join(f"{name.replace('_', ' ')} {score:.2f}" for name, score in found.items()),
        fontsize=9,
    )
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    draw(alike_to_cka(), folder / "alike-to-cka.png")
    draw(alike_to_neighbours(), folder / "alike-to-neighbours.png")
