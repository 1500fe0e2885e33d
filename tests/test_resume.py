"""Requests to end are held back until what is in work is saved, and lost by nobody."""

import signal
import threading
from pathlib import Path

import pytest

from samemind.store.leases import Process, owner
from samemind.store.resume import HeldBack, ResumeState


@pytest.fixture
def heard():
    """What a handler of SIGTERM heard while the test ran."""
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_request_waits_for_the_end_of_the_block(heard):
    with HeldBack() as held:
        assert not held.has_some
        signal.raise_signal(signal.SIGTERM)
        assert held.has_some
        assert heard == []
    assert heard == [signal.SIGTERM]
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 2


def test_the_second_request_of_a_kind_passes_at_once(heard):
    with HeldBack():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]


def test_work_that_its_handler_lets_go_on_holds_the_next_request_back_too(heard):
    with HeldBack() as held:
        signal.raise_signal(signal.SIGTERM)
        held.deliver()
        assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert held.has_some
        assert heard == [signal.SIGTERM]


@pytest.fixture
def keyboard():
    """Ctrl-C as Python answers it, also in test workers, which ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def eight_steps(resume: ResumeState, asked_at: int, told: list) -> None:
    """Work of eight steps, in one of which somebody presses Ctrl-C, and then an artifact."""
    with resume:
        for done in range(1, 9):
            if done == asked_at:
                signal.raise_signal(signal.SIGINT)
            resume.after_step(done, 8, lambda done=done: {"done": done})
            told.append(done)
        told.append("artifact")


@pytest.mark.usefixtures("keyboard")
def test_an_interruption_from_the_keyboard_is_raised_after_the_save(tmp_path: Path):
    resume, told = ResumeState(tmp_path, every=600), []
    with pytest.raises(KeyboardInterrupt):
        eight_steps(resume, 3, told)
    assert told == [1, 2]
    assert resume.load() == {"done": 3}


@pytest.mark.usefixtures("keyboard")
def test_a_request_in_the_last_step_waits_for_the_artifact(tmp_path: Path):
    resume, told = ResumeState(tmp_path, every=600), []
    with pytest.raises(KeyboardInterrupt):
        eight_steps(resume, 8, told)
    assert told == [1, 2, 3, 4, 5, 6, 7, 8, "artifact"]
    assert resume.load() is None


def test_in_another_thread_nothing_is_held_back():
    handlers = []

    def work() -> None:
        with HeldBack():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_what_a_kill_in_the_moment_of_saving_left_is_removed(tmp_path: Path):
    resume = ResumeState(tmp_path, every=0)
    here = Process.this()
    dead = f"{here.host.replace('-', '_')}-{here.place}-{2**22 + 1}-1-00000000"
    for who in (dead, owner()):
        (tmp_path / f"state.pt.draft-{who}").write_bytes(b"half of a state")
    resume.save({"epoch": 1})
    assert resume.load() == {"epoch": 1}
    left = [f.name for f in tmp_path.glob("*.draft-*")]
    assert len(left) == 1
    assert str(here.process) in left[0]
