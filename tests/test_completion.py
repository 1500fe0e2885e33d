"""Shell completion: the scripts for three shells, and a real bash that completes with its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = "import sys; sys.argv[0] = 'samemind'; from samemind.cli import main; main()"
ENVIRONMENT = {
    # Without this Typer asks which shell started it, and there is none in a test.
    "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
}


def script_for(shell: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, "--show-completion", shell],
        env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", "complete -o default -F _samemind_completion samemind"),
        ("zsh", "#compdef samemind"),
        ("fish", "complete --command samemind"),
    ],
)
def test_there_is_a_script_for_each_shell(shell: str, words: str) -> None:
    assert words in script_for(shell)


@pytest.fixture(scope="module")
def bash(tmp_path_factory) -> Path:
    """A folder with `samemind` as a command, and its completion for bash."""
    if shutil.which("bash") is None:
        pytest.skip("There is no bash on this machine.")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "samemind").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ENTRY}" "$@"\n')
    (folder / "samemind").chmod(0o755)
    (folder / "complete.bash").write_text(script_for("bash"))
    return folder


def completed(bash: Path, *words: str) -> set[str]:
    """What a real bash offers for the last of the words, by the function that it would call."""
    lines = [
        f"source {bash / 'complete.bash'}",
        f"COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}')",
        f"COMP_CWORD={len(words) - 1}",
        '$(complete -p samemind | sed "s/.*-F \\([^ ]*\\) .*/\\1/") samemind',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    environment = os.environ | ENVIRONMENT | {"PATH": f"{bash}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", "\n".join(lines)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("samemind", "co"), {"compare"}),
        (("samemind", "compare", "--probe"), {"--probe", "--probe-inputs"}),
        (("samemind", "list", "m"), {"measures"}),
        (("samemind", "run", "dig"), {"digits"}),
        (("samemind", "list", "layers", "digits_v"), {"digits_vgg_bn", "digits_vit"}),
        (("samemind", "figure", "layer"), {"layer_map"}),
    ],
)
def test_a_real_bash_completes_commands_options_and_names(bash: Path, words, expected) -> None:
    assert completed(bash, *words) == expected
