"""Leases that cannot be read, and a store that two users share."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samemind.errors import StoreError
from samemind.store.leases import Leases

needs_users = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root may be two users"
)


def waited(here: Leases, name: str) -> None:
    began = time.monotonic()
    while not here.is_free(name):
        assert time.monotonic() - began < 600, "it was never taken over"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["fifo", "folder", "long"])
def test_what_stands_in_the_place_of_a_lease_is_waited_for_as_long_as_patience(
    tmp_path, kind, capsys
):
    here = Leases(tmp_path, beat=0.05, patience=0.5)
    path = tmp_path / "things-a-0123456789abcdef"
    name = "things/a-0123456789abcdef"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(bytes(10**6))
    assert here.take(name) is None
    assert not here.is_free(name)
    assert here.unread() == [path]
    assert not here.in_work()
    waited(here, name)
    told = capsys.readouterr().err
    assert told.count("Waiting for things/a") == 1
    assert f"root's, mode {stat.filemode(path.lstat().st_mode)}" in told if path.exists() else True
    assert here.take(name) is not None


def test_a_folder_that_holds_something_is_left_and_named(tmp_path):
    here = Leases(tmp_path, beat=0.05, patience=0.2)
    path = tmp_path / "things-a"
    (path / "mine").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"things-a is .*, mode drwx.* cannot be removed by you"):
        waited(here, "things/a")
    assert (path / "mine").is_dir()


def test_an_unread_lease_that_beats_is_alive(tmp_path):
    here = Leases(tmp_path, beat=0.05, patience=0.5)
    path = tmp_path / "things-a"
    path.write_bytes(bytes(10**6))  # longer than any lease, so that it is not read
    for beat in range(60):
        os.utime(path, (beat, beat))
        assert not here.is_free("things/a")
        time.sleep(0.02)


# -- two users


AS_ANOTHER = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
ALICE = ["setpriv", "--reuid", "12346", "--regid", "12345", "--clear-groups"]
HOLD = """
import os, sys, time
sys.path[:0] = {path!r}
os.umask({umask})
from samemind.store.artifacts import Store
store = Store(sys.argv[1])
store.check_writable()
assert store.leases.take("things/a-0123456789abcdef")
os._exit(0)
"""
WAIT = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from samemind.errors import StoreError
from samemind.store.leases import Leases
here = Leases(Path(sys.argv[1]) / "leases", beat=0.05, patience=0.5)
began = time.process_time()
try:
    while not here.is_free("things/a-0123456789abcdef"):
        time.sleep(0.02)
    print("free")
except StoreError as error:
    print(error)
"""


def run_as(user: list[str], code: str, root: Path, umask: str = "0o022") -> str:
    text = code.format(path=[p for p in sys.path if p], umask=umask)
    asked = [*user, sys.executable, "-c", text, str(root)]
    found = subprocess.run(asked, capture_output=True, text=True, check=False, cwd="/")
    if "Permission denied" in found.stderr and "samemind" not in found.stdout:
        pytest.skip("another user may not read this installation")
    assert found.returncode == 0, found.stderr
    return found.stdout + found.stderr


@pytest.fixture
def shared(tmp_path):
    """A folder that both users reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | 0o111)
    root = tmp_path / "store"
    root.mkdir()
    os.chown(root, 12346, 12345)
    root.chmod(0o2775)
    return root


@needs_users
@pytest.mark.slow
def test_of_two_users_with_a_common_group_one_takes_over_from_the_other(shared):
    run_as(ALICE, HOLD, shared, umask="0o002")
    assert "free" in run_as(AS_ANOTHER, WAIT, shared)


@needs_users
@pytest.mark.slow
def test_a_lease_that_its_owner_keeps_to_themselves_is_named_with_owner_and_mode(shared):
    run_as(ALICE, HOLD, shared, umask="0o077")
    told = run_as(AS_ANOTHER, WAIT, shared)
    # The folder of the leases is its owner's alone, so it is that which is named.
    assert "user 12346's, mode drwx--S---" in told or "user 12346's, mode drwx------" in told
    assert "cannot be removed by you" in told
    (shared / "leases").chmod(0o777)
    told = run_as(AS_ANOTHER, WAIT, shared)
    assert "user 12346's, mode -rw-------" in told
    assert "free" in told  # after patience: nobody beats any more
