"""What reaches terminals and files that others read, and requests to end at any moment."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samemind.checkpoints.importing import section_of
from samemind.commands.rows import print_rows
from samemind.commands.terminal import Terminal, print_table, printable
from samemind.errors import InvalidInput
from samemind.files.toml import toml_line, toml_remark, toml_value
from samemind.lazy import is_importing
from samemind.study import read_study
from samemind.study.template import study_text

SAMEMIND = [sys.executable, "-m", "samemind"]
DATA = Path(__file__).parent / "data"


# -- names stay text


def printed(*things: object, **options: object) -> str:
    held = io.StringIO()
    Terminal(file=held, width=200, force_terminal=True, color_system="truecolor").print(
        *things, **options
    )
    return held.getvalue()


@pytest.mark.parametrize(
    "name", ["m[a]", "m[b]", "[red]x[/red]", "[/]", ":smile:", "[link=http://x]y[/link]", "\\[a]"]
)
def test_names_are_no_markup(name, capsys):
    from rich.table import Table

    assert printed(name) == f"{name}\n"
    table = Table(box=None)
    table.add_column(name)
    table.add_row(name)
    assert printed(table).count(name) == 2
    print_rows([{"model": name}], ("model",))
    print_table(("model",), [(name,)])
    assert capsys.readouterr().out.count(name) == 2


CONTROLS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\r",
    "\x9b31m",
    "\u202eabc",
    "\u2066",
    "\x08\x08",
    "\ud800",
]


@pytest.mark.parametrize("text", CONTROLS)
def test_control_sequences_are_written_out(text, capsys):
    shown = printed(f"model {text}!")
    for forbidden in ("\x1b", "\x9b", "\x07", "\r", "\x08", "\u202e", "\u2066", "\ud800"):
        assert forbidden not in shown
        assert forbidden not in printable(text)
    shown.encode("utf-8")
    print_table(("a",), [(f"model {text}!",)])
    print_rows([{"a": f"model {text}!"}], ("a",))
    told = capsys.readouterr().out
    assert told.count(printable(text)) == 2


@given(st.text())
def test_what_is_printable_stays_so(text):
    once = printable(text)
    assert printable(once) == once
    once.encode("utf-8")


# -- streams


def command(*arguments: object, **options):
    return subprocess.run(
        [*SAMEMIND, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def test_a_terminal_without_our_letters_is_no_traceback():
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = command("plan", DATA / "tiny-digits.toml", env=env)
    assert (found.returncode, found.stderr) == (0, "")
    assert r"\u03b5 in 0" in found.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_a_sentence():
    for ask in (["list", "measures"], ["list", "measures", "--json"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            found = subprocess.run(
                [*SAMEMIND, *ask], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert found.returncode == 1, ask
        assert found.stderr == "samemind: The output: No space left on device.\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_traceback(closed, tmp_path):
    ask = f'"{sys.executable}" -m samemind list datasets {closed}'
    found = subprocess.run(["sh", "-c", ask], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.slow
def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path):
    for ask in (
        ["run", DATA / "tiny-digits.toml", "--store", tmp_path / ("x" * 300)],
        ["status", "x" * 5000 + ".toml"],
        ["store", "list", "--store", "x" * 5000],
        ["data", "check", "folder:~nobody-of-this-name"],
    ):
        found = command(*ask)
        assert found.returncode == 1, ask
        assert "Traceback" not in found.stderr
        assert found.stderr.startswith("samemind: ")


# -- TOML


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)))
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(VALUES, TEXTS, TEXTS)
def test_what_is_written_as_toml_is_read_back(value, key, remark):
    text = f"# {toml_remark(remark)}\n{toml_line(key, value)}\n"
    assert tomllib.loads(text) == {key: value}


@pytest.mark.parametrize(
    "name", ['a"b', "a\nb", "a\\b", "\x1b[2J", "\x7f", "ε", "'''", '"""', "a # b"]
)
def test_hostile_names_make_no_broken_study(tmp_path, name):
    recipe = SimpleNamespace(
        source=name, sha256="0" * 64, architecture=f"python:m:{name}", epsilon=0.5,
        mean=(0.1, 1e-7), std=(1.0,), random_seed=3, head="",
    )  # fmt: skip
    (held,) = tomllib.loads(section_of(recipe, f"folder/{name}"))["imported"]  # pyright: ignore
    assert held["source"] == name
    assert held["file"] == f"folder/{name}"
    assert (held["mean"], held["random_seed"]) == ([0.1, 1e-7], 3)
    path = tmp_path / "study.toml"
    for source in (None, "digits"):
        path.write_text(study_text(name, source=source), encoding="utf-8")
        assert read_study(path).dataset == "digits"


def test_what_toml_cannot_hold_is_refused():
    with pytest.raises(InvalidInput, match="not UTF-8"):
        toml_value("caf\udce9")
    with pytest.raises(InvalidInput, match="no way to write"):
        toml_value(object())


# -- study files


GRID = 'dataset = "digits"\narchitectures = ["digits_vit"]\n'
TRAINING = "[training]\nepochs = 1\nbatch_size = 8\nlearning_rate = 0.1\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{GRID}epsilons = [0]\nrandom_seeds = {list(range(100_000))}\n{TRAINING}", "values"),
        (f"{GRID}epsilons = {[e / 1e5 for e in range(100_000)]}\n{TRAINING}", "values"),
        (f"{GRID}epsilons = [inf]\n{TRAINING}", "finite"),
        (f"{GRID}epsilons = [nan]\n{TRAINING}", "finite"),
        (f"{GRID}epsilons = [0]\nrandom_seeds = [{'9' * 4000}]\n{TRAINING}", "digits"),
        (f"{GRID}epsilons = [0]\n{TRAINING}weight_decay = nan\n", "finite"),
        (f"{GRID}epsilons = [0]\n{TRAINING}momentum = -inf\n", "finite"),
        (f"{GRID}epsilons = [0]\n[inputs]\ncount = 1{'0' * 30}\n{TRAINING}", "digits"),
        (f"{GRID}epsilons = [0]\n{TRAINING}[cluster.options]\na = inf\n", "finite"),
        (
            'dataset = "digits"\narchitectures = ["digits_vit", "digits_resnet"]\n'
            f"epsilons = {[e / 100 for e in range(200)]}\n"
            f"random_seeds = {list(range(200))}\n{TRAINING}",
            "80,000 models",
        ),
        ("#" * 2**23, "are the most"),
    ],
)  # fmt: skip
def test_endless_numbers_and_grids_are_refused_quickly(tmp_path, text, why):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=why):
        read_study(path)


# -- requests to end


SLOW_MODULE = """
import time
began = time.monotonic()
open("importing", "w").close()
while time.monotonic() - began < 1.5:
    try:
        time.sleep(0.01)
    except BaseException:
        pass  # as some libraries do, who try one module after the other
open("imported", "w").close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_end_in_the_middle_of_an_import_is_kept(tmp_path, number):
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    script = (
        "import samemind.cli as cli, samemind.study as study\n"
        "from samemind.lazy import LazyModule\n"
        "slow = LazyModule('slow_module')\n"
        "def read(*_):\n"
        "    slow.began\n"
        "    import time; time.sleep(60)\n"
        "study.read_study = read\n"
        "import sys; sys.argv = ['samemind', 'run', 'digits']\n"
        "cli.main()\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "importing").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate(timeout=600)
    assert (tmp_path / "imported").exists()
    assert told.startswith("samemind: Interrupted. What was finished is kept")
    assert process.returncode == 1


WHERE_PYTHON_IGNORES = {
    "callback of a weak reference": "kept = weakref.ref(one, wait)\ndel one\n",
    "finaliser": "One.__del__ = wait\ndel one\n",
}


@pytest.mark.parametrize("place", WHERE_PYTHON_IGNORES)
def test_a_request_to_end_where_python_ignores_exceptions_is_kept(place):
    """It comes again a moment later, and no traceback is printed for the first one."""
    script = (
        "import os, signal, time, weakref\n"
        "from samemind.lazy import Interruptions\n"
        "signal.signal(signal.SIGTERM, Interruptions())\n"
        "def wait(_):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    while True: time.sleep(0.01)\n"
        "class One: pass\n"
        "one = One()\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in WHERE_PYTHON_IGNORES[place].splitlines())
        + "    while True: time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert (found.stdout, found.stderr) == ("ended\n", "")


def test_an_import_is_told_from_other_code(tmp_path, monkeypatch):
    (tmp_path / "looks_around.py").write_text(
        "import sys\n"
        "from samemind.lazy import is_importing\n"
        "found = is_importing(sys._getframe())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import looks_around  # pyright: ignore[reportMissingImports]

    assert looks_around.found
    assert not is_importing(sys._getframe())
