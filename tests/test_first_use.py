"""The first use of a public function in a process leaves random states as they were.

Libraries that are imported on the way may draw from them: rich does from Python's `random`, so a
run that is seeded and then calls samemind would go on otherwise than one that does not.
"""

import subprocess
import sys
from pathlib import Path

FIRST_USES = """
import random, sys
import numpy as np
import torch

def states():
    return (random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2],
            torch.get_rng_state().numpy().tobytes())

random.seed(1), np.random.seed(1), torch.manual_seed(1)
before = states()
assert "rich.style" not in sys.modules, "something else brought what draws"

def use(name, call):
    found = call()
    changed = [kind for kind, a, b in zip(("random", "numpy", "", "torch"), before, states())
               if a != b]
    print("changed" if changed else "kept", name, *changed, flush=True)
    return found

import samemind
kept = np.random.default_rng(1)
A, B = kept.normal(size=(2, 20, 3))
cka = use("measure", lambda: samemind.measure("linear_cka"))
use("floor", lambda: (cka(A, B), cka.floor(A, B)))
found = use("compare", lambda: samemind.compare({"one": A, "other": B}, permutations=2))
assert "rich.style" in sys.modules, "nothing drew: this test says nothing"
use("print", lambda: (str(found), repr(found), found.to_json()))
use("difference", lambda: samemind.difference((A, B), (A, A + B), "linear_cka"))
use("report", lambda: found.report(sys.argv[1]))
images = kept.random((8, 3, 8, 8)).astype("float32")
use("compare networks", lambda: samemind.compare(
    ["one=python:drawing:network", "other=python:drawing:network"], images, permutations=2,
    device="cpu"))
use("lists", lambda: (samemind.list_measures(), samemind.list_architectures(),
                      samemind.list_datasets(), samemind.list_figures()))
"""

DRAWING = """
import random
import numpy as np
from torch import nn
random.random()

def network():
    np.random.rand()
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
"""


def test_the_first_use_in_a_process_leaves_random_states_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "drawing.py").write_text(DRAWING)
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USES, "report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = (
        "measure",
        "floor",
        "compare",
        "print",
        "difference",
        "report",
        "compare networks",
        "lists",
    )
    assert done.stdout.splitlines() == [f"kept {name}" for name in names]
