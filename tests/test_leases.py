"""Leases one by one: whose they are, when they end, and what is never taken from the living."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from samemind.errors import StoreError
from samemind.store import leases as module
from samemind.store.leases import (
    Leases,
    Process,
    born,
    is_alive,
    owner,
    place,
    split_owner,
)

NAME = "things/red-0123"


class Clock:
    """A monotonic clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module.time, "monotonic", made)
    return made


@pytest.fixture
def held(tmp_path) -> Leases:
    return Leases(tmp_path / "leases", beat=0.01, patience=60)


@pytest.fixture
def sleeper():
    """Another process of this machine."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def file_of(leases: Leases) -> Path:
    (file,) = leases.folder.iterdir()
    return file


def rewritten(file: Path, **changes: object) -> None:
    """The lease with other words in it, and its counter as it was."""
    counter, record, _ = file.read_text().split("\n")
    file.write_text(f"{counter}\n{json.dumps(json.loads(record) | changes)}\n")


def given_to(file: Path, process: int) -> None:
    rewritten(file, process=process, born=born(process))


# -- the living


def test_nobody_takes_the_lease_of_the_living(held, sleeper, clock):
    assert held.take(NAME) is not None
    given_to(file_of(held), sleeper.pid)
    for leases in (held, Leases(held.folder)):
        assert leases.take(NAME) is None
        assert not leases.is_free(NAME)
        leases.sweep()
        assert list(leases.in_work()) == [NAME]
    assert file_of(held).is_file()


def test_the_lease_of_a_process_that_ended_is_free_at_once(held, sleeper, clock):
    for way in ("take", "is_free", "sweep"):
        assert held.take(NAME) is not None
        given_to(file_of(held), sleeper.pid)
        rewritten(file_of(held), born="1")  # another process has its number now
        assert held.in_work() == {}
        if way == "take":
            assert held.take(NAME) is not None
            file_of(held).unlink()
        elif way == "is_free":
            assert held.is_free(NAME)
        else:
            held.sweep()
        assert list(held.folder.iterdir()) == []


def test_what_nobody_holds_is_free_and_in_nobodys_work(held):
    assert held.is_free(NAME)
    assert held.in_work() == {}
    assert held.unread() == []
    held.sweep()
    assert not held.folder.exists()


def test_a_lease_says_whose_it_is_and_is_given_back(held):
    before = time.time()
    lease = held.take(NAME)
    assert lease is not None
    record = held.in_work()[NAME]
    assert record["process"] == os.getpid()
    assert record["host"] == os.uname().nodename
    assert before <= record["since"] <= time.time()
    text = file_of(held).read_text()
    assert re.fullmatch(r"0{12}\n\{.*\}\n", text)
    umask = os.umask(0)
    os.umask(umask)
    assert file_of(held).stat().st_mode & 0o777 == 0o666 & ~umask
    threads, files = threading.active_count(), open_files()
    with lease:
        assert held.take(NAME) is None
        assert held.take("things/blue-0123") is not None
    until(lambda: threading.active_count() == threads)
    assert open_files() == files
    assert held.is_free(NAME)
    assert [f.name for f in held.folder.iterdir()] == ["things-blue-0123"]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208


def test_a_process_ends_that_gives_no_lease_back(tmp_path):
    code = (
        "import sys; from pathlib import Path; from samemind.store.leases import Leases\n"
        "Leases(Path(sys.argv[1])).take('a/b').__enter__()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=600)
    assert Leases(tmp_path).take("a/b") is not None


def test_an_unread_lease_that_changed_since_it_was_looked_at_is_left(held):
    held.folder.mkdir()
    path = held.folder / NAME.replace("/", "-")
    path.mkdir()
    seen = held._read(path)
    assert seen is not None
    assert held._break(path, seen + "0")
    assert path.is_dir()
    assert held._break(path, seen)
    assert not path.exists()
    assert held._break(path, seen)


# -- patience


def elsewhere(leases: Leases) -> Path:
    """The file of a lease that a process of another host holds."""
    assert leases.take(NAME) is not None
    rewritten(file_of(leases), place="elsewher")
    return file_of(leases)


def test_a_silent_lease_of_another_host_ends_after_patience_and_not_before(held, clock):
    file = elsewhere(held)
    assert not held.is_free(NAME)
    clock.now += 59.9
    assert not held.is_free(NAME)
    assert file.is_file()
    assert held.take(NAME) is None
    clock.now += 0.1
    assert held.is_free(NAME)
    assert not file.exists()
    # Patience begins anew with the next holder.
    elsewhere(held)
    assert not held.is_free(NAME)
    clock.now += 59.9
    assert not held.is_free(NAME)


def test_each_beat_is_a_sign_of_life(held, clock):
    file = elsewhere(held)
    for count in range(5):
        assert not held.is_free(NAME)
        clock.now += 40
        text = file.read_text()
        file.write_text(f"{count:012}{text[12:]}")
    assert not held.is_free(NAME)
    clock.now += 60
    assert held.is_free(NAME)


def test_of_two_leases_each_has_its_own_patience(held, clock):
    elsewhere(held)
    assert not held.is_free(NAME)
    clock.now += 30
    assert held.take("things/blue-0123") is not None
    rewritten(held.folder / "things-blue-0123", place="elsewher")
    assert not held.is_free("things/blue-0123")
    clock.now += 30
    assert held.is_free(NAME)
    assert not held.is_free("things/blue-0123")


def test_the_usual_patience_is_a_minute_and_beats_come_twelve_times_as_often(tmp_path):
    leases = Leases(tmp_path)
    assert (leases.beat, leases.patience) == (5, 60)


# -- tokens


def test_a_lease_that_was_taken_over_stays_with_its_new_holder(held):
    lease = held.take(NAME)
    assert lease is not None
    file = file_of(held)
    with lease:
        # Until it beats: what is written before would be the last beat's.
        until(lambda: not file.read_text().startswith("0" * 12))
        rewritten(file, token="of another")
        theirs = file.read_text()
        time.sleep(0.1)
        assert file.read_text() == theirs
    assert file.read_text() == theirs


def test_a_lease_beats_and_is_never_made_anew(held):
    lease = held.take(NAME)
    assert lease is not None
    file = file_of(held)
    record = file.read_text()[12:]
    with lease:
        until(lambda: int(file.read_text()[:12]) >= 3)
        assert file.read_text()[12:] == record
        file.unlink()
        time.sleep(0.05)
        assert not file.exists()
    assert not file.exists()
    # Its thread has ended: nothing beats any more.
    again = held.take(NAME)
    assert again is not None
    time.sleep(0.05)
    assert file.read_text()[:12] == "0" * 12


def until(happens) -> None:
    deadline = time.monotonic() + 600
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_only_the_lease_that_was_looked_at_is_broken(held):
    assert held.take(NAME) is not None
    file = file_of(held)
    content = file.read_text()
    # In the meantime somebody else has taken it.
    assert held._break(file, content.replace("0", "1"))
    assert file.read_text() == content
    assert [f.name for f in held.folder.iterdir()] == [file.name]
    assert held._break(file, content)
    assert not file.exists()
    assert held._break(file, content)  # by somebody else


def test_where_nothing_can_be_written_no_lease_is_left(held, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        held.take(NAME)
    assert list(held.folder.iterdir()) == []


def test_a_lease_whose_writer_died_in_the_middle_ends_by_silence(held, clock):
    held.folder.mkdir()
    file = held.folder / NAME.replace("/", "-")
    for text in ("", "000000000000\n", '000000000000\n{"name": "thi', "000000000000\n[]\n"):
        file.write_text(text)
        assert held.take(NAME) is None
        assert held.in_work() == {}
        held.sweep()
        assert not held.is_free(NAME)
        clock.now += 60
        assert held.is_free(NAME)
        assert not file.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"process": 0}, {"process": -1}, {"process": "1"}, {"place": 3}, {"host": None},
        {"born": 1}, {"name": 3}, {"since": "now"}, {"since": -1}, {"since": 2**40},
    ],
)  # fmt: skip
def test_strange_words_in_a_lease_are_nobody(held, changes, clock):
    assert held.take(NAME) is not None
    rewritten(file_of(held), **changes)
    assert held.take(NAME) is None
    assert held.in_work() == {}
    held.sweep()
    assert file_of(held).is_file()
    assert not held.is_free(NAME)
    clock.now += 60
    assert held.is_free(NAME)


def test_drafts_of_leases_are_no_leases(held):
    assert held.take(NAME) is not None
    (held.folder / ".hidden").write_text(file_of(held).read_text())
    assert list(held.in_work()) == [NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_folder_of_leases_that_is_kept_from_others_is_named(held):
    held.take(NAME)
    held.folder.chmod(0o000)
    code = (
        "import os, sys; from pathlib import Path; from samemind.store.leases import Leases; "
        "from samemind.errors import StoreError; "
        "from samemind.store.leases import is_alive\n"
        "os.setuid(65534)\n"
        "assert is_alive(1)\n"
        "try: Leases(Path(sys.argv[1])).in_work()\n"
        "except StoreError as error: print(error)"
    )
    for folder in held.folder.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    told = subprocess.run(
        [sys.executable, "-c", code, str(held.folder)], capture_output=True, text=True, check=True
    )
    held.folder.chmod(0o700)
    assert "cannot be read (Permission denied)" in told.stdout
    assert "docs/artifacts.md" in told.stdout


# -- processes


def test_a_process_is_told_from_others_of_its_number_and_from_those_of_other_places(sleeper):
    this = Process.this()
    assert not this.is_gone
    assert this.place == place()
    assert re.fullmatch(r"[0-9a-f]{8}", place())
    assert this.born == born(os.getpid()) != ""
    assert replace(this, born="1").is_gone
    other = Process(this.host, place(), sleeper.pid, born(sleeper.pid))
    assert not other.is_gone
    sleeper.send_signal(signal.SIGKILL)
    until(lambda: other.is_gone)  # not waited for yet: it is a zombie
    assert not is_alive(sleeper.pid)
    sleeper.wait()
    assert other.is_gone
    assert not is_alive(sleeper.pid)
    assert born(sleeper.pid) == ""
    # What cannot be known from here is not said.
    assert not replace(other, place="elsewher").is_gone


def test_processes_of_others_and_numbers_that_none_has():
    assert is_alive(1)
    assert not is_alive(2**30)
    assert not is_alive(2**70)


def test_who_writes_a_draft_is_read_back_from_its_name():
    text = f"label-with-hyphens-{owner()}"
    before, who = split_owner(text)
    assert before == "label-with-hyphens"
    assert who == replace(Process.this(), host=Process.this().host.replace("-", "_"))
    assert owner() != owner()
    for other in ("", "a-b-c", "a-b-c-d-e", "x-host-place-word-1-2"):
        assert split_owner(other) == (other, None)


def test_a_lease_that_cannot_be_removed_is_an_error(held, clock, monkeypatch):
    file = elsewhere(held)
    assert not held.is_free(NAME)
    clock.now += 60
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    with pytest.raises(StoreError, match=r"no sign of life for 60 seconds and cannot be removed"):
        held.is_free(NAME)
    assert file.is_file()
