"""Sizes are checked before numbers are widened and before networks are built."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fuzzing import at_most
from samemind.architectures.base import ARCHITECTURES
from samemind.checkpoints.fitting import fit
from samemind.errors import CheckpointError, InvalidInput
from samemind.inputs.arrays import read_arrays


def test_an_hdf5_file_of_nothing_asks_for_nothing(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as held:
        # Room for 1.2e9 bytes that were never written: the file says so in a kilobyte.
        held.create_dataset("x", shape=(1_000_000, 500), dtype="u1", chunks=(1000, 500))
    assert path.stat().st_size < 10_000
    with at_most(100), pytest.raises(InvalidInput, match="1,073,741,824 are the most"):
        read_arrays(path)


def test_narrow_numbers_count_as_wide_as_they_will_be(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(200_000_000, np.uint8))
    with pytest.raises(InvalidInput, match=r"would unpack to 1,600,000,000, and 1,073,741,824"):
        read_arrays(path)


@pytest.mark.parametrize("said", [None, 30_000_000])
def test_a_head_that_is_far_larger_than_the_file_is_not_made(said):
    record = ARCHITECTURES["digits_resnet"]
    weights = {k: v for k, v in record.build(10, 8).state_dict().items() if record.head not in k}
    weights[f"{record.head}.weight"] = torch.zeros(30_000_000 if said is None else 10, 1)
    with at_most(300), pytest.raises(CheckpointError, match=r"30,000,000 classes would take"):
        fit(weights, record, source="a.pt", classes=said)
