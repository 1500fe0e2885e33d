"""Checkpoints along one training: curves, changes of phase, and which are not what they seem."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import samemind
from samemind.architectures.base import ARCHITECTURES
from samemind.cli import app
from samemind.comparison.trajectory import integrity, phases_of, steps_of
from samemind.errors import InvalidInput
from samemind.sides.side import Side
from samemind.statistics.paths import detour, shared_units, strays

N, D = 60, 24
WAYS = ("walk", "straight", "settling", "jump")


def run_of(way: str, random: np.random.Generator, length: int) -> np.ndarray:
    """Representations `(K, N, D)` along a made-up training."""
    shape = (length - 1, N, D)
    steps = random.normal(size=shape)
    if way == "straight":
        steps = random.normal(size=shape[1:]) + 0.3 * steps
    if way == "settling":
        steps *= np.linspace(1, 0.2, length - 1)[:, None, None]
    if way == "jump":
        steps[length // 2] *= 4
    start = 2 * random.normal(size=(1, N, D))
    return np.concatenate([start, start + np.cumsum(steps, 0)])


def found_in(run: np.ndarray) -> list[tuple[int, str]]:
    sides = {f"step {i}": Side(representation=x) for i, x in enumerate(run)}
    found = integrity(sides, {name: float(i) for i, name in enumerate(sides)})
    return [(int(step), kind) for step, kind in zip(found["step"], found["kind"], strict=True)]


def planted(run: np.ndarray, other: np.ndarray, kind: str, random: np.random.Generator):
    """A run with one wrong checkpoint, and its place."""
    length = len(run)
    if kind == "foreign":
        place = int(random.integers(1, length))
        wrong = run.copy()
        wrong[place] = other[place]
        return wrong, place
    source = int(random.integers(length))
    far = [i for i in range(length) if abs(i - source) >= max(3, length // 3)]
    place = int(random.choice(far))
    if kind == "duplicate":
        wrong = run.copy()
        wrong[place] = run[source]
        return wrong, place
    order = [i for i in range(length) if i != source]
    order.insert(place, source)
    return run[order], place


def check_runs(count: int) -> None:
    """Every planted checkpoint is found and nothing else is; clean runs have none."""
    random = np.random.default_rng(0)
    for i in range(count):
        way, length = WAYS[i % len(WAYS)], int(random.integers(9, 25))
        run, other = run_of(way, random, length), run_of(way, random, length)
        assert found_in(run) == [], (i, way)
        kind = ("foreign", "duplicate", "misplaced")[i % 3]
        wrong, place = planted(run, other, kind, random)
        assert found_in(wrong) == [(place, kind)], (i, way, kind, place)


def test_planted_checkpoints_are_found_and_clean_runs_have_none():
    check_runs(24)


@pytest.mark.slow
def test_of_200_runs_all_planted_are_found_and_none_is_claimed_of_200_clean_ones():
    check_runs(200)


def test_several_wrong_checkpoints_are_told_apart():
    random = np.random.default_rng(1)
    run, other = run_of("walk", random, 20), run_of("walk", random, 20)
    wrong = run.copy()
    wrong[3], wrong[8], wrong[[12, 17]] = run[19], other[8], run[[17, 12]]
    expected = [(3, "duplicate"), (8, "foreign"), (12, "misplaced"), (17, "misplaced")]
    assert found_in(wrong) == expected


def test_most_checkpoints_may_be_copies_of_the_last():
    run = run_of("walk", np.random.default_rng(2), 12)
    run[[1, 2, 4, 5, 6, 8, 10]] = run[11]
    assert found_in(run) == [(i, "duplicate") for i in (1, 2, 4, 5, 6, 8, 10)]


def test_nothing_is_claimed_of_the_order_of_a_path_without_memory():
    random = np.random.default_rng(3)
    for _ in range(20):
        resting = 0.5 * random.normal(size=(12, N, D)) + random.normal(size=(1, N, D))
        assert found_in(resting) == []


def test_networks_of_two_sizes_are_not_of_one_training():
    sides = {f"step {i}": Side(representation=np.eye(9)[:, : 4 if i == 2 else 5] + i)
             for i in range(4)}  # fmt: skip
    found = integrity(sides, dict(zip(sides, range(4), strict=True)))
    assert found[["step", "kind"]].to_numpy().tolist() == [[2, "foreign"]]
    assert "4 units" in found["reason"][0]


def test_a_detour_is_0_between_and_1_beyond():
    places = np.cumsum(np.eye(4), 0)  # each step at right angles to the others
    squares = ((places[:, None] - places) ** 2).sum(2)
    assert detour(squares, 1, 0, 2) == 0
    assert detour(squares, 0, 1, 2) == 1
    assert strays(squares) == []


def test_shared_units_are_those_of_all_orders():
    products = np.random.default_rng(0).normal(size=(6, 6))
    sums = [sum(products[i, j] for i, j in enumerate(p)) for p in permutations(range(6))]
    expected = (np.trace(products) - np.mean(sums)) / np.std(sums)
    assert shared_units(products) == pytest.approx(expected)


# -- phases


def test_a_sudden_change_is_found_and_a_steady_one_is_not():
    random = np.random.default_rng(4)
    steps = {f"step {i}": 100.0 * i for i in range(12)}
    jump = run_of("walk", random, 12) * 0.3
    jump[6:] += 2 * random.normal(size=(N, D))
    for run, expected in ((jump, [(500.0, 600.0)]), (run_of("straight", random, 12), [])):
        sides = dict(zip(steps, (Side(representation=x) for x in run), strict=True))
        found = phases_of(sides, steps, "procrustes_similarity")
        spans = list(zip(found["first_step"], found["last_step"], strict=True))
        assert spans == expected
        assert ((found["lower"] < found["ratio"]) & (found["ratio"] < found["upper"])).all()


# -- steps


def test_the_step_is_the_number_that_differs():
    assert steps_of(["r2/step0.pt", "r2/step100.pt", "r2/step20.pt"]) == [0, 100, 20]
    assert steps_of(["a/10/model.pt", "a/200/model.pt"]) == [10, 200]
    assert steps_of(["epoch=1-step=30.ckpt", "epoch=2-step=60.ckpt"]) == [30, 60]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a1-b2.pt", "a2-b3.pt"], "several numbers differ"),
        (["first.pt", "last.pt"], "no one number differ"),
        (["a1.pt", "a2.pt", "b1.pt"], "Two checkpoints are of step 1"),
    ],
)
def test_steps_that_cannot_be_told_are_refused(names: list[str], said: str):
    with pytest.raises(InvalidInput, match=said):
        steps_of(names)


# -- the door


def arrays_of(tmp_path: Path, run: np.ndarray) -> str:
    for i, x in enumerate(run):
        np.save(tmp_path / f"step{10 * i}.npy", x)
    return str(tmp_path / "step*.npy")


def test_curves_are_the_scores_of_the_pairs(tmp_path: Path):
    run = run_of("walk", np.random.default_rng(5), 7)
    found = samemind.trajectory(arrays_of(tmp_path, run), permutations=5)
    table = found.trajectory
    assert table is not None
    cka = samemind.measure("debiased_linear_cka")
    rows = {(r["relation"], r["step"]): r for r in table.to_dict("records")}
    assert len(rows) == len(table) == 3 * 6
    for relation, step, a, b in (("end", 20, 2, 6), ("start", 30, 0, 3), ("neighbour", 40, 4, 3)):
        assert rows[relation, step]["score"] == pytest.approx(cka(run[a], run[b]))
        assert rows[relation, step]["lower"] < rows[relation, step]["upper"]
    assert found.integrity is not None
    assert not len(found.integrity)
    assert json.loads(found.to_json())["trajectory"] == table.to_dict("records")
    by_step = samemind.trajectory({10 * i: x for i, x in enumerate(run)}, permutations=5)
    assert by_step.trajectory is not None
    pd.testing.assert_frame_equal(by_step.trajectory, table)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ("no/such*.npy", {}, "No file fits"),
        ([np.eye(9)] * 3, {}, "steps must be said"),
        ([np.eye(9)] * 3, {"steps": [1, 2]}, "2 steps were given for 3"),
        ([np.eye(9)] * 2, {"steps": [1, 2]}, "3 checkpoints or more"),
        ({"a": np.eye(9)}, {}, "a number"),
        ([np.eye(9)] * 3, {"steps": [1, 2, 3], "invert": 4}, "no option 'invert'"),
        ([np.eye(9)] * 3, {"steps": [1, 2, 3], "measures": ["stir@linear_cka"]}, "pairs of"),
    ],
)
def test_what_is_no_trajectory_is_refused(given: Any, options: dict[str, Any], said: str):
    with pytest.raises(InvalidInput, match=said):
        samemind.trajectory(given, **options)


def test_the_command_follows_checkpoint_files(tmp_path: Path):
    architecture = ARCHITECTURES["digits_vgg_bn"]
    torch.manual_seed(0)
    network = architecture.build(10, 8)
    for step in range(4):
        held = {name: w.contiguous() for name, w in network.state_dict().items()}
        save_file(held, tmp_path / f"epoch={step}-step={5 * step}.safetensors")
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.1 * weight.std(correction=0) * torch.randn_like(weight)
    last = tmp_path / "epoch=3-step=15.safetensors"
    copyfile(last, tmp_path / "epoch=1-step=5.safetensors")
    asked = ["trajectory", str(tmp_path / "epoch*.safetensors"), "--inputs", "digits"]
    asked += ["--count", "40", "--no-errors", "--permutations", "0"]
    said = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "report")])
    assert said.exit_code == 0, said.output
    assert "Step 5 is duplicate: it holds the same network as step 15." in said.output
    table = pd.read_parquet(tmp_path / "report" / "integrity.parquet")
    assert table["model"].tolist() == ["step 5"]
    assert (tmp_path / "report" / "figures" / "trajectory.png").is_file()


def test_inputs_or_activations():
    said = CliRunner().invoke(app, ["trajectory", "a1.npy", "a2.npy"])
    assert isinstance(said.exception, InvalidInput)


def ends(checkpoints: list[Any], inputs: Any = None, **options: Any) -> pd.Series:
    """How like the last each checkpoint is."""
    steps = list(range(len(checkpoints)))
    found = samemind.trajectory(
        checkpoints, inputs, steps=steps, measures="linear_cka", permutations=0, errors=False,
        progress=False, **options,
    ).trajectory  # fmt: skip
    assert found is not None
    return found[found["relation"] == "end"].set_index("step")["score"]


def test_rows_of_arrays_in_memory_are_joined_by_their_ids() -> None:
    run = run_of("walk", np.random.default_rng(3), 4)
    tables = [pd.DataFrame(x, index=[f"input {i}" for i in range(N)]) for x in run]
    moved = [tables[0], tables[1].iloc[::-1], *tables[2:]]
    assert ends(moved).to_list() == pytest.approx(ends(list(run)).to_list())
    fewer = [tables[0], tables[1].iloc[5:], *tables[2:]]
    assert ends(fewer, join="inner").to_list() == pytest.approx(ends(list(run[:, 5:])).to_list())


def test_inputs_with_missing_values_are_left_out_of_every_checkpoint() -> None:
    run = run_of("walk", np.random.default_rng(4), 4)
    lacking = run.copy()
    lacking[1, 0, 2] = np.nan
    found = ends(list(lacking), drop_missing=True)
    assert found.to_list() == pytest.approx(ends(list(run[:, 1:])).to_list())


def test_arrays_beside_networks_are_of_the_same_inputs_in_the_same_order() -> None:
    images = torch.rand(N, 1, 4, 4)
    layers = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)) for _ in range(3)]
    last = images.flatten(1).double().numpy()
    found = ends([*layers[:2], last], images)
    assert found.to_list() == pytest.approx([1.0, 1.0])  # they read the pixels themselves
