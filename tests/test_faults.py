"""What long runs go through: kills, full disks, damage, company, read-only stores, wrong clocks."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import torture
from samemind.errors import DamagedArtifact, StoreError
from samemind.execution import InProcess
from samemind.store.artifacts import Store
from samemind.study import read_study
from samemind.study.running import advance

STUDY = read_study(torture.TINY)
SCRIPT = Path(torture.__file__)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The store of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("undisturbed") / "store"
    torture.live(STUDY, root)
    return root


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "samemind", *map(str, arguments)]


# -- kills


def tortured(kills: int, blow: str) -> dict[str, float]:
    asked = [sys.executable, str(SCRIPT), "--kills", str(kills), "--signal", blow]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout.splitlines()[-1])
    assert told["kills"] >= kills
    return told


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_and_build_nothing_twice():
    tortured(100, "KILL")


@pytest.mark.slow
def test_thirty_requests_to_end_lose_nothing_and_build_nothing_twice():
    tortured(30, "TERM")


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_the_command_killed_with_its_workers_at_work_continues(tmp_path, reference, blow):
    draw = random.Random(0)
    ask = command("run", torture.TINY, "--store", tmp_path / "store", "--out", tmp_path / "out")
    before: dict[str, int] = {}
    for life in range(4):
        told = tmp_path / f"told-{life}"
        with told.open("w") as file, subprocess.Popen([*ask, "--workers", "2"], stderr=file) as run:
            moment = draw.uniform(4, 20)  # CPU seconds, of which imports take about ten
            while run.poll() is None:
                if torture.cpu_seconds(run.pid, with_children=True) >= moment:
                    run.send_signal(blow)
                    run.wait(timeout=600)
                time.sleep(0.02)
        assert "Traceback" not in told.read_text()
        after = torture.finished(tmp_path / "store")
        assert before.items() <= after.items()
        before = after
    assert subprocess.run([*ask, "--workers", "2"], check=False).returncode == 0
    assert before.items() <= torture.finished(tmp_path / "store").items()
    assert torture.same_artifacts(tmp_path / "store", reference)
    assert (tmp_path / "out" / "report" / "index.html").is_file()


# -- damage


def damage(folder: Path, draw: random.Random) -> str:
    """Does something bad to a random file of an artifact; says what."""
    file = draw.choice(sorted(folder.iterdir()))
    content = bytearray(file.read_bytes())
    kind = draw.choice(["cut", "bit", "delete", "edit", "empty", "append"])
    if kind == "delete":
        file.unlink()
        return f"{file.name} deleted"
    if kind == "cut":
        content = content[: draw.randrange(len(content))]
    elif kind == "bit":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "edit":
        digits = [i for i, byte in enumerate(content) if chr(byte) in "0123456789"]
        where = draw.choice(digits)
        content[where] = ord(str((int(chr(content[where])) + 1) % 10))
    else:
        content = bytearray() if kind == "empty" else content + b"\n"
    file.write_bytes(content)
    return f"{file.name}: {kind}"


def corrupted_and_mended(reference: Path, root: Path, rounds: int, each: int, seed: int) -> int:
    """Damages artifacts, opens all, and runs the study again; the number of damages found."""
    shutil.copytree(reference, root)
    draw = random.Random(seed)
    recipes = {r.name: r for stage in STUDY.stages for r in stage.recipes}
    store = Store(root)
    count = 0
    for _ in range(rounds):
        chosen = draw.sample(sorted(store.paths()), each)
        hurt = {folder: damage(folder, draw) for folder in chosen}
        count += len(hurt)
        for folder, what in hurt.items():
            name = f"{folder.parent.name}/{folder.name}"
            assert Store.fault(folder), what
            with pytest.raises(DamagedArtifact) as error:
                store.open(recipes[name])
            assert name in str(error.value), what
            assert error.value.is_set_aside, what
            assert not folder.exists(), what
        assert len(list((root / "damaged").iterdir())) == count
        for name, recipe in recipes.items():
            if store.has(recipe):
                store.open(recipe)  # nothing else was hurt
            else:
                assert (root / name) in hurt
        torture.live(STUDY, root)
        assert torture.same_artifacts(root, reference)
    return count


def test_damaged_artifacts_are_found_named_set_aside_and_built_again(reference, tmp_path):
    assert corrupted_and_mended(reference, tmp_path / "store", rounds=1, each=4, seed=1) == 4


@pytest.mark.slow
def test_two_hundred_random_damages_are_all_found(reference, tmp_path):
    assert corrupted_and_mended(reference, tmp_path / "store", rounds=30, each=8, seed=2) >= 200


def test_damage_that_a_run_meets_on_its_way_is_mended_and_told(reference, tmp_path, execution):
    root = tmp_path / "store"
    shutil.copytree(reference, root)
    store = Store(root)
    for recipe in (STUDY.checkpoints[0], STUDY.natural):
        file = next(f for f in store.path(recipe).iterdir() if f.suffix == ".safetensors")
        os.truncate(file, 100)
    for recipe in [*STUDY.scores, *(a for s in STUDY.scores for a in s.activations)]:
        shutil.rmtree(store.path(recipe), ignore_errors=True)
    done = advance(STUDY, store, InProcess(), execution)
    assert not done.failed
    assert {m.split(" is damaged")[0] for m in done.damaged} == {
        STUDY.checkpoints[0].name,
        STUDY.natural.name,
    }
    assert torture.same_artifacts(root, reference)


def test_a_resume_state_with_a_flipped_bit_is_not_used(tmp_path):
    import torch

    from samemind.store.resume import ResumeState

    resume = ResumeState(tmp_path, every=0)
    resume.save({"weights": torch.arange(100.0)})
    assert resume.load() is not None
    content = bytearray(resume.file.read_bytes())
    content[len(content) // 2] ^= 1
    resume.file.write_bytes(content)
    assert resume.load() is None


# -- company


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 8])
def test_processes_on_one_store_share_the_work_and_build_nothing_twice(count, tmp_path, reference):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    asked = [sys.executable, str(script), str(count), str(tmp_path / "store")]
    folder = {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path])}
    found = subprocess.run(
        asked, capture_output=True, text=True, check=False, env=os.environ | folder
    )
    assert found.returncode == 0, found.stderr
    built = json.loads(found.stdout)
    assert len(built) == count
    # Every artifact once: nothing was left out, and nothing was built by two.
    assert sum(built) == len(torture.finished(reference))
    assert torture.same_artifacts(tmp_path / "store", reference)
    assert not torture.leftovers(tmp_path / "store")


TOGETHER = """
import json, os, random, sys, tempfile, time
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from pathlib import Path
import torture
study = torture.read_study(torture.TINY)
count, root = int(sys.argv[1]), Path(sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    torture.undisturbed(study, Path(folder) / "warm")
real = time.time
def work(tell):
    # Clocks that jump by days, differently in each process.
    draw = random.Random(str(tell))
    time.time = lambda: real() + draw.uniform(-10, 10) * 86400
    torture.live(study, root, tell)
tells = [root.with_name(f"tell-{i}") for i in range(count)]
children = [torture.fork(lambda tell=tell: work(tell)) for tell in tells]
assert [torture.ended(child, 300) for child in children] == [0] * count
print(json.dumps([json.loads(tell.read_text()) for tell in tells]))
"""


def test_what_another_process_has_in_work_is_shown_and_not_built_twice(store, execution):
    name = STUDY.natural.name
    lease = store.leases.take(name)
    assert lease is not None
    with lease:
        asked = command("status", torture.TINY, "--store", store.root, "--json")
        rows = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
        assert store.leases.take(name) is None
        assert not store.leases.is_free(name)
    row = next(row for row in rows if row["stage"] == "inputs")
    assert row["in work"] == 1
    part = row["parts in work"][0]
    assert (part["in work"], part["process"]) == (name, os.getpid())
    assert store.leases.is_free(name)
    assert not store.leases.in_work()


def test_a_lease_of_a_dead_process_is_taken_over_at_once(store):
    name = STUDY.natural.name
    code = (
        "import os, sys; from samemind.store.artifacts import Store; "
        "assert Store(sys.argv[1]).leases.take(sys.argv[2]); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root), name], check=True)
    assert list((store.root / "leases").iterdir())
    assert not store.leases.in_work()
    assert store.leases.take(name) is not None


def test_a_silent_lease_of_another_host_is_taken_over_after_patience(tmp_path, monkeypatch):
    from samemind.store.leases import Leases

    here = Leases(tmp_path, beat=0.05, patience=2)
    lease = here.take("a/b")
    assert lease is not None
    file = next(tmp_path.iterdir())
    file.write_text(file.read_text().replace('"place": "', '"place": "x'))
    with lease:  # beats
        began = time.monotonic()
        while time.monotonic() - began < 3:
            assert not here.is_free("a/b")
            time.sleep(0.02)
        lease._ended.set()  # as if its host had lost power
        began = time.monotonic()
        while not here.is_free("a/b"):
            assert time.monotonic() - began < 600, "it was never taken over"
            time.sleep(0.02)
        assert time.monotonic() - began >= 1.5
        new = here.take("a/b")
        assert new is not None
    # The old holder's end does not touch the lease of the new one.
    assert here.take("a/b") is None


# -- disks


@contextmanager
def file_system(folder: Path, options: str):
    """A small file system in memory, where this user may mount one."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_the_run_continues_when_there_is_room(
    tmp_path, reference, execution
):
    size = sum(f.stat().st_size for f in reference.rglob("*") if f.is_file())
    with file_system(tmp_path / "disk", f"size={size // 2}") as disk:
        root = disk / "store"
        done = advance(STUDY, Store(root), InProcess(), execution)
        assert len(done.failed) == 1
        error = done.failed[0].error
        assert isinstance(error, StoreError)
        assert "The disk is full: free some space" in str(error)
        before = torture.finished(root)
        assert before
        assert not torture.leftovers(root)
        remount = ["mount", "-o", f"remount,size={4 * size}", str(disk)]
        subprocess.run(remount, check=True)
        torture.live(STUDY, root)
        assert before.items() <= torture.finished(root).items()
        assert torture.same_artifacts(root, reference)


def read_only(disk: Path, on: bool) -> None:
    options = f"remount,{'ro' if on else 'rw'}"
    subprocess.run(["mount", "-o", options, str(disk)], check=True)


def test_a_read_only_store_serves_what_is_finished_and_says_why_nothing_can_be_built(
    tmp_path, reference, execution
):
    with file_system(tmp_path / "disk", "size=64m") as disk:
        store = Store(disk / "store")
        shutil.copytree(reference, store.root)
        read_only(disk, True)
        assert advance(STUDY, store, InProcess(), execution).built == 0
        read_only(disk, False)
        shutil.rmtree(store.path(STUDY.scores[0]))
        read_only(disk, True)
        with pytest.raises(StoreError, match=r"read-only: name another store with --store"):
            advance(STUDY, store, InProcess(), execution)


@pytest.mark.slow
def test_the_command_reports_on_a_read_only_store(tmp_path, reference):
    with file_system(tmp_path / "disk", "size=64m") as disk:
        shutil.copytree(reference, disk / "store")
        read_only(disk, True)
        ask = ["run", torture.TINY, "--store", disk / "store", "--out", tmp_path, "--workers", 1]
        found = subprocess.run(command(*ask), capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert "nothing was built" in found.stdout
        assert (tmp_path / "report" / "index.html").is_file()
