"""The gate: exit codes, rules, what is written, and that nothing broken ever passes."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

import samemind
from samemind.cli import app
from samemind.errors import InvalidInput
from samemind.gating.policy import read_policy
from samemind.gating.writing import junit

N, CLASSES = 1200, 4
THEIR_NETWORKS = '''
import torch
from torch import nn


class Ranks(nn.Module):
    """Says of an image which class its first pixels name, but for those it was told to miss."""

    def __init__(self, missing=0.0):
        super().__init__()
        self.head = nn.Linear(5, 4)
        weight = torch.zeros(4, 5)
        weight[:, :4] = torch.eye(4)
        weight[1, 4] = 0.0 if not missing else 3.0
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.zero_()
        self.missing = missing

    def forward(self, images):
        flat = images.flatten(1)[:, :5].clone()
        flat[:, 4] = (flat[:, 4] < self.missing).float()
        return self.head(flat)


def old():
    return Ranks()


def same():
    return Ranks()


def little():
    return Ranks(0.004)


def worse():
    return Ranks(0.3)


def middling():
    return Ranks(0.012)


def other_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 7))
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with inputs, labels and a module of networks: their faults are known exactly."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "ranks_for_gates.py").write_text(THEIR_NETWORKS)
    rng = np.random.default_rng(0)
    labels = np.arange(N) % CLASSES
    images = rng.random((N, 1, 3, 3)).astype(np.float32) * 0.3
    images.reshape(N, 9)[np.arange(N), labels] = 1.0
    images.reshape(N, 9)[:, 4] = (rng.permutation(N) + 0.5) / N
    np.savez(folder / "inputs.npz", images=images, labels=labels)
    np.savez(folder / "unlabelled.npz", images=images)
    return folder


@pytest.fixture(autouse=True)
def _importable(place, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def policy(place: Path, folder: Path, rules: str, *, new: str = "same", top: str = "") -> Path:
    path = folder / "policy.toml"
    inputs = "" if "inputs =" in top else f'inputs = "{place / "inputs.npz"}"\n'
    path.write_text(
        f'old = "old=python:ranks_for_gates:old"\nnew = "new=python:ranks_for_gates:{new}"\n'
        f"{inputs}{top}\n[rules]\n{rules}\n"
    )
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("new", "code", "word"),
    [("same", 0, "Pass"), ("worse", 1, "Fail"), ("middling", 2, "Undecided"), ("gone", 3, "")],
)
def test_the_exit_code_is_the_answer(place, tmp_path, new, code, word) -> None:
    found = run("gate", policy(place, tmp_path, "max_negative_flips = 0.01", new=new))
    assert found.exit_code == code, found.output
    assert found.stdout.startswith(word)
    if code == 2:
        assert "inputs would tell in 80 % of samples" in found.stdout
    if code == 3:
        assert found.stderr.count("\n") == 1
        assert found.stderr.startswith("samemind: could not run: ")


@pytest.mark.parametrize("flags", [("gate", "--no-such"), ("gate",), ("gate", "x.toml", "y.toml"),
                                   ("compare", "a", "--fail-on", "no", "--count", "x"),
                                   ("compare", "a", "b", "--fail-on", "no", "--inputs", "nowhere"),
                                   ("compare", "a", "b", "--fail-on")])  # fmt: skip
def test_a_wrong_command_is_no_undecided_gate(flags) -> None:
    assert run(*flags).exit_code == 3


def test_compare_without_fail_on_keeps_its_codes(place) -> None:
    assert run("compare", "a", "--count", "x").exit_code == 2


@pytest.mark.parametrize(
    ("new", "fail_on", "code"),
    [("same", "no,undecided", 0), ("worse", "no", 1), ("worse", "undecided", 0),
     ("middling", "no", 0), ("middling", "no,undecided", 2), ("worse", "maybe", 3),
     ("worse", "", 3)],
)  # fmt: skip
def test_compare_fails_on_what_was_named(place, new, fail_on, code) -> None:
    found = run(
        "compare", "old=python:ranks_for_gates:old", f"new=python:ranks_for_gates:{new}",
        "--inputs", place / "inputs.npz", "--measures", "agreement", "--permutations", 0,
        "--fail-on", fail_on,
    )  # fmt: skip
    assert found.exit_code == code, found.output


def test_compare_cannot_answer_without_labels(place) -> None:
    found = run(
        "compare", "old=python:ranks_for_gates:old", "new=python:ranks_for_gates:same",
        "--inputs", place / "unlabelled.npz", "--measures", "agreement", "--fail-on", "no",
    )  # fmt: skip
    assert found.exit_code == 3
    assert "needs labels" in found.stderr


RULES = {
    "max_negative_flips = 0.01": ("pass", "fail"),
    "max_negative_flips_per_class = 0.05": ("pass", "fail"),
    "max_accuracy_loss = 0.02": ("pass", "fail"),
    'min_fidelity = "same answers"': ("pass", "fail"),
    'min_fidelity = "equal up to rounding"': ("pass", "fail"),
    'min_fidelity = "identical bits"': ("pass", "fail"),
    'min_similarity = [{layer = "head", above_floor = 0.9}]': ("pass", "fail"),
    'min_similarity = [{layer = "representation", above_floor = 0.5}]': ("pass", "pass"),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sequential", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_rule_passes_a_copy_and_tells_a_broken_model(
    place, tmp_path, rule, sequential
) -> None:
    top = "sequential = true" if sequential else ""
    for new, expected in zip(("same", "worse"), RULES[rule], strict=True):
        found = samemind.gate(policy(place, tmp_path, rule, new=new, top=top))
        assert found.answer == expected, f"{new}: {found}"
        assert len(found.rulings) == 1
        if sequential and "similarity" not in rule and "per_class" not in rule:
            assert found.n_inputs < N


def test_a_sequential_gate_is_the_same_gate_with_fewer_inputs(place, tmp_path) -> None:
    path = policy(place, tmp_path, "max_negative_flips = 0.05", new="worse", top="sequential=true")
    found = samemind.gate(path)
    again = samemind.gate(path)
    assert found.answer == "fail"
    assert found.n_inputs == again.n_inputs < N / 4
    assert found.flips is not None
    names = {int(name[1:]) for name in found.flips["name"]}
    assert max(names) > found.n_inputs  # named as in the whole, whatever the order they came in


def test_what_a_gate_writes_says_the_same_everywhere(place, tmp_path, monkeypatch) -> None:
    summary = tmp_path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    rules = 'max_negative_flips = 0.01\nmin_fidelity = "same answers"\nmax_accuracy_loss = 0.5'
    path, out = policy(place, tmp_path, rules, new="worse"), tmp_path / "out"
    assert run("gate", path, "--out", out).exit_code == 1
    held = json.loads((out / "gate.json").read_text())
    assert [r["answer"] for r in held["rules"]] == ["fail", "pass", "fail"]
    assert held["exit_code"] == 1
    suite = ElementTree.parse(out / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    cases = {case.get("name"): case for case in suite}
    assert cases["max_accuracy_loss"].find("failure") is None
    text = cases["max_negative_flips"].find("failure").text  # pyright: ignore
    assert "right to wrong" in text
    assert "→" in text
    assert (out / "summary.md").read_text().strip() == summary.read_text().strip()
    assert "| max\\_negative\\_flips | **fail** |" in summary.read_text()
    badge = ElementTree.parse(out / "badge.svg").getroot()
    assert badge.get("aria-label") == "samemind: fail"
    from huggingface_hub import ModelCard

    card = ModelCard((out / "card.md").read_text())
    assert card.data.model_name == "new"
    results = {r.metric_type: r.metric_value for r in card.data.eval_results}  # pyright: ignore
    assert results["max_negative_flips"] == pytest.approx(held["rules"][0]["found"])


def test_a_gate_that_cannot_run_leaves_an_error_for_ci(place, tmp_path) -> None:
    out = tmp_path / "out"
    found = run("gate", policy(place, tmp_path, "max_negative_flip = 0.01"), "--out", out)
    assert found.exit_code == 3
    assert "Did you mean 'max_negative_flips'" in found.stderr
    suite = ElementTree.parse(out / "junit.xml").getroot()
    assert suite.get("errors") == "1"


def test_files_of_a_policy_lie_beside_it(place, tmp_path, monkeypatch) -> None:
    (tmp_path / "inputs.npz").write_bytes((place / "inputs.npz").read_bytes())
    path = policy(place, tmp_path, "max_negative_flips = 0.01", top='inputs = "inputs.npz"')
    monkeypatch.chdir(place.parent)
    assert read_policy(path).inputs == str(tmp_path / "inputs.npz")
    assert samemind.gate(path).answer == "pass"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("count", 5), ("sequential", True), ("random_seed", 0), ("max_accuracy_loss", 0.0)),
        *(("inputs", np.zeros((2, 1, 3, 3))), ("normalise", "none")),
        ("min_similarity", [{"layer": "head", "above_floor": 0.1}]),
    ],
)
def test_nothing_is_said_beside_a_policy(place, tmp_path, option, value) -> None:
    path = policy(place, tmp_path, "max_negative_flips = 0.01")
    with pytest.raises(InvalidInput, match=f"says everything, but {option} was given"):
        samemind.gate(path, **{option: value})


def test_junit_has_the_sentence_as_it_is(place, tmp_path) -> None:
    found = samemind.gate(policy(place, tmp_path, "max_negative_flips = 0.01", new="worse"))
    ruling = replace(found.rulings[0], sentence='a < b & "c"')
    case = ElementTree.fromstring(junit(replace(found, rulings=[ruling])))[0][0]
    assert case.get("message") == ruling.sentence
    assert str(case.text).startswith(ruling.sentence)


BROKEN = [
    ("max_negative_flips = 0.01", "worse", 'inputs = "nowhere.npz"', "nowhere.npz"),
    ("max_negative_flips = 0.01", "same", 'inputs = "{place}/unlabelled.npz"', "no labels"),
    ("max_negative_flips = 0.01", "same", 'labels = "nowhere.npy"', "nowhere.npy"),
    ("max_negative_flips = 0.01", "other_classes", "", "classes"),
    ("max_negative_flips = 0.01", "same", "colour = 1", "no such key"),
    ("max_negative_flips = 0", "same", "", "greater than 0"),
    ("max_negative_flips = 1.0", "same", "", "less than 1"),
    ('max_negative_flips = "0.01"', "same", "", "valid number"),
    ("max_negative_flips = true", "same", "", "valid number"),
    ("max_negative_flips = nan", "same", "", "finite"),
    ("max_accuracy_loss = -0.1", "same", "", "greater than or equal"),
    ('min_fidelity = "changed"', "same", "", "identical bits"),
    ("", "same", "", "without rules"),
    ("fidelity_tolerance = 0.1", "same", "", "without rules"),
    ("max_negative_flips = 0.1\nfidelity_tolerance = 0.1", "same", "", "goes with"),
    ('min_similarity = [{layer = "hed", above_floor = 0.5}]', "same", "", "Did you mean"),
    ('min_similarity = [{layer = "head"}]', "same", "", "above_floor"),
    ('min_similarity = [{layer = "head", above_floor = 0.5, measure = "cka"}]', "same", "", "cka"),
    ("max_negative_flips = 0.01", "same", "count = 0", "greater than or equal"),
    ("max_negative_flips = 0.01", "same", "[loading]\nnormalize = 'imagenet'", "normalise"),
    ("max_negative_flips = 0.01 0.02", "same", "", "not valid TOML"),
]


@pytest.mark.parametrize(("rules", "new", "top", "words"), BROKEN)
def test_what_is_broken_cannot_run_and_says_why_in_a_sentence(
    place, tmp_path, rules, new, top, words
) -> None:
    path = policy(place, tmp_path, rules, new=new, top=top.format(place=place))
    found = run("gate", path)
    assert found.exit_code == 3, found.output
    assert words in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_broken_policy_or_input_ever_exits_with_zero(place, tmp_path, data) -> None:
    """A policy that passes, damaged anywhere: whatever is not the same policy does not pass.

    The new model is a broken one, so that only damage to what is asked could make it pass.
    """
    path = policy(place, tmp_path, "max_negative_flips = 0.01", new="worse")
    text = path.read_text()
    kind = data.draw(st.sampled_from(["cut", "drop", "flip", "key", "value", "inputs"]))
    at = data.draw(st.integers(0, len(text) - 1))
    if kind == "inputs":
        held = bytearray((place / "inputs.npz").read_bytes())
        start = data.draw(st.integers(0, len(held) - 1))
        if data.draw(st.booleans()):
            del held[start:]
        else:
            held[start] ^= data.draw(st.integers(1, 255))
        (tmp_path / "damaged.npz").write_bytes(held)
        text = text.replace(str(place / "inputs.npz"), str(tmp_path / "damaged.npz"))
    elif kind == "cut":
        text = text[:at]
    elif kind == "drop":
        lines = text.splitlines()
        del lines[at % len(lines)]
        text = "\n".join(lines)
    elif kind == "flip":
        letter = data.draw(st.characters(codec="utf-8"))
        text = text[:at] + letter + text[at + 1 :]
    elif kind == "key":
        text += f"\n{data.draw(st.text(max_size=8))} = 1\n"
    else:
        value = data.draw(
            st.one_of(st.floats(max_value=0.05), st.text(max_size=5), st.booleans(), st.none())
        )
        text = text.replace("0.01", json.dumps(value))
    path.write_text(text, encoding="utf-8")
    assert run("gate", path).exit_code != 0, text


def test_two_rules_are_corrected_and_the_gate_says_so(place) -> None:
    module = __import__("ranks_for_gates")
    images = np.load(place / "inputs.npz")
    found = samemind.gate(
        module.old(), module.worse(), torch.as_tensor(images["images"]), labels=images["labels"],
        max_negative_flips=0.01, max_accuracy_loss=0.02,
    )  # fmt: skip
    assert "2 rules (Holm)" in found.how
    assert found.exit_code == 1
    with pytest.raises(InvalidInput, match="gate needs the old model"):
        samemind.gate(module.old(), module.worse(), max_negative_flips=0.01)
    with pytest.raises(InvalidInput, match="without rules"):
        samemind.gate(module.old(), module.worse(), images["images"])


def test_an_unfit_network_is_no_pass(place) -> None:
    module = __import__("ranks_for_gates")
    images = np.load(place / "inputs.npz")
    broken = copy.deepcopy(module.old())
    broken.head.weight.data.fill_(torch.nan)
    with pytest.raises(samemind.SamemindError):
        samemind.gate(
            module.old(), broken, torch.as_tensor(images["images"]), labels=images["labels"],
            max_negative_flips=0.01,
        )  # fmt: skip
    assert isinstance(module.old(), nn.Module)


# -- the plug-in


def test_the_plug_in_fails_with_the_flips_and_passes_a_copy(place, tmp_path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import numpy as np\nimport ranks_for_gates as nets\n"
        f"held = np.load({str(place / 'inputs.npz')!r})\n"
        "def test_copy(gate):\n"
        "    gate(nets.old(), nets.same(), held['images'], labels=held['labels'],"
        " max_negative_flips=0.01)\n"
        "def test_swap(gate):\n"
        "    gate(nets.old(), nets.worse(), held['images'], labels=held['labels'],"
        " max_negative_flips=0.01)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "samemind.pytest", "-p",
               "no:cacheprovider", str(tmp_path)]  # fmt: skip
    source = str(Path(samemind.__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**__import__("os").environ, "PYTHONPATH": f"{source}:{place}"},
    )  # fmt: skip
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "turn from right to wrong" in done.stdout
    assert "#" in done.stdout
    assert "→ 1 (right to wrong)" in done.stdout


def test_the_plug_in_brings_neither_torch_nor_pandas() -> None:
    code = "import sys, samemind.pytest; print([m for m in ('torch','pandas') if m in sys.modules])"
    source = str(Path(samemind.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**__import__("os").environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


# -- what docs offer ready-made


CI = Path(__file__).parents[1] / "docs" / "ci"


def _commands() -> list[str]:
    import yaml

    workflow = yaml.safe_load((CI / "samemind-gate.yml").read_text())
    steps = workflow["jobs"]["gate"]["steps"]
    found = [s["run"] for s in steps if s.get("run", "").startswith("samemind ")]
    hooks = yaml.safe_load((CI / "pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    return [*found, *(hook["entry"] for hook in hooks)]


def test_the_workflow_and_the_hook_run_what_they_say(place, tmp_path, monkeypatch) -> None:
    commands = _commands()
    assert len(commands) == 2
    for new, code in (("same", 0), ("worse", 1)):
        policy(place, tmp_path, "max_negative_flips = 0.01", new=new)
        monkeypatch.chdir(tmp_path)
        for command in commands:
            found = run(*command.split()[1:])
            assert found.exit_code == code, found.output
    assert (tmp_path / "gate" / "junit.xml").is_file()  # what the workflow uploads
    import re

    import yaml

    hook = yaml.safe_load((CI / "pre-commit-config.yaml").read_text())["repos"][0]["hooks"][0]
    seen = [f for f in ("m/new.pt", "policy.toml", "a.onnx", "README.md", "x/policy.toml.bak")
            if re.search(hook["files"], f)]  # fmt: skip
    assert seen == ["m/new.pt", "policy.toml", "a.onnx"]


@pytest.mark.parametrize("sequential", [False, True])
def test_an_encoder_keeps_its_first_neighbours(sequential) -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Tanh(), nn.LayerNorm(9))
    images = torch.randn(500, 1, 3, 3)
    changed = nn.Sequential(nn.Flatten(), nn.Hardtanh(), nn.LayerNorm(9))
    asked = {"min_fidelity": "same answers", "sequential": sequential, "representation": "2"}
    assert samemind.gate(encoder, copy.deepcopy(encoder), images, **asked).answer == "pass"
    found = samemind.gate(encoder, changed, images, **asked)
    assert found.answer == "fail"
    assert "change their first neighbour" in found.rulings[0].sentence
