"""What `plan` says of costs: counted by hand for a small study, and quick."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from samemind.building import shares
from samemind.cli import app
from samemind.commands.costs import verdict_ahead
from samemind.costing import (
    FORWARD,
    TO_PIXELS,
    TO_WEIGHTS,
    Cost,
    _probed,
    cost_of,
    duration,
    longest_first,
    seconds_by_probe,
    size,
)
from samemind.execution.devices import Execution
from samemind.inversion import Inverted
from samemind.statistics.trends import findable_change
from samemind.study import Study, read_study
from samemind.training import Trained

WAYS = [FORWARD, TO_PIXELS, TO_WEIGHTS]
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
    network = ("digits_resnet", "digits")
    # 1257 images, 2 epochs; robust: 3 steps to the pixels, and a look that keeps the best.
    images = 1257 * 2
    assert cost_of([standard]).passes == {(*network, "to weights"): images}
    assert cost_of([robust]).passes == {
        (*network, "forward"): images,
        (*network, "to pixels"): 3 * images,
        (*network, "to weights"): images,
    }
    assert cost_of([robust]).forward_passes == 5 * images
    assert cost_of([robust]).backward_passes == 4 * images
    assert cost_of([standard]).bytes == 4 * 19_706
    inverted = cost_of(read.inverted)
    assert inverted.backward_passes == 2 * 100 * 10
    assert inverted.forward_passes == 2 * 100 * (10 + 3)
    assert inverted.bytes == 2 * 100 * 64 * 2


def test_fewer_images_cost_less(study: Path) -> None:
    few = study.with_name("few.toml")
    few.write_text(STUDY.replace("epochs = 2", "epochs = 2\ncount = 50"))
    assert cost_of(read_study(few).checkpoints[:1]).backward_passes == 50 * 2


def test_plan_tells_cost_and_the_probe_tells_time(study: Path, tmp_path: Path) -> None:
    arguments = ["plan", str(study), "--store", str(tmp_path / "store"), "--json"]
    plain = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert plain["costs"]["seconds"] is None
    assert plain["costs"]["forward_passes"] > plain["costs"]["backward_passes"] > 10_000
    probed = CliRunner().invoke(app, [*arguments, "--probe", "--device", "cpu"])
    assert json.loads(probed.stdout)["costs"]["seconds"] > 0


@pytest.mark.slow
def test_a_way_back_is_timed_apart_and_takes_longer_than_the_way_forward() -> None:
    seconds = _probed("digits_resnet_deep", "digits", WAYS, torch.device("cpu"))
    assert 0 < seconds["forward"] < seconds["to weights"]
    cost = Cost(Counter({("digits_resnet_deep", "digits", way): 1000 for way in WAYS}), 0)
    total = seconds_by_probe(cost, Execution(device="cpu"))
    # Both are measured, a factor of a few apart at most.
    assert 1000 * sum(seconds.values()) / 5 < total < 5 * 1000 * sum(seconds.values())


# -- what must be there before anything runs


def needs(tmp_path: Path, name: str) -> dict[str, str]:
    arguments = ["plan", name, "--store", str(tmp_path / "store"), "--json"]
    found = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    return {n["needs"]: n["missing"] for n in found["needs"]}


def test_plan_says_beforehand_what_the_verdict_can_say(tmp_path: Path) -> None:
    digits = read_study("digits")
    told = verdict_ahead(digits)
    assert (
        f"rest on {len(digits.architectures)} architectures at {len(digits.epsilons)} ε" in told[0]
    )

    def ahead(names: list[str], epsilons: list[float]) -> str:
        text = STUDY.replace('["digits_resnet"]', json.dumps(names))
        path = tmp_path / "sized.toml"
        path.write_text(text.replace("epsilons = [0, 0.5]", f"epsilons = {epsilons}"))
        return " ".join(verdict_ahead(read_study(path)))

    names = list(digits.architectures)
    assert ahead(names[:4], [0.0]) == (
        "There will be no verdict: the study would need a second ε to compare with."
    )
    few = ahead(names[:3], [0.0, 1.0])
    assert "no verdict" in few
    assert "4 models per ε that differ in architecture (every ε has 3)" in few
    assert "rest on 4 architectures at 2 ε" in ahead(names[:4], [0.0, 1.0])
    shown = CliRunner().invoke(app, ["plan", "digits", "--json"])
    assert json.loads(shown.stdout)["verdict"] == told


def test_a_study_of_four_models_finds_what_it_is_said_to_find() -> None:
    generator = np.random.default_rng(0)
    size = findable_change(5, n_measures=3)
    changes = size + generator.standard_normal((4000, 5))
    distances = changes.mean(axis=1) / (changes.std(axis=1, ddof=1) / np.sqrt(5))
    p_values = 2 * stats.t.sf(np.abs(distances), 4)
    assert (p_values < 0.05 / 3).mean() == pytest.approx(0.8, abs=0.03)


def test_plan_says_which_data_is_missing_and_where_to_put_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SAMEMIND_DATA", str(tmp_path))
    found = needs(tmp_path, "cifar10-sat6")
    assert set(found) == {"cifar10, train", "cifar10, test", "sat6-32, test"}
    assert f"CIFAR-10 is not in {tmp_path / 'cifar-10-batches-py'}" in found["cifar10, train"]
    assert f"SAT-6 is not in {tmp_path / 'sat6'}" in found["sat6-32, test"]
    found = needs(tmp_path, "imagenet50")
    assert set(found) == {"imagenet50, train", "imagenet50, val"}
    assert "must be fetched by hand: register at image-net.org" in found["imagenet50, val"]
    assert str(tmp_path / "imagenet/train/n01496331") in found["imagenet50, train"]


def test_plan_says_when_the_data_is_there_or_only_part_of_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SAMEMIND_DATA", str(tmp_path))
    (tmp_path / "sat6").mkdir()
    (tmp_path / "sat6" / "X_test_sat6.csv").touch()
    (tmp_path / "imagenet100" / "train").mkdir(parents=True)
    (tmp_path / "imagenet100" / "val").mkdir()
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_4", "data_batch_5", "test_batch"):
        (tmp_path / "cifar-10-batches-py" / name).touch()
    found = needs(tmp_path, "cifar10-sat6")
    assert "lacks data_batch_3. Unpack cifar-10-python.tar.gz" in found["cifar10, train"]
    assert found["cifar10, test"] == ""
    assert "put y_test_sat6.csv beside it" in found["sat6-32, test"]
    assert set(needs(tmp_path, "imagenet100").values()) == {""}
    shown = CliRunner().invoke(app, ["plan", "imagenet100", "--store", str(tmp_path / "store")])
    assert "imagenet100, train: is here; `samemind data check imagenet100`" in shown.output


def test_plan_names_the_checkpoints_that_must_be_imported_first(tmp_path: Path) -> None:
    sections = """
[[imported]]
source = "resnet18_l2_eps3.ckpt"
sha256 = "ab"
architecture = "resnet18"
epsilon = 3
mean = [0.5, 0.5, 0.5]
std = [0.2, 0.2, 0.2]
[[imported]]
source = "mine.pt"
sha256 = "cd"
architecture = "resnet18"
epsilon = 3
mean = [0.5, 0.5, 0.5]
std = [0.2, 0.2, 0.2]
"""
    path = tmp_path / "theirs.toml"
    path.write_text('dataset = "imagenet1k"\nepsilons = [3]\n[evaluation]\nsplit = "val"\n'
                    '[inputs]\nsplit = "val"\n' + sections)  # fmt: skip
    found = needs(tmp_path, str(path))
    assert "samemind import mine.pt --dataset imagenet1k" in found["mine.pt"]
    assert "Download https://huggingface.co/madrylab" in found["resnet18_l2_eps3.ckpt"]


def test_plan_says_whether_the_file_that_a_study_names_is_where_it_says(tmp_path: Path) -> None:
    path = tmp_path / "theirs.toml"
    path.write_text("""
dataset = "digits"
epsilons = [0]
[[imported]]
source = "mine.pt"
sha256 = "cd"
architecture = "digits_resnet"
epsilon = 0
mean = [0.5]
std = [0.2]
file = "mine.pt"
""")
    found = needs(tmp_path, str(path))["mine.pt"]
    assert found.startswith(f"There is no file {tmp_path / 'mine.pt'}")
    assert "samemind import mine.pt --dataset digits" in found
    (tmp_path / "mine.pt").touch()
    assert needs(tmp_path, str(path))["mine.pt"] == ""
    arguments = ["plan", str(path), "--store", str(tmp_path / "store")]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "mine.pt: the run brings it into the store." in told
    assert "1 models of 1 architectures" in told


def test_durations_and_sizes_are_said_in_fitting_units() -> None:
    assert [duration(s) for s in (40, 120, 9000, 400_000)] == [
        "40 seconds", "2 minutes", "2.5 hours", "4.6 days",
    ]  # fmt: skip
    assert [size(n) for n in (2_000, 3_500_000, 12_000_000_000)] == ["2 kB", "3.5 MB", "12 GB"]


def test_what_takes_longest_comes_first_and_equals_stay_in_order(study: Path) -> None:
    held = read_study(study).model_dump() | {"architectures": ["digits_resnext", "digits_vit"]}
    recipes = Study(**held).checkpoints
    ordered = longest_first(recipes)
    named = [(r.architecture, r.epsilon) for r in ordered]
    # A robust step is three passes to the pixels and a look more; the transformer is the larger.
    assert named[0] == ("digits_vit", 0.5)
    assert named[-1] == ("digits_resnext", 0.0)
    assert longest_first([recipes[0], recipes[0]]) == [recipes[0], recipes[0]]


@pytest.mark.parametrize(("count", "wanted"), [(2, Trained), (5000, Inverted)])
def test_activations_share_what_is_larger_the_model_or_its_inputs(count: int, wanted: type) -> None:
    # A small residual network has 78,042 parameters; an inverted image takes 6 kB in float16.
    held = read_study("cifar10-laptop").model_dump() | {"inputs": {"count": count}}
    stage = next(s for s in Study(**held).stages if s.name == "extraction")
    inverted = [a for a in stage.recipes if isinstance(a.inputs, Inverted)]
    assert {type(shares(a)) for a in inverted} == {wanted}
