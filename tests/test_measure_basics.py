"""The measures by name, on raw arrays, and what the first of them give."""

import doctest
import subprocess
import sys

import pytest
import torch

from samemind.errors import InvalidInput, UnknownName
from samemind.measures import MEASURES, measure

torch.set_num_threads(1)


@pytest.mark.parametrize("name", MEASURES)
def test_the_example_of_a_measure_runs(name: str) -> None:
    member = MEASURES[name]
    module = sys.modules[member.compute.__module__]
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    source = member.compute.__doc__ or ""
    example = parser.get_doctest(source, vars(module).copy(), name, None, 0)
    assert example.examples, f"{name} has no example"
    assert runner.run(example).failed == 0


def test_listing_the_measures_does_not_import_torch() -> None:
    program = (
        "import sys; from samemind.measures import MEASURES; "
        "[member.as_record() for member in MEASURES.values()]; "
        "sys.exit(any(heavy in sys.modules for heavy in ('torch', 'scipy', 'sklearn', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_name_after_the_at_sign_sets_the_parameter() -> None:
    assert measure("knn_jaccard@100").settings == {"k": 100}
    assert measure("knn_jaccard@100").name == "knn_jaccard@100"
    assert "knn_jaccard@100" in MEASURES
    assert "knn_jaccard@many" not in MEASURES


def test_a_misspelt_measure_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'linear_cka'"):
        measure("liner_cka")


def test_a_setting_that_a_measure_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownName, match="'linear_cka' has none"):
        measure("linear_cka@5")
    with pytest.raises(InvalidInput, match="positive int"):
        measure("knn_jaccard@0")


@pytest.mark.parametrize("name", ["knn_jaccard_100", "knn_jaccard100", "knn_jaccard(k=100"])
def test_a_setting_written_otherwise_is_told_how_it_is_written(name):
    with pytest.raises(UnknownName, match=r"'knn_jaccard@100' is 'knn_jaccard' at k = 100"):
        MEASURES[name]
    with pytest.raises(UnknownName, match="Did you mean"):
        MEASURES["linear_cka_100"]
