"""The README's example runs as it stands, and what it names is there."""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_and_gives_a_row_per_pair_and_measure(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) < 10
    names: dict = {}
    exec(example, names)
    table = names["found"].scores
    assert isinstance(table, pd.DataFrame)
    assert list(table["measure"]) == ["agreement", "linear_cka", "knn_jaccard"]
    assert table["score"].notna().all()
    assert "mobilenet" in capsys.readouterr().out


def test_the_study_example_is_a_valid_study(tmp_path: Path):
    from samemind.study import read_study

    (example,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    path = tmp_path / "my.toml"
    path.write_text(example)
    assert len(read_study(path).checkpoints) == 2 * 3 * 3


def test_every_make_target_named_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    documents = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", documents, flags=re.MULTILINE))
    assert named
    assert named <= targets


def test_importing_samemind_brings_no_heavy_package():
    import subprocess
    import sys

    code = "import sys, samemind; print(sorted({'torch','pandas','matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
