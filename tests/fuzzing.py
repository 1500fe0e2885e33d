"""Reads mutated files in a process of its own, whose memory and time are measured.

    python tests/fuzzing.py --count 400 [TARGET ...]

Prints one line of JSON for each target: how many files were read, how many of them came as far as
the parser of their format, how many were refused, and the peak of the memory above the start. An
error that is none of samemind's own, a file that takes too long or too much memory ends it with a
traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import random
import resource
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_targets import TARGETS
from samemind.errors import SamemindError

MOST_MEMORY = 2 * 2**30
MOST_SECONDS = 20

KINDS = ("set", "cut", "insert", "double", "swap", "number", "count", "bit")
ODD = (b"0", b"-1", b"1e308", b"nan", b"inf", b"99999999999999999999", b"[]", b'""', b"true")
COUNTS = (2**31 - 1, 2**32 - 1, 2**63 - 1, 2**40, 0, 1)
PRINTABLE = bytes(range(32, 127)) + b"\n"


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one to three edits anywhere in it.

    Bytes set, cut off, put in, repeated or exchanged, odd numbers, bits flipped, lengths blown up.
    Text mostly stays text, for else no reader would look further than at its encoding.
    """
    letters = PRINTABLE if content.isascii() and draw.random() < 0.9 else bytes(range(256))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        kind, at = draw.choice(KINDS), draw.randrange(len(content) + 1)
        what = bytes(draw.choices(letters, k=draw.randint(1, 8)))
        rest = content[at:]
        if kind == "set":
            content = content[:at] + what + rest[len(what) :]
        elif kind == "cut":
            content = content[:at] + rest[draw.choice((1, 4, 50, len(content))) :]
        elif kind == "insert":
            content = content[:at] + what + rest
        elif kind == "double":
            content = content[:at] + rest[:64] * draw.randint(2, 50) + rest[64:]
        elif kind == "swap":
            size = draw.randint(1, 64)
            content = content[:at] + rest[size : 2 * size] + rest[:size] + rest[2 * size :]
        elif kind == "bit" and rest:
            content = content[:at] + bytes([rest[0] ^ 1 << draw.randrange(8)]) + rest[1:]
        elif kind == "count" and letters is not PRINTABLE:
            # What a length in a binary file looks like, of four or eight bytes, in either order.
            size = draw.choice((4, 8))
            word = draw.choice(COUNTS) % 2 ** (8 * size)
            at -= at % 4
            order = draw.choice(("little", "big"))
            content = content[:at] + word.to_bytes(size, order) + content[at + size :]
        else:
            digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57] or [at]
            i = draw.choice(digits)
            content = content[:i] + draw.choice(ODD) + content[i + 1 :]
    return content


class TookTooLong(BaseException):
    """No reader catches it."""


def memory(of: str) -> int:
    """Bytes in memory now ('VmRSS') or at most so far ('VmHWM'), or mapped ('VmSize')."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) * 1024


def memory_from_now() -> int:
    """Bytes in memory now; the peak starts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Raises `AssertionError` where its block takes more memory than that above the start."""
    before = memory_from_now()
    yield
    taken = (memory("VmHWM") - before) >> 20
    assert taken < megabytes, f"{taken} MiB"


def watched(names: tuple[str, ...], count: Callable[[], None]) -> Callable[[], None]:
    """From now on counts the calls of parsers; gives what ends it."""
    undo = []
    for name in names:
        module, _, attribute = name.partition(":")
        place = importlib.import_module(module)
        inner = getattr(place, attribute)

        def counted(*arguments, inner=inner, **options):
            count()
            return inner(*arguments, **options)

        setattr(place, attribute, counted)
        undo.append((place, attribute, inner))
    return lambda: [setattr(*what) for what in undo] and None


def fuzz(name: str, count: int) -> dict[str, float]:
    """Reads so many mutated files; what came of it."""
    target = TARGETS[name]
    samples = target.samples()
    told = {"files": 0, "reached": 0, "refused": 0, "slowest": 0.0}
    seen: set[bytes] = set()
    reached = False

    def reach() -> None:
        nonlocal reached
        reached = True

    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(i) for i in range(len(samples))]
        for place, sample in zip(places, samples, strict=True):
            place.mkdir()
            for other, content in sample.beside.items():
                (place / other).write_bytes(content)
            (place / sample.name).write_bytes(sample.pack(sample.content))
            if name != "store" or sample.name in ("lease", "submitted.json"):
                target.read(place / sample.name)
        before = memory_from_now()
        end = watched(target.parsers, reach)

        @settings(
            max_examples=count,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(number=st.integers(0, 2**60))
        def example(number: int) -> None:
            nonlocal reached
            # Hypothesis prefers small numbers, and the beginning of a file is not all of it.
            draw = random.Random(number)
            which = draw.randrange(len(samples))
            sample, place = samples[which], places[which]
            content = mutated(sample.content, draw)
            file = place / sample.name
            if content == sample.content or (key := b"%d " % which + content) in seen:
                return
            seen.add(key)
            file.write_bytes(sample.pack(content))
            reached = False
            faulthandler.dump_traceback_later(3 * MOST_SECONDS, exit=True)
            signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
            began = time.monotonic()
            message = None
            try:
                target.read(file)
            except SamemindError as error:
                told["refused"] += 1
                message = str(error)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                faulthandler.cancel_dump_traceback_later()
            assert message is None or len(message) > 20, "an error must say what to do"
            told["files"] += 1
            told["reached"] += reached
            told["slowest"] = max(told["slowest"], round(time.monotonic() - began, 2))
            assert memory("VmHWM") - before < MOST_MEMORY, f"{memory('VmHWM') - before:,} bytes"

        example()
        end()
    assert threading.active_count() < 50, "threads are left behind"
    return told | {"megabytes": (memory("VmHWM") - before) // 2**20}


def too_long(*_: object) -> None:
    raise TookTooLong(f"more than {MOST_SECONDS} seconds for one file")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=[])
    parser.add_argument("--count", type=int, default=400)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    # What libraries warn of while they read nonsense is not what is tested here.
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_long)
    faulthandler.enable()
    # A safety net for this machine, far above what is allowed.
    most = memory("VmSize") + 8 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in asked.targets or TARGETS:
        print(json.dumps({"target": name} | fuzz(name, asked.count)), flush=True)


if __name__ == "__main__":
    main()
