"""What `plan` says of costs: counted by hand for a small study, and quick."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samemind.cli import app
from samemind.costing import cost_of, duration, size
from samemind.study import read_study

STUDY = """
dataset = "digits"
architectures = ["digits_resnet"]
epsilons = [0, 0.5]
[training]
epochs = 2
batch_size = 100
learning_rate = 0.1
[evaluation]
strong_count = 0
[inputs]
count = 100
[inversion]
steps = 10
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(STUDY)
    return tmp_path / "small.toml"


def test_passes_and_bytes_are_those_counted_by_hand(study: Path) -> None:
    read = read_study(study)
    standard, robust = read.checkpoints
    # 1257 images, 2 epochs; forward 1, backward to the weights 2, and 3 steps of forward and back.
    assert sum(cost_of([standard]).passes.values()) == 1257 * 2 * 3
    assert sum(cost_of([robust]).passes.values()) == 1257 * 2 * (3 + 6)
    assert cost_of([standard]).bytes == 4 * 19_706
    inverted = cost_of(read.inverted)
    assert sum(inverted.passes.values()) == 2 * 100 * (10 * 2 + 3)
    assert inverted.bytes == 2 * 100 * 64 * 2


def test_plan_tells_cost_and_the_probe_tells_time(study: Path, tmp_path: Path) -> None:
    arguments = ["plan", str(study), "--store", str(tmp_path / "store"), "--json"]
    plain = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert plain["costs"]["seconds"] is None
    assert plain["costs"]["passes"] > 30_000
    probed = CliRunner().invoke(app, [*arguments, "--probe", "--device", "cpu"])
    assert 0.1 < json.loads(probed.stdout)["costs"]["seconds"] < 600


def test_durations_and_sizes_are_said_in_fitting_units() -> None:
    assert [duration(s) for s in (40, 120, 9000, 400_000)] == [
        "40 seconds", "2 minutes", "2.5 hours", "4.6 days",
    ]  # fmt: skip
    assert [size(n) for n in (2_000, 3_500_000, 12_000_000_000)] == ["2 kB", "3.5 MB", "12 GB"]
