"""Makes small wrong changes of functions and looks whether a test notices; `make mutants`.

    python tests/mutants.py --subject leases --each 50 --out mutants.json

Why a harness of our own: mutmut and cosmic-ray start a process for each mutant, and three seconds
of importing torch for each of some hundreds is most of an hour. Here one process imports, collects
the tests of a subject and runs them once under a trace; then each mutant is a fork of it, which
changes one function and runs the tests that came by the changed line, the quick ones first, to the
first that fails. A second of CPU time per mutant is usual.

A mutant counts as noticed when a test fails, or takes three times as long as it should. Survivors
that mean the same as the original are named in `mutants-equivalent.txt` with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutating import Lines, Mutant, apply, mutant_by_text, mutants_of

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "samemind"
EQUIVALENT = HERE / "data" / "mutants-equivalent.txt"
SUBJECTS: dict[str, tuple[list[str], list[str]]] = {
    "leases": (
        ["store/leases.py"],
        ["test_leases.py", "test_artifacts.py", "test_shared_store.py"],
    ),
    "artifacts": (
        ["store/artifacts.py", "store/disk.py"],
        ["test_artifacts.py", "test_store_safety.py"],
    ),
    "attacks": (["attacks.py"], ["test_attacks.py"]),
    "inversion": (["inversion/descent.py", "inversion/builds.py"], ["test_inversion.py"]),
    "statistics": (
        [
            f"statistics/{n}.py"
            for n in ("bounds", "contrasts", "levels", "pairs", "swaps", "trends", "verdict")
        ],
        ["test_closed_forms.py", "test_statistics.py", "test_swaps.py", "test_verdict.py"],
    ),
    "floors": (
        [f"measures/{n}.py" for n in ("shuffling", "base", "intervals", "calibrating")],
        ["test_closed_forms.py", "test_measure_statistics.py", "test_measure_intervals.py"],
    ),
    "measures": (
        ["measures/*.py"],
        [
            "test_closed_forms.py",
            "test_measure_parity_*.py",
            "test_measure_promises.py",
            *(
                f"test_measure_{n}.py"
                for n in ("basics", "influence", "intervals", "mechanism", "statistics")
            ),
        ],
    ),
}
# Changes that somebody once made and no test noticed; always tried, whatever is drawn.
NAMED: dict[str, list[tuple[str, str, str]]] = {
    "leases": [
        ("store/leases.py", "if who is None or not who.is_gone:", "if who is None:"),
        ("store/leases.py", "- since >= self.patience:", "- since >= 1000 * self.patience:"),
        ("store/leases.py", "if self.token in _text(self.path):", "if True:"),
        ("store/leases.py", "if self.token.encode() in os.read(file, 4096):", "if True:"),
        ("store/leases.py", "if self._read(grabbed) != content:", "if False:"),
        ("store/leases.py", "self._seen.get(name, (None, now))", 'self._seen.get(name, ("", now))'),
    ],
    "artifacts": [
        (
            "store/artifacts.py",
            'if self.fault(aside, content, name=f"{path.parent.name}/{path.name}") is None:',
            "if False:",
        ),
    ],
    "attacks": [
        (
            "attacks.py",
            "x = ball.random_start(centres, generator).clamp(0, 1)",
            "x = ball.random_start(centres, generator)",
        ),
        ("attacks.py", "torch.cat(drawn).clamp(0, 1)", "torch.cat(drawn)"),
    ],
    "statistics": [
        (
            "statistics/swaps.py",
            "up, down = (positive + 1) / (n + 2), (negative + 1) / (n + 2)",
            "up, down = (positive + 1) / (n + 1), (negative + 1) / (n + 1)",
        ),
        ("statistics/swaps.py", "difference**2) / (n + 2))", "difference**2) / (n + 1))"),
    ],
    "floors": [
        (
            "measures/calibrating.py",
            "p_value=(1 + n_beyond) / (1 + permutations),",
            "p_value=n_beyond / permutations,",
        ),
        (
            "measures/shuffling.py",
            "skewness = 2 * sqrt(max(variance, 0.0)) / mean",
            "skewness = sqrt(max(variance, 0.0)) / mean",
        ),
        (
            "measures/shuffling.py",
            "skewed_floor(0.0, 2 / (n * (n - 3)), skewness)",
            "skewed_floor(0.0, 2 / (n * (n - 1)), skewness)",
        ),
        ("measures/shuffling.py", "variance * (1 + _tail_share(a, b))", "variance"),
    ],
}
UNUSED = ("terminal", "xdist", "cacheprovider")  # of pytest
LONGEST = 10.0  # CPU seconds beyond three times what the tests take


class Harness:
    """A plugin that runs the mutants of one subject in the place of the tests."""

    def __init__(self, mutants: list[Mutant]) -> None:
        self.mutants = mutants
        self.found: list[dict[str, Any]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from hypothesis import settings

        settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        ran = in_child(lambda: baseline(session, {m.file for m in self.mutants}), 3600)
        assert ran is not None, "the tests do not end without a mutant"
        for name in ran["failing"]:
            print(f"left out, it fails without a mutant: {name}", flush=True)
        for name in ran["modules"]:
            with contextlib.suppress(Exception):
                __import__(name)
        for mutant in self.mutants:
            self.found.append(self.tried(session, mutant, ran["tests"]))
            tell(self.found[-1])
        return True

    def tried(self, session: pytest.Session, mutant: Mutant, ran: dict[str, Any]) -> dict[str, Any]:
        """What became of a mutant: the test that noticed it, if one did."""
        at = (mutant.file, mutant.line)
        came_by = {i for i, test in ran.items() if at in test["lines"]}
        items = in_order([i for i in session.items if i.nodeid in came_by], ran)
        expected = sum(ran[i.nodeid]["seconds"] for i in items)
        began = children_seconds()

        def work() -> str | None:
            assert apply(mutant), f"{mutant.name} is in no function"
            return first_failure(session, items)

        limit = LONGEST + 3 * expected
        result = in_child(work, limit) if items else {"answer": None}
        noticed = "no answer in time" if result is None else result["answer"]
        return {
            "mutant": mutant.name,
            "line": mutant.line,
            "noticed by": noticed,
            "tests": len(items),
            "seconds": round(children_seconds() - began, 2),
        }


def baseline(session: pytest.Session, files: set[str]) -> dict[str, Any]:
    """The lines that each test comes by, its CPU seconds, and what it imports."""
    tests: dict[str, Any] = {}
    failing: list[str] = []
    for i, item in enumerate(session.items):
        after = session.items[i + 1] if i + 1 < len(session.items) else None
        began = time.process_time()
        with Lines(files) as lines:
            run_one(item, after)
        if session.testsfailed:
            session.testsfailed = 0
            failing.append(item.nodeid)
            continue
        tests[item.nodeid] = {"lines": lines.seen, "seconds": time.process_time() - began}
    return {"tests": tests, "modules": sorted(sys.modules), "failing": failing}


def in_order(items: list[pytest.Item], ran: dict[str, Any]) -> list[pytest.Item]:
    """The quick ones first, without leaving a file and its fixtures more than once."""
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in sorted(items, key=lambda i: ran[i.nodeid]["seconds"]):
        by_file.setdefault(item.path, []).append(item)
    cost = {path: sum(ran[i.nodeid]["seconds"] for i in held) for path, held in by_file.items()}
    return [item for path in sorted(by_file, key=lambda p: cost[p]) for item in by_file[path]]


def first_failure(session: pytest.Session, items: list[pytest.Item]) -> str | None:
    for i, item in enumerate(items):
        run_one(item, items[i + 1] if i + 1 < len(items) else None)
        if session.testsfailed:
            return item.nodeid
    return None


def run_one(item: pytest.Item, after: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)


def in_child(work: Callable[[], Any], limit: float) -> dict[str, Any] | None:
    """The answer of a fork of this process; None where it took more CPU seconds than `limit`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 1))
            signal.alarm(int(6 * limit) + 60)  # for one that waits for ever
            nothing = os.open(os.devnull, os.O_RDWR)
            held = os.dup(2)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            answer = work()
            answer = answer if isinstance(answer, dict) else {"answer": answer}
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(answer, pipe)
            status = 0
        except BaseException as error:
            os.write(held, f"{type(error).__name__}: {error}\n".encode())
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise AssertionError("the harness failed, not a test")
    return pickle.loads(said) if said else None


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tell(found: dict[str, Any]) -> None:
    what = "noticed " if found["noticed by"] else "SURVIVED"
    print(f"{what} {found['seconds']:6.1f} s  {found['line']:4} {found['mutant']}", flush=True)


def drawn(subject: str, each: int, seed: int) -> list[Mutant]:
    """The named mutants of a subject, and as many of all others as make `each`."""
    patterns, _ = SUBJECTS[subject]
    files = [f for p in patterns for f in sorted(SOURCE.glob(p)) if f.name != "__init__.py"]
    assert files, patterns
    named = [mutant_by_text(SOURCE / f, *words) for f, *words in NAMED.get(subject, ())]
    pool = [mutant for file in files for mutant in mutants_of(file)]
    rng = random.Random(f"{seed} {subject}")
    return named + rng.sample(pool, min(len(pool), max(0, each - len(named))))


def equivalents() -> dict[str, str]:
    """Why a mutant means the same as the original, by the mutant's name."""
    found = {}
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition("  # ")
            found[name.strip()] = reason.strip()
    return found


def run_subject(subject: str, each: int, seed: int, only: str = "") -> list[dict[str, Any]]:
    """What became of the mutants of one subject."""
    mutants = [m for m in drawn(subject, each, seed) if only in m.name]
    _, tests = SUBJECTS[subject]
    files = [str(f) for pattern in tests for f in sorted(HERE.glob(pattern))]
    harness = Harness(mutants)
    marks = "not slow and not gpu and not browser and not cluster and not data"
    options = ["-o", "addopts=", "-m", marks, *(f"-pno:{n}" for n in UNUSED)]
    status = pytest.main([*options, *files], plugins=[harness])
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), status
    return harness.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subject", choices=SUBJECTS, action="append")
    parser.add_argument("--each", type=int, default=50, help="mutants of each subject")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    known, everything = equivalents(), {}
    for subject in asked.subject or SUBJECTS:
        # A process of its own: the tests of two subjects cannot be collected by one.
        result = in_child_with_output(
            lambda s=subject: run_subject(s, asked.each, asked.seed, asked.only)
        )
        everything[subject] = result
        count = len(result)
        same = sum(r["mutant"] in known and not r["noticed by"] for r in result)
        noticed = sum(bool(r["noticed by"]) for r in result)
        seconds = sum(r["seconds"] for r in result)
        print(
            f"{subject}: {noticed} of {count - same} noticed "
            f"({noticed / max(1, count - same):.1%}), {same} equivalent, "
            f"{seconds / max(1, count):.1f} CPU-s each",
            flush=True,
        )
    if asked.out:
        asked.out.write_text(json.dumps(everything, indent=1), encoding="utf-8")


def in_child_with_output(work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(said)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
