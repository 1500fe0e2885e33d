"""samemind: do your models think alike?

Two models on the same inputs, from arrays (N, D) that you have:

    found = samemind.compare({"one": A, "other": B})
    found.scores

Networks on images, with the answer to "can I swap one for the other?":

    samemind.compare(["timm:resnet18", "net.pt"], "cifar10:test").report("report")

One measure, beside what chance gives, and how far it is to be trusted:

    cka = samemind.measure("linear_cka")
    cka(A, B), cka.floor(A, B).p95, cka.standard_error(A, B)

Is A more like B than like C?

    samemind.difference((A, B), (A, C), "linear_cka").answer

What there is, and a picture in a line:

    samemind.list_measures("*cka*")
    found.heat_map("linear_cka")

Names are imported when they are first used: `import samemind` brings neither torch nor pandas.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from samemind.comparison.differences import difference as difference
    from samemind.errors import SamemindError as SamemindError
    from samemind.gating.door import gate as gate
    from samemind.measures import Side as Side
    from samemind.measures import measure as measure
    from samemind.networks.opening import load_model as load_model
    from samemind.own_models import compare as compare
    from samemind.own_models import fidelity as fidelity
    from samemind.reporting.comparison import Comparison as Comparison
    from samemind.study import Study as Study
    from samemind.study import read_study as read_study
    from samemind.trajectories import trajectory as trajectory

_PUBLIC = {
    "SamemindError": "samemind.errors",
    "Side": "samemind.measures",
    "Study": "samemind.study",
    "Comparison": "samemind.reporting.comparison",
    "compare": "samemind.own_models",
    "difference": "samemind.comparison.differences",
    "fidelity": "samemind.own_models",
    "gate": "samemind.gating.door",
    "load_model": "samemind.networks.opening",
    "measure": "samemind.measures",
    "read_study": "samemind.study",
    "trajectory": "samemind.trajectories",
}

__all__ = [
    "Comparison",
    "SamemindError",
    "Side",
    "Study",
    "compare",
    "dataset",
    "difference",
    "fidelity",
    "gate",
    "list_architectures",
    "list_datasets",
    "list_figures",
    "list_measures",
    "load_model",
    "measure",
    "read_study",
    "trajectory",
]


def dataset(name: str):
    """The record of a dataset: `samemind.dataset("digits").split("test").read([0, 1])`."""
    from samemind.datasets.base import DATASETS

    return DATASETS[name]


def list_measures(pattern: str = "*") -> list[str]:
    """The names of the measures that fit a pattern such as `"*cka*"`; of every kind.

    >>> list_measures("rsa_cosine*")
    ['rsa_cosine_pearson', 'rsa_cosine_spearman']
    """
    from samemind.measures.kinds import KINDS

    return _fitting((name for registry in KINDS.values() for name in registry), pattern)


def list_architectures(pattern: str = "*") -> list[str]:
    """The names of the architectures that fit a pattern such as `"cifar_*"`."""
    from samemind.architectures.base import ARCHITECTURES

    return _fitting(ARCHITECTURES, pattern)


def list_datasets(pattern: str = "*") -> list[str]:
    """The names of the datasets that fit a pattern such as `"image*"`."""
    from samemind.datasets.base import DATASETS

    return _fitting(DATASETS, pattern)


def list_figures(pattern: str = "*") -> list[str]:
    """The names of the figures that fit a pattern such as `"*map*"`."""
    from samemind.figures.base import FIGURES

    return _fitting(FIGURES, pattern)


def _fitting(names: Iterable[str], pattern: str) -> list[str]:
    from fnmatch import fnmatchcase

    return [name for name in names if fnmatchcase(name, pattern.lower())]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from samemind.lazy import imported

        return getattr(imported(_PUBLIC[name]), name)
    raise AttributeError(f"module 'samemind' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
