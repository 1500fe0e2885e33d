"""Names that people use for measures, and the canonical one that each stands for."""

from __future__ import annotations

#: A short name that the literature uses loosely, and the definition that is meant unless said.
ALIASES = {
    "bures": "normalised_bures_similarity",
    "cca": "mean_cca",
    "churn": "disagreement",
    "cka": "linear_cka",
    "dcor": "distance_correlation",
    "debiased_cka": "debiased_linear_cka",
    "gulp": "gulp_distance",
    "hellinger": "hellinger_distance",
    "imd": "intrinsic_multiscale_distance",
    "jaccard": "knn_jaccard",
    "js": "jensen_shannon_divergence",
    "jsd": "jensen_shannon_divergence",
    "jsdsim": "jensen_shannon_similarity",
    "kappa": "cohens_kappa",
    "kernel_cka": "rbf_cka",
    "kl": "kullback_leibler_divergence",
    "mutual_nearest_neighbours": "mutual_knn",
    "pls": "mean_pls_correlation",
    "procrustes": "procrustes_similarity",
    "rsa": "rsa_correlation_spearman",
    "rtd": "representation_topology_divergence",
    "rv": "rv_coefficient",
    "sv_cca": "svcca",
    "tvd": "total_variation_distance",
    "unbiased_cka": "debiased_linear_cka",
}


def canonical(name: str) -> tuple[str, str | None]:
    """The canonical name of a measure, and a sentence where another was used, else None.

    >>> canonical("jaccard@100")
    ('knn_jaccard@100', "'jaccard' is read as 'knn_jaccard': `samemind list measures` has others.")
    >>> canonical("linear_cka")
    ('linear_cka', None)
    """
    plain, at, value = name.partition("@")
    found = ALIASES.get(plain.strip().lower().replace("-", "_").replace(" ", "_"))
    if found is None:
        return name, None
    said = f"'{plain}' is read as '{found}': `samemind list measures` has others."
    return f"{found}{at}{value}", said
