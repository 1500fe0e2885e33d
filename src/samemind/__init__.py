"""samemind: do your models think alike?

Names are imported when they are first used: `import samemind` brings neither torch nor pandas.
"""

from importlib import import_module
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
    "load_model",
    "measure",
    "read_study",
    "trajectory",
]


def dataset(name: str):
    """The record of a dataset: `samemind.dataset("digits").split("test").read([0, 1])`."""
    from samemind.datasets.base import DATASETS

    return DATASETS[name]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'samemind' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
