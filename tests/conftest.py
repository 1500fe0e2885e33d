"""What all tests share: one thread, and a place to say where the real data sets are."""

import lzma
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from samemind.execution.devices import Execution
from samemind.store.artifacts import Store

torch.set_num_threads(1)
# The first call of anything compiles and imports: a deadline would only measure that. The same
# examples in every run, so that a run that passes passes again; `make explore` draws others.
settings.register_profile(
    "samemind", deadline=None, derandomize="SAMEMIND_EXPLORE" not in os.environ
)
settings.load_profile("samemind")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def execution() -> Execution:
    return Execution(device="cpu")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SAMEMIND_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip("The real data sets are not here; name their folder in SAMEMIND_TEST_DATA.")
    return folder


@pytest.fixture(scope="session")
def cifar_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with CIFAR-10's published batches, unpacked."""
    from samemind.datasets.cifar10 import FOLDER, MD5

    root = tmp_path_factory.mktemp("data")
    shutil.copytree(real_data / FOLDER, root / FOLDER)
    for name in MD5:
        packed = root / FOLDER / f"{name}.xz"
        (root / FOLDER / name).write_bytes(lzma.decompress(packed.read_bytes()))
    return root
