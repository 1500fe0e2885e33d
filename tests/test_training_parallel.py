"""Two real processes train one model: they see the data, and make the model, of one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from samemind.architectures.base import ARCHITECTURES
from samemind.attacks import Attack, L2Ball, LinfBall
from samemind.classifier import new_classifier
from samemind.datasets.base import DATASETS
from samemind.errors import InvalidInput
from samemind.execution.devices import Execution
from samemind.store.artifacts import Store
from samemind.store.resume import ResumeState
from samemind.training import Schedule, Trained, build_checkpoint, load_checkpoint, train
from samemind.training.parallel import Group, joined

SCHEDULE = Schedule(epochs=2, batch_size=32, learning_rate=0.02)
COUNT = 70  # batches of 32, 32 and 6


STARTS = Attack(random_start=True, restarts=2)


def trained(
    group: Group, architecture: str, attack: Attack | None = None
) -> dict[str, torch.Tensor]:
    """What each update saw, and the weights and gradients at the end."""
    split = DATASETS["digits"].split("train")
    classifier = new_classifier(ARCHITECTURES[architecture], DATASETS["digits"], random_seed=0)
    seen: list[torch.Tensor] = []
    classifier.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone()) if module.training else None
    )
    history = train(
        classifier,
        torch.from_numpy(split.read(range(COUNT))),
        torch.from_numpy(split.labels[:COUNT]),
        schedule=SCHEDULE,
        ball=L2Ball(0.5),
        attack=attack or Attack(),
        random_seed=0,
        device=torch.device("cpu"),
        group=group,
    )
    found = {f"seen.{i}": images for i, images in enumerate(seen)}
    found |= {f"weight.{n}": held for n, held in classifier.state_dict().items()}
    found |= {f"gradient.{n}": p.grad for n, p in classifier.named_parameters()}
    found["history"] = torch.tensor([[e["loss"], e["accuracy"]] for e in history])
    return {name: held.detach() for name, held in found.items()}


def recipe() -> Trained:
    return Trained(
        dataset="digits",
        architecture="digits_resnet",
        ball=None,
        attack=None,
        schedule=Schedule(epochs=1, batch_size=256, learning_rate=0.02),
        random_seed=0,
    )


def one_of_two(folder: Path) -> None:
    """The program of each process."""
    with joined(torch.device("cpu")) as (group, _):
        for architecture in ("digits_resnet", "digits_vit"):
            torch.save(trained(group, architecture), folder / f"{architecture}-{group.rank}.pt")
        found = trained(group, "digits_resnet", STARTS)
        torch.save(found, folder / f"random starts-{group.rank}.pt")
    # The process that was first would else find the store of the group that is ending.
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]
    build_checkpoint(recipe(), Store(folder / "store"), Execution(device="cpu"))


def one_of_two_until_asked_to_end(folder: Path) -> None:
    """The program of each process that is asked to end: it would save in ten minutes."""
    build_checkpoint(long_recipe(), Store(folder), Execution(device="cpu", save_every=600))


def long_recipe() -> Trained:
    return replace(recipe(), schedule=Schedule(epochs=40, batch_size=64, learning_rate=0.02))


def two_processes(program: str, folder: Path) -> list[subprocess.Popen]:
    with socket.socket() as free, socket.socket() as another:
        free.bind(("127.0.0.1", 0))
        another.bind(("127.0.0.1", 0))
        port, second_port = free.getsockname()[1], another.getsockname()[1]
    here = Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": f"{here.parent / 'src'}:{here}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "SECOND_PORT": str(second_port),
        "WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    text = f"from pathlib import Path; from test_training_parallel import {program}; \
{program}(Path({str(folder)!r}))"
    return [
        subprocess.Popen(
            [sys.executable, "-c", text],
            env=environment | {"RANK": str(r), "LOCAL_RANK": str(r)},
        )
        for r in range(2)
    ]


def run_two_processes(folder: Path) -> None:
    processes = two_processes("one_of_two", folder)
    try:
        assert [process.wait(240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    run_two_processes(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", ["digits_resnet", "digits_vit", "random starts"])
def test_two_processes_see_the_data_and_find_the_gradients_of_one(of_two: Path, case: str):
    with_starts = case == "random starts"
    one = trained(
        Group(), "digits_resnet" if with_starts else case, STARTS if with_starts else None
    )
    two = [torch.load(of_two / f"{case}-{rank}.pt") for rank in range(2)]
    # What both hold is the same: they never drift apart.
    for name, held in two[0].items():
        if not name.startswith("seen"):
            torch.testing.assert_close(two[1][name], held, rtol=0, atol=0)
    for name, held in one.items():
        if name.startswith("seen"):
            # Every other image each; the attacked images agree as far as the weights do.
            together = torch.empty_like(held)
            together[0::2], together[1::2] = two[0][name], two[1][name]
            torch.testing.assert_close(together, held, rtol=0, atol=1e-3)
        else:
            torch.testing.assert_close(two[0][name], held, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(two[0]["seen.0"], one["seen.0"][0::2], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_two_processes_write_one_checkpoint_that_is_that_of_one(of_two: Path, store: Store):
    build_checkpoint(recipe(), store, Execution(device="cpu"))
    one = load_checkpoint(recipe(), store).state_dict()
    two = load_checkpoint(recipe(), Store(of_two / "store")).state_dict()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_that_are_asked_to_end_save_their_step_first(tmp_path: Path):
    store = Store(tmp_path / "store")
    processes = two_processes("one_of_two_until_asked_to_end", store.root)
    progress = store.scratch_path(long_recipe()) / "progress"
    try:
        while processes[0].poll() is None and not progress.exists():
            time.sleep(0.01)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert processes[0].wait(60) == -signal.SIGTERM
        assert processes[1].wait(60) != 0
    finally:
        for process in processes:
            process.kill()
    state = ResumeState(store.scratch_path(long_recipe()), every=600).load()
    assert state
    images = len(DATASETS["digits"].split("train"))
    assert state["training"]["done"] >= int(float(progress.read_text()) * 40 * (images // 64))
    assert not store.has(long_recipe())


def test_more_processes_than_images_in_a_batch_are_refused():
    Group(size=6).check_batches(COUNT, 32)
    with pytest.raises(InvalidInput, match="the last batch has 6, fewer than the 8 processes"):
        Group(size=8).check_batches(COUNT, 32)


def test_the_random_starts_of_a_share_are_those_of_the_whole_batch():
    batch = torch.rand(10, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for ball in (L2Ball(0.5), LinfBall(0.1)):
        expected = ball.random_start(batch, torch.Generator().manual_seed(1))
        for rank in range(3):
            group = Group(rank, 3)
            own = group.share_of_ball(ball, batch)
            assert own
            found = own.random_start(group.share(batch), torch.Generator().manual_seed(1))
            assert torch.equal(found, group.share(expected))
        assert Group().share_of_ball(ball, batch) is ball


def test_the_shares_of_a_batch_cover_it_without_overlap():
    shares = [Group(rank, 3).share(torch.arange(10)) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == list(range(10))
